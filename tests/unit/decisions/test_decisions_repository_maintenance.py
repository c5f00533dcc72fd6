"""A Repository is maintained alone."""

from __future__ import annotations

import datetime as dt

import pytest
from repository_steps import (
    decide,
    end,
    jobs_of,
    settle,
    status,
)

from reconciler.decisions import repository
from reconciler.decisions.plan import Create, Delete
from reconciler.manifests import labels


def good(name="web-1", **more):
    """The status of a finished session with a good host."""
    stats = [{"hostname": "h", "phase": "Succeeded"}]
    targets = [{"ref": {"kind": "Deployment", "name": "front"}, "stats": stats}]
    return {"phase": "Succeeded", "targets": targets, **more}


# -- maintenance ----------------------------------------------------------------------------------


def maintained(view, name="web-1"):
    done = {"type": "RetentionPolicyApplied", "status": "True"}
    view.set_status("BackupSession", name, conditions=[done])


def test_after_a_good_session_the_lock_is_taken_before_the_job_exists(usable, make):
    usable.add(make.session(status=good()))
    first = decide(usable, make)
    assert not [w for w in first.writes if isinstance(w, Create)]
    usable.carry_out(first)
    assert status(usable)["phase"] == "Maintaining"
    assert status(usable)["maintaining"] == "web-1"
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    assert job["metadata"]["annotations"] == {labels.SESSION: "web-1"}
    end(usable, job)
    maintained(usable)
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert "maintaining" not in status(usable)
    assert status(usable)["lastMaintainedSession"] == "web-1"


def test_while_a_session_is_let_in_maintenance_waits_and_no_other_is_let_in(usable, make):
    usable.add(make.session("web-0", age=dt.timedelta(hours=1), status=good()))
    usable.set_status("Repository", "repo", activeSessions=["web-1"])
    usable.add(make.session("web-1"))
    usable.add(make.batch(name="other"), make.session("other-1", batch="other"))
    settle(usable, make)
    assert status(usable)["activeSessions"] == ["web-1"]
    assert not jobs_of(usable, "maintain")
    usable.set_status("BackupSession", "web-1", phase="Failed")
    settle(usable, make)
    assert status(usable)["phase"] == "Maintaining"
    assert "activeSessions" not in status(usable)


@pytest.mark.parametrize("outcome", ["Complete", "Failed"])
def test_a_finished_maintenance_is_not_repeated_however_it_ended(usable, make, outcome):
    usable.add(make.session(status=good()))
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    end(usable, job, outcome)
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert len(jobs_of(usable, "maintain")) == 1


def test_a_maintenance_that_failed_is_not_repeated_after_that_of_another_batch(usable, make):
    usable.add(make.batch(name="other"))
    usable.add(make.session("web-1", age=dt.timedelta(hours=1), status=good()))
    usable.add(make.session("other-1", batch="other", status=good()))
    for _ in range(2):
        settle(usable, make)
        for job in jobs_of(usable, "maintain"):
            end(usable, job, "Failed")
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert status(usable)["lastMaintainedSession"] == "other-1"


def test_only_the_last_good_session_of_a_batch_is_maintained(usable, make):
    usable.add(make.session("web-0", age=dt.timedelta(hours=2), status=good()))
    usable.add(make.session("web-1", age=dt.timedelta(hours=1), status=good()))
    usable.add(make.session("web-2", status={"phase": "Failed"}))
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"


def test_of_two_batches_the_older_session_is_maintained_first(usable, make):
    usable.add(make.batch(name="other"))
    usable.add(make.session("web-1", status=good()))
    usable.add(
        make.session("other-1", batch="other", age=dt.timedelta(hours=1), status=good()),
    )
    settle(usable, make)
    assert status(usable)["maintaining"] == "other-1"
    (job,) = jobs_of(usable, "maintain")
    end(usable, job)
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"


@pytest.mark.parametrize(
    "change",
    [
        lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp=m.stamp(m.now)),
        lambda v, m: v.set_meta("BackupSession", "web-1", deletionTimestamp=m.stamp(m.now)),
        lambda v, m: maintained(v),
        lambda v, m: v.set_status("Repository", "repo", lastMaintainedSession="web-1"),
        lambda v, m: v.set_status("BackupSession", "web-1", targets=[]),
    ],
    ids=["batch going", "session going", "reported", "remembered", "no good host"],
)
def test_what_needs_no_maintenance_gets_none(usable, make, change):
    usable.add(make.session(status=good()))
    change(usable, make)
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert not jobs_of(usable, "maintain")


def held(usable, make):
    usable.add(make.session(status=good()))
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    return job


def test_a_lock_is_kept_while_its_job_runs_whatever_else_goes(usable, make):
    held(usable, make)
    usable.remove("Secret", "backend")
    usable.remove("BackupBatch", "web")
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"
    usable.add(make.secret(), make.batch())
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"


def test_a_deleted_job_is_made_anew_while_the_session_needs_it(usable, make):
    job = held(usable, make)
    usable.remove("Job", job["metadata"]["name"])
    settle(usable, make)
    assert jobs_of(usable, "maintain")


def test_a_pod_that_outlives_its_deleted_job_keeps_the_lock(usable, make):
    job = held(usable, make)
    pod = make.pod("survivor", owner=job)
    pod["metadata"]["labels"] = job["metadata"]["labels"]
    pod["metadata"]["annotations"] = {labels.SESSION: "web-1"}
    usable.add(pod)
    usable.remove("Job", job["metadata"]["name"])
    usable.remove("BackupSession", "web-1")
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"
    usable.set_status("Pod", "survivor", phase="Succeeded")
    settle(usable, make)
    assert "maintaining" not in status(usable)


@pytest.mark.parametrize("how", ["gone", "reported"])
def test_a_lock_without_a_job_is_given_back_when_nobody_needs_it(usable, make, how):
    job = held(usable, make)
    usable.remove("Job", job["metadata"]["name"])
    if how == "gone":
        usable.remove("BackupSession", "web-1")
    else:
        maintained(usable)
    settle(usable, make)
    assert "maintaining" not in status(usable)
    assert status(usable)["phase"] == "Ready"


def test_a_finished_job_goes_with_its_session(usable, make):
    job = held(usable, make)
    end(usable, job)
    maintained(usable)
    settle(usable, make)
    assert jobs_of(usable, "maintain")
    usable.remove("BackupSession", "web-1")
    (write,) = [w for w in decide(usable, make).writes if isinstance(w, Delete)]
    assert write.name == job["metadata"]["name"]


def test_a_job_of_another_owner_is_not_ours(usable, make):
    job = held(usable, make)
    usable.set_meta("Job", job["metadata"]["name"], ownerReferences=[])
    assert not repository._own_jobs(usable, usable.at("Repository", "repo"), "maintain")


def test_maintenance_runs_with_the_settings_of_its_sessions_batch(usable, make):
    usable.add(make.batch(name="zother", runtimeSettings={"pod": {"serviceAccountName": "mine"}}))
    usable.add(make.session("zother-1", batch="zother", status=good()))
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
