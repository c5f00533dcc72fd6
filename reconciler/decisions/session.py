"""The decision for a BackupSession: may it run, how far are its targets, how did it end.

It reads the world, lets each target advance (``progress``) and folds them by the machine
``statemachines.session``. All of it is one status write under the session's resourceVersion: a
report that comes in between makes the write fail, and the next look finds the report (invariants
2 and 6).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import attrs

from reconciler.api import conditions as c
from reconciler.api import retries
from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject, Key
from reconciler.decisions import (
    adopting,
    backup_work,
    conditions,
    course,
    hooks,
    limits,
    progress,
    repository,
    restores,
    retry,
    runs,
    skipping,
    snapshot_work,
    targets,
    world,
)
from reconciler.decisions.conditions import Condition
from reconciler.decisions.course import Course
from reconciler.decisions.owed_hooks import Owed
from reconciler.decisions.plan import EventIntent, Plan, Settings, Status, View, Write
from reconciler.decisions.progress import Session, Step, Words, Work
from reconciler.decisions.skipping import Reason
from reconciler.manifests.hook_jobs import Owner
from statemachines import session as machine

SOURCE = "BackupSession Controller"


@attrs.frozen
class World:
    """Everything that the decision knows, read once."""

    obj: JsonObject
    invoker: JsonObject | None
    typed: Invoker | None
    valid: bool
    """The invoker can be read, and nothing in it is wrong."""
    repository: JsonObject | None
    typed_repository: Repository | None
    skip: Reason | None
    restore: JsonObject | None
    """The restore into one of its targets that has begun, and is waited for."""
    deadline: dt.datetime
    hooks: hooks.Whole

    @property
    def status(self) -> JsonObject:
        return world.status_of(self.obj)

    @property
    def entries(self) -> list[JsonObject]:
        return list(self.status.get("targets") or ())

    @property
    def has_started(self) -> bool:
        """Whether a target has left Pending."""
        return any(entry.get("phase", "Pending") != "Pending" for entry in self.entries)

    @property
    def has_begun(self) -> bool:
        """Whether anything was started, also a hook: then nothing skips the session any more."""
        return self.hooks.begun


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    found = view.get(BACKUP_SESSIONS, key.namespace, key.name)
    if found is None or world.terminating(found):
        return Plan()
    seen = observe(found, view, now, settings)
    if world.is_final(seen.obj):
        return _finished(seen, view, now)
    return _advance(seen, view, now, settings)


# -- observing ------------------------------------------------------------------------------------


def observe(obj: JsonObject, view: View, now: dt.datetime, settings: Settings) -> World:
    namespace = obj["metadata"]["namespace"]
    kind, name = world.session_invoker(obj)
    invoker = world.invoker(view, namespace, kind, name)
    typed, faults = world.read_invoker(invoker) if invoker else (None, ())
    named = world.repository_name(invoker) if invoker else ""
    found = world.repository(view, namespace, named) if typed and named else None
    typed_repository = world.read_repository(found)[0] if found else None
    deadline = limits.deadline(obj, typed.time_out if typed else "", now, settings)
    return World(
        obj=obj,
        invoker=invoker,
        typed=typed,
        valid=typed is not None and not faults,
        repository=found,
        typed_repository=typed_repository,
        skip=skipping.reason(view, obj),
        restore=restores.before_session(view, invoker) if invoker else None,
        deadline=deadline,
        hooks=_hooks(obj, typed, view, deadline, now, settings),
    )


def _hooks(  # noqa: PLR0917 -- private, and called once
    obj: JsonObject,
    typed: Invoker | None,
    view: View,
    deadline: dt.datetime,
    now: dt.datetime,
    settings: Settings,
) -> hooks.Whole:
    """The hooks around the session, and whether anything of it has begun."""
    retry_left = typed is not None and retries.left(obj, typed) > 0
    whole = hooks.Whole(
        owner=_owner(obj, typed),
        wanted=hooks.of_backup(typed.hooks if typed else None, retry_left=retry_left),
        view=view,
        deadline=deadline,
        now=now,
        settings=settings,
    )
    entries = world.status_of(obj).get("targets") or ()
    started = any(entry.get("phase", "Pending") != "Pending" for entry in entries)
    running = world.phase_of(obj) == machine.RUNNING
    return attrs.evolve(whole, begun=started or running or whole.pre_was_started)


def _owner(obj: JsonObject, typed: Invoker | None) -> Owner:
    kind, name = world.session_invoker(obj)
    return Owner(obj, kind, name, typed.runtime_settings if typed else None)


def _waits_for(seen: World) -> str:
    """What keeps a session from its work, as a sentence; "" when nothing does."""
    name = world.name_of(seen.obj)
    if seen.typed is not None and seen.typed.takes_snapshots:
        return ""  # the cluster's snapshots need no lock
    if seen.repository is None:
        wanted = seen.typed.repository if seen.typed else ""
        return f"Repository {wanted} does not exist."
    status = world.status_of(seen.repository)
    if name in (status.get("activeSessions") or ()):
        return ""
    if seen.restore is not None:
        what = f"{seen.restore['kind']} {world.name_of(seen.restore)}"
        return f"{what} restores one of the targets; the backup waits until it is finished."
    return world.repository_wait(seen.repository, "session")


# -- advancing ------------------------------------------------------------------------------------


def _advance(seen: World, view: View, now: dt.datetime, settings: Settings) -> Plan:
    allowed = seen.has_begun or (seen.skip is None and not _waits_for(seen))
    skipped = seen.skip is not None and not seen.has_begun
    pre = seen.hooks.pre(some_target_started=seen.has_started) if allowed else hooks.NOTHING
    steps = [] if skipped else _steps(seen, view, now, settings, allowed=allowed, pre=pre)
    found = course.of(seen.hooks, pre, steps, seen.entries)
    facts = _facts(seen, found, allowed=allowed)
    phase = machine.TABLE.advance(course.known(seen.obj), facts).state
    status = _status(seen, phase, found, now)
    writes: list[Write] = [*adopting.adopted(seen.obj, seen.invoker, seen.typed), *found.writes]
    if status != seen.status:
        writes.append(_status_write(seen.obj, status))
    events = (*found.lost_hosts(seen.obj, "Backup"), *_events(seen, phase, found))
    return Plan(tuple(writes), events, found.wake(phase, seen.deadline, now))


def _steps(
    seen: World,
    view: View,
    now: dt.datetime,
    settings: Settings,
    *,
    allowed: bool,
    pre: hooks.Found,
) -> list[Step]:
    session = _session(seen, view, now, settings, allowed=allowed, pre=pre)
    sequential = seen.typed is not None and seen.typed.execution_order == "Sequential"
    return course.steps(session, _entries(seen), sequential=sequential)


def _session(
    seen: World,
    view: View,
    now: dt.datetime,
    settings: Settings,
    *,
    allowed: bool,
    pre: hooks.Found,
) -> Session:
    members: tuple[targets.Target, ...] = ()
    if seen.typed is not None and seen.invoker is not None:
        members = tuple(
            targets.read(view, seen.invoker, seen.typed, seen.typed_repository, settings.image)
        )
    work, words = _work(seen)
    waits_for = "The batch's preBackup hook has not ended." if pre.pending else ""
    session = Session(
        obj=seen.obj,
        work=work,
        words=words,
        targets=members,
        started=allowed and not pre.pending and not pre.failed,
        waits_for=waits_for if allowed else _waits_for(seen),
        deadline=seen.deadline,
        now=now,
        settings=settings,
        view=view,
        refused=course.refusal(seen.status, pre),
    )
    return attrs.evolve(session, owed=_owed(seen, session))


def _owed(seen: World, session: Session) -> Owed | None:
    """What is needed to run what dead runners owe; None when the hooks are not known any more."""
    if seen.typed is None:
        return None
    work = session.work

    def beside(target: targets.Target, host: str) -> JsonObject | None:
        if isinstance(work, backup_work.BackupWork):
            return work.pod_beside(session, target, host)
        return None

    return Owed(
        owner=seen.hooks.owner,
        invoker=seen.typed,
        retry_left=seen.hooks.wanted.retry_left,
        beside=beside,
        view=seen.hooks.view,
        deadline=seen.deadline,
        now=seen.hooks.now,
        settings=seen.hooks.settings,
        in_jobs=seen.typed.takes_snapshots,
    )


def _work(seen: World) -> tuple[Work | None, Words]:
    if seen.typed is None:
        return None, backup_work.WORDS
    if seen.typed.takes_snapshots:
        return snapshot_work.SnapshotWork(seen.typed), snapshot_work.WORDS
    return backup_work.BackupWork(seen.typed, seen.typed_repository), backup_work.WORDS


def _entries(seen: World) -> list[JsonObject]:
    """The stored entries once the session has started; until then those of the spec as it is."""
    if seen.has_begun or seen.typed is None:
        return seen.entries
    return [
        {"ref": encode(member.target.ref), "phase": "Pending"}
        for member in seen.typed.members
        if member.target is not None
    ]


def _facts(seen: World, found: Course, *, allowed: bool) -> machine.Observation:
    return machine.Observation(
        must_be_skipped=seen.skip is not None,
        may_use_repository=allowed,
        some_target_started=seen.has_begun,
        all_targets_final=found.all_final,
        some_target_failed=found.some_failed,
        hooks_settled=found.hooks_settled,
        some_hook_failed=found.some_hook_failed,
    )


# -- telling --------------------------------------------------------------------------------------


def _status_write(obj: JsonObject, status: JsonObject) -> Status:
    meta = obj["metadata"]
    return Status(BACKUP_SESSIONS, meta["namespace"], meta["name"], meta["resourceVersion"], status)


def _status(seen: World, phase: str, reached: Course, now: dt.datetime) -> JsonObject:
    entries = reached.entries
    stored = seen.status.get("conditions")
    for what, why in (lost for step in reached.steps for lost in step.lost_hooks):
        stored = hooks.with_lost(stored, what, why, now)
    own = [*_conditions(seen, phase, entries), *reached.hook_conditions]
    types = {item.type for item in own}
    foreign = [item["type"] for item in stored or () if item["type"] not in types]
    failed = phase == machine.FAILED
    found = {
        **seen.status,
        "phase": phase,
        "repository": _used(seen, phase),
        "sessionDeadline": conditions.timestamp(seen.deadline),
        "sessionDuration": _duration(seen, phase, now),
        "conditions": conditions.merged(stored, own, now, foreign=foreign),
        "targets": entries,
        "nextRetry": retry.announced(_case(seen), now) if failed else "",
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


def _used(seen: World, phase: str) -> str:
    """Fixed when it starts: what it writes is there, and is maintained there."""
    known = str(seen.status.get("repository") or "")
    begins = phase == machine.RUNNING and seen.repository is not None
    return known or (world.name_of(seen.repository) if begins and seen.repository else "")


def _duration(seen: World, phase: str, now: dt.datetime) -> str:
    if phase in course.UNFINISHED:
        return ""
    return limits.duration(seen.obj, now)


def _conditions(seen: World, phase: str, entries: Sequence[JsonObject]) -> Iterator[Condition]:
    if phase == machine.SKIPPED and seen.skip is not None:
        yield Condition.of(
            c.SKIPPED, holds=True, reason=seen.skip.reason, message=seen.skip.message
        )
        return
    late = [entry for entry in entries if entry.get("reason") == progress.DEADLINE_EXCEEDED]
    if late and phase not in course.UNFINISHED:
        names = ", ".join(f"{entry['ref']['kind']} {entry['ref']['name']}" for entry in late)
        message = f"Not finished when the deadline passed: {names}."
        yield Condition.of(
            c.DEADLINE_EXCEEDED, holds=True, reason=c.DEADLINE_EXCEEDED, message=message
        )
    if phase == machine.RUNNING:
        message = "The repository is initialised."
        yield Condition.of(
            c.BACKEND_REPOSITORY_INITIALIZED,
            holds=True,
            reason=c.BACKEND_REPOSITORY_FOUND,
            message=message,
        )


def _events(seen: World, phase: str, found: Course) -> Iterator[EventIntent]:
    """One a change of phase. Stash writes one a reconcile (spec 10.18)."""
    if phase == world.phase_of(seen.obj):
        return
    if phase == machine.RUNNING:
        message = "The targets are being backed up."
        yield EventIntent(seen.obj, "BackupSession Running", message, source=SOURCE)
    elif phase == machine.SUCCEEDED:
        message = "Every target was backed up."
        yield EventIntent(seen.obj, "BackupSession Succeeded", message, source=SOURCE)
    elif phase == machine.FAILED:
        what = "; ".join(found.failures)
        yield EventIntent(seen.obj, "BackupSession Failed", what, "Warning", SOURCE)
    else:
        message = seen.skip.message if seen.skip else ""
        yield EventIntent(seen.obj, "BackupSession Skipped", message, "Warning", SOURCE)


# -- after the end --------------------------------------------------------------------------------


def _finished(seen: World, view: View, now: dt.datetime) -> Plan:
    """The phase never changes; only maintenance that could not report itself is reported."""
    found = list(_maintenance(seen, view))
    if not found:
        return retry.follow(_case(seen), view, now)
    stored = seen.status.get("conditions") or []
    kept = [item["type"] for item in stored]
    merged = conditions.merged(stored, found, now, foreign=kept)
    return Plan((_status_write(seen.obj, {**seen.status, "conditions": merged}),))


def _case(seen: World) -> retry.Case:
    return retry.Case(seen.obj, seen.invoker, seen.typed, valid=seen.valid)


def _maintenance(seen: World, view: View) -> Iterator[Condition]:
    if seen.repository is None or not world.has_good_host(seen.obj):
        return
    job = repository.maintenance_job(view, seen.repository, seen.obj)
    if job is None or not runs.finished(job):
        return
    wanted = (
        (c.RETENTION_POLICY_APPLIED, c.FAILED_TO_APPLY_RETENTION_POLICY),
        (c.REPOSITORY_INTEGRITY_VERIFIED, c.FAILED_TO_VERIFY_REPOSITORY_INTEGRITY),
    )
    for type_, reason in wanted:
        if conditions.find(seen.status.get("conditions"), type_) is None:
            why = f"Job {world.name_of(job)} ended without a report; see its pods' logs."
            yield Condition.of(type_, holds=False, reason=reason, message=why)
