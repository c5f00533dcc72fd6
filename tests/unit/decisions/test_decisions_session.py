"""A session: when it runs, and what follows its end."""

from __future__ import annotations

import datetime as dt

import pytest
from session_steps import (
    MARK,
    admit,
    decide,
    reason,
    reasons,
    settle,
    status,
    target,
)

from reconciler.api.resources import Key
from reconciler.decisions.plan import Apply
from reconciler.manifests import labels, names, sidecar

KEY = Key("shop", "web-1")


# -- may it run -----------------------------------------------------------------------------------


def test_a_session_that_is_gone_or_going_needs_nothing(ready, make):
    assert not decide(ready, make).writes
    ready.add(make.session())
    ready.set_meta("BackupSession", "web-1", deletionTimestamp="2026-03-02T02:30:00Z")
    assert not decide(ready, make).writes


@pytest.mark.parametrize(
    ("prepare", "expected", "words"),
    [
        (lambda v, m: v.remove("BackupBatch", "web"), "InvokerNotFound", "does not exist"),
        (
            lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp="2026-03-02T02:30:00Z"),
            "InvokerTerminating",
            "being deleted",
        ),
        (lambda v, m: v.set_spec("BackupBatch", "web", schedule="x"), "InvalidInvoker", "schedule"),
        (lambda v, m: v.set_spec("BackupBatch", "web", members=7), "InvalidInvoker", "members"),
        (lambda v, m: v.set_spec("BackupBatch", "web", paused=True), "Paused", "spec.paused"),
        (
            lambda v, m: v.add(m.session("web-0", age=dt.timedelta(hours=1))),
            "PreviousSessionRunning",
            "web-0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_session_that_must_not_run_is_skipped_with_a_reason(
    ready, make, prepare, expected, words
):
    ready.add(make.batch(), make.session(slot=True))
    prepare(ready, make)
    plan = decide(ready, make)
    assert reasons(plan) == ["BackupSession Skipped"]
    settle(ready, make)
    assert status(ready)["phase"] == "Skipped"
    assert reason(ready) == expected
    assert words in status(ready)["conditions"][0]["message"]
    assert "targets" not in status(ready)
    assert status(ready)["sessionDuration"] == "0s"


def test_of_an_unknown_kind_of_invoker_there_is_none(ready, make):
    ready.add(make.session(kind="Nonsense"))
    settle(ready, make)
    assert reason(ready) == "InvokerNotFound"


def test_a_session_made_by_hand_runs_while_the_batch_is_paused(running, make):
    running.set_spec("BackupBatch", "web", paused=True)
    settle(running, make)
    assert status(running)["phase"] == "Running"


def test_an_older_session_that_has_ended_is_in_nobodys_way(running, make):
    old = make.session("web-0", age=dt.timedelta(hours=1), status={"phase": "Failed"})
    running.add(old)
    settle(running, make)
    assert status(running)["phase"] == "Running"


def test_two_sessions_of_one_second_are_told_apart_by_name(ready, make):
    ready.add(make.batch(), make.session("web-1"), make.session("web-2"))
    admit(ready)
    settle(ready, make, name="web-1")
    settle(ready, make, name="web-2")
    assert status(ready, "web-1")["phase"] == "Running"
    assert reason(ready, name="web-2") == "PreviousSessionRunning"


def test_a_session_that_has_begun_is_not_overtaken_by_one_that_sorts_before_it(ready, make):
    """Creation times have a resolution of one second."""
    ready.add(make.batch(), make.session("web-1"), make.session("web-5"))
    admit(ready, "web-5")
    settle(ready, make, name="web-1")
    settle(ready, make, name="web-5")
    assert reason(ready, name="web-1") == "PreviousSessionRunning"
    assert status(ready, "web-5")["phase"] == "Running"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda v: v.remove("Repository", "repo"), "Repository repo does not exist"),
        (lambda v: v.set_status("Repository", "repo", phase="Ready"), "has not let the session in"),
        (lambda v: v.set_status("Repository", "repo", phase="Maintaining"), "is Maintaining"),
        (
            lambda v: v.set_status(
                "Repository",
                "repo",
                phase="Failed",
                conditions=[{"type": "X", "status": "False", "message": "wrong password."}],
            ),
            "is Failed: wrong password.",
        ),
        (lambda v: v.set_status("Repository", "repo", phase=None), "is Pending"),
    ],
)
def test_until_the_repository_lets_it_in_a_session_waits_and_says_for_what(
    ready, make, prepare, words
):
    ready.add(make.batch(), make.session())
    prepare(ready)
    settle(ready, make)
    assert status(ready)["phase"] == "Pending"
    assert target(ready)["phase"] == "Pending"
    assert target(ready)["reason"] == "WaitingForRepository"
    assert words in target(ready)["message"]


def test_while_it_waits_a_session_follows_the_spec(ready, make):
    ready.add(make.batch(), make.session())
    settle(ready, make)
    ready.set_spec("BackupBatch", "web", members=[make.member("Deployment", "other")])
    settle(ready, make)
    assert target(ready)["ref"]["name"] == "other"


def test_a_session_without_labels_and_owner_is_adopted(running, make):
    running.set_meta("BackupSession", "web-1", labels={}, ownerReferences=[])
    (write, *_) = decide(running, make).writes
    assert isinstance(write, Apply)
    assert not write.create
    settle(running, make)
    meta = running.at("BackupSession", "web-1")["metadata"]
    assert meta["labels"] == labels.of_invoker("BackupBatch", "web")
    assert meta["ownerReferences"][0]["name"] == "web"


def test_an_owner_that_is_there_stays(running, make):
    running.set_meta("BackupSession", "web-1", labels={})
    (write, *_) = decide(running, make).writes
    assert "ownerReferences" not in write.obj["metadata"]


# -- after the end --------------------------------------------------------------------------------


def ended(view, make, type_="Failed", conditions=()):
    stats = [{"hostname": "host-0", "phase": "Succeeded"}]
    targets = [{"ref": {"kind": "Deployment", "name": "front"}, "stats": stats}]
    status_ = {"phase": "Succeeded", "targets": targets, "conditions": list(conditions)}
    view.add(make.batch(), make.session(status=status_))
    uid = view.at("BackupSession", "web-1")["metadata"]["uid"]
    name = names.maintain_job("repo", uid)
    done = {"conditions": [{"type": type_, "status": "True"}]} if type_ else {}
    view.add({"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": name}, "status": done})


def test_maintenance_that_could_not_report_itself_is_reported(ready, make):
    ended(ready, make)
    settle(ready, make)
    assert reason(ready, "RetentionPolicyApplied") == "FailedToApplyRetentionPolicy"
    assert reason(ready, "RepositoryIntegrityVerified") == "FailedToVerifyRepositoryIntegrity"
    assert status(ready)["phase"] == "Succeeded"


def test_what_maintenance_has_reported_stays(ready, make):
    done = {
        "type": "RetentionPolicyApplied",
        "status": "True",
        "lastTransitionTime": "2026-03-02T02:00:00Z",
        "reason": "R",
        "message": "m",
    }
    ended(ready, make, conditions=[done])
    settle(ready, make)
    assert reason(ready, "RetentionPolicyApplied") == "R"
    assert reason(ready, "RepositoryIntegrityVerified") == "FailedToVerifyRepositoryIntegrity"


def test_maintenance_that_is_still_running_is_left_alone(ready, make):
    ended(ready, make, type_="")
    assert not decide(ready, make).writes


def test_a_session_without_a_good_host_is_never_maintained(ready, make):
    ready.add(make.batch(), make.session(status={"phase": "Failed"}))
    assert not decide(ready, make).writes


def test_a_session_whose_maintenance_has_no_job_yet_is_left_alone(ready, make):
    ended(ready, make)
    job = next(name for kind, _, name in ready.objects if kind == "Job")
    ready.remove("Job", job)
    assert not decide(ready, make).writes


def test_deciding_twice_gives_the_same_plan(running, make):
    assert decide(running, make) == decide(running, make)
    assert sidecar.SLOT.mark_of(running.at("Pod", "front-1")) == MARK


def test_the_repository_of_a_session_is_fixed_when_it_starts(running, make):
    decide_and_carry_out(running, make)
    assert status(running)["repository"] == "repo"
    other = make.repository(phase="Ready")
    other["metadata"]["name"] = "other"
    running.add(other)
    running.set_spec("BackupBatch", "web", repository={"name": "other"})
    decide_and_carry_out(running, make)
    assert status(running)["repository"] == "repo"


def test_a_session_that_waits_or_is_skipped_has_no_repository(ready, make):
    ready.add(make.batch(paused=True), make.session(slot=True))
    decide_and_carry_out(ready, make)
    assert "repository" not in status(ready)


def decide_and_carry_out(view, make):
    view.carry_out(decide(view, make))
