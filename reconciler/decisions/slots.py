"""The slots of an invoker's schedule: since when they count, and which led to no session.

Called by the invoker decision. A slot is missed when nothing has come of it although its CronJob
was active: the cluster or its CronJob controller was away, or the trigger failed. Kubernetes makes
up for the last slot if it is no more than the starting deadline ago, and for no other; so what was
missed must be told, or nobody learns of it. Slots while the batch is paused, and those that an
earlier schedule had, are not missed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.api import conditions as c
from reconciler.api.resources import JsonObject
from reconciler.api.schedule import Schedule
from reconciler.decisions import conditions, world
from reconciler.decisions.conditions import Condition
from reconciler.manifests import labels, names
from reconciler.manifests.cron_job import STARTING_DEADLINE_SECONDS, TRIGGER_DEADLINE_SECONDS

if TYPE_CHECKING:
    from reconciler.decisions.invoker import World

GRACE = dt.timedelta(seconds=STARTING_DEADLINE_SECONDS + TRIGGER_DEADLINE_SECONDS)
"""So long after a slot its session may still come: its Job may start late, and take its time."""
MOST = 100
"""More are not counted one by one."""


def active_since(
    cron_job: JsonObject | None, schedule: str, *, suspended: bool, now: dt.datetime
) -> str:
    """Since when the CronJob is active with this schedule, or will be; "" for a suspended one."""
    if suspended:
        return ""
    spec = (cron_job or {}).get("spec") or {}
    known = _active_since(cron_job)
    same = spec.get("schedule") == schedule and not spec.get("suspend")
    return known if known and same else conditions.timestamp(now)


def _active_since(cron_job: JsonObject | None) -> str:
    meta = (cron_job or {}).get("metadata") or {}
    return str((meta.get("annotations") or {}).get(labels.ACTIVE_SINCE) or "")


def condition(seen: World, now: dt.datetime) -> Iterator[Condition]:
    """What is told of missed slots: until a session after that has succeeded."""
    found = missed(seen, now)
    if found:
        yield _told(seen, found)
        return
    stored = conditions.find(seen.status.get("conditions"), c.SLOTS_MISSED)
    if stored is not None and not _is_made_up_for(seen, stored):
        yield Condition(stored["type"], stored["status"], stored["reason"], stored["message"])


def missed(seen: World, now: dt.datetime) -> list[dt.datetime]:
    """The slots that led to no session since the last one that is known of, ``MOST`` at most."""
    schedule, since = _known_until(seen)
    if schedule is None or since is None:
        return []
    sessions = [_slot_of(session, now) for session in seen.sessions]
    found: list[dt.datetime] = []
    slot = schedule.next_after(since)
    while slot is not None and slot + GRACE <= now and len(found) < MOST:
        following = schedule.next_after(slot)
        if not _is_answered(slot, following, sessions):
            found.append(slot)
        slot = following
    return found


def doubtful_until(seen: World, now: dt.datetime) -> dt.datetime | None:
    """When the next slot that has no session yet will be a missed one."""
    schedule, since = _known_until(seen)
    if schedule is None or since is None:
        return None
    slot = schedule.next_after(max(since, now - GRACE))
    return slot + GRACE if slot is not None and slot <= now else None


def _known_until(seen: World) -> tuple[Schedule | None, dt.datetime | None]:
    """The status tells the last session that was seen, also when the session is gone."""
    active = _active_since(seen.cron_job)
    if seen.typed is None or seen.faults or not active or seen.cron_job_is_foreign:
        return None, None
    last = seen.status.get("lastSessionTime")
    moments = [conditions.moment(text) for text in (active, last) if text]
    return Schedule.parse(seen.typed.schedule), max(moments).astimezone(dt.UTC)


def _slot_of(session: JsonObject, now: dt.datetime) -> dt.datetime:
    told = (session["metadata"].get("annotations") or {}).get(labels.SLOT)
    return conditions.moment(told) if told else world.created(session, now)


def _is_answered(
    slot: dt.datetime, following: dt.datetime | None, sessions: Sequence[dt.datetime]
) -> bool:
    """By any session until the next slot: a controller may live in another time zone."""
    return any(slot <= moment and (not following or moment < following) for moment in sessions)


def _is_made_up_for(seen: World, stored: JsonObject) -> bool:
    told = conditions.moment(stored["lastTransitionTime"])
    return any(
        world.phase_of(session) == "Succeeded" and world.created(session, told) >= told - GRACE
        for session in seen.sessions
    )


def _told(seen: World, found: Sequence[dt.datetime]) -> Condition:
    number = f"{MOST} or more slots" if len(found) >= MOST else f"{len(found)} slots"
    number = "1 slot" if len(found) == 1 else number
    message = (
        f"{number} of the schedule since {conditions.timestamp(found[0])} led to no session: the "
        f"cluster was away, or the Jobs of CronJob {names.cron_job(world.name_of(seen.obj))} "
        "failed. At most the last slot is made up for; tandem trigger backs up at once."
    )
    return Condition.of(c.SLOTS_MISSED, holds=True, reason=c.NO_SESSION_CREATED, message=message)


def skipped(seen: World) -> Iterator[Condition]:
    """Why the last session was skipped, as long as none has come after it."""
    last = seen.sessions[-1] if seen.sessions else None
    if last is None or world.phase_of(last) != "Skipped":
        return
    told = conditions.find(world.status_of(last).get("conditions"), c.SKIPPED) or {}
    message = f"BackupSession {world.name_of(last)} was skipped: {told.get('message') or ''}"
    reason = str(told.get("reason") or c.SKIPPED)
    yield Condition.of(c.SKIPPED, holds=True, reason=reason, message=message.strip())
