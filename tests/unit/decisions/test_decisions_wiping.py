"""``spec.wipeOut``: the data goes with the Repository, and never while somebody needs it."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import Key
from reconciler.decisions import repository
from reconciler.decisions.plan import Finalizers
from reconciler.manifests import labels, names

KEY = Key("shop", "repo")


def look(view, make, after=dt.timedelta(0)):
    plan = repository.decide(KEY, view, make.now + after, make.settings)
    view.carry_out(plan)
    return plan


def settle(view, make, after=dt.timedelta(0)):
    for _ in range(8):
        plan = repository.decide(KEY, view, make.now + after, make.settings)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view):
    return view.at("Repository", "repo")["status"]


def finalizers(view):
    return view.at("Repository", "repo")["metadata"].get("finalizers") or []


def wiped(view):
    return next((c for c in status(view)["conditions"] if c["type"] == "RepositoryWiped"), None)


def wipe_job(view):
    found = [
        obj
        for (kind, _, _), obj in view.objects.items()
        if kind == "Job" and obj["metadata"]["labels"].get(labels.TASK) == "wipe"
    ]
    assert len(found) <= 1
    return found[0] if found else None


def end(view, type_, **more):
    done = {"type": type_, "status": "True", **more}
    view.set_status("Job", wipe_job(view)["metadata"]["name"], conditions=[done])


def delete(view, make):
    view.set_meta("Repository", "repo", deletionTimestamp=make.stamp(make.now))


@pytest.fixture
def doomed(view, make):
    """A Repository with wipeOut that nobody uses, as it is before its deletion."""
    view.add(make.secret(), make.repository())
    view.set_spec("Repository", "repo", wipeOut=True)
    settle(view, make)
    return view


def test_only_a_repository_with_wipe_out_has_a_finalizer(doomed, make):
    assert finalizers(doomed) == [names.FINALIZER]
    doomed.set_meta("Repository", "repo", finalizers=["users.own", names.FINALIZER])
    doomed.set_spec("Repository", "repo", wipeOut=False)
    settle(doomed, make)
    assert finalizers(doomed) == ["users.own"]
    assert not settle(doomed, make).writes


def test_a_deleted_one_is_wiped_by_a_job_and_then_let_go(doomed, make):
    delete(doomed, make)
    settle(doomed, make)
    assert status(doomed)["phase"] == "Wiping"
    assert wiped(doomed)["reason"] == "WipingRepository"
    job = wipe_job(doomed)
    assert job["metadata"]["name"].startswith("stash-wipe-repo-")
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[:2] == ["wipe-repository", "--repository=repo"]
    assert finalizers(doomed) == [names.FINALIZER]
    end(doomed, "Complete")
    (write,) = look(doomed, make).writes
    assert isinstance(write, Finalizers)
    assert write.finalizers == ()


def test_without_wipe_out_a_deleted_one_is_let_go_and_nothing_removed(doomed, make):
    delete(doomed, make)
    doomed.set_spec("Repository", "repo", wipeOut=False)
    look(doomed, make)
    assert finalizers(doomed) == []
    assert wipe_job(doomed) is None
    settle(doomed, make)
    assert status(doomed)["phase"] == "Terminating"
    assert wiped(doomed) is None
    doomed.set_spec("Repository", "repo", wipeOut=True)
    settle(doomed, make)
    assert finalizers(doomed) == [], "nobody may add one to what is being deleted"


def test_wiping_that_is_called_off_keeps_what_is_left(doomed, make):
    delete(doomed, make)
    settle(doomed, make)
    doomed.set_spec("Repository", "repo", wipeOut=False)
    look(doomed, make)
    assert finalizers(doomed) == []


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda v, m: v.add(m.batch()), "BackupBatch web"),
        (
            lambda v, m: (
                v.add(m.batch(name="gone"), m.session(batch="gone")),
                v.remove("BackupBatch", "gone"),
                v.set_status("Repository", "repo", activeSessions=["web-1"]),
            ),
            "web-1",
        ),
    ],
    ids=["an invoker", "a session"],
)
def test_as_long_as_it_is_in_use_nothing_is_removed_and_the_condition_says_by_whom(
    doomed, make, use, words
):
    use(doomed, make)
    delete(doomed, make)
    settle(doomed, make)
    assert status(doomed)["phase"] == "Terminating"
    assert wiped(doomed)["reason"] == "RepositoryInUse"
    assert words in wiped(doomed)["message"]
    assert "set spec.wipeOut to false" in wiped(doomed)["message"]
    assert wipe_job(doomed) is None
    assert finalizers(doomed) == [names.FINALIZER]
    for name in ("web-1", "web"):
        doomed.objects.pop(("BackupSession", "shop", name), None)
        doomed.objects.pop(("BackupBatch", "shop", name), None)
    settle(doomed, make)
    assert status(doomed)["phase"] == "Wiping"


def test_maintenance_that_is_under_way_is_finished_first(doomed, make):
    doomed.add(make.session(status={"phase": "Succeeded"}))
    doomed.set_status("Repository", "repo", maintaining="web-1", phase="Maintaining")
    delete(doomed, make)
    settle(doomed, make)
    assert status(doomed)["phase"] != "Wiping"
    assert wiped(doomed)["reason"] == "RepositoryInUse"
    assert wipe_job(doomed) is None


def test_without_its_secret_the_data_cannot_be_removed_and_the_remedy_is_told(doomed, make):
    doomed.remove("Secret", "backend")
    delete(doomed, make)
    settle(doomed, make)
    assert wiped(doomed)["reason"] == "BackendSecretNotAvailable"
    assert "Secret shop/backend does not exist" in wiped(doomed)["message"]
    doomed.add(make.secret())
    settle(doomed, make)
    assert wipe_job(doomed)


def test_a_job_that_failed_is_told_and_tried_again(doomed, make):
    delete(doomed, make)
    settle(doomed, make)
    end(doomed, "Failed", lastTransitionTime=make.stamp(make.now), message="BackoffLimitExceeded")
    plan = settle(doomed, make)
    assert wiped(doomed)["reason"] == "FailedToWipeRepository"
    assert "BackoffLimitExceeded" in wiped(doomed)["message"]
    assert plan.wake_at == make.now + dt.timedelta(minutes=5)
    first = wipe_job(doomed)["metadata"]["resourceVersion"]
    settle(doomed, make, dt.timedelta(minutes=5))
    assert wipe_job(doomed)["metadata"]["resourceVersion"] != first
    assert "status" not in wipe_job(doomed)
    end(doomed, "Failed")
    assert settle(doomed, make, dt.timedelta(minutes=6)).wake_at


def test_the_words_of_the_agent_stay_until_it_succeeds(doomed, make):
    delete(doomed, make)
    settle(doomed, make)
    said = {
        "type": "RepositoryWiped",
        "status": "False",
        "reason": "FailedToWipeRepository",
        "message": "wrong password",
        "lastTransitionTime": make.stamp(make.now),
    }
    doomed.set_status("Repository", "repo", conditions=[said])
    settle(doomed, make)
    assert wiped(doomed)["message"] == "wrong password"


def test_one_that_cannot_be_read_is_not_wiped(doomed, make):
    doomed.set_spec("Repository", "repo", backend={"local": 7}, wipeOut=True)
    delete(doomed, make)
    settle(doomed, make)
    assert wipe_job(doomed) is None
    assert "the Repository is not valid" in wiped(doomed)["message"]
