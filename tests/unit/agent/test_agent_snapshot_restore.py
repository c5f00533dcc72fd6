"""``restore-vs``: a claim is made of a VolumeSnapshot, and never one of somebody else taken."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from volume_snapshots import definition

from reconciler.agent import snapshot_restore
from reconciler.agent.job import Step
from reconciler.agent.turn import Target
from reconciler.api import resources as r
from reconciler.engine.clock import SystemClock

SOURCE = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"}
TEMPLATE = {
    "metadata": {"name": "copy-${POD_ORDINAL}"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "dataSource": SOURCE,
    },
}


class Driven(SystemClock):
    """Whoever waits lets the test go on: nothing sleeps."""

    hurry = dt.timedelta(0)

    def wait(self, condition, seconds):
        del condition, seconds
        self.then()
        self.hurry += dt.timedelta(hours=1)

    def then(self):
        """What happens meanwhile."""

    def monotonic(self):
        return super().monotonic() + self.hurry.total_seconds()

    def now(self):
        return super().now() + self.hurry


@attrs.define
class Storage:
    """A cluster with a snapshot, and a restore of one claim whose turn has come."""

    cluster: object
    tools: object

    def run(self, host="copy-0", name="copy"):
        target = Target("PersistentVolumeClaim", name)
        step = Step("demo", "again", target, "", host, resource=r.RESTORE_SESSIONS)
        return snapshot_restore.restore_vs(self.cluster.port, self.tools, step)

    def stat(self):
        (found,) = self.cluster.get(r.RESTORE_SESSIONS, "again")["status"]["stats"]
        return found

    def set_claim(self, **status):
        self.cluster.port.update_status(
            r.PERSISTENT_VOLUME_CLAIMS, "demo", "copy-0", lambda _: status
        )


@pytest.fixture
def storage(cluster, make, tmp_path):
    cluster.port.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition())
    cluster.put(r.VOLUME_SNAPSHOTS, {"metadata": {"name": "snap"}, "spec": {"source": {}}})
    tools = attrs.evolve(make.tools(tmp_path, make.environ(tmp_path)), clock=Driven(seed=1))
    made = Storage(cluster, tools)
    put_restore(cluster, make.in_hours(3))
    return made


def put_restore(cluster, deadline, **spec):
    own = {"driver": "VolumeSnapshotter", "target": {"volumeClaimTemplates": [TEMPLATE]}}
    status = {
        "phase": "Running",
        "targetPhase": "Scheduled",
        "sessionDeadline": deadline,
        "startTime": "2026-03-02T02:30:00Z",
        "hosts": [{"hostname": "copy-0"}],
    }
    cluster.put(
        r.RESTORE_SESSIONS,
        {"metadata": {"name": "again"}, "spec": {**own, **spec}, "status": status},
    )


def test_the_claim_is_made_of_the_snapshot_and_reported_when_it_is_bound(storage):
    storage.tools.clock.then = lambda: storage.set_claim(phase="Bound")
    assert storage.run() == 0
    claim = storage.cluster.get(r.PERSISTENT_VOLUME_CLAIMS, "copy-0")
    assert claim["spec"]["dataSource"] == SOURCE
    assert storage.stat()["phase"] == "Succeeded"
    assert storage.stat()["duration"].endswith("s")


def event(storage, type_, reason, message):
    claim = storage.cluster.get(r.PERSISTENT_VOLUME_CLAIMS, "copy-0")["metadata"]
    about = {"kind": "PersistentVolumeClaim", "name": "copy-0", "namespace": "demo"}
    storage.cluster.put(
        r.EVENTS,
        {
            "metadata": {"name": f"copy-0.{reason.lower()}{storage.tools.clock.monotonic():.0f}"},
            "involvedObject": {**about, "uid": claim["uid"]},
            "type": type_,
            "reason": reason,
            "message": message,
        },
    )


def test_a_claim_that_is_bound_with_its_first_pod_is_not_waited_for(storage):
    words = "waiting for first consumer to be created before binding"
    storage.tools.clock.then = lambda: event(storage, "Normal", "WaitForFirstConsumer", words)
    assert storage.run() == 0
    assert storage.stat()["phase"] == "Succeeded"


def test_a_claim_that_is_not_bound_at_the_deadline_fails_with_the_clusters_words(storage):
    words = "the array is on fire"
    storage.tools.clock.then = lambda: event(storage, "Warning", "ProvisioningFailed", words)
    assert storage.run() == 0
    assert storage.stat()["phase"] == "Failed"
    assert storage.stat()["error"] == (
        "PersistentVolumeClaim demo/copy-0 was not bound when the time was over: "
        "the array is on fire"
    )


def test_a_claim_of_somebody_else_is_not_taken(storage):
    storage.cluster.put(
        r.PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "copy-0"}, "spec": TEMPLATE["spec"]}
    )
    storage.set_claim(phase="Bound")
    assert storage.run() == 0
    assert "this restore did not make it" in storage.stat()["error"]


def test_the_next_try_goes_on_with_the_claim_of_the_first(storage):
    storage.tools.stop.set()
    assert storage.run() == 1
    assert "stats" not in storage.cluster.get(r.RESTORE_SESSIONS, "again")["status"]
    storage.tools = attrs.evolve(storage.tools, stop=type(storage.tools.stop)())
    storage.set_claim(phase="Bound")
    assert storage.run() == 0
    assert storage.stat()["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (
            lambda s: s.cluster.port.delete(r.VOLUME_SNAPSHOTS, "demo", "snap"),
            "VolumeSnapshot demo/snap does not exist",
        ),
        (
            lambda s: s.cluster.port.delete(
                r.CUSTOM_RESOURCE_DEFINITIONS, "", "volumesnapshots.snapshot.storage.k8s.io"
            ),
            "install the CRDs of VolumeSnapshots",
        ),
    ],
    ids=["no snapshot", "no API"],
)
def test_what_is_missing_fails_the_host_and_no_claim_is_made(storage, break_it, words):
    break_it(storage)
    assert storage.run() == 0
    assert words in storage.stat()["error"]
    assert storage.cluster.port.list(r.PERSISTENT_VOLUME_CLAIMS, "demo").items == []


def test_a_template_or_a_member_that_has_left_the_spec_fails_its_host(storage, cluster, make):
    cluster.port.delete(r.RESTORE_SESSIONS, "demo", "again")
    other = {**TEMPLATE, "metadata": {"name": "copy"}}
    put_restore(cluster, make.in_hours(1), target={"volumeClaimTemplates": [other]})
    assert storage.run() == 0
    assert storage.stat()["error"] == "no claim template makes copy-0 any more"


def test_a_restore_that_is_gone_needs_nothing(storage, cluster):
    cluster.port.delete(r.RESTORE_SESSIONS, "demo", "again")
    assert storage.run() == 0
