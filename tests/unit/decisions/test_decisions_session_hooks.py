"""Hooks of a session: when they run, and what their end means."""

from __future__ import annotations

import datetime as dt

import pytest
from session_hook_steps import (
    BOTH,
    DAY,
    SYNC,
    admit,
    claim,
    condition,
    decide,
    end_job,
    front,
    jobs,
    report,
    settle,
    status,
    target,
)

from reconciler.api import runtime
from reconciler.decisions import hooks
from reconciler.manifests import names

PRE = "stash-hook-web-1-pre"
POST = "stash-hook-web-1-post"
PRE_TOLD = "GlobalPreBackupHookSucceeded"
POST_TOLD = "GlobalPostBackupHookSucceeded"


def tell(view, type_, holds=True, message="told"):
    """What the agent of a hook's Job writes."""
    item = {"type": type_, "status": str(holds), "reason": "r", "message": message}
    others = [c for c in status(view).get("conditions") or [] if c["type"] != type_]
    view.set_status("BackupSession", "web-1", conditions=[*others, item])


@pytest.fixture
def hooked(ready, make):
    """A batch with both hooks and one Deployment, and a session that may run."""
    ready.add(make.batch(hooks=BOTH), make.session())
    front(ready, make)
    admit(ready)
    return ready


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
