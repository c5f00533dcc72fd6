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
from reconciler.decisions.owed_hooks import Owed
from reconciler.decisions.plan import EventIntent, Plan, Settings, Status, View, Write
from reconciler.decisions.progress import Session, Step, Words, Work
from reconciler.decisions.skipping import Reason
from reconciler.manifests.hook_jobs import Owner
from statemachines import session as machine

SOURCE = "BackupSession Controller"
STATUS_UPDATER = "Status Updater"


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
    outcome = _outcome(seen, pre, [step.entry for step in steps])
    facts = _facts(seen, outcome, allowed=allowed)
    phase = machine.TABLE.advance(_known(seen), facts).state
    status = _status(seen, phase, outcome, steps, now)
    writes: list[Write] = [
        *adopting.adopted(seen.obj, seen.invoker, seen.typed),
        *(write for step in steps for write in step.writes),
        *pre.writes,
        *outcome.post.writes,
    ]
    if status != seen.status:
        writes.append(_status_write(seen.obj, status))
    events = (*_lost_hosts(seen, steps), *_events(seen, phase, outcome))
    looks = (*(m for step in steps for m in step.look_at), *pre.look_at, *outcome.post.look_at)
    return Plan(tuple(writes), events, _wake(seen, phase, looks, now))


@attrs.frozen
class _Outcome:
    """The targets' next entries, and the hooks around them."""

    entries: list[JsonObject]
    pre: hooks.Found
    post: hooks.Found

    @property
    def hook_failures(self) -> list[str]:
        """The messages of the hooks that have failed just now or before."""
        told = [f.condition.message for f in (self.pre, self.post) if f.condition]
        failed = [f.terms.condition for f in (self.pre, self.post) if f.failed and not f.condition]
        return [*told, *(f"See condition {name}." for name in failed)]


def _outcome(seen: World, pre: hooks.Found, entries: list[JsonObject]) -> _Outcome:
    post = seen.hooks.post(
        pre,
        all_targets_final=_all_final(entries),
        some_target_failed=any(entry.get("phase") == "Failed" for entry in entries),
        stored=_all_final(seen.entries),
    )
    return _Outcome(entries, pre, post)


def _all_final(entries: Sequence[JsonObject]) -> bool:
    return bool(entries) and all(map(progress.is_final, entries))


def _known(seen: World) -> str:
    phase = world.phase_of(seen.obj)
    return phase if phase in (machine.PENDING, machine.RUNNING) else machine.PENDING


def _steps(
    seen: World,
    view: View,
    now: dt.datetime,
    settings: Settings,
    *,
    allowed: bool,
    pre: hooks.Found,
) -> list[Step]:
    """Each target's step in order: in a sequence, one's turn depends on those before it."""
    session = _session(seen, view, now, settings, allowed=allowed, pre=pre)
    sequential = seen.typed is not None and seen.typed.execution_order == "Sequential"
    steps: list[Step] = []
    for entry in _entries(seen):
        turn = not sequential or all(progress.is_final(step.entry) for step in steps)
        steps.append(progress.advance(session, entry, turn=turn))
    return steps


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
        refused=_refusal(seen, pre),
    )
    return attrs.evolve(session, owed=_owed(seen, session))


def _refusal(seen: World, pre: hooks.Found) -> tuple[str, str] | tuple[()]:
    """Why no target is begun any more."""
    if not pre.failed:
        return ()
    stored = conditions.find(seen.status.get("conditions"), pre.terms.condition)
    message = pre.condition.message if pre.condition else (stored or {}).get("message", "")
    return hooks.pre_failed(pre.terms), message


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


def _facts(seen: World, outcome: _Outcome, *, allowed: bool) -> machine.Observation:
    return machine.Observation(
        must_be_skipped=seen.skip is not None,
        may_use_repository=allowed,
        some_target_started=seen.has_begun,
        all_targets_final=_all_final(outcome.entries),
        some_target_failed=any(entry.get("phase") == "Failed" for entry in outcome.entries),
        hooks_settled=not outcome.pre.pending and not outcome.post.pending,
        some_hook_failed=outcome.pre.failed or outcome.post.failed,
    )


def _wake(
    seen: World, phase: str, looks: Sequence[dt.datetime], now: dt.datetime
) -> dt.datetime | None:
    if phase not in (machine.PENDING, machine.RUNNING):
        return None
    return min((moment for moment in (seen.deadline, *looks) if moment > now), default=None)


# -- telling --------------------------------------------------------------------------------------


def _status_write(obj: JsonObject, status: JsonObject) -> Status:
    meta = obj["metadata"]
    return Status(BACKUP_SESSIONS, meta["namespace"], meta["name"], meta["resourceVersion"], status)


def _status(
    seen: World, phase: str, outcome: _Outcome, steps: Sequence[Step], now: dt.datetime
) -> JsonObject:
    entries = outcome.entries
    stored = seen.status.get("conditions")
    for what, why in (lost for step in steps for lost in step.lost_hooks):
        stored = hooks.with_lost(stored, what, why, now)
    of_hooks = [found.condition for found in (outcome.pre, outcome.post) if found.condition]
    own = [*_conditions(seen, phase, entries), *of_hooks]
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
    if phase in (machine.PENDING, machine.RUNNING):
        return ""
    return limits.duration(seen.obj, now)


def _conditions(seen: World, phase: str, entries: Sequence[JsonObject]) -> Iterator[Condition]:
    if phase == machine.SKIPPED and seen.skip is not None:
        yield Condition.of(
            c.SKIPPED, holds=True, reason=seen.skip.reason, message=seen.skip.message
        )
        return
    late = [entry for entry in entries if entry.get("reason") == progress.DEADLINE_EXCEEDED]
    if late and phase not in (machine.PENDING, machine.RUNNING):
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


def _lost_hosts(seen: World, steps: Sequence[Step]) -> Iterator[EventIntent]:
    for step in steps:
        for stat in step.given_up:
            ref = step.entry["ref"]
            what = f"host {stat['hostname']} of {ref.get('kind')} {ref.get('name')}"
            message = f"Backup of {what} failed: {stat['error']}"
            yield EventIntent(seen.obj, "Host Backup Failed", message, "Warning", STATUS_UPDATER)


def _events(seen: World, phase: str, outcome: _Outcome) -> Iterator[EventIntent]:
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
        bad = [entry for entry in outcome.entries if entry.get("phase") == "Failed"]
        told = [f"{e['ref']['kind']}/{e['ref']['name']}: {e['message']}" for e in bad]
        what = "; ".join([*told, *outcome.hook_failures])
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
