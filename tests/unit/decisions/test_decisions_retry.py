"""The retry of a failed session: announced with the failure, made after the delay, or dropped."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api import retries
from reconciler.api.resources import BACKUP_BATCHES, Key
from reconciler.decisions import controllers, history, session, skipping, world
from reconciler.manifests import labels

MINUTE = dt.timedelta(minutes=1)
RETRY = "web-1-retry-1"


@pytest.fixture
def failing(ready, make):
    """A batch with retries, and a running session whose only host has reported failure."""
    ready.add(make.batch(retryConfig={"maxRetry": 2, "delay": "5m"}))
    target = {
        "ref": {"kind": "Deployment", "name": "front"},
        "phase": "Running",
        "startTime": make.stamp(make.now),
        "hosts": [{"hostname": "host-0"}],
        "stats": [{"hostname": "host-0", "phase": "Failed", "error": "disk full"}],
    }
    ready.add(make.session(slot=True, status={"phase": "Running", "targets": [target]}))
    return ready


def look(view, make, after=dt.timedelta(0), name="web-1"):
    """One look at a session; the plan is carried out and returned."""
    plan = session.decide(Key("shop", name), view, make.now + after, make.settings)
    view.carry_out(plan)
    return plan


def status(view, name="web-1"):
    return view.at("BackupSession", name)["status"]


def retry(view):
    return view.get(controllers.BACKUP_SESSIONS, "shop", RETRY)


def test_a_failed_session_says_when_it_is_tried_again(failing, make):
    look(failing, make)
    assert status(failing)["phase"] == "Failed"
    assert status(failing)["nextRetry"] == make.stamp(make.now + 5 * MINUTE)
    plan = look(failing, make, MINUTE)
    assert not plan.writes
    assert plan.wake_at == make.now + 5 * MINUTE


def test_after_the_delay_another_session_stands_in_for_the_slot(failing, make):
    look(failing, make)
    plan = look(failing, make, 5 * MINUTE)
    made = retry(failing)
    assert made["spec"]["retryLeft"] == 1
    assert made["metadata"]["annotations"] == {
        labels.SLOT: make.stamp(make.now),
        labels.RETRY_OF: "web-1",
        labels.RETRY: "1",
    }
    assert status(failing)["retried"] is True
    assert [event.reason for event in plan.events] == ["BackupSession Retried"]
    assert not look(failing, make, 6 * MINUTE).writes
    assert skipping.reason(failing, made) is None


def test_a_crash_between_the_retry_and_the_status_makes_no_second_one(failing, make):
    look(failing, make)
    plan = session.decide(Key("shop", "web-1"), failing, make.now + 5 * MINUTE, make.settings)
    failing.carry_out(type(plan)(plan.writes[:1]))
    assert "retried" not in status(failing)
    again = look(failing, make, 6 * MINUTE)
    assert len(again.writes) == 1
    assert not again.events
    assert status(failing)["retried"] is True


def test_the_retry_of_a_retry_counts_on_and_the_last_one_is_the_end(failing, make):
    look(failing, make)
    look(failing, make, 5 * MINUTE)
    for name, after, following in ((RETRY, 5, "web-1-retry-2"), ("web-1-retry-2", 12, None)):
        failing.set_status("BackupSession", name, **{**status(failing), "phase": "Running"})
        failing.set_meta(
            "BackupSession", name, creationTimestamp=make.stamp(make.now + after * MINUTE)
        )
        failing.at("BackupSession", name)["status"].pop("nextRetry", None)
        failing.at("BackupSession", name)["status"].pop("retried", None)
        look(failing, make, after * MINUTE, name)
        assert ("nextRetry" in status(failing, name)) is bool(following)
        look(failing, make, (after + 6) * MINUTE, name)
        assert (following is None) or failing.at("BackupSession", following)
    assert failing.at("BackupSession", "web-1-retry-2")["spec"]["retryLeft"] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda v, m: v.set_spec("BackupBatch", "web", retryConfig=None),
        lambda v, m: v.set_spec("BackupBatch", "web", retryConfig={"maxRetry": 0}),
        lambda v, m: v.set_spec("BackupBatch", "web", schedule="nonsense"),
        lambda v, m: v.set_spec("BackupBatch", "web", schedule="*/5 * * * *"),
        lambda v, m: v.set_spec("BackupBatch", "web", members=7),
        lambda v, m: v.set_spec("BackupSession", "web-1", retryLeft=0),
        lambda v, m: v.remove("BackupBatch", "web"),
        lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp=m.stamp(m.now)),
    ],
    ids=[
        "no config",
        "none allowed",
        "invalid",
        "slot first",
        "unreadable",
        "last",
        "gone",
        "going",
    ],
)
def test_no_retry_is_announced_that_nobody_wants_or_that_the_next_slot_comes_before(
    failing, make, change
):
    change(failing, make)
    look(failing, make)
    assert "nextRetry" not in status(failing)
    assert not look(failing, make, 5 * MINUTE).writes


def test_without_a_delay_it_is_tried_again_at_once(failing, make):
    failing.set_spec("BackupBatch", "web", retryConfig={"maxRetry": 1})
    look(failing, make)
    look(failing, make)
    assert retry(failing)


def test_paused_the_retry_waits_and_comes_when_the_batch_is_resumed(failing, make):
    look(failing, make)
    failing.set_spec("BackupBatch", "web", paused=True)
    plan = look(failing, make, 6 * MINUTE)
    assert not plan.writes
    assert plan.wake_at == make.now + 30 * MINUTE, "the slot that ends the wait"
    failing.set_spec("BackupBatch", "web", paused=False)
    look(failing, make, 7 * MINUTE)
    assert retry(failing)


def test_an_invoker_that_is_broken_meanwhile_holds_the_retry_back(failing, make):
    look(failing, make)
    failing.set_spec("BackupBatch", "web", schedule="nonsense")
    assert look(failing, make, 6 * MINUTE).wake_at is None
    failing.set_spec("BackupBatch", "web", members=7)
    assert not look(failing, make, 6 * MINUTE).writes
    assert "nextRetry" in status(failing)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (30 * MINUTE, lambda v, m: None),
        (MINUTE, lambda v, m: v.set_spec("BackupBatch", "web", retryConfig=None)),
        (MINUTE, lambda v, m: v.remove("BackupBatch", "web")),
        (MINUTE, lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp=m.stamp(m.now))),
        (MINUTE, lambda v, m: v.add(m.session("web-2", age=-MINUTE))),
    ],
    ids=["next slot", "no config", "gone", "going", "by hand"],
)
def test_a_retry_that_would_come_too_late_is_dropped(failing, make, after, change):
    look(failing, make)
    change(failing, make)
    look(failing, make, after)
    assert "nextRetry" not in status(failing)
    look(failing, make, after + 5 * MINUTE)
    assert retry(failing) is None


def test_a_skipped_session_does_not_stand_in_for_the_retry(failing, make):
    look(failing, make)
    failing.add(make.session("web-2", age=-MINUTE, status={"phase": "Skipped"}))
    look(failing, make, 5 * MINUTE)
    assert retry(failing)


def test_a_duration_that_somebody_has_changed_does_no_harm(failing, make):
    look(failing, make)
    failing.set_status("BackupSession", "web-1", sessionDuration="soon")
    look(failing, make, 5 * MINUTE)
    assert retry(failing)


def test_a_retry_by_hand_has_no_slot(failing, make):
    failing.at("BackupSession", "web-1")["metadata"].pop("annotations")
    look(failing, make)
    look(failing, make, 5 * MINUTE)
    assert labels.SLOT not in retry(failing)["metadata"]["annotations"]


def test_a_session_that_waits_for_its_retry_is_looked_at_when_invoker_or_rivals_change(
    failing, make
):
    look(failing, make)
    failing.add(make.session("web-0", age=MINUTE, status={"phase": "Succeeded"}))
    batch, rival = failing.at("BackupBatch", "web"), failing.at("BackupSession", "web-0")
    key = [Key("shop", "web-1")]
    assert list(controllers.invoker_to_sessions(BACKUP_BATCHES)(batch, failing)) == key
    assert list(controllers.session_to_rivals(rival, failing)) == key
    look(failing, make, 5 * MINUTE)
    assert Key("shop", "web-1") not in list(controllers.session_to_rivals(rival, failing))


@pytest.mark.parametrize(
    ("config", "spec", "left"),
    [
        (None, {"retryLeft": 3}, 0),
        ({"maxRetry": 2}, {}, 2),
        ({"maxRetry": 2}, {"retryLeft": 1}, 1),
        ({"maxRetry": 2}, {"retryLeft": -1}, 0),
    ],
)
def test_retries_are_those_written_in_the_session_else_those_the_invoker_allows(
    make, config, spec, left
):
    batch = make.batch(**({"retryConfig": config} if config else {}))
    batch["metadata"].update(namespace="shop", uid="u")
    typed, _ = world.read_invoker(batch)
    assert retries.left({"spec": spec}, typed) == left


def test_a_chain_of_retries_counts_as_one_run_in_the_history(make):
    def made(name, hours, phase, of=""):
        found = make.session(name, age=dt.timedelta(hours=hours), status={"phase": phase})
        if of:
            found["metadata"]["annotations"] = {labels.RETRY_OF: of, labels.RETRY: "1"}
        return found

    chain = [
        made("web-1", 9, "Succeeded"),
        made("web-2", 8, "Failed"),
        made("web-2-retry-1", 7, "Failed", "web-2"),
        made("web-3", 6, "Failed"),
        made("web-3-retry-1", 5, "Succeeded", "web-3"),
    ]
    assert [world.name_of(s) for s in history.surplus(chain, 1, ())] == [
        "web-2-retry-1",
        "web-2",
        "web-1",
    ]
    assert [world.name_of(s) for s in history.surplus(chain, 2, ())] == ["web-1"]


def test_a_session_that_waits_for_its_retry_stays_even_with_a_limit_of_0(make):
    waiting = {"phase": "Failed", "nextRetry": make.stamp(make.now)}
    for status, gone in ((waiting, []), ({**waiting, "retried": True}, ["web-1"])):
        found = history.surplus([make.session("web-1", status=status)], 0, ())
        assert [world.name_of(session) for session in found] == gone


def test_annotations_that_somebody_wrote_by_hand_make_no_chain(make):
    found = make.session("web-1")
    found["metadata"]["annotations"] = {labels.RETRY_OF: "web-0", labels.RETRY: "two"}
    assert world.chain_of(found) == ("web-1", 0)
