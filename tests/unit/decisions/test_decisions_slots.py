"""Missed slots: since when they count, which of them had a session, and how long they are told."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import BACKUP_BATCHES, Key
from reconciler.decisions import invoker, slots
from reconciler.manifests import labels

KEY = Key("shop", "web")
HOUR = dt.timedelta(hours=1)


def look(view, make, after=dt.timedelta(0)):
    plan = invoker.decide_for(BACKUP_BATCHES)(KEY, view, make.now + after, make.settings)
    view.carry_out(plan)
    return plan


def told(view):
    found = view.at("BackupBatch", "web")["status"]["conditions"]
    return next((c["message"] for c in found if c["type"] == "SlotsMissed"), None)


def since(view):
    return view.at("CronJob", "stash-backup-web")["metadata"]["annotations"].get(
        labels.ACTIVE_SINCE
    )


@pytest.fixture
def hourly(ready, make):
    """A batch of every full hour, set up at half past two."""
    ready.add(make.batch(schedule="0 * * * *"))
    look(ready, make)
    return ready


def test_slots_count_from_the_moment_when_the_cron_job_became_active(hourly, make):
    assert since(hourly) == make.stamp(make.now)
    look(hourly, make, HOUR)
    assert since(hourly) == make.stamp(make.now)


@pytest.mark.parametrize("change", [{"schedule": "5 * * * *"}, {"paused": True}])
def test_another_schedule_and_a_pause_begin_anew(hourly, make, change):
    hourly.set_spec("BackupBatch", "web", **change)
    look(hourly, make, HOUR)
    hourly.set_spec("BackupBatch", "web", paused=False)
    look(hourly, make, 2 * HOUR)
    moment = HOUR if "schedule" in change else 2 * HOUR
    assert since(hourly) == make.stamp(make.now + moment)


def test_a_slot_is_missed_a_quarter_of_an_hour_after_it_and_is_looked_at_then(hourly, make):
    slot = dt.timedelta(minutes=30)
    assert look(hourly, make, slot).wake_at == make.now + slot + slots.GRACE
    assert told(hourly) is None
    look(hourly, make, slot + slots.GRACE)
    assert "1 slot of the schedule since 2026-03-02T03:00:00Z" in told(hourly)
    assert look(hourly, make, 4 * HOUR).wake_at == make.now + 4 * HOUR + slot
    assert "4 slots" in told(hourly)


def test_a_session_answers_its_slot_also_when_it_was_skipped_or_is_gone(hourly, make):
    hourly.add(make.session("web-1", slot=True, age=-HOUR, status={"phase": "Skipped"}))
    hourly.at("BackupSession", "web-1")["metadata"]["annotations"][labels.SLOT] = (
        "2026-03-02T03:00:00Z"
    )
    look(hourly, make, 1.4 * HOUR)
    assert told(hourly) is None
    hourly.remove("BackupSession", "web-1")
    look(hourly, make, 1.4 * HOUR)
    assert told(hourly) is None
    look(hourly, make, 1.8 * HOUR)
    assert "1 slot of the schedule since 2026-03-02T04:00:00Z" in told(hourly)


def test_slots_between_two_sessions_are_missed_though_a_later_one_has_come(hourly, make):
    hourly.add(make.session("late", age=-4 * HOUR))
    look(hourly, make, 4.1 * HOUR)
    assert "3 slots" in told(hourly)
    look(hourly, make, 4.2 * HOUR)
    assert "3 slots" in told(hourly)
    hourly.set_status("BackupSession", "late", phase="Failed")
    look(hourly, make, 4.2 * HOUR)
    assert "3 slots" in told(hourly)
    hourly.set_status("BackupSession", "late", phase="Succeeded")
    look(hourly, make, 4.2 * HOUR)
    assert told(hourly) is None


def test_more_than_a_hundred_are_not_counted(hourly, make):
    look(hourly, make, 24 * 30 * HOUR)
    assert "100 or more slots" in told(hourly)


def test_a_schedule_that_never_comes_misses_nothing(ready, make):
    ready.add(make.batch(schedule="0 0 30 2 *"))
    look(ready, make)
    look(ready, make, 24 * HOUR)
    assert told(ready) is None


def test_the_last_slot_of_a_schedule_can_be_missed_and_answered(hourly, make, monkeypatch):
    """No slot follows: whatever came after it is its answer."""
    real = slots.Schedule.next_after

    def once(schedule, moment):
        found = real(schedule, moment)
        return found if found and found.hour == 3 else None

    monkeypatch.setattr(slots.Schedule, "next_after", once)
    hourly.add(make.session("late", age=-2 * HOUR))
    look(hourly, make, 3 * HOUR)
    assert told(hourly) is None


def test_a_cron_job_of_an_earlier_version_begins_to_count_now(hourly, make):
    hourly.at("CronJob", "stash-backup-web")["metadata"]["annotations"].clear()
    look(hourly, make, 5 * HOUR)
    assert told(hourly) is None
    assert since(hourly) == make.stamp(make.now + 5 * HOUR)


def test_a_skipped_session_without_a_reason_is_told_all_the_same(hourly, make):
    hourly.add(make.session("web-1", status={"phase": "Skipped"}))
    look(hourly, make)
    found = hourly.at("BackupBatch", "web")["status"]["conditions"]
    (skipped,) = [c for c in found if c["type"] == "Skipped"]
    assert skipped["message"] == "BackupSession web-1 was skipped:"
    assert skipped["reason"] == "Skipped"
