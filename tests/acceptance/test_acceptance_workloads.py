"""The sidecar in every kind of workload: in and out again, byte for byte, at one rollout each."""

from __future__ import annotations

import pytest
from acceptance import batches as b
from acceptance.place import Place

from reconciler.api.resources import JsonObject

KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sidecar_comes_and_goes_and_leaves_nothing(place: Place, kind: str) -> None:
    place.apply("backend.yaml", writer(kind))
    before = place.ready(kind, "app")
    place.apply(b.batch(b.workload(kind, "app")))
    place.until(lambda: _containers(place, kind) == ["app", "stash"], "the sidecar is there")
    with_sidecar = place.ready(kind, "app")
    assert _generation(with_sidecar) == _generation(before) + 1, "one change for the sidecar"
    place.set_up()
    place.succeeded(place.trigger())

    # a schedule is nothing to a workload
    place.patch("BackupBatch", "shop", {"spec": {"schedule": "0 1 1 1 *"}})
    place.until(lambda: place.cron_job()["spec"]["schedule"] == "0 1 1 1 *", "the CronJob has it")
    assert _generation(place.get(kind, "app")) == _generation(with_sidecar)

    place.delete("BackupBatch", "shop")
    place.gone("BackupBatch", "shop")
    after = place.ready(kind, "app")
    assert after["spec"] == before["spec"]
    assert _annotations(after) == _annotations(before)
    assert _generation(after) == _generation(with_sidecar) + 1, "one change to take it out"


def test_a_workload_that_comes_after_its_batch(place: Place) -> None:
    place.apply("backend.yaml", b.batch(b.workload("Deployment", "app")))
    place.becomes("BackupBatch", "shop", lambda o: o.get("status"), "has been seen")
    place.apply(writer("Deployment"))
    place.until(lambda: _containers(place, "Deployment") == ["app", "stash"], "it has a sidecar")
    place.set_up()
    place.ready("Deployment", "app")
    place.succeeded(place.trigger())
    assert place.hosts_and_paths() == {("app", "/data")}


def test_two_replicas_are_one_host(place: Place) -> None:
    workload = writer("Deployment")
    workload["spec"]["replicas"] = 2
    place.apply("backend.yaml", workload, b.batch(b.workload("Deployment", "app")))
    place.set_up()
    place.ready("Deployment", "app")
    place.succeeded(place.trigger())
    assert len(place.snapshots()) == 1


def writer(kind: str) -> JsonObject:
    """A workload named ``app`` that writes a file."""
    labels = {"app": "app"}
    line = "echo app > /data/name; while true; do sleep 1; done"
    container = {
        "name": "app",
        "image": "localhost/tandem-acceptance:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", line],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/data/name"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    spec: JsonObject = {"template": {"metadata": {"labels": labels}, "spec": pod}}
    spec["selector"] = labels if kind == "ReplicationController" else {"matchLabels": labels}
    if kind == "StatefulSet":
        spec["serviceName"] = "app"
    reference = b.ref(kind, "app")
    return {
        "apiVersion": reference["apiVersion"],
        "kind": kind,
        "metadata": {"name": "app"},
        "spec": spec,
    }


def _containers(place: Place, kind: str) -> list[str]:
    found = place.get(kind, "app")["spec"]["template"]["spec"]["containers"]
    return [each["name"] for each in found]


def _annotations(workload: JsonObject) -> JsonObject:
    """Without the number of a Deployment's revision, which grows with each rollout."""
    found: JsonObject = dict(workload["metadata"].get("annotations") or {})
    found.pop("deployment.kubernetes.io/revision", None)
    return found


def _generation(workload: JsonObject) -> int:
    return int(workload["metadata"]["generation"])
