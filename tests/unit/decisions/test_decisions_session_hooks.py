"""Hooks of a session: when they run, what their end means, and who runs what a dead runner owes."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api import runtime
from reconciler.api.resources import BACKUP_BATCHES, DEPLOYMENTS, Key
from reconciler.decisions import hooks, invoker, session, sidecars
from reconciler.manifests import names

MARK = "BackupBatch/web"
PRE = "stash-hook-web-1-pre"
POST = "stash-hook-web-1-post"
PRE_TOLD = "GlobalPreBackupHookSucceeded"
POST_TOLD = "GlobalPostBackupHookSucceeded"
SYNC = {"exec": {"command": ["sync"]}}
BOTH = {"preBackup": SYNC, "postBackup": SYNC}
DAY = dt.timedelta(hours=24)


def decide(view, make, now=None):
    return session.decide(Key("shop", "web-1"), view, now or make.now, make.settings)


def settle(view, make, now=None):
    for _ in range(9):
        plan = decide(view, make, now)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view):
    return view.at("BackupSession", "web-1")["status"]


def target(view, index=0):
    return status(view)["targets"][index]


def condition(view, type_):
    found = status(view).get("conditions") or []
    return next((item for item in found if item["type"] == type_), None)


def jobs(view):
    return sorted(name for kind, _, name in view.objects if kind == "Job")


def tell(view, type_, holds=True, message="told"):
    """What the agent of a hook's Job writes."""
    item = {"type": type_, "status": str(holds), "reason": "r", "message": message}
    others = [c for c in status(view).get("conditions") or [] if c["type"] != type_]
    view.set_status("BackupSession", "web-1", conditions=[*others, item])


def end_job(view, name, type_="Failed", at="2026-03-02T02:30:00Z", **more):
    item = {"type": type_, "status": "True", "lastTransitionTime": at, **more}
    view.set_status("Job", name, conditions=[item])


def admit(view):
    view.set_status("Repository", "repo", phase="Ready", activeSessions=["web-1"])


def front(view, make):
    view.add(make.replica_set(view.at("Deployment", "front")))
    view.add(make.pod("front-1", owner=view.at("ReplicaSet", "front-abc"), mark=MARK))


@pytest.fixture
def hooked(ready, make):
    """A batch with both hooks and one Deployment, and a session that may run."""
    ready.add(make.batch(hooks=BOTH), make.session())
    front(ready, make)
    admit(ready)
    return ready


def claim(view, pod="front-1", index=0, host=0, uid=None):
    found = status(view)["targets"]
    entry = found[index]["hosts"][host]
    entry.update(runner=pod, runnerUID=uid or view.at("Pod", pod)["metadata"]["uid"])
    entry["startTime"] = "2026-03-02T02:30:00Z"
    view.set_status("BackupSession", "web-1", targets=found)


def report(view, phase="Succeeded", index=0, host="host-0", said=None):
    found = status(view)["targets"]
    stats = found[index].get("stats") or []
    found[index]["stats"] = [*stats, {"hostname": host, "phase": phase}]
    if said:
        found[index]["hosts"][0]["hooks"] = said
    view.set_status("BackupSession", "web-1", targets=found)


def to_the_post_hook(view, make, phase="Succeeded"):
    """Run up to where the post hook of the batch is due."""
    settle(view, make)
    tell(view, PRE_TOLD)
    settle(view, make)
    claim(view)
    settle(view, make)
    report(view, phase)
    return settle(view, make)


# -- before the first target ----------------------------------------------------------------------


def test_a_session_without_hooks_needs_no_job(ready, make):
    ready.add(make.batch(), make.session())
    front(ready, make)
    admit(ready)
    settle(ready, make)
    claim(ready)
    report(ready)
    settle(ready, make)
    assert (status(ready)["phase"], jobs(ready)) == ("Succeeded", [])


def test_the_job_of_the_pre_hook_is_made_once_the_session_is_stored_as_running(hooked, make):
    hooked.carry_out(decide(hooked, make))
    assert (status(hooked)["phase"], jobs(hooked)) == ("Running", [])
    hooked.carry_out(decide(hooked, make))
    assert jobs(hooked) == [PRE]


def test_the_pre_hook_runs_in_a_container_called_operator_and_not_with_its_rights(hooked, make):
    settle(hooked, make)
    job = hooked.at("Job", PRE)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "operator"
    assert container["args"] == [
        "run-hook",
        "--backupsession=web-1",
        "--invoker-kind=BackupBatch",
        "--invoker-name=web",
        "--hook-type=preBackup",
        "--namespace=shop",
    ]
    assert {"name": "BACKUP_SESSION_UID", "value": "uid-web-1-BackupSession"} in container["env"]
    assert pod["serviceAccountName"] == "stash-backup-job"
    assert job["metadata"]["ownerReferences"][0]["kind"] == "BackupSession"
    assert not any("stash-hooks" in name for _, _, name in hooked.objects)


def test_a_service_account_that_the_user_names_is_the_hooks_too(hooked, make):
    hooked.set_spec("BackupBatch", "web", runtimeSettings={"pod": {"serviceAccountName": "own"}})
    settle(hooked, make)
    assert hooked.at("Job", PRE)["spec"]["template"]["spec"]["serviceAccountName"] == "own"
    assert hooked.at("RoleBinding", names.job_binding("own"))


def test_no_target_starts_before_the_pre_hook_has_succeeded(hooked, make):
    settle(hooked, make)
    assert target(hooked)["phase"] == "Pending"
    assert target(hooked)["message"] == "The batch's preBackup hook has not ended."
    tell(hooked, PRE_TOLD)
    settle(hooked, make)
    assert target(hooked)["phase"] == "Scheduled"


def test_a_pre_hook_that_failed_fails_every_target_and_the_post_hook_still_runs(hooked, make):
    settle(hooked, make)
    tell(hooked, PRE_TOLD, holds=False, message="no quorum")
    settle(hooked, make)
    assert (target(hooked)["phase"], target(hooked)["reason"]) == (
        "Failed",
        "GlobalPreBackupHookFailed",
    )
    assert target(hooked)["message"] == "no quorum"
    assert "hosts" not in target(hooked)
    assert (status(hooked)["phase"], jobs(hooked)) == ("Running", [POST, PRE])
    tell(hooked, POST_TOLD)
    settle(hooked, make)
    assert status(hooked)["phase"] == "Failed"


def test_a_job_that_ended_without_a_word_has_failed_its_hook_half_a_minute_later(hooked, make):
    settle(hooked, make)
    end_job(hooked, PRE, message="BackoffLimitExceeded")
    plan = settle(hooked, make)
    assert condition(hooked, PRE_TOLD) is None
    later = make.now + dt.timedelta(seconds=30)
    assert plan.wake_at == later
    settle(hooked, make, later)
    found = condition(hooked, PRE_TOLD)
    assert (found["status"], found["reason"]) == ("False", "GlobalPreBackupHookExecutionFailed")
    assert found["message"] == (
        "Failed to execute global PreBackup Hook. Reason: Job stash-hook-web-1-pre:"
        " BackoffLimitExceeded; see its logs."
    )
    assert target(hooked)["message"] == found["message"]


@pytest.mark.parametrize("at", ["2026-03-02T02:30:00Z", ""])
def test_a_job_that_is_complete_and_told_nothing_has_failed_too(hooked, make, at):
    settle(hooked, make)
    end_job(hooked, PRE, "Complete", at)
    settle(hooked, make, make.now + dt.timedelta(seconds=30))
    found = condition(hooked, PRE_TOLD)
    assert (found is None) is (at == "")
    assert found is None or "ended without a report" in found["message"]


def test_a_job_of_another_is_not_waited_for(hooked, make):
    hooked.add({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": PRE}, "spec": {}})
    settle(hooked, make)
    assert "belongs to something else" in condition(hooked, PRE_TOLD)["message"]


def test_a_pre_hook_that_cannot_be_started_is_given_up_at_the_deadline(hooked, make):
    hooked.carry_out(decide(hooked, make))
    settle(hooked, make, make.now + DAY)
    assert "had not been started by" in condition(hooked, PRE_TOLD)["message"]
    assert jobs(hooked) == [POST]


def test_a_job_that_never_ends_is_given_up(hooked, make):
    settle(hooked, make)
    settle(hooked, make, make.now + DAY)
    assert status(hooked)["phase"] == "Running"
    assert target(hooked)["reason"] == "DeadlineExceeded"
    settle(hooked, make, make.now + DAY + hooks.LIMIT)
    assert "had not ended" in condition(hooked, PRE_TOLD)["message"]


def test_a_session_that_never_began_runs_no_hook(hooked, make):
    hooked.set_status("Repository", "repo", phase="Ready", activeSessions=[])
    settle(hooked, make)
    settle(hooked, make, make.now + DAY)
    assert (status(hooked)["phase"], jobs(hooked)) == ("Failed", [])


def test_nothing_skips_a_session_whose_pre_hook_was_started(hooked, make):
    settle(hooked, make)
    hooked.set_status("BackupSession", "web-1", phase="Pending")  # it was lost
    hooked.set_meta("BackupBatch", "web", deletionTimestamp="2026-03-02T02:30:00Z")
    settle(hooked, make)
    assert status(hooked)["phase"] == "Running"


def test_a_pre_hook_that_is_added_to_a_running_session_is_for_the_next_one(ready, make):
    ready.add(make.batch(), make.session())
    front(ready, make)
    admit(ready)
    settle(ready, make)
    ready.set_spec("BackupBatch", "web", hooks={"preBackup": SYNC})
    settle(ready, make)
    assert (target(ready)["phase"], jobs(ready)) == ("Scheduled", [])


# -- after the last target ------------------------------------------------------------------------


def test_the_session_is_final_when_its_post_hook_is(hooked, make):
    to_the_post_hook(hooked, make)
    assert (status(hooked)["phase"], target(hooked)["phase"]) == ("Running", "Succeeded")
    assert jobs(hooked) == [POST, PRE]
    tell(hooked, POST_TOLD)
    settle(hooked, make)
    assert status(hooked)["phase"] == "Succeeded"


def test_a_post_hook_that_failed_fails_the_session_and_no_target(hooked, make):
    to_the_post_hook(hooked, make)
    tell(hooked, POST_TOLD, holds=False)
    plan = decide(hooked, make)
    hooked.carry_out(plan)
    assert (status(hooked)["phase"], target(hooked)["phase"]) == ("Failed", "Succeeded")
    (event,) = plan.events
    assert (event.reason, event.message) == (
        "BackupSession Failed",
        "See condition GlobalPostBackupHookSucceeded.",
    )


def test_the_event_tells_why_a_post_hook_was_given_up(hooked, make):
    to_the_post_hook(hooked, make)
    end_job(hooked, POST, message="DeadlineExceeded")
    plan = decide(hooked, make, make.now + dt.timedelta(minutes=1))
    assert "Job stash-hook-web-1-post: DeadlineExceeded" in plan.events[0].message


def test_the_job_of_the_post_hook_waits_until_the_last_target_is_stored_as_final(hooked, make):
    settle(hooked, make)
    tell(hooked, PRE_TOLD)
    settle(hooked, make)
    claim(hooked)
    report(hooked)
    hooked.carry_out(decide(hooked, make))
    assert (target(hooked)["phase"], jobs(hooked)) == ("Succeeded", [PRE])
    hooked.carry_out(decide(hooked, make))
    assert jobs(hooked) == [POST, PRE]


@pytest.mark.parametrize(
    ("policy", "retries", "after_success", "after_failure"),
    [
        ("Always", 0, True, True),
        ("OnSuccess", 0, True, False),
        ("OnFailure", 0, False, True),
        ("OnFinalRetryFailure", 0, False, True),
        ("OnFinalRetryFailure", 1, False, False),
    ],
)
def test_the_policy_decides_whether_the_post_hook_runs(  # noqa: PLR0917 -- a table
    hooked, make, policy, retries, after_success, after_failure
):
    post = {**SYNC, "executionPolicy": policy}
    retry = {"maxRetry": retries, "delay": "1m"} if retries else None
    spec = {"hooks": {"preBackup": SYNC, "postBackup": post}}
    hooked.set_spec("BackupBatch", "web", **spec, **({"retryConfig": retry} if retry else {}))
    good = hooked
    to_the_post_hook(good, make, "Succeeded" if after_success else "Failed")
    runs = after_success or after_failure
    assert (POST in jobs(good)) is runs
    assert (status(good)["phase"] == "Running") is runs


def test_a_post_hook_alone_runs_after_a_session_that_failed_by_its_deadline(ready, make):
    ready.add(make.batch(hooks={"postBackup": SYNC}), make.session())
    front(ready, make)
    admit(ready)
    settle(ready, make)
    settle(ready, make, make.now + DAY)
    assert jobs(ready) == [POST]
    settle(ready, make, make.now + DAY + hooks.GRACE)
    assert status(ready)["phase"] == "Running"  # its Job is bounded by itself
    settle(ready, make, make.now + DAY + hooks.GRACE + hooks.LIMIT)
    assert status(ready)["phase"] == "Failed"


def test_a_restore_is_told_in_its_own_words():
    wanted = hooks.of_restore(
        runtime.RestoreHooks(
            pre_restore=runtime.Handler(),
            post_restore=runtime.PostRestoreHook(execution_policy="OnFailure"),
        )
    )
    assert wanted.policy == "OnFailure"
    assert wanted.pre_terms.condition == "GlobalPreRestoreHookSucceeded"
    assert wanted.post_terms.told("") == "Global PostRestore hook has been executed successfully"
    assert hooks.of_restore(None).post is None


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
