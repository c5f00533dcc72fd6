"""A batch is backed up: what its user sees from the first apply to the last report."""

from __future__ import annotations

import pytest

from reconciler.api.resources import BACKUP_BATCHES, REPOSITORIES


def web(shop, manifests, **spec):
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.database("db"),
        manifests.batch(
            manifests.member("Deployment", "front"),
            manifests.member("AppBinding", "db"),
            **spec,
        ),
    )
    shop.cluster.settle()


def test_a_slot_of_the_schedule_backs_up_every_target_in_parallel(shop, manifests):
    web(shop, manifests)
    assert shop.get("BackupBatch", "web")["status"]["phase"] == "Scheduled"
    shop.data.seconds = {"front": 20, "db": 40}
    shop.run_to(3, 0, 15)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Running", "db": "Running"}
    assert shop.get("BackupBatch", "web")["status"]["phase"] == "Running"
    shop.run_to(3, 5)
    assert shop.sessions() == {name: "Succeeded"}
    assert shop.phases(name) == {"front": "Succeeded", "db": "Succeeded"}
    status = shop.get("BackupBatch", "web")["status"]
    assert status["phase"] == "Succeeded"
    assert status["lastSession"] == name
    assert status["nextSessionTime"] == "2026-03-03T03:00:00Z"
    assert [reason for reason, _ in shop.events if reason.startswith("BackupSession")] == [
        "BackupSession Running",
        "BackupSession Succeeded",
    ]
    assert shop.session(name)["sessionDuration"].endswith("s")


def test_a_claim_is_backed_up_by_a_job_that_mounts_it(shop, manifests):
    shop.apply(
        manifests.claim("uploads"),
        manifests.batch(manifests.member("PersistentVolumeClaim", "uploads")),
    )
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.sessions() == {name: "Succeeded"}
    (job,) = [j for j in shop.all("Job") if j["metadata"]["name"].startswith("stash-backup-web-1")]
    volumes = {v["name"]: v for v in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["stash-volume"]["persistentVolumeClaim"]["claimName"] == "uploads"
    assert job["metadata"]["ownerReferences"][0]["name"] == name


def test_after_a_good_session_the_repository_is_maintained_alone(shop, manifests):
    web(shop, manifests)
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    kinds = {c["type"]: c["status"] for c in shop.session(name)["conditions"]}
    assert kinds["RetentionPolicyApplied"] == "True"
    assert kinds["RepositoryIntegrityVerified"] == "True"
    repository = shop.get("Repository", "repo")["status"]
    assert repository["phase"] == "Ready"
    assert repository["lastMaintainedSession"] == name
    assert "activeSessions" not in repository
    assert "maintaining" not in repository
    whats = [what for what, _, _ in shop.data.history]
    assert whats[-2:] == ["maintenance begins", "maintenance ends"]


def test_in_a_sequence_a_target_waits_for_those_before_it_even_when_one_fails(shop, manifests):
    web(shop, manifests, executionOrder="Sequential")
    shop.data.seconds = {"front": 30}
    shop.data.fails = {"front"}
    shop.run_to(3, 0, 15)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Running", "db": "Pending"}
    assert shop.target(name, "db")["reason"] == "WaitingForTurn"
    assert not [j for j in shop.all("Job") if "mysql" in str(j["spec"])]
    shop.run_to(3, 5)
    assert shop.phases(name) == {"front": "Failed", "db": "Succeeded"}
    assert shop.sessions() == {name: "Failed"}
    assert "disk full" in shop.target(name, "front")["message"]


def test_every_replica_of_a_stateful_set_is_a_host_and_a_deployment_is_one(shop, manifests):
    shop.apply(
        manifests.workload("StatefulSet", "cache", replicas=3),
        manifests.workload("Deployment", "front", replicas=3),
        manifests.batch(
            manifests.member("StatefulSet", "cache"), manifests.member("Deployment", "front")
        ),
    )
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    hosts = [stat["hostname"] for stat in shop.target(name, "cache")["stats"]]
    assert sorted(hosts) == ["sts-cache-0", "sts-cache-1", "sts-cache-2"]
    assert [stat["hostname"] for stat in shop.target(name, "front")["stats"]] == ["deploy-front"]
    assert shop.sessions() == {name: "Succeeded"}


@pytest.mark.parametrize("kind", ["DaemonSet", "ReplicaSet", "ReplicationController"])
def test_every_kind_of_workload_can_be_backed_up(shop, manifests, kind):
    shop.apply(manifests.workload(kind, "front"))
    shop.cluster.settle()
    shop.apply(manifests.batch(manifests.member(kind, "front")))
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.sessions() == {name: "Succeeded"}, shop.session(name)


def test_a_slot_in_a_running_session_is_skipped_with_a_reason(shop, manifests):
    web(shop, manifests, schedule="*/10 * * * *")
    shop.data.seconds = {"front": 900}
    shop.run_to(2, 52)
    assert list(shop.sessions().values()) == ["Running", "Skipped"]
    skipped = list(shop.sessions())[1]
    reason = shop.condition("BackupSession", skipped, "Skipped")
    assert reason["reason"] == "PreviousSessionRunning"
    assert next(iter(shop.sessions())) in reason["message"]
    shop.run_to(2, 58)
    assert list(shop.sessions().values()) == ["Succeeded", "Skipped"]


def test_paused_no_slot_makes_a_session_but_a_user_still_can(shop, manifests):
    web(shop, manifests, paused=True)
    shop.run_to(3, 5)
    assert shop.sessions() == {}
    shop.trigger("by-hand")
    shop.run(minutes=1)
    assert shop.sessions() == {"by-hand": "Succeeded"}
    shop.change("BackupBatch", "web", {"spec": {"paused": False}})
    shop.run(minutes=10)
    assert shop.sessions() == {"by-hand": "Succeeded"}
    shop.run(days=1)
    assert len(shop.sessions()) == 1
    assert "by-hand" not in shop.sessions()


def test_a_slot_that_was_on_its_way_when_the_batch_was_paused_is_skipped(shop, manifests):
    web(shop, manifests, paused=True)
    shop.data.create_session("shop", "BackupBatch", "web", "late", slot="2026-03-02T02:30:00Z")
    shop.cluster.settle()
    assert shop.sessions() == {"late": "Skipped"}
    assert shop.condition("BackupSession", "late", "Skipped")["reason"] == "Paused"


def test_history_keeps_what_the_limit_says(shop, manifests):
    web(shop, manifests, schedule="*/10 * * * *", backupHistoryLimit=2)
    shop.run(hours=2)
    assert list(shop.sessions().values()) == ["Succeeded", "Succeeded"]
    assert len([job for job in shop.all("Job") if "maintain" in job["metadata"]["name"]]) == 2


def test_a_session_made_by_hand_without_labels_is_adopted(shop, manifests):
    web(shop, manifests)
    shop.apply(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": "BackupSession",
            "metadata": {"name": "bare", "namespace": "shop"},
            "spec": {"invoker": {"kind": "BackupBatch", "name": "web"}},
        }
    )
    shop.run(minutes=1)
    assert shop.sessions() == {"bare": "Succeeded"}
    meta = shop.get("BackupSession", "bare")["metadata"]
    assert meta["labels"]["stash.appscode.com/invoker-name"] == "web"
    assert meta["ownerReferences"][0]["kind"] == "BackupBatch"


def test_when_nothing_happens_nothing_is_written(shop, manifests):
    web(shop, manifests)
    shop.run_to(3, 5)
    before = shop.loop.writes
    shop.run(hours=20)
    assert shop.loop.writes == before


def cost_of(shop, manifests, name, alias=""):
    """The writes for a new batch of one Deployment, both of that name."""
    shop.apply(manifests.workload("Deployment", name))
    shop.cluster.settle()
    member = manifests.member("Deployment", name)
    member["target"]["alias"] = alias
    before = shop.loop.writes
    shop.apply(manifests.batch(member, name=name))
    shop.loop.settle()
    cost = shop.loop.writes - before
    assert shop.get("BackupBatch", name)["status"]["phase"] == "Injecting"
    shop.cluster.settle()
    return cost


def test_a_batch_costs_four_writes_from_cold(shop, manifests):
    cost_of(shop, manifests, "first", "one")
    assert cost_of(shop, manifests, "second", "two") <= 4


def test_a_host_name_that_is_taken_costs_one_write_to_tell_the_first_that_has_it(shop, manifests):
    cost_of(shop, manifests, "first")
    assert cost_of(shop, manifests, "second") <= 5
    assert cost_of(shop, manifests, "third") <= 4
    for name in ("first", "second", "third"):
        found = shop.get("BackupBatch", name)["status"]["conditions"]
        (told,) = (item for item in found if item["type"] == "HostNamesUnique")
        assert (told["status"], told["reason"]) == ("False", "HostNameTaken")


def test_a_change_of_the_sidecar_rolls_the_pods_once_and_of_the_schedule_never(shop, manifests):
    web(shop, manifests)
    generation = shop.get("Deployment", "front")["metadata"]["generation"]
    shop.change("BackupBatch", "web", {"spec": {"schedule": "0 4 * * *", "backupHistoryLimit": 3}})
    shop.cluster.settle()
    assert shop.get("Deployment", "front")["metadata"]["generation"] == generation
    members = shop.get("BackupBatch", "web")["spec"]["members"]
    members[0]["tempDir"] = {"disableCaching": True}
    shop.change("BackupBatch", "web", {"spec": {"members": members}})
    shop.cluster.settle()
    assert shop.get("Deployment", "front")["metadata"]["generation"] == generation + 1


@pytest.mark.parametrize(
    ("resource", "name"), [(BACKUP_BATCHES, "web"), (REPOSITORIES, "repo")], ids=str
)
def test_status_that_somebody_deletes_is_restored(shop, manifests, resource, name):
    web(shop, manifests)
    shop.run_to(3, 5)
    before = shop.get(resource.kind, name)["status"]
    shop.client.update_status(resource, "shop", name, lambda obj: {})
    shop.run(seconds=30)
    assert _without_times(shop.get(resource.kind, name)["status"]) == _without_times(before)


def _without_times(status):
    found = {k: v for k, v in status.items() if k not in ("lastMaintainedSession",)}
    found["conditions"] = [
        {k: v for k, v in c.items() if k != "lastTransitionTime"}
        for c in status["conditions"]
        if c["type"] != "BackendRepositoryInitialized"
    ]
    for entry in found.get("memberConditions", ()):
        for c in entry["conditions"]:
            c.pop("lastTransitionTime")
    return found


def test_maintenance_never_overlaps_a_backup_of_the_repository(shop, manifests):
    web(shop, manifests, schedule="*/3 * * * *")
    shop.apply(
        manifests.workload("Deployment", "back"),
        manifests.batch(
            manifests.member("Deployment", "back"), name="second", schedule="*/2 * * * *"
        ),
    )
    shop.data.seconds = {"front": 70, "db": 30, "back": 50}
    shop.run(hours=2)
    running, maintaining, maintained = 0, 0, 0
    for what, _, when in shop.data.history:
        running += {"backup begins": 1, "backup ends": -1}.get(what, 0)
        maintaining += {"maintenance begins": 1, "maintenance ends": -1}.get(what, 0)
        maintained += what == "maintenance ends"
        assert maintaining <= 1, when
        assert not (running and maintaining), when
    assert maintained > 20
