"""``create-vs``: a VolumeSnapshot for each claim, its report, and what the policy lets go."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from volume_snapshots import SnapshotController, definition

from reconciler.agent import snapshot_policy, snapshots
from reconciler.agent.job import Step
from reconciler.agent.turn import Target
from reconciler.api import resources as r
from reconciler.api.backup import RetentionPolicy
from reconciler.engine.clock import SystemClock
from reconciler.errors import ApiUnavailable
from reconciler.manifests import labels

SLOT = "shop-1772420400"
CLAIMS = ("data", "logs")
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@attrs.define
class Storage:
    """A cluster with claims, snapshots and a driver that works whenever the agent has waited."""

    cluster: object
    driver: SnapshotController
    tools: object

    def run(self, name=SLOT, **environ):
        step = Step("demo", name, Target("Deployment", "web"), "")
        return snapshots.create_vs(self.cluster.port, self.tools, step)

    def snapshot(self, name):
        return self.cluster.get(self.driver.resource, name)

    def names(self):
        return [
            each["metadata"]["name"] for each in self.cluster.port.list(self.driver.resource).items
        ]

    def stats(self, name=SLOT):
        return self.cluster.session(name)["targets"][0]["stats"]


class Driven(SystemClock):
    """Whoever waits lets the driver work: no test sleeps."""

    driver: SnapshotController
    hurry = dt.timedelta(0)

    def wait(self, condition, seconds):
        del condition, seconds
        self.driver.settle()
        self.hurry += dt.timedelta(hours=1)

    def monotonic(self):
        return super().monotonic() + self.hurry.total_seconds()

    def now(self):
        return super().now() + self.hurry


@pytest.fixture
def storage(cluster, make, tmp_path):
    return storage_of(cluster, make, tmp_path, "v1")


def storage_of(cluster, make, root, *versions):
    cluster.port.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition(*versions))
    resource = r.VOLUME_SNAPSHOTS if "v1" in versions else r.VOLUME_SNAPSHOTS_V1BETA1
    driver = SnapshotController(cluster.port, resource)
    clock = Driven(seed=1)
    clock.driver = driver
    for claim in CLAIMS:
        cluster.put(r.PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": claim}, "spec": CLAIM})
    member = make.member("Deployment", "web", snapshotClassName="fast")
    cluster.put(r.BACKUP_BATCHES, make.batch(driver="VolumeSnapshotter", members=[member]))
    tools = attrs.evolve(make.tools(root, make.environ(root)), clock=clock)
    made = Storage(cluster, driver, tools)
    put_session(cluster, make)
    return made


def put_session(cluster, make, name=SLOT, claims=CLAIMS, phase="Scheduled", **status):
    found = make.session(phase, [{"hostname": claim} for claim in claims], **status)
    found["metadata"]["name"] = name
    return cluster.put(r.BACKUP_SESSIONS, found)


def test_each_claim_gets_a_snapshot_of_the_class_that_is_asked_for(storage):
    assert storage.run() == 0
    made = storage.snapshot("data-1772420400")
    assert made["spec"] == {
        "source": {"persistentVolumeClaimName": "data"},
        "volumeSnapshotClassName": "fast",
    }
    assert made["metadata"]["labels"][labels.INVOKER_NAME] == "shop"
    assert "ownerReferences" not in made["metadata"], "it outlives its session"
    assert storage.names() == ["data-1772420400", "logs-1772420400"]


def test_a_snapshot_that_is_ready_is_reported_with_its_name_and_size(storage):
    storage.run()
    first, second = storage.stats()
    assert (first["hostname"], first["phase"]) == ("data", "Succeeded")
    assert first["snapshots"] == [{"name": "data-1772420400", "totalSize": "1Gi"}]
    assert first["duration"].endswith("s")
    assert second["hostname"] == "logs"
    (condition,) = storage.cluster.session(SLOT)["conditions"]
    assert (condition["type"], condition["status"]) == ("RetentionPolicyApplied", "True")


def test_an_older_cluster_has_snapshots_in_v1beta1(cluster, make, tmp_path):
    storage = storage_of(cluster, make, tmp_path, "v1beta1")
    storage.run()
    assert storage.snapshot("data-1772420400")["apiVersion"] == "snapshot.storage.k8s.io/v1beta1"
    assert [each["phase"] for each in storage.stats()] == ["Succeeded", "Succeeded"]


def test_a_snapshot_that_is_not_ready_at_the_deadline_fails_its_claim_alone(storage, make, cluster):
    cluster.port.delete(r.BACKUP_SESSIONS, "demo", SLOT)
    put_session(cluster, make, sessionDeadline=make.in_hours(3))
    storage.driver.broken = {"logs"}
    assert storage.run() == 0
    first, second = storage.stats()
    assert first["phase"] == "Succeeded"
    assert second["phase"] == "Failed"
    assert second["error"] == (
        "VolumeSnapshot demo/logs-1772420400 was not ready when the time was over: "
        "the array is on fire"
    )


def test_a_snapshot_that_somebody_deletes_is_not_waited_for(storage):
    driver = storage.driver

    def delete():
        for name in storage.names():
            storage.cluster.port.delete(driver.resource, "demo", name)

    storage.tools.clock.driver = type("Deleting", (), {"settle": staticmethod(delete)})
    storage.run()
    assert {each["error"] for each in storage.stats()} == {
        "VolumeSnapshot demo/data-1772420400 was deleted before it was ready",
        "VolumeSnapshot demo/logs-1772420400 was deleted before it was ready",
    }


def test_the_next_try_of_a_job_goes_on_with_the_snapshots_of_the_first(storage):
    made = {
        "metadata": {"name": "data-1772420400", "annotations": {labels.SESSION: SLOT}},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    uid = storage.cluster.put(storage.driver.resource, made)["metadata"]["uid"]
    storage.run()
    assert storage.snapshot("data-1772420400")["metadata"]["uid"] == uid
    assert [each["phase"] for each in storage.stats()] == ["Succeeded", "Succeeded"]


def test_a_snapshot_of_the_same_name_that_is_not_ours_fails_the_claim_and_stays(storage):
    source = {"volumeSnapshotContentName": "of-an-admin"}
    foreign = {"metadata": {"name": "data-1772420400"}, "spec": {"source": source}}
    storage.cluster.put(storage.driver.resource, foreign)
    storage.run()
    assert "is there already and not of this session; delete it" in storage.stats()[0]["error"]
    assert storage.snapshot("data-1772420400")["spec"] == {"source": source}


def test_a_session_that_is_gone_over_or_claimed_by_another_is_left_alone(storage, make, cluster):
    assert storage.run("none") == 0
    put_session(cluster, make, "over", phase="Succeeded")
    cluster.port.update_status(
        r.BACKUP_SESSIONS, "demo", "over", lambda s: {**s["status"], "phase": "Succeeded"}
    )
    assert storage.run("over") == 0
    assert storage.names() == []


def test_a_job_that_comes_before_the_hosts_are_named_waits_until_the_process_ends(
    storage, make, cluster
):
    put_session(cluster, make, "early", claims=())
    storage.tools.stop.set()
    assert storage.run("early") == 1
    assert storage.names() == []


def without_members(storage):
    found = storage.cluster.get(r.BACKUP_BATCHES, "shop")
    storage.cluster.port.apply(
        r.BACKUP_BATCHES,
        {
            **found,
            "metadata": {"name": "shop", "namespace": "demo"},
            "spec": {**found["spec"], "members": []},
        },
        field_manager="user",
        force=True,
    )


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda s: s.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop"), "shop"),
        (
            without_members,
            "the target is in the spec of its invoker no more",
        ),
        (
            lambda s: s.cluster.port.delete(
                r.CUSTOM_RESOURCE_DEFINITIONS, "", "volumesnapshots.snapshot.storage.k8s.io"
            ),
            "install the CRDs of VolumeSnapshots",
        ),
    ],
    ids=["no invoker", "no member", "no API"],
)
def test_what_is_missing_fails_every_claim_with_the_remedy(storage, break_it, words):
    break_it(storage)
    assert storage.run() == 0
    assert all(words in each["error"] for each in storage.stats())
    assert [each["hostname"] for each in storage.stats()] == list(CLAIMS)


def test_a_refused_snapshot_fails_its_claim(storage):
    def refuse(request, proceed):
        if request.method == "POST" and request.path.endswith("/volumesnapshots"):
            raise ApiUnavailable("the webhook is away")
        return proceed(request)

    storage.cluster.server.intercept(refuse)
    storage.run()
    assert storage.stats()[0]["error"] == "the VolumeSnapshot was refused: the webhook is away"
    assert "conditions" not in storage.cluster.session(SLOT)


def test_the_policy_is_for_the_snapshots_that_this_invoker_made_of_these_claims(
    storage, make, cluster
):
    others = {
        "data-of-hand": ({}, "data"),
        "data-of-another": (labels.of_invoker("BackupBatch", "other"), "data"),
        "of-another-claim": (labels.of_invoker("BackupBatch", "shop"), "elsewhere"),
    }
    for name, (own, claim) in others.items():
        spec = {"source": {"persistentVolumeClaimName": claim}}
        cluster.put(
            storage.driver.resource, {"metadata": {"name": name, "labels": own}, "spec": spec}
        )
    for number in range(4):
        name = f"shop-177242040{number}"
        if name != SLOT:
            put_session(cluster, make, name)
        storage.run(name)
    left = [name for name in storage.names() if name.startswith("data-1")]
    assert left == ["data-1772420402", "data-1772420403"]
    assert set(others) <= set(storage.names())


def test_a_policy_that_cannot_be_applied_is_told_and_changes_no_report(storage):
    def refuse(request, proceed):
        if request.method == "GET" and request.path.endswith("/volumesnapshots"):
            raise ApiUnavailable("no answer")
        return proceed(request)

    storage.tools.clock.driver = Once(
        storage.driver, lambda: storage.cluster.server.intercept(refuse)
    )
    storage.run()
    (condition,) = storage.cluster.session(SLOT)["conditions"]
    assert condition["status"] == "False"
    assert condition["message"] == "Old VolumeSnapshots of data, logs may be left: no answer"
    assert {each["phase"] for each in storage.stats()} == {"Succeeded"}


@attrs.frozen
class Once:
    """A driver that works, and then something happens."""

    driver: SnapshotController
    then: object

    def settle(self):
        self.driver.settle()
        self.then()


# -- the policy -----------------------------------------------------------------------------------


def aged(name, hours, ready=True):
    moment = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC) - dt.timedelta(hours=hours)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": name, "creationTimestamp": stamp},
        "status": {"readyToUse": ready},
    }


def left(policy, *found):
    gone = [item["metadata"]["name"] for item in snapshot_policy.surplus(policy, found)]
    return sorted({item["metadata"]["name"] for item in found} - set(gone))


def policy(**keeps):
    return RetentionPolicy(name="p", prune=True, **keeps)


EVERY_SIX_HOURS = [aged(f"{hours:05}", hours) for hours in range(0, 24 * 800, 6)]


@pytest.mark.parametrize(
    ("keeps", "number"),
    [
        ({"keep_last": 3}, 3),
        ({"keep_hourly": 4}, 4),
        ({"keep_daily": 5}, 5),
        ({"keep_weekly": 2}, 2),
        ({"keep_monthly": 7}, 7),
        ({"keep_yearly": 9}, 4),
        ({"keep_last": 3, "keep_daily": 2}, 4),
    ],
)
def test_of_every_period_the_newest_is_kept(keeps, number):
    kept = left(policy(**keeps), *EVERY_SIX_HOURS)
    assert len(kept) == number
    assert "00000" in kept, "the newest is always among them"


def test_tags_alone_and_a_dry_run_remove_nothing():
    assert len(left(policy(keep_tags=("a",)), *EVERY_SIX_HOURS)) == len(EVERY_SIX_HOURS)
    assert len(left(policy(keep_last=1, dry_run=True), *EVERY_SIX_HOURS)) == len(EVERY_SIX_HOURS)


def test_what_never_became_ready_is_not_counted_and_goes_with_the_older_ones():
    found = [
        aged("new-broken", 1, ready=False),
        aged("good", 2),
        aged("old-broken", 3, ready=False),
        aged("old", 4),
    ]
    assert left(policy(keep_last=1), *found) == ["good", "new-broken"]
    assert left(policy(keep_last=1), found[0], found[2]) == ["new-broken", "old-broken"]


class Patient(SystemClock):
    """The driver works while the agent waits, and no hour passes: hooks are real processes."""

    driver: SnapshotController

    def wait(self, condition, seconds):
        self.driver.settle()
        return super().wait(condition, 0.05 if seconds is None else min(seconds, 0.05))


def with_hooks(storage, make, pre, post):
    """The member's hooks, as commands in the Job's own pod."""
    clock = Patient(seed=1)
    clock.driver = storage.driver
    storage.tools = attrs.evolve(storage.tools, clock=clock)
    hooks = {
        "preBackup": {"exec": {"command": ["sh", "-c", pre]}},
        "postBackup": {"exec": {"command": ["sh", "-c", post]}},
    }
    member = {**make.member("Deployment", "web", snapshotClassName="fast"), "hooks": hooks}
    storage.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    spec = {"driver": "VolumeSnapshotter", "members": [member]}
    storage.cluster.put(r.BACKUP_BATCHES, make.batch(**spec))


def test_one_pair_of_hooks_is_for_all_claims_of_the_target(storage, make, tmp_path):
    with_hooks(storage, make, f"echo pre >> {tmp_path}/diary", f"echo post >> {tmp_path}/diary")
    storage.run()
    assert (tmp_path / "diary").read_text() == "pre\npost\n"
    target = storage.cluster.session(SLOT)["targets"][0]
    done = {"pre": "Succeeded", "post": "Succeeded"}
    assert [host["hooks"] for host in target["hosts"]] == [done, done]
    assert {stat["phase"] for stat in target["stats"]} == {"Succeeded"}


def test_after_a_failed_pre_hook_no_snapshot_is_taken(storage, make):
    with_hooks(storage, make, "exit 4", "true")
    storage.run()
    assert storage.names() == []
    assert [stat["phase"] for stat in storage.stats()] == ["Failed", "Failed"]
    assert "exit code 4" in storage.stats()[0]["error"]
