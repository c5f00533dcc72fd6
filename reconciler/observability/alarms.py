"""The metrics that alerts are made of: a moment that must not pass, or a fault that is there.

Computed from the objects in the cache, as those of ``metrics``, and without a clock: Prometheus
has one, so a rule is ``time() > tandem_backup_overdue_timestamp_seconds``. The rules are in
``deploy/monitoring``. Used by the health server of ``tandem run``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from reconciler.api import conditions as c
from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import (
    BACKUP_SESSIONS,
    REPOSITORIES,
    RESTORE_BATCHES,
    RESTORE_SESSIONS,
    JsonObject,
    Resource,
)
from reconciler.api.schedule import Schedule
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.decisions.plan import View
from reconciler.observability.metrics import Collector, Labels, Metric, Sample

SLOTS = 2
"""So many slots without a success make a backup overdue."""
_RUNS = (BACKUP_SESSIONS, RESTORE_SESSIONS, RESTORE_BATCHES)
_TOLD = (c.RETENTION_POLICY_APPLIED, c.REPOSITORY_INTEGRITY_VERIFIED)
"""Conditions of a session whose fault outlives it."""
_Place = tuple[str, str, str]


def of_alarms(view: View) -> Collector:
    """What somebody should be called for."""

    def collect() -> Iterator[Metric]:
        sessions = view.list(BACKUP_SESSIONS)
        yield _overdue(view, _successes(sessions))
        yield _deadlines(view)
        yield _failed_conditions(sessions)
        yield _integrity(view)

    return collect


# -- a backup that did not come -------------------------------------------------------------------


def _overdue(view: View, successes: dict[_Place, dt.datetime]) -> Metric:
    samples: list[Sample] = []
    for resource in INVOKERS:
        for obj in view.list(resource):
            meta = obj["metadata"]
            place = (meta.get("namespace", ""), resource.kind, meta["name"])
            since = successes.get(place) or _moment(meta.get("creationTimestamp"))
            late = _second_slot(obj, since) if since else None
            if late is not None:
                samples.append((_labels(place), late.timestamp()))
    return Metric(
        "tandem_backup_overdue_timestamp_seconds",
        "When the second slot after the newest success comes; paused backups have none.",
        "gauge",
        samples,
    )


def _successes(sessions: Sequence[JsonObject]) -> dict[_Place, dt.datetime]:
    found: dict[_Place, dt.datetime] = {}
    for session in sessions:
        created = _moment(session["metadata"].get("creationTimestamp"))
        if _phase(session) == "Succeeded" and created is not None:
            place = _place(session)
            found[place] = max(created, found.get(place, created))
    return found


def _second_slot(obj: JsonObject, since: dt.datetime) -> dt.datetime | None:
    spec = obj.get("spec") or {}
    if spec.get("paused") or obj["metadata"].get("deletionTimestamp"):
        return None
    try:
        schedule = Schedule.parse(str(spec.get("schedule") or ""))
    except ValueError:  # the condition Valid tells it
        return None
    moment: dt.datetime | None = since
    for _ in range(SLOTS):
        moment = schedule.next_after(moment) if moment else None
    return moment


# -- what does not end ----------------------------------------------------------------------------


def _deadlines(view: View) -> Metric:
    samples: list[Sample] = []
    for resource in _RUNS:
        for obj in view.list(resource):
            deadline = _moment(_status(obj).get("sessionDeadline"))
            if deadline is not None and _phase(obj) not in FINAL_SESSION_PHASES:
                samples.append((_named(resource, obj), deadline.timestamp()))
    return Metric(
        "tandem_session_deadline_timestamp_seconds",
        "When a session or restore that is not final must have ended.",
        "gauge",
        samples,
    )


# -- what a session left behind -------------------------------------------------------------------


def _failed_conditions(sessions: Sequence[JsonObject]) -> Metric:
    newest: dict[_Place, JsonObject] = {}
    for session in sessions:
        if _phase(session) in ("Succeeded", "Failed"):
            place = _place(session)
            newest[place] = max(session, newest.get(place, session), key=_age)
    samples = [
        ({**_labels(place), "type": found["type"], "reason": str(found.get("reason", ""))}, 1.0)
        for place, session in sorted(newest.items(), key=lambda item: item[0])
        for found in _status(session).get("conditions") or ()
        if _is_fault(found)
    ]
    return Metric(
        "tandem_backup_fault",
        "1 for a condition by which the newest session that ran tells of a lasting fault.",
        "gauge",
        samples,
    )


def _is_fault(condition: JsonObject) -> bool:
    return condition["type"] in _TOLD and condition.get("status") == "False"


def _integrity(view: View) -> Metric:
    samples: list[Sample] = [
        (_named(REPOSITORIES, obj), 1.0 if _status(obj)["integrity"] else 0.0)
        for obj in view.list(REPOSITORIES)
        if isinstance(_status(obj).get("integrity"), bool)
    ]
    return Metric(
        "tandem_repository_integrity",
        "1 if the newest check of the repository found nothing wrong, else 0.",
        "gauge",
        samples,
    )


# -- reading --------------------------------------------------------------------------------------


def _place(session: JsonObject) -> _Place:
    invoker = (session.get("spec") or {}).get("invoker") or {}
    namespace = session["metadata"].get("namespace", "")
    return namespace, str(invoker.get("kind", "")), str(invoker.get("name", ""))


def _labels(place: _Place) -> Labels:
    namespace, kind, name = place
    return {"namespace": namespace, "kind": kind, "name": name}


def _named(resource: Resource, obj: JsonObject) -> Labels:
    meta = obj["metadata"]
    return _labels((meta.get("namespace", ""), resource.kind, meta["name"]))


def _status(obj: JsonObject) -> JsonObject:
    return obj.get("status") or {}


def _phase(obj: JsonObject) -> str:
    return str(_status(obj).get("phase") or "")


def _age(session: JsonObject) -> tuple[str, str]:
    meta = session["metadata"]
    return str(meta.get("creationTimestamp", "")), str(meta["name"])


def _moment(text: object) -> dt.datetime | None:
    """An RFC 3339 time in UTC; None for anything else."""
    try:
        return dt.datetime.fromisoformat(str(text)).astimezone(dt.UTC)
    except ValueError:
        return None
