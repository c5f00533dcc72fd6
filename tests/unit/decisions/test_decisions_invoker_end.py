"""What a batch forgets, how it is taken down, and that a BackupConfiguration is one too."""

from __future__ import annotations

import datetime as dt

import pytest
from invoker_steps import (
    condition,
    decide,
    settle,
    status,
)

from reconciler.api import resources as r
from reconciler.decisions import invoker
from reconciler.decisions.plan import Apply, Delete, Finalizers, Status
from reconciler.manifests import labels, names

# -- history --------------------------------------------------------------------------------------


def sessions(view):
    return sorted(name for kind, _, name in view.objects if kind == "BackupSession")


def add_sessions(view, make, *phases):
    for number, phase in enumerate(phases):
        age = dt.timedelta(hours=len(phases) - number)
        view.add(make.session(f"web-{number}", age=age, status={"phase": phase}))


@pytest.mark.parametrize(
    ("limit", "phases", "kept"),
    [
        (1, ["Succeeded", "Succeeded"], ["web-1"]),
        (1, ["Succeeded", "Failed"], ["web-0", "web-1"]),
        (0, ["Succeeded", "Failed"], ["web-0"]),
        (1, ["Running", "Succeeded"], ["web-0", "web-1"]),
        (1, ["Succeeded", "Skipped", "Skipped"], ["web-0", "web-2"]),
        (2, ["Failed", "Failed", "Failed"], ["web-1", "web-2"]),
        (None, ["Succeeded", "Succeeded"], ["web-1"]),
    ],
    ids=str,
)
def test_the_history_limit_counts_final_sessions_and_keeps_the_last_good_one(
    ready, make, limit, phases, kept
):
    more = {} if limit is None else {"backupHistoryLimit": limit}
    ready.add(make.batch(**more))
    add_sessions(ready, make, *phases)
    settle(ready, make)
    assert sessions(ready) == kept


def test_a_session_whose_maintenance_is_to_come_stays(ready, make):
    ready.add(make.batch(backupHistoryLimit=1))
    host = {"targets": [{"stats": [{"hostname": "h", "phase": "Succeeded"}]}]}
    ready.add(make.session("web-0", age=dt.timedelta(hours=3), status={"phase": "Failed", **host}))
    add = {"phase": "Failed"}
    ready.add(make.session("web-1", age=dt.timedelta(hours=2), status=add))
    settle(ready, make)
    assert sessions(ready) == ["web-0", "web-1"]
    ready.set_status("Repository", "repo", lastMaintainedSession="web-0")
    settle(ready, make)
    assert sessions(ready) == ["web-1"]


def test_a_session_that_is_going_already_is_not_deleted_again(ready, make):
    ready.add(make.batch())
    add_sessions(ready, make, "Failed", "Failed")
    ready.set_meta("BackupSession", "web-0", deletionTimestamp=make.stamp(make.now))
    assert not [w for w in decide(ready, make).writes if isinstance(w, Delete)]


# -- taking down ----------------------------------------------------------------------------------


def terminate(view, make, kind="BackupBatch"):
    view.set_meta(kind, "web", deletionTimestamp=make.stamp(make.now))


def test_a_deleted_batch_waits_for_its_running_session_then_for_its_sidecars(ready, make):
    ready.add(make.batch(), make.session(status={"phase": "Running"}))
    settle(ready, make)
    terminate(ready, make)
    settle(ready, make)
    assert status(ready)["phase"] == "Terminating"
    assert ready.at("CronJob", "stash-backup-web")["spec"]["suspend"] is True
    assert ready.at("BackupBatch", "web")["metadata"]["finalizers"] == [names.FINALIZER]
    ready.set_status("BackupSession", "web-1", phase="Succeeded")
    settle(ready, make)
    assert ready.at("BackupBatch", "web")["metadata"]["finalizers"] == [names.FINALIZER]
    ready.set_meta("Deployment", "front", annotations={})
    settle(ready, make)
    assert ready.at("BackupBatch", "web")["metadata"]["finalizers"] == []
    assert not decide(ready, make).writes or not ready.carry_out(decide(ready, make))


def test_a_deleted_batch_does_not_wait_for_the_history_of_a_deployment(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    kept = make.replica_set(ready.at("Deployment", "front"))
    kept["metadata"]["annotations"] = ready.at("Deployment", "front")["metadata"]["annotations"]
    assert kept["metadata"]["annotations"][labels.SIDECAR_INVOKER] == "BackupBatch/web"
    ready.add(kept)
    terminate(ready, make)
    ready.set_meta("Deployment", "front", annotations={})
    settle(ready, make)
    assert ready.at("BackupBatch", "web")["metadata"]["finalizers"] == []


def test_a_deleted_batch_without_workloads_waits_for_its_running_session_too(ready, make):
    ready.add(make.batch(make.member("PersistentVolumeClaim", "uploads")))
    ready.add(make.session(status={"phase": "Running"}))
    settle(ready, make)
    terminate(ready, make)
    settle(ready, make)
    assert ready.at("BackupBatch", "web")["metadata"]["finalizers"] == [names.FINALIZER]


def test_a_deleted_batch_leaves_the_finalizers_of_others(ready, make):
    batch = make.batch()
    batch["metadata"]["finalizers"] = ["theirs", names.FINALIZER]
    ready.add(batch)
    terminate(ready, make)
    (write,) = [w for w in decide(ready, make).writes if isinstance(w, Finalizers)]
    assert write.finalizers == ("theirs",)


def test_in_taking_down_nothing_is_created(ready, make):
    ready.add(make.batch())
    terminate(ready, make)
    assert not [w for w in decide(ready, make).writes if isinstance(w, Apply)]


def test_a_cron_job_that_is_going_is_left_alone(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    ready.set_meta("CronJob", "stash-backup-web", deletionTimestamp=make.stamp(make.now))
    terminate(ready, make)
    assert not [w for w in decide(ready, make).writes if isinstance(w, Apply)]


# -- BackupConfiguration --------------------------------------------------------------------------


def test_a_backup_configuration_works_by_the_same_code(ready, make):
    decision = invoker.decide_for(r.BACKUP_CONFIGURATIONS)
    ready.add(make.configuration())
    settle(ready, make, decision=decision)
    assert condition(ready, "StashSidecarInjected", "BackupConfiguration")["status"] == "True"
    assert condition(ready, "CronJobCreated", "BackupConfiguration")["status"] == "True"
    assert "memberConditions" not in status(ready, "BackupConfiguration")
    args = ready.at("CronJob", "stash-backup-web")["spec"]["jobTemplate"]["spec"]["template"]
    assert "--invoker-kind=BackupConfiguration" in args["spec"]["containers"][0]["args"]


def test_the_time_of_a_condition_moves_with_its_status_alone(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    later = make.now + dt.timedelta(minutes=5)
    ready.remove("Repository", "repo")
    settle(ready, make, later)
    assert condition(ready, "RepositoryFound")["lastTransitionTime"] == make.stamp(later)
    assert condition(ready, "Valid")["lastTransitionTime"] == make.stamp(make.now)
    assert isinstance(decide(ready, make, later).writes[-1], (Apply, Status))
