"""A session: the Jobs of members that are no workload."""

from __future__ import annotations

import datetime as dt

import pytest
from session_steps import (
    admit,
    claim,
    decide,
    report,
    settle,
    status,
    target,
)

from reconciler.decisions.plan import Create, Delete

# -- Jobs -----------------------------------------------------------------------------------------


@pytest.fixture
def claimable(ready, make):
    """A batch of one claim, and a session that may run."""
    ready.add(make.batch(make.member("PersistentVolumeClaim", "uploads")), make.session())
    admit(ready)
    return ready


JOB = "stash-backup-web-1-0"


def job_pod(view, make, name="job-pod", **status):
    pod = make.pod(name, owner=view.at("Job", JOB))
    pod["status"] = {"phase": "Running", **status}
    view.add(pod)


def end_job(view, type_="Failed", **more):
    view.set_status("Job", JOB, conditions=[{"type": type_, "status": "True", **more}])


def test_a_job_is_created_with_its_access_and_waited_for(claimable, make):
    plan = decide(claimable, make)
    assert [type(w).__name__ for w in plan.writes] == ["Apply", "Apply", "Create", "Status"]
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    assert "No pod of Job" in target(claimable)["message"]
    job_pod(claimable, make)
    settle(claimable, make)
    assert target(claimable)["phase"] == "Scheduled"


def test_a_pod_whose_first_step_runs_is_a_runner(claimable, make):
    settle(claimable, make)
    waiting = {"name": "pvc-backup-0", "state": {"waiting": {"reason": "PodInitializing"}}}
    job_pod(claimable, make, phase="Pending", initContainerStatuses=[waiting])
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    step = {"name": "pvc-backup-0", "state": {"running": {}}}
    job_pod(claimable, make, phase="Pending", initContainerStatuses=[step])
    settle(claimable, make)
    assert target(claimable)["phase"] == "Scheduled"


@pytest.mark.parametrize(
    ("status_", "words"),
    [
        (
            {
                "phase": "Pending",
                "containerStatuses": [
                    {
                        "name": "c",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "5s"}},
                    }
                ],
            },
            "c: CrashLoopBackOff",
        ),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "Other", "status": "False"},
                    {"type": "PodScheduled", "status": "False", "message": "no node fits"},
                ],
            },
            "no node fits",
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]},
            "cannot be scheduled",
        ),
        ({"phase": "Pending"}, "No pod of Job"),
    ],
)
def test_what_keeps_a_jobs_pod_from_running_is_told_and_its_job_ended(
    claimable, make, status_, words
):
    settle(claimable, make)
    job_pod(claimable, make, **status_)
    settle(claimable, make)
    assert words in target(claimable)["message"]
    plan = decide(claimable, make, make.now + make.settings.runner_grace)
    assert any(isinstance(w, Delete) and w.name == JOB for w in plan.writes)
    settle(claimable, make, make.now + make.settings.runner_grace)
    assert target(claimable)["phase"] == "Failed"


def test_a_job_that_failed_for_good_fails_its_host_with_its_words(claimable, make):
    settle(claimable, make)
    end_job(claimable, message="BackoffLimitExceeded")
    settle(claimable, make)
    assert target(claimable)["reason"] == "JobFailed"
    assert "BackoffLimitExceeded" in target(claimable)["message"]


def test_a_job_that_failed_without_words_is_told(claimable, make):
    settle(claimable, make)
    end_job(claimable)
    settle(claimable, make)
    assert "the Job failed" in target(claimable)["message"]


def test_a_job_that_ended_without_a_report_fails_its_host(claimable, make):
    settle(claimable, make)
    end_job(claimable, "Complete")
    settle(claimable, make)
    assert "without a report" in target(claimable)["message"]


def test_a_pod_that_failed_before_it_claimed_leaves_the_job_its_second_try(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make, name="first", phase="Failed")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    job_pod(claimable, make, name="second")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Scheduled"


def test_a_pod_that_died_with_its_claim_leaves_the_job_its_second_try(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make, name="first", phase="Failed")
    claim(claimable, "first")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Running"
    job_pod(claimable, make, name="second")
    claim(claimable, "second")
    report(claimable, "Succeeded")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Succeeded"


def test_a_claim_is_given_up_when_its_job_has_no_try_left(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make, name="first", phase="Failed")
    claim(claimable, "first")
    end_job(claimable, message="BackoffLimitExceeded")
    settle(claimable, make)
    assert target(claimable)["reason"] == "RunnerDied"


def test_a_job_of_somebody_else_is_not_touched_and_told(claimable, make):
    foreign = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": JOB}, "spec": {}}
    claimable.add(foreign)
    settle(claimable, make)
    assert target(claimable)["reason"] == "NameTaken"
    settle(claimable, make, make.now + make.settings.runner_grace)
    assert target(claimable)["phase"] == "Failed"
    assert claimable.at("Job", JOB)


def test_a_job_that_somebody_deletes_before_its_claim_is_made_anew(claimable, make):
    settle(claimable, make)
    claimable.remove("Job", JOB)
    settle(claimable, make)
    assert claimable.at("Job", JOB)


def test_a_job_of_a_claimed_host_is_not_made_anew(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make)
    claim(claimable, "job-pod")
    settle(claimable, make)
    claimable.remove("Job", JOB)
    settle(claimable, make)
    assert ("Job", "shop", JOB) not in claimable.objects


def test_a_failed_target_whose_host_was_claimed_keeps_its_job_for_its_logs(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make)
    claim(claimable, "job-pod")
    report(claimable, "Failed", error="x")
    assert not [w for w in decide(claimable, make).writes if isinstance(w, Delete)]


def test_a_missing_task_is_waited_for_within_the_grace(claimable, make):
    task = claimable.at("Task", "pvc-backup")
    claimable.remove("Task", "pvc-backup")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    assert target(claimable)["reason"] == "TaskNotAvailable"
    claimable.add(task)
    settle(claimable, make)
    assert claimable.at("Job", JOB)


def test_a_member_without_a_task_name_is_told(claimable, make):
    member = make.member("PersistentVolumeClaim", "uploads")
    settle(claimable, make)
    claimable.remove("Job", JOB)
    del member["task"]
    claimable.set_spec("BackupBatch", "web", members=[member])
    settle(claimable, make)
    assert "the Task '' does not exist" in target(claimable)["message"]


def test_without_its_repository_a_started_session_creates_nothing(claimable, make):
    settle(claimable, make)
    claimable.remove("Job", JOB)
    claimable.remove("Repository", "repo")
    assert not [w for w in decide(claimable, make).writes if isinstance(w, Create)]


def test_interim_data_gets_its_claim_before_the_job(ready, make):
    template = {"metadata": {"name": "interim"}, "spec": {}}
    member = make.member("PersistentVolumeClaim", "uploads", interimVolumeTemplate=template)
    ready.add(make.batch(member), make.session())
    admit(ready)
    created = [w.obj["kind"] for w in decide(ready, make).writes if isinstance(w, Create)]
    assert created == ["PersistentVolumeClaim", "Job"]


def test_a_waiting_sequence_is_ended_by_the_deadline_with_what_it_waited_for(running, make):
    running.add(make.claim())
    members = [make.member(), make.member("PersistentVolumeClaim", "uploads")]
    running.set_spec("BackupBatch", "web", members=members, executionOrder="Sequential")
    settle(running, make)
    assert target(running, 1)["reason"] == "WaitingForTurn"
    settle(running, make, make.now + dt.timedelta(hours=24))
    assert "turn had not come" in target(running, 1)["message"]
    assert status(running)["phase"] == "Failed"


def test_a_waiting_session_is_ended_by_the_deadline_with_what_it_waited_for(ready, make):
    ready.add(make.batch(timeOut="1m"), make.session())
    settle(ready, make)
    settle(ready, make, make.now + dt.timedelta(minutes=1))
    assert status(ready)["phase"] == "Failed"
    assert "has not let the session in" in target(ready)["message"]
    assert "totalHosts" not in target(ready)


def test_a_final_target_stays_as_it_is_while_another_runs(running, make):
    running.set_spec(
        "BackupBatch", "web", members=[make.member("Deployment", "gone"), make.member()]
    )
    settle(running, make)
    before = target(running, 0)
    assert (before["phase"], before["reason"]) == ("Failed", "TargetNotFound")
    claim(running, index=1)
    running.add(make.workload("Deployment", "gone"))
    later = make.now + dt.timedelta(minutes=1)
    settle(running, make, later)
    assert target(running, 0) == before
    assert target(running, 1)["phase"] == "Running"
