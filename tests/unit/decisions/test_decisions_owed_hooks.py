"""Hooks of members: who runs what a dead runner owes, and with which rights."""

from __future__ import annotations

import datetime as dt

import pytest
from session_hook_steps import (
    BOTH,
    DAY,
    MARK,
    SYNC,
    admit,
    claim,
    condition,
    end_job,
    front,
    jobs,
    report,
    settle,
    status,
    target,
)

from reconciler.api.resources import BACKUP_BATCHES, DEPLOYMENTS, Key
from reconciler.decisions import hooks, invoker, sidecars
from reconciler.manifests import names

# -- members --------------------------------------------------------------------------------------


@pytest.fixture
def owing(ready, make):
    """A claimed host of a Deployment whose member has both hooks."""
    ready.add(make.batch(make.member(hooks=BOTH)), make.session())
    front(ready, make)
    admit(ready)
    settle(ready, make)
    claim(ready)
    settle(ready, make)
    return ready


def die(view, make, another=True):
    """The runner's pod fails; its workload makes another one."""
    view.set_status("Pod", "front-1", phase="Failed")
    if another:
        pod = make.pod("front-2", owner=view.at("ReplicaSet", "front-abc"), mark=MARK)
        view.add(pod)


def owed_job(host="host-0", index=0):
    return names.owed_hook_job("web-1", index, host)


def test_a_runner_that_reports_its_hooks_owes_nothing(owing, make):
    report(owing, said={"pre": "Succeeded", "post": "Succeeded"})
    settle(owing, make)
    assert (status(owing)["phase"], jobs(owing)) == ("Succeeded", [])


def test_a_target_is_not_final_while_its_dead_runner_owes_the_post_hook(owing, make):
    die(owing, make)
    settle(owing, make)
    assert target(owing)["stats"][0]["phase"] == "Failed"
    assert (target(owing)["phase"], jobs(owing)) == ("Running", [owed_job()])


def test_the_owed_hook_is_run_against_a_living_pod_of_the_target(owing, make):
    die(owing, make)
    settle(owing, make)
    job = owing.at("Job", owed_job())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"][-5:] == [
        "--namespace=shop",
        "--target-kind=Deployment",
        "--target-name=front",
        "--hostname=host-0",
        "--pod=front-2",
    ]
    assert owing.at("RoleBinding", "stash-hooks-stash-backup-job")["roleRef"]["name"] == (
        "stash-hooks"
    )


def test_once_it_is_told_beside_the_claim_the_target_is_final(owing, make):
    die(owing, make)
    settle(owing, make)
    found = status(owing)["targets"]
    found[0]["hosts"][0]["hooks"] = {"post": "Succeeded"}
    owing.set_status("BackupSession", "web-1", targets=found)
    settle(owing, make)
    assert (status(owing)["phase"], condition(owing, hooks.LOST)) == ("Failed", None)


def test_without_a_living_pod_it_is_waited_for_until_long_after_the_deadline(owing, make):
    die(owing, make, another=False)
    plan = settle(owing, make)
    assert jobs(owing) == []
    assert plan.wake_at is not None
    settle(owing, make, make.now + DAY)
    assert target(owing)["phase"] == "Running"
    settle(owing, make, make.now + DAY + hooks.GRACE)
    found = condition(owing, hooks.LOST)
    assert (found["status"], found["reason"]) == ("False", "PostBackupHookNotExecuted")
    assert "Deployment front, host host-0: its post hook could not be executed" in found["message"]
    assert target(owing)["hosts"][0]["hooks"] == {"post": "Failed"}
    assert status(owing)["phase"] == "Failed"


def test_when_the_target_is_gone_nothing_is_left_to_thaw(owing, make):
    die(owing, make, another=False)
    owing.remove("Deployment", "front")
    settle(owing, make)
    assert "the target is gone" in condition(owing, hooks.LOST)["message"]
    assert status(owing)["phase"] == "Failed"


def test_a_living_runner_is_given_two_minutes_after_the_deadline(owing, make):
    late = make.now + DAY + dt.timedelta(minutes=1)
    plan = settle(owing, make, late)
    assert target(owing)["stats"][0]["phase"] == "Failed"
    assert jobs(owing) == []
    assert plan.wake_at == make.now + DAY + dt.timedelta(minutes=2)
    settle(owing, make, make.now + DAY + dt.timedelta(minutes=2))
    assert jobs(owing) == [owed_job()]


def test_a_policy_that_asks_for_success_owes_nothing_after_a_death(owing, make):
    post = {**SYNC, "executionPolicy": "OnSuccess"}
    member = make.member(hooks={"preBackup": SYNC, "postBackup": post})
    owing.set_spec("BackupBatch", "web", members=[member])
    die(owing, make)
    settle(owing, make)
    assert target(owing)["hosts"][0]["hooks"] == {"post": "Skipped"}
    assert (status(owing)["phase"], jobs(owing)) == ("Failed", [])


def test_a_member_that_has_left_the_batch_owes_nothing_that_is_known(owing, make):
    owing.set_spec("BackupBatch", "web", members=[make.member("PersistentVolumeClaim", "uploads")])
    die(owing, make)
    settle(owing, make)
    assert status(owing)["phase"] == "Failed"


@pytest.mark.parametrize(
    ("type_", "more", "words"),
    [
        ("Failed", {"message": "BackoffLimitExceeded"}, "BackoffLimitExceeded"),
        ("Complete", {}, "it ended without a report"),
    ],
)
def test_a_job_that_ended_without_a_word_is_named(owing, make, type_, more, words):
    die(owing, make)
    settle(owing, make)
    end_job(owing, owed_job(), type_, **more)
    plan = settle(owing, make)
    later = make.now + dt.timedelta(seconds=30)
    assert plan.wake_at == later
    settle(owing, make, later)
    message = condition(owing, hooks.LOST)["message"]
    assert words in message
    assert owed_job() in message


def test_a_job_without_the_moment_of_its_end_is_waited_for(owing, make):
    die(owing, make)
    settle(owing, make)
    end_job(owing, owed_job(), at="")
    settle(owing, make, make.now + dt.timedelta(minutes=1))
    assert target(owing)["phase"] == "Running"


def test_a_job_of_another_is_told_and_not_waited_for(owing, make):
    other = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": owed_job()}, "spec": {}}
    owing.add(other)
    die(owing, make)
    settle(owing, make)
    assert "belongs to something else" in condition(owing, hooks.LOST)["message"]


def test_a_hook_of_a_job_gets_the_volumes_of_its_target(ready, make):
    member = make.member("PersistentVolumeClaim", "uploads", hooks=BOTH)
    ready.add(make.batch(member), make.session())
    admit(ready)
    settle(ready, make)
    assert ready.at("RoleBinding", "stash-hooks-stash-backup-job")
    job = ready.at("Job", "stash-backup-web-1-0")
    ready.add(make.pod("job-pod", owner=job))
    settle(ready, make)
    claim(ready, "job-pod")
    settle(ready, make)
    ready.set_status("Pod", "job-pod", phase="Failed")
    end_job(ready, "stash-backup-web-1-0", message="BackoffLimitExceeded")
    settle(ready, make)
    pod = ready.at("Job", owed_job())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert not [word for word in container["args"] if word.startswith("--pod")]
    assert "stash-volume" in {mount["name"] for mount in container["volumeMounts"]}
    assert "stash-volume" in {volume["name"] for volume in pod["volumes"]}


def test_without_its_task_the_volumes_are_not_known(ready, make):
    member = make.member("PersistentVolumeClaim", "uploads", hooks=BOTH)
    ready.add(make.batch(member), make.session())
    admit(ready)
    settle(ready, make)
    job = ready.at("Job", "stash-backup-web-1-0")
    ready.add(make.pod("job-pod", owner=job))
    settle(ready, make)
    claim(ready, "job-pod")
    settle(ready, make)
    end_job(ready, "stash-backup-web-1-0", message="BackoffLimitExceeded")
    ready.set_status("Pod", "job-pod", phase="Failed")
    ready.remove("Task", "pvc-backup")
    settle(ready, make)
    assert owed_job() in jobs(ready)


def test_the_hook_of_a_snapshotters_job_is_run_in_a_job_too(ready, make):
    ready.unserved = set()
    member = make.member(hooks=BOTH)
    member["target"]["snapshotClassName"] = "fast"
    workload = ready.at("Deployment", "front")
    claim_volume = {"name": "data", "persistentVolumeClaim": {"claimName": "uploads"}}
    workload["spec"]["template"]["spec"]["volumes"] = [claim_volume]
    ready.add(workload)
    spec = make.batch(member, driver="VolumeSnapshotter")
    ready.add(spec, make.session())
    settle(ready, make)
    job = ready.at("Job", names.snapshot_job("web-1", 0))
    ready.add(make.pod("job-pod", owner=job))
    settle(ready, make)
    claim(ready, "job-pod")
    settle(ready, make)
    ready.set_status("Pod", "job-pod", phase="Failed")
    end_job(ready, job["metadata"]["name"], message="BackoffLimitExceeded")
    settle(ready, make)
    (container,) = ready.at("Job", owed_job("uploads"))["spec"]["template"]["spec"]["containers"]
    assert not [word for word in container["args"] if word.startswith("--pod")]


def test_two_hooks_that_are_given_up_are_both_named_and_once_each(make):
    first = hooks.with_lost(None, "Deployment a, host a", "it is gone.", make.now)
    assert hooks.with_lost(first, "Deployment a, host a", "it is gone", make.now) == first
    other = {"type": "Other", "status": "True", "reason": "r", "message": "m"}
    both = hooks.with_lost([other, *first], "Deployment b, host b", "it is gone", make.now)
    assert [item["type"] for item in both] == [hooks.LOST, "Other"]
    assert (
        both[0]["message"] == "Deployment a, host a: it is gone. Deployment b, host b: it is gone."
    )


# -- access ---------------------------------------------------------------------------------------


def test_only_workloads_with_hooks_get_the_right_to_run_commands(ready, make):
    ready.add(make.workload(name="back"))
    back = make.member(name="back")
    ready.add(make.batch(make.member(hooks=BOTH), back))
    ready.set_meta("BackupBatch", "web", creationTimestamp=make.stamp(make.now))
    decide_invoker = invoker.decide_for(BACKUP_BATCHES)
    ready.carry_out(decide_invoker(Key("shop", "web"), ready, make.now, make.settings))
    assert ready.at("RoleBinding", "stash-hooks-default")

    ready.remove("RoleBinding", "stash-hooks-default")
    later = make.now + dt.timedelta(minutes=1)
    for name, bound in (("back", False), ("front", True)):
        plan = sidecars.decide_for(DEPLOYMENTS)(Key("shop", name), ready, later, make.settings)
        ready.carry_out(plan)
        assert any(n == "stash-hooks-default" for _, _, n in ready.objects) is bound
