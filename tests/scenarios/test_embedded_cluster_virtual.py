"""The embedded cluster on a virtual clock: stories of days, told in milliseconds."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from reconciler.api.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    JsonObject,
    Resource,
)
from reconciler.cluster.transport import MERGE_PATCH
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes.virtual import Program, Run
from reconciler.engine.clock import VirtualClock
from reconciler.errors import NotFound

MORNING = dt.datetime(2026, 3, 1, 6, 30, tzinfo=dt.UTC)
CONTAINERS = [{"name": "c", "image": "busybox", "command": ["true"]}]
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": CONTAINERS}}
ONCE = {"spec": {"containers": CONTAINERS, "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": {"app": "web"}}


class Story:
    """A cluster and shorthand for telling what happens to it."""

    def __init__(self, *programs: Program) -> None:
        self.cluster = EmbeddedCluster(VirtualClock(MORNING), programs=programs)
        self.client = self.cluster.client()
        self.cluster.settle()

    def create(self, resource: Resource, name: str, **fields: Any) -> JsonObject:
        meta = {"name": name, **fields.pop("metadata", {})}
        if resource.namespaced:
            meta.setdefault("namespace", "default")
        made = self.client.create(resource, {"metadata": meta, **fields})
        self.cluster.settle()
        return made

    def get(self, resource: Resource, name: str, namespace: str = "default") -> JsonObject:
        return self.client.get(resource, namespace if resource.namespaced else "", name)

    def names(self, resource: Resource) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.client.list(resource, "default").items]

    def change(self, resource: Resource, name: str, **spec: Any) -> None:
        patch = {"spec": spec}
        self.client.patch(resource, "default", name, patch, content_type=MERGE_PATCH)

    def delete(self, resource: Resource, name: str, **options: Any) -> None:
        place = "default" if resource.namespaced else ""
        self.client.delete(resource, place, name, **options)
        self.cluster.settle()

    def run(self, **duration: float) -> None:
        self.cluster.run_until(self.cluster.clock.now() + dt.timedelta(**duration))


def test_a_cron_job_fires_for_a_day_and_keeps_its_history() -> None:
    story = Story()
    spec = {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": ONCE}}}
    story.create(CRON_JOBS, "hourly", spec=spec)
    started = set()
    for _ in range(24):
        story.run(hours=1)
        started |= set(story.names(JOBS))
    first = MORNING.replace(hour=7, minute=0)
    slots = [first + dt.timedelta(hours=hours) for hours in range(24)]
    assert started == {f"hourly-{int(slot.timestamp()) // 60}" for slot in slots}
    assert story.names(JOBS) == sorted(started)[-3:]
    assert len(story.names(PODS)) == 3  # the Pods went with their Jobs
    status = story.get(CRON_JOBS, "hourly")["status"]
    assert status["lastScheduleTime"] == "2026-03-02T06:00:00Z"
    assert status["lastSuccessfulTime"] == "2026-03-02T06:00:01Z"


def test_a_job_fails_twice_and_then_succeeds() -> None:
    codes = [1, 1, 0]
    story = Story(lambda pod, container: Run(1, codes.pop(0)))
    story.create(JOBS, "flaky", spec={"template": ONCE})
    story.run(minutes=10)
    status = story.get(JOBS, "flaky")["status"]
    assert (status["failed"], status["succeeded"]) == (2, 1)
    # 1 s, 10 s back-off, 1 s, 20 s back-off, 1 s.
    assert status["completionTime"] == "2026-03-01T06:30:33Z"
    assert len(story.names(PODS)) == 3


def test_a_deployment_rolls_without_losing_its_service() -> None:
    story = Story()
    story.create(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    spec = {"replicas": 4, "selector": SELECTOR, "template": TEMPLATE}
    story.create(DEPLOYMENTS, "web", spec=spec)
    story.run(seconds=1)
    assert story.get(DEPLOYMENTS, "web")["status"]["availableReplicas"] == 4
    old = set(story.names(PODS))
    newer = [{**CONTAINERS[0], "image": "busybox:2"}]
    story.change(DEPLOYMENTS, "web", template={"spec": {"containers": newer}})
    story.run(seconds=1)
    status = story.get(DEPLOYMENTS, "web")["status"]
    assert (status["updatedReplicas"], status["replicas"]) == (4, 4)
    assert status["observedGeneration"] == story.get(DEPLOYMENTS, "web")["metadata"]["generation"]
    assert not old & set(story.names(PODS))
    sizes = [obj["spec"]["replicas"] for obj in story.client.list(REPLICA_SETS, "default").items]
    assert sorted(sizes) == [0, 4]
    (subset,) = story.get(ENDPOINTS, "web")["subsets"]
    assert len(subset["addresses"]) == 4


def test_what_happens_is_told_in_events_and_forgotten_after_an_hour() -> None:
    story = Story()
    spec = {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}
    story.create(DEPLOYMENTS, "web", spec=spec)
    story.run(seconds=1)
    told = {obj["reason"] for obj in story.client.list(EVENTS, "default").items}
    assert told == {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"}
    story.run(hours=1)
    assert story.client.list(EVENTS, "default").items == []


def test_a_cluster_at_rest_writes_nothing() -> None:
    story = Story()
    spec = {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}
    story.create(DEPLOYMENTS, "web", spec=spec)
    story.run(seconds=1)
    assert story.cluster.settle() == 0
    story.run(hours=2)  # until the Events of the beginning are forgotten
    version = story.client.list(PODS).resource_version
    story.run(hours=12)
    assert story.client.list(PODS).resource_version == version


def test_a_stateful_set_of_three_has_its_claims_and_survives_a_lost_pod() -> None:
    story = Story()
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    spec = {
        "replicas": 3,
        "serviceName": "db",
        "selector": SELECTOR,
        "template": TEMPLATE,
        "volumeClaimTemplates": [claim],
    }
    story.create(STATEFUL_SETS, "db", spec=spec)
    story.run(seconds=1)
    assert story.names(PODS) == ["db-0", "db-1", "db-2"]
    claims = story.client.list(PERSISTENT_VOLUME_CLAIMS, "default").items
    assert {obj["status"]["phase"] for obj in claims} == {"Bound"}
    before = story.get(PODS, "db-1")["metadata"]["uid"]
    story.delete(PODS, "db-1")
    story.run(seconds=1)
    after = story.get(PODS, "db-1")
    assert after["metadata"]["uid"] != before
    assert after["status"]["phase"] == "Running"
    assert story.get(STATEFUL_SETS, "db")["status"]["readyReplicas"] == 3


def test_a_deleted_claim_takes_its_volume_along_once_nobody_uses_it() -> None:
    story = Story()
    size = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": size}
    story.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    story.create(PODS, "user", spec={"containers": CONTAINERS, "volumes": volumes})
    assert story.get(PODS, "user")["status"]["phase"] == "Running"
    story.delete(PERSISTENT_VOLUME_CLAIMS, "data")
    assert story.names(PERSISTENT_VOLUME_CLAIMS) == ["data"]
    story.delete(PODS, "user")
    assert story.names(PERSISTENT_VOLUME_CLAIMS) == []
    assert story.client.list(PERSISTENT_VOLUMES).items == []


def test_a_deleted_namespace_loses_everything_and_then_itself() -> None:
    story = Story()
    story.create(NAMESPACES, "team")
    spec = {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}
    story.create(DEPLOYMENTS, "web", metadata={"namespace": "team"}, spec=spec)
    story.create(CONFIG_MAPS, "m", metadata={"namespace": "team"}, data={"a": "b"})
    story.run(seconds=1)
    assert story.get(SERVICE_ACCOUNTS, "default", "team")
    story.delete(NAMESPACES, "team")
    story.run(minutes=1)
    with pytest.raises(NotFound):
        story.get(NAMESPACES, "team")
    for resource in (PODS, REPLICA_SETS, DEPLOYMENTS, CONFIG_MAPS, SERVICE_ACCOUNTS):
        assert story.client.list(resource, "team").items == []


def _deployed() -> Story:
    story = Story()
    spec = {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}
    story.create(DEPLOYMENTS, "web", spec=spec)
    story.run(seconds=1)
    assert len(story.names(PODS)) == 2
    return story


def test_dependents_go_in_the_background() -> None:
    story = _deployed()
    story.delete(DEPLOYMENTS, "web")
    assert story.names(DEPLOYMENTS) == story.names(REPLICA_SETS) == story.names(PODS) == []


def test_in_the_foreground_the_owner_goes_last() -> None:
    story = _deployed()
    deleted: list[str] = []
    streams = {
        resource: story.client.watch(resource, resource_version=_version(story, resource))
        for resource in (DEPLOYMENTS, REPLICA_SETS, PODS)
    }
    story.delete(DEPLOYMENTS, "web", propagation="Foreground")
    for stream in streams.values():
        while (event := stream.next(0)) is not None:
            if event.type == "DELETED":
                deleted.append(event.object["kind"])
                last = int(event.object["metadata"]["resourceVersion"])
                deleted[-1] = f"{last:09d} {event.object['kind']}"
    order = [entry.split()[1] for entry in sorted(deleted)]
    assert order == ["Pod", "Pod", "ReplicaSet", "Deployment"]


def _version(story: Story, resource: Resource) -> str:
    return story.client.list(resource).resource_version


def test_orphans_stay_and_are_adopted_by_a_new_owner() -> None:
    story = _deployed()
    before = story.names(PODS)
    story.delete(DEPLOYMENTS, "web", propagation="Orphan")
    assert story.names(DEPLOYMENTS) == []
    assert story.names(PODS) == before
    assert "ownerReferences" not in story.client.list(REPLICA_SETS).items[0]["metadata"]
    spec = {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}
    story.create(DEPLOYMENTS, "web", spec=spec)
    story.run(seconds=1)
    assert story.names(PODS) == before


def test_a_dependent_whose_owner_never_was_is_collected() -> None:
    story = Story()
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "no-such-uid"}
    story.create(CONFIG_MAPS, "lonely", metadata={"ownerReferences": [owner]})
    assert "lonely" not in story.names(CONFIG_MAPS)


def test_custom_objects_are_collected_too() -> None:
    story = Story()
    story.cluster.install_crds()
    sessions = Resource("stash.appscode.com", "v1beta1", "backupsessions", "BackupSession")
    owner = story.create(CONFIG_MAPS, "owner")
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    invoker = {"apiGroup": "stash.appscode.com", "kind": "BackupBatch", "name": "b"}
    story.client.create(
        sessions,
        {
            "apiVersion": sessions.api_version,
            "kind": sessions.kind,
            "metadata": {"name": "s", "namespace": "default", "ownerReferences": [reference]},
            "spec": {"invoker": invoker},
        },
    )
    story.cluster.settle()
    assert story.names(sessions) == ["s"]
    story.delete(CONFIG_MAPS, "owner")
    assert story.names(sessions) == []


def test_a_deleted_definition_takes_its_objects_along_and_can_come_back() -> None:
    story = Story()
    story.cluster.install_crds()
    story.cluster.settle()
    repositories = Resource("stash.appscode.com", "v1alpha1", "repositories", "Repository")
    spec = {"backend": {"local": {"mountPath": "/r", "emptyDir": {}}}}
    for _ in range(2):
        story.create(repositories, "r", spec=spec)
        story.delete(CUSTOM_RESOURCE_DEFINITIONS, "repositories.stash.appscode.com")
        with pytest.raises(NotFound):
            story.names(repositories)
        story.cluster.install_crds()
        story.cluster.settle()
        assert story.names(repositories) == []


def test_the_same_seed_tells_the_same_story() -> None:
    def tell() -> list[JsonObject]:
        story = _deployed()
        return story.client.list(PODS).items

    assert tell() == tell()
