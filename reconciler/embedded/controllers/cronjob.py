"""CronJob: one Job per slot of a schedule (the kube controller's rule, version 2).

Run by the embedded cluster for batch/v1. A Job's name is ``<cronjob>-<minutes since the epoch>``
of its slot: the name is the lock, so a slot never starts twice. Of several missed slots only the
latest is started, if ``startingDeadlineSeconds`` allows it.
"""

from __future__ import annotations

import copy
import datetime as dt
import zoneinfo

import attrs

from reconciler.api.resources import CRON_JOBS, JOBS, JsonObject, Key
from reconciler.api.schedule import Schedule
from reconciler.decisions.plan import Create, Delete, EventIntent, Plan, Settings, View, Write
from reconciler.embedded.controllers import job as jobs
from reconciler.embedded.controllers import ownership, pods, statuses

SOURCE = "cronjob-controller"


@attrs.frozen
class Slots:
    """A schedule in its time zone, asked and answering in UTC.

    Moments of one local zone must not be compared or added to: Python does both by the wall clock,
    which repeats an hour in autumn.
    """

    schedule: Schedule
    zone: dt.tzinfo

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        found = self.schedule.next_after(moment.astimezone(self.zone))
        return None if found is None else found.astimezone(dt.UTC)


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Jobs, history and status of one CronJob."""
    del settings
    owner = view.get(CRON_JOBS, key.namespace, key.name)
    if owner is None or ownership.deleting(owner):
        return Plan()
    children = ownership.owned(view, JOBS, owner)
    running = [child for child in children if _is_running(child)]
    cleanup = _history(owner, children)
    try:
        slots = Slots(Schedule.parse(owner["spec"]["schedule"]), _zone(owner))
    except ValueError as error:
        return _invalid(owner, children, running, cleanup, error)
    suspended = owner["spec"].get("suspend", False)
    slot = None if suspended else _latest_missed(owner, slots, now)
    start, events = _start(owner, running, slot, view)
    status = _status(owner, children, running, slot if start is not None else None)
    return Plan(
        writes=(*cleanup, *(start or ()), *statuses.write(CRON_JOBS, owner, status)),
        events=events,
        wake_at=None if suspended else _next(slots, slot or _since(owner), now),
    )


def job_name(owner: JsonObject, slot: dt.datetime) -> str:
    """The name of a slot's Job: minutes since the epoch, as in Kubernetes from 1.21."""
    return f"{owner['metadata']['name']}-{int(slot.timestamp()) // 60}"


def _zone(owner: JsonObject) -> dt.tzinfo:
    """The CronJob's time zone (UTC without one). Raises ValueError for an unknown name."""
    name = owner["spec"].get("timeZone") or "UTC"
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"unknown time zone {name}") from None


def _is_running(job: JsonObject) -> bool:
    return jobs.outcome(job) is None


def _since(owner: JsonObject) -> dt.datetime:
    """The last slot that was started, else the CronJob's creation."""
    last = owner.get("status", {}).get("lastScheduleTime")
    return pods.moment(last or owner["metadata"]["creationTimestamp"])


def _latest_missed(owner: JsonObject, slots: Slots, now: dt.datetime) -> dt.datetime | None:
    """The latest slot after the last one started (or the CronJob's creation) that is due."""
    slot = latest_slot(slots, _since(owner), now)
    deadline = owner["spec"].get("startingDeadlineSeconds")
    if slot is None or deadline is None or slot > now - dt.timedelta(seconds=deadline):
        return slot
    return None


def latest_slot(slots: Slots, since: dt.datetime, now: dt.datetime) -> dt.datetime | None:
    """The last slot in (``since``, ``now``]; all in UTC.

    A calendar is searched from the end, so that long gaps cost little; an interval (``@every``)
    counts from ``since``.
    """
    if slots.schedule.calendar is None:
        return _latest_interval(slots, since, now)
    window = dt.timedelta(minutes=2)
    while True:
        start = max(since, now - window)
        slot = slots.after(start)
        if slot is not None and slot <= now:
            return _last_until(slots, slot, now)
        if start == since:
            return None
        window *= 2


def _latest_interval(slots: Slots, since: dt.datetime, now: dt.datetime) -> dt.datetime | None:
    first = slots.after(since)
    if first is None or first > now:
        return None
    step = first - since.replace(microsecond=0)
    return first + (now - first) // step * step


def _next(slots: Slots, since: dt.datetime, now: dt.datetime) -> dt.datetime | None:
    """When the CronJob must be looked at again: its next slot."""
    if slots.schedule.calendar is None:
        return slots.after(_latest_interval(slots, since, now) or since)
    return slots.after(now)


def _last_until(slots: Slots, slot: dt.datetime, now: dt.datetime) -> dt.datetime:
    following = slots.after(slot)
    while following is not None and following <= now:
        slot, following = following, slots.after(following)
    return slot


def _start(
    owner: JsonObject, running: list[JsonObject], slot: dt.datetime | None, view: View
) -> tuple[tuple[Write, ...] | None, tuple[EventIntent, ...]]:
    """What starts the slot's Job; None when the slot must wait or there is none."""
    if slot is None:
        return None, ()
    policy = owner["spec"].get("concurrencyPolicy", "Allow")
    name = job_name(owner, slot)
    place = owner["metadata"].get("namespace", "")
    # The Job may be there though the status does not say so: the crash window between two writes.
    present = view.get(JOBS, place, name)
    if present is not None and _is_ours(present, owner):
        return (), ()
    if policy == "Forbid" and running:
        message = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        return None, (EventIntent(owner, "JobAlreadyActive", message, source=SOURCE),)
    replaced = running if policy == "Replace" else []
    started = EventIntent(owner, "SuccessfulCreate", f"Created job {name}", source=SOURCE)
    removals = [_remove(job) for job in replaced]
    return (*removals, Create(JOBS, _job(owner, name, slot))), (started,)


def _is_ours(job: JsonObject, owner: JsonObject) -> bool:
    reference = ownership.controller_of(job)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def _remove(job: JsonObject) -> Delete:
    meta = job["metadata"]
    return Delete(JOBS, meta.get("namespace", ""), meta["name"], meta["uid"])


def _job(owner: JsonObject, name: str, slot: dt.datetime) -> JsonObject:
    template = owner["spec"]["jobTemplate"]
    meta = template.get("metadata") or {}
    scheduled = {"batch.kubernetes.io/cronjob-scheduled-timestamp": pods.timestamp(slot)}
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": name,
            "namespace": owner["metadata"].get("namespace", ""),
            **({"labels": dict(meta["labels"])} if meta.get("labels") else {}),
            "annotations": {**(meta.get("annotations") or {}), **scheduled},
            "ownerReferences": [ownership.controller_reference(CRON_JOBS, owner)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def _history(owner: JsonObject, children: list[JsonObject]) -> tuple[Write, ...]:
    spec = owner["spec"]
    limits = {
        "Complete": spec.get("successfulJobsHistoryLimit", 3),
        "Failed": spec.get("failedJobsHistoryLimit", 1),
    }
    writes: list[Write] = []
    for kind, limit in limits.items():
        done = [child for child in children if jobs.outcome(child) == kind]
        done.sort(key=lambda child: (child["status"].get("startTime", ""), Key.of(child)))
        writes += [
            _remove(child)
            for child in done[: max(0, len(done) - limit)]
            if not ownership.deleting(child)
        ]
    return tuple(writes)


def _status(
    owner: JsonObject,
    children: list[JsonObject],
    running: list[JsonObject],
    slot: dt.datetime | None,
) -> JsonObject:
    before = owner.get("status", {})
    last = pods.timestamp(slot) if slot else before.get("lastScheduleTime")
    ends = [
        child["status"]["completionTime"]
        for child in children
        if jobs.outcome(child) == "Complete" and child["status"].get("completionTime")
    ]
    success = max([*ends, before.get("lastSuccessfulTime") or ""])
    return {
        **({"active": [_reference(child) for child in running]} if running else {}),
        **({"lastScheduleTime": last} if last else {}),
        **({"lastSuccessfulTime": success} if success else {}),
    }


def _reference(job: JsonObject) -> JsonObject:
    meta = job["metadata"]
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
    }


def _invalid(
    owner: JsonObject,
    children: list[JsonObject],
    running: list[JsonObject],
    cleanup: tuple[Write, ...],
    error: ValueError,
) -> Plan:
    status = _status(owner, children, running, None)
    event = EventIntent(owner, "InvalidSchedule", str(error), "Warning", SOURCE)
    return Plan(writes=(*cleanup, *statuses.write(CRON_JOBS, owner, status)), events=(event,))
