"""The retry of a failed session (``spec.retryConfig``): announced, made, or dropped.

Called by the session decision. The write that says Failed announces the retry in
``status.nextRetry``; without that nothing follows, so a retryConfig that comes later does not dig
out old failures. The retry is a session of its own, ``<first of the chain>-retry-<n>``: the name is
the lock, and after a crash between its creation and the status the next look finds it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import attrs

from reconciler.api import retries
from reconciler.api.durations import parse_duration
from reconciler.api.invoker import Invoker
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.api.schedule import Schedule
from reconciler.decisions import conditions, world
from reconciler.decisions.plan import Create, EventIntent, Plan, Status, View
from reconciler.manifests import labels, names, sessions
from statemachines import retry as machine

SOURCE = "BackupSession Controller"


@attrs.frozen
class Case:
    """A session that has failed, and its invoker as far as it is there and can be read."""

    obj: JsonObject
    invoker: JsonObject | None
    typed: Invoker | None
    valid: bool
    """The invoker's spec has no fault."""


def announced(case: Case, now: dt.datetime) -> str:
    """What ``status.nextRetry`` says of a session that fails now; "" when none is to follow."""
    if case.typed is None or not case.valid or not retries.left(case.obj, case.typed):
        return ""
    if _is_unwanted(case):
        return ""
    moment = now + _delay(case.typed)
    slot = _slot_after(case.typed, now)
    return "" if slot is not None and moment >= slot else conditions.timestamp(moment)


def follow(case: Case, view: View, now: dt.datetime) -> Plan:
    """What becomes of an announced retry."""
    if not world.awaits_retry(case.obj):
        return Plan()
    phase = machine.TABLE.advance(machine.WAITING, _facts(case, view, now)).state
    if phase == machine.WAITING:
        return Plan(wake_at=min(_looks(case, now), default=None))
    status = dict(world.status_of(case.obj))
    if phase == machine.DROPPED:
        del status["nextRetry"]
        return Plan((_status(case.obj, status),))
    status["retried"] = True
    events = tuple(_told(case, view))
    return Plan((*_session(case, view), _status(case.obj, status)), events)


# -- observing ------------------------------------------------------------------------------------


def _facts(case: Case, view: View, now: dt.datetime) -> machine.Observation:
    slot = _slot(case)
    typed = case.typed
    return machine.Observation(
        exists=_find(case, view) is not None,
        delay_over=now >= _moment(case.obj),
        held_back=typed is None or typed.paused or not case.valid,
        unwanted=_is_unwanted(case),
        slot_has_come=slot is not None and now >= slot,
        overtaken=_is_overtaken(case.obj, view),
    )


def _moment(session: JsonObject) -> dt.datetime:
    return conditions.moment(world.status_of(session)["nextRetry"])


def _looks(case: Case, now: dt.datetime) -> Iterator[dt.datetime]:
    for moment in (_moment(case.obj), _slot(case)):
        if moment is not None and moment > now:
            yield moment


def _is_unwanted(case: Case) -> bool:
    """An invoker that cannot be read may be mended before the next slot."""
    if case.invoker is None or world.terminating(case.invoker):
        return True
    return case.typed is not None and case.typed.retry_config is None


def _slot(case: Case) -> dt.datetime | None:
    """The first slot after the session's end."""
    if case.typed is None or not case.valid:
        return None
    return _slot_after(case.typed, _ended(case.obj))


def _slot_after(typed: Invoker, moment: dt.datetime) -> dt.datetime | None:
    return Schedule.parse(typed.schedule).next_after(moment.astimezone(dt.UTC))


def _ended(session: JsonObject) -> dt.datetime:
    announced_for = _moment(session)
    try:
        duration = parse_duration(world.status_of(session).get("sessionDuration") or "")
    except ValueError:
        return announced_for  # somebody has changed the status by hand
    return world.created(session, announced_for) + duration


def _delay(typed: Invoker) -> dt.timedelta:
    delay = typed.retry_config.delay if typed.retry_config else ""
    return parse_duration(delay) if delay else dt.timedelta(0)


def _is_overtaken(session: JsonObject, view: View) -> bool:
    kind, name = world.session_invoker(session)
    others = world.sessions_of(view, session["metadata"]["namespace"], kind, name)
    return any(
        world.age_key(other) > world.age_key(session) and world.phase_of(other) != "Skipped"
        for other in others
    )


# -- acting ---------------------------------------------------------------------------------------


def _name(session: JsonObject) -> str:
    first, number = world.chain_of(session)
    return names.retry_session(first, number + 1)


def _find(case: Case, view: View) -> JsonObject | None:
    return view.get(BACKUP_SESSIONS, case.obj["metadata"]["namespace"], _name(case.obj))


def _session(case: Case, view: View) -> Iterator[Create]:
    if case.invoker is None or case.typed is None or _find(case, view) is not None:
        return
    first, number = world.chain_of(case.obj)
    annotations = {labels.RETRY_OF: first, labels.RETRY: str(number + 1)}
    slot = (case.obj["metadata"].get("annotations") or {}).get(labels.SLOT)
    if slot:
        annotations[labels.SLOT] = slot
    left = max(0, retries.left(case.obj, case.typed) - 1)
    obj = sessions.build(case.invoker, _name(case.obj), annotations=annotations, retry_left=left)
    yield Create(BACKUP_SESSIONS, obj)


def _told(case: Case, view: View) -> Iterator[EventIntent]:
    if _find(case, view) is None:
        message = f"BackupSession {_name(case.obj)} tries it again."
        yield EventIntent(case.obj, "BackupSession Retried", message, source=SOURCE)


def _status(obj: JsonObject, status: JsonObject) -> Status:
    meta = obj["metadata"]
    return Status(BACKUP_SESSIONS, meta["namespace"], meta["name"], meta["resourceVersion"], status)
