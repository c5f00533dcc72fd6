"""A batch is set up and kept so: what its owner can rely on."""

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
from reconciler.api.resources import Key
from reconciler.decisions import invoker
from reconciler.manifests import labels


def member_condition(view, type_, index=0):
    found = status(view)["memberConditions"][index]["conditions"]
    return next(c for c in found if c["type"] == type_)


def names_of(plan):
    return [
        f"{type(w).__name__} {w.obj['kind']}/{w.obj['metadata']['name']}"
        if hasattr(w, "obj")
        else f"{type(w).__name__} {w.name}"
        for w in plan.writes
    ]


def test_a_new_batch_is_set_up_in_one_plan_access_first_and_status_last(ready, make):
    batch = make.batch(make.member(), make.member("PersistentVolumeClaim", "uploads"))
    batch["metadata"]["finalizers"] = []
    ready.add(batch)
    assert names_of(decide(ready, make)) == [
        "Finalizers web",
        "Apply RoleBinding/stash-sidecar-default",
        "Apply ServiceAccount/stash-cron-job",
        "Apply RoleBinding/stash-cron-job",
        "Apply CronJob/stash-backup-web",
        "Apply Deployment/front",
        "Status web",
    ]


def test_with_shared_access_a_batch_costs_four_writes_from_cold(ready, make):
    ready.add(make.batch(name="other"))
    view = ready
    view.carry_out(
        invoker.decide_for(r.BACKUP_BATCHES)(Key("shop", "other"), view, make.now, make.settings)
    )
    view.add(make.workload("Deployment", "back"))
    batch = make.batch(make.member("Deployment", "back"))
    batch["metadata"]["finalizers"] = []
    view.add(batch)
    assert names_of(decide(view, make)) == [
        "Finalizers web",
        "Apply CronJob/stash-backup-web",
        "Apply Deployment/back",
        "Status web",
    ]


LATER = dt.timedelta(seconds=10)


def test_what_the_api_server_refuses_is_told_a_moment_later_and_keeps_nothing_else(ready, make):
    """Nothing of the first plan came through; the second begins with the status."""
    ready.add(make.batch())
    assert decide(ready, make).wake_at == make.now + LATER
    later = make.now + LATER
    plan = decide(ready, make, later)
    assert names_of(plan) == [
        "Apply RoleBinding/stash-sidecar-default",
        "Status web",
        "Apply ServiceAccount/stash-cron-job",
        "Apply RoleBinding/stash-cron-job",
        "Apply CronJob/stash-backup-web",
    ]
    ready.carry_out(plan)
    found = member_condition(ready, "StashSidecarInjected")
    assert (found["status"], found["reason"]) == ("False", "SidecarInjectionFailed")
    assert "the API server refuses it" in found["message"]
    assert condition(ready, "CronJobCreated")["status"] == "False"
    settle(ready, make, later)
    assert condition(ready, "CronJobCreated")["status"] == "True"


def test_a_mount_of_a_volume_that_the_workload_does_not_have_is_told_with_its_path(ready, make):
    member = make.member()
    member["target"]["volumeMounts"][0]["name"] = "wrong"
    ready.add(make.batch(member, make.member("PersistentVolumeClaim", "uploads")))
    settle(ready, make)
    message = member_condition(ready, "StashSidecarInjected")["message"]
    assert message.startswith("spec.members[0].target.volumeMounts[0].name: Deployment front has")
    assert "data" in message
    assert ("CronJob", "shop", "stash-backup-web") in ready.objects
    ready.set_spec("BackupBatch", "web", members=[make.member()])
    settle(ready, make)
    assert member_condition(ready, "StashSidecarInjected")["status"] == "True"


def test_a_volume_claim_template_is_a_volume_too(ready, make):
    cache = make.workload("StatefulSet", "cache")
    cache["spec"]["template"]["spec"].pop("volumes")
    cache["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    ready.add(cache, make.batch(make.member("StatefulSet", "cache")))
    settle(ready, make)
    assert member_condition(ready, "StashSidecarInjected")["status"] == "True"


def test_a_workload_without_any_volume_says_so(ready, make):
    front = make.workload()
    front["spec"]["template"]["spec"].pop("volumes")
    ready.add(front, make.batch())
    settle(ready, make)
    assert "it has none" in member_condition(ready, "StashSidecarInjected")["message"]


def test_an_edited_sidecar_is_still_said_to_be_there_while_it_changes(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    ready.set_spec("BackupBatch", "web", members=[make.member(tempDir={"disableCaching": True})])
    settle(ready, make, make.now + LATER)
    assert member_condition(ready, "StashSidecarInjected")["status"] == "True"
    assert status(ready)["phase"] == "Injecting"


def test_a_second_look_writes_nothing(ready, make):
    ready.add(make.batch(make.member(), make.member("PersistentVolumeClaim", "uploads")))
    settle(ready, make)
    assert ready.carry_out(decide(ready, make)) == 0
    assert decide(ready, make) == decide(ready, make)


def test_a_batch_that_does_not_exist_needs_nothing(ready, make):
    assert not decide(ready, make).writes


def test_a_status_that_is_deleted_is_restored(ready, make):
    ready.add(make.batch(), make.session(status={"phase": "Succeeded"}))
    settle(ready, make)
    before = status(ready)
    without = {**ready.at("BackupBatch", "web"), "status": {}}
    ready.add(without)
    settle(ready, make)
    assert status(ready) == before


def test_a_wrong_phase_in_the_status_heals(ready, make):
    ready.add({**make.batch(), "status": {"phase": "Nonsense"}})
    settle(ready, make)
    assert status(ready)["phase"] == "Injecting"


def rolled(view, name="front", kind="Deployment"):
    found = view.at(kind, name)
    replicas = found["spec"]["replicas"]
    view.set_status(
        kind,
        name,
        observedGeneration=found["metadata"]["generation"],
        replicas=replicas,
        updatedReplicas=replicas,
        readyReplicas=replicas,
    )


def test_the_phase_follows_the_rollout_and_the_sessions(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    assert status(ready)["phase"] == "Injecting"
    rolled(ready)
    settle(ready, make)
    assert status(ready)["phase"] == "Scheduled"
    ready.add(make.session(status={"phase": "Running"}))
    settle(ready, make)
    assert status(ready)["phase"] == "Running"
    ready.set_status("BackupSession", "web-1", phase="Failed")
    settle(ready, make)
    assert status(ready)["phase"] == "Failed"
    assert status(ready)["lastSession"] == "web-1"
    assert status(ready)["lastSessionTime"] == make.stamp(make.now)


def test_the_next_slot_is_told_and_looked_at(ready, make):
    ready.add(make.batch())
    plan = settle(ready, make)
    assert plan.wake_at == make.now.replace(hour=3, minute=0)
    assert status(ready)["nextSessionTime"] == "2026-03-02T03:00:00Z"


def test_a_paused_batch_has_a_suspended_cron_job_and_no_next_slot(ready, make):
    ready.add(make.batch(paused=True))
    plan = settle(ready, make)
    assert ready.at("CronJob", "stash-backup-web")["spec"]["suspend"] is True
    assert plan.wake_at is None
    assert "nextSessionTime" not in status(ready)
    assert condition(ready, "Paused")["status"] == "True"
    ready.set_spec("BackupBatch", "web", paused=False)
    settle(ready, make)
    assert condition(ready, "Paused") is None
    assert ready.at("CronJob", "stash-backup-web")["spec"]["suspend"] is False


@pytest.mark.parametrize(
    ("change", "type_", "words"),
    [
        (lambda v: v.remove("Repository", "repo"), "RepositoryFound", "spec.repository.name"),
        (lambda v: v.remove("Secret", "backend"), "BackendSecretFound", "RESTIC_PASSWORD"),
        (
            lambda v: v.add({**v.at("Secret", "backend"), "data": {"other": ""}}),
            "BackendSecretFound",
            "has no key RESTIC_PASSWORD",
        ),
        (
            lambda v: v.set_spec("Repository", "repo", backend={"storageSecretName": "backend"}),
            "RepositoryFound",
            "is not valid",
        ),
        (
            lambda v: v.set_spec("Repository", "repo", backend="nonsense"),
            "RepositoryFound",
            "is not valid",
        ),
    ],
)
def test_what_the_repository_lacks_is_a_condition_and_heals_by_itself(
    ready, make, change, type_, words
):
    good = [ready.at("Repository", "repo"), ready.at("Secret", "backend")]
    change(ready)
    ready.add(make.batch())
    settle(ready, make)
    assert status(ready)["phase"] == "Pending"
    assert words in condition(ready, type_)["message"]
    assert condition(ready, type_)["status"] == "False"
    assert member_condition(ready, "StashSidecarInjected")["status"] == "False"
    assert ("CronJob", "shop", "stash-backup-web") not in ready.objects
    ready.add(*good)
    settle(ready, make)
    assert condition(ready, type_)["status"] == "True"
    assert status(ready)["phase"] == "Injecting"
    assert ("CronJob", "shop", "stash-backup-web") in ready.objects


def test_a_secret_that_goes_suspends_the_schedule_and_leaves_the_pods_alone(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    template = ready.at("Deployment", "front")["spec"]["template"]
    ready.remove("Secret", "backend")
    settle(ready, make)
    assert ready.at("CronJob", "stash-backup-web")["spec"]["suspend"] is True
    assert ready.at("Deployment", "front")["spec"]["template"] == template


def test_an_invalid_spec_is_told_with_path_and_remedy_and_the_last_good_state_stays(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    job, template = (
        ready.at("CronJob", "stash-backup-web"),
        ready.at("Deployment", "front")["spec"]["template"],
    )
    ready.set_spec("BackupBatch", "web", schedule="0 3 * *")
    settle(ready, make)
    found = condition(ready, "Valid")
    assert found["status"] == "False"
    assert "spec.schedule" in found["message"]
    assert status(ready)["phase"] == "Pending"
    assert ready.at("CronJob", "stash-backup-web") == job
    assert ready.at("Deployment", "front")["spec"]["template"] == template
    assert status(ready)["memberConditions"]
    ready.set_spec("BackupBatch", "web", schedule="0 4 * * *")
    settle(ready, make)
    assert condition(ready, "Valid")["status"] == "True"
    assert ready.at("CronJob", "stash-backup-web")["spec"]["schedule"] == "0 4 * * *"


def test_a_spec_that_cannot_be_read_at_all_is_told_too(ready, make):
    ready.add(make.batch(members="nonsense"), make.session(status={"phase": "Failed"}))
    settle(ready, make)
    assert "spec.members" in condition(ready, "Valid")["message"]


def test_a_target_of_a_kind_that_is_not_served_says_so(ready, make):
    ready.unserved.add(r.DEPLOYMENT_CONFIGS)
    ready.add(make.batch(make.member(), make.member("DeploymentConfig", "front")))
    settle(ready, make)
    why = (
        "DeploymentConfig shop/front does not exist: apps.openshift.io/v1 DeploymentConfig is not "
        "served here; name a target of another kind, or restart the operator when it is."
    )
    for kind in ("BackupTargetFound", "StashSidecarInjected"):
        lost = member_condition(ready, kind, 1)
        assert (lost["status"], lost["message"]) == ("False", why)


def test_a_missing_target_of_a_kind_that_some_clusters_lack_is_to_be_created(ready, make):
    ready.add(make.batch(make.member("DeploymentConfig", "front")))
    settle(ready, make)
    assert "does not exist; create it" in member_condition(ready, "BackupTargetFound")["message"]


def test_a_missing_target_does_not_keep_the_others_from_being_set_up(ready, make):
    ready.add(make.batch(make.member(), make.member("Deployment", "gone")))
    settle(ready, make)
    assert ready.at("Deployment", "front")["metadata"]["annotations"][labels.SIDECAR_INVOKER]
    assert ("CronJob", "shop", "stash-backup-web") in ready.objects
    assert member_condition(ready, "BackupTargetFound", 0)["status"] == "True"
    lost = member_condition(ready, "BackupTargetFound", 1)
    assert (lost["status"], lost["reason"]) == ("False", "TargetNotAvailable")
    assert "does not exist" in member_condition(ready, "StashSidecarInjected", 1)["message"]
    ready.add(make.workload("Deployment", "gone"))
    settle(ready, make)
    assert member_condition(ready, "BackupTargetFound", 1)["status"] == "True"


def test_without_any_target_the_batch_is_pending(ready, make):
    ready.add(make.batch(make.member("Deployment", "gone")))
    settle(ready, make)
    assert status(ready)["phase"] == "Pending"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda v: v.remove("Task", "pvc-backup"), "the Task 'pvc-backup' does not exist"),
        (lambda v: v.remove("Function", "update-status"), "the Function update-status"),
        (
            lambda v: v.set_spec("Function", "pvc-backup", args=["--x=${NOPE}"]),
            "the variable NOPE has no value",
        ),
        (lambda v: v.set_spec("Task", "pvc-backup", steps=[]), "the Task has no steps"),
    ],
)
def test_what_a_task_lacks_is_a_condition_of_its_member(ready, make, break_it, words):
    good = (
        ready.at("Task", "pvc-backup"),
        *(o for k, o in ready.objects.items() if k[0] == "Function"),
    )
    break_it(ready)
    ready.add(make.batch(make.member("PersistentVolumeClaim", "uploads")))
    settle(ready, make)
    found = member_condition(ready, "TaskResolved")
    assert (found["status"], found["reason"]) == ("False", "TaskNotAvailable")
    assert words in found["message"]
    ready.add(*good)
    settle(ready, make)
    assert member_condition(ready, "TaskResolved")["status"] == "True"


def test_a_task_is_not_judged_before_the_repository_is_known(ready, make):
    ready.remove("Repository", "repo")
    ready.add(make.batch(make.member("PersistentVolumeClaim", "uploads")))
    settle(ready, make)
    assert member_condition(ready, "TaskResolved")["status"] == "True"


def test_a_kind_that_tandem_does_not_know_is_left_to_its_task(ready, make):
    thing = {"target": {"ref": {"kind": "Redis", "name": "r"}}, "task": {"name": "pvc-backup"}}
    thing["target"]["ref"]["apiVersion"] = "kubedb.com/v1alpha1"
    ready.add(make.batch(thing))
    settle(ready, make)
    assert "left to its Task" in member_condition(ready, "BackupTargetFound")["message"]


def test_of_two_batches_on_one_workload_the_older_has_the_sidecar(ready, make):
    older = make.batch(name="older")
    older["metadata"]["creationTimestamp"] = make.stamp(make.now - dt.timedelta(days=1))
    ready.add(make.batch())
    ready.add(older)
    settle(ready, make)
    found = member_condition(ready, "StashSidecarInjected")
    assert found["status"] == "False"
    assert found["message"] == (
        "Deployment shop/front already has the sidecar of BackupBatch shop/older; "
        "take the target out of one of the two."
    )
    assert not ready.at("Deployment", "front")["metadata"].get("annotations")
    ready.remove("BackupBatch", "older")
    settle(ready, make)
    assert member_condition(ready, "StashSidecarInjected")["status"] == "True"


def test_a_replica_set_of_a_deployment_is_left_alone(ready, make):
    ready.add(make.replica_set(ready.at("Deployment", "front")))
    ready.add(make.batch(make.member("ReplicaSet", "front-abc")))
    settle(ready, make)
    assert "belongs to another object" in member_condition(ready, "StashSidecarInjected")["message"]


def test_a_cron_job_of_somebody_else_is_not_touched(ready, make):
    foreign = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "stash-backup-web"},
        "spec": {"schedule": "mine"},
    }
    ready.add(foreign, make.batch())
    plan = decide(ready, make)
    assert [e.reason for e in plan.events] == [
        "Sidecar Injection Succeeded",
        "CronJob Creation Failed",
    ]
    settle(ready, make)
    assert ready.at("CronJob", "stash-backup-web")["spec"] == {"schedule": "mine"}
    found = condition(ready, "CronJobCreated")
    assert (found["status"], found["reason"]) == ("False", "NameTaken")
    assert not decide(ready, make).events
    ready.remove("CronJob", "stash-backup-web")
    settle(ready, make)
    assert condition(ready, "CronJobCreated")["status"] == "True"


def test_where_batch_v1_is_not_served_the_cron_job_is_v1beta1(ready, make):
    ready.unserved.add(r.CRON_JOBS)
    ready.add(make.batch())
    settle(ready, make)
    assert ready.at("CronJob", "stash-backup-web")["apiVersion"] == "batch/v1beta1"


def test_the_users_own_service_account_is_bound_and_not_created(ready, make):
    pod = {"serviceAccountName": "mine"}
    ready.add(make.batch(runtimeSettings={"pod": pod}))
    settle(ready, make)
    assert ready.at("RoleBinding", "stash-cron-job-mine")["subjects"][0]["name"] == "mine"
    assert ("ServiceAccount", "shop", "stash-cron-job") not in ready.objects


def test_two_workloads_of_one_service_account_share_one_binding(ready, make):
    ready.add(make.workload("StatefulSet", "db"))
    ready.add(make.batch(make.member(), make.member("StatefulSet", "db")))
    found = [name for name in names_of(decide(ready, make)) if "RoleBinding/stash-sidecar" in name]
    assert found == ["Apply RoleBinding/stash-sidecar-default"]


def test_an_access_rule_that_somebody_changed_is_mended(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    binding = ready.at("RoleBinding", "stash-cron-job")
    server_adds = {**binding, "subjects": [{**binding["subjects"][0], "apiGroup": ""}]}
    ready.add(server_adds)
    assert ready.carry_out(decide(ready, make)) == 0
    ready.add({**binding, "subjects": []})
    settle(ready, make)
    assert ready.at("RoleBinding", "stash-cron-job")["subjects"]


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "0 5 * * *"},
        {"retentionPolicy": {"name": "x", "keepLast": 9, "prune": False}},
        {"paused": True},
        {"backupHistoryLimit": 7},
        {"timeOut": "2h"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_pod_is_restarted_by_what_its_sidecar_does_not_depend_on(ready, make, change):
    ready.add(make.batch())
    settle(ready, make)
    template = ready.at("Deployment", "front")["spec"]["template"]
    ready.set_spec("BackupBatch", "web", **change)
    settle(ready, make)
    assert ready.at("Deployment", "front")["spec"]["template"] == template


def test_another_member_does_not_restart_the_pods_of_this_one(ready, make):
    ready.add(make.batch())
    settle(ready, make)
    template = ready.at("Deployment", "front")["spec"]["template"]
    members = [make.member(), make.member("PersistentVolumeClaim", "uploads")]
    ready.set_spec("BackupBatch", "web", members=members)
    settle(ready, make)
    assert ready.at("Deployment", "front")["spec"]["template"] == template


def test_a_removed_member_leaves_no_condition_behind(ready, make):
    ready.add(make.batch(make.member(), make.member("PersistentVolumeClaim", "uploads")))
    settle(ready, make)
    ready.set_spec("BackupBatch", "web", members=[make.member()])
    settle(ready, make)
    assert [m["target"]["name"] for m in status(ready)["memberConditions"]] == ["front"]
