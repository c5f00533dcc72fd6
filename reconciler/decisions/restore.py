"""The decision for a RestoreSession or RestoreBatch: may it run, how far is it, how did it end.

It reads the world, lets each target advance (``progress``, as a backup session does) and folds
them by the machine ``statemachines.restore``. All of it is one status write under the object's
resourceVersion: a report that comes in between makes the write fail, and the next look finds it.
A restore starts when every target is there and the Repository lists it; so one that waits for its
target keeps nothing else from the repository.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import attrs

from reconciler.api.decoding import encode
from reconciler.api.repository import Repository
from reconciler.api.resources import SECRETS, WORKLOADS, JsonObject, Key, Resource
from reconciler.api.restore_invoker import RestoreInvoker, entries, with_entries
from reconciler.decisions import (
    conditions,
    course,
    hooks,
    limits,
    progress,
    restore_conditions,
    restore_snapshot_work,
    restore_targets,
    restore_work,
    restores,
    workload,
    world,
)
from reconciler.decisions.course import Course
from reconciler.decisions.plan import (
    Decide,
    EventIntent,
    Finalizers,
    Plan,
    Settings,
    Status,
    View,
    Write,
)
from reconciler.decisions.progress import Session, Step
from reconciler.decisions.targets import Target
from reconciler.errors import Fault
from reconciler.manifests import init_container, names
from reconciler.manifests.hook_jobs import Owner
from statemachines import restore as machine

_PRE_PENDING = "The restore's preRestore hook has not ended."


@attrs.frozen
class World:
    """Everything that the decision knows, read once."""

    resource: Resource
    obj: JsonObject
    typed: RestoreInvoker | None
    faults: tuple[Fault, ...]
    repository: JsonObject | None
    typed_repository: Repository | None
    secret_problem: str
    targets: tuple[Target, ...]
    rival: JsonObject | None
    """The unfinished restore into one of its targets because of which it must not run."""
    going: JsonObject | None
    """A restore into one of its targets that is being deleted: it is waited for."""
    session: JsonObject | None
    """The running session that backs up one of its targets."""
    deadline: dt.datetime
    hooks: hooks.Whole

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def status(self) -> JsonObject:
        return world.status_of(self.obj)

    @property
    def has_started(self) -> bool:
        """Whether a target has left Pending."""
        return _some_started(self.obj)

    @property
    def has_begun(self) -> bool:
        """Whether anything was started, also a hook: then nothing skips the restore any more."""
        return self.hooks.begun

    @property
    def own_wait(self) -> str:
        """What must come before the Repository is asked, as a sentence; "" when nothing must."""
        if self.typed is None:
            return f"The spec is not valid: {world.told(self.faults)}"
        if self.repository is None and not self.typed.takes_snapshots:
            return f"Repository {self.typed.repository} does not exist."
        missing = [f"{t.ref.kind} {t.ref.name}" for t in self.targets if t.is_missing]
        if missing:
            what = ", ".join(missing)
            return f"{what} does not exist; the restore begins when every target is there."
        return ""


def decide_for(resource: Resource) -> Decide:
    """The decision for the restores of one kind."""

    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        obj = view.get(resource, key.namespace, key.name)
        if obj is None:
            return Plan()
        if world.terminating(obj):
            return _take_down(resource, obj, view)
        if restores.is_final(obj):
            return Plan()
        return _advance(observe(resource, obj, view, now, settings), view, now, settings)

    return decide


# -- observing ------------------------------------------------------------------------------------


def observe(
    resource: Resource, obj: JsonObject, view: View, now: dt.datetime, settings: Settings
) -> World:
    namespace = obj["metadata"]["namespace"]
    typed, faults = restores.read(obj)
    found = world.repository(view, namespace, world.repository_name(obj))
    repository = world.read_repository(found)[0] if found else None
    sound = typed if not faults else None
    deadline = limits.deadline(obj, sound.time_out if sound else "", now, settings)
    return World(
        resource=resource,
        obj=obj,
        typed=sound,
        faults=faults,
        repository=found,
        typed_repository=repository,
        secret_problem=_secret_problem(view, namespace, repository),
        targets=tuple(restore_targets.read(view, sound, repository, settings.image))
        if sound
        else (),
        rival=restores.rival(view, obj),
        going=restores.going(view, obj),
        session=restores.session_before(view, obj),
        deadline=deadline,
        hooks=_hooks(obj, sound, view, deadline, now, settings),
    )


def _hooks(  # noqa: PLR0917 -- private, and called once
    obj: JsonObject,
    typed: RestoreInvoker | None,
    view: View,
    deadline: dt.datetime,
    now: dt.datetime,
    settings: Settings,
) -> hooks.Whole:
    """The hooks around the restore, and whether anything of it has begun."""
    whole = hooks.Whole(
        owner=Owner(obj, obj["kind"], world.name_of(obj)),
        wanted=hooks.of_restore(typed.hooks if typed else None),
        view=view,
        deadline=deadline,
        now=now,
        settings=settings,
    )
    running = world.phase_of(obj) == machine.RUNNING
    return attrs.evolve(whole, begun=_some_started(obj) or running or whole.pre_was_started)


def _some_started(obj: JsonObject) -> bool:
    return any(entry.get("phase", "Pending") != "Pending" for entry in entries(obj))


def _secret_problem(view: View, namespace: str, repository: Repository | None) -> str:
    if repository is None:
        return ""
    name = repository.spec.backend.storage_secret_name
    return world.secret_problem(view.get(SECRETS, namespace, name), repository)


def _waits_for(seen: World) -> str:
    """What keeps the restore from starting, as a sentence; "" when nothing does."""
    if seen.typed is None or (seen.repository is None and not seen.typed.takes_snapshots):
        return seen.own_wait
    listed = world.status_of(seen.repository).get("activeRestores") if seen.repository else ()
    if restores.label(seen.obj) in (listed or ()):
        return ""
    if seen.own_wait:
        return seen.own_wait
    if seen.going is not None:
        return f"{restores.label(seen.going)} restores one of the targets and is being deleted."
    if seen.session is not None:
        name = world.name_of(seen.session)
        return f"BackupSession {name} backs up one of the targets; it is waited for."
    # Claims of snapshots need no lock.
    return world.repository_wait(seen.repository, "restore") if seen.repository else ""


# -- advancing ------------------------------------------------------------------------------------


def _advance(seen: World, view: View, now: dt.datetime, settings: Settings) -> Plan:
    skipped = seen.rival is not None and not seen.has_begun
    waits_for = _waits_for(seen)
    allowed = seen.has_begun or not (skipped or waits_for)
    pre = seen.hooks.pre(some_target_started=seen.has_started) if allowed else hooks.NOTHING
    session = _session(seen, view, now, settings, allowed=allowed, pre=pre, waits_for=waits_for)
    seen_steps = [] if skipped else _steps(seen, session)
    found = course.of(seen.hooks, pre, seen_steps, entries(seen.obj))
    facts = _facts(seen, found, skipped=skipped, allowed=allowed)
    phase = machine.TABLE.advance(course.known(seen.obj), facts).state
    status = _status(seen, phase, found, now)
    writes: list[Write] = [*_finalizer(seen), *found.writes]
    if status != seen.status:
        writes.append(_status_write(seen, status))
    events = (*found.lost_hosts(seen.obj, "Restore"), *_events(seen, phase, found))
    return Plan(tuple(writes), events, found.wake(phase, seen.deadline, now))


def _session(
    seen: World,
    view: View,
    now: dt.datetime,
    settings: Settings,
    *,
    allowed: bool,
    pre: hooks.Found,
    waits_for: str,
) -> Session:
    return Session(
        obj=seen.obj,
        work=_work(seen),
        words=restore_work.WORDS,
        targets=seen.targets,
        started=allowed and not pre.pending and not pre.failed,
        waits_for=waits_for or (_PRE_PENDING if pre.pending else ""),
        refused=course.refusal(seen.status, pre),
        deadline=seen.deadline,
        now=now,
        settings=settings,
        view=view,
    )


def _work(seen: World) -> progress.Work | None:
    if seen.typed is None:
        return None
    if seen.typed.takes_snapshots:
        return restore_snapshot_work.RestoreSnapshotWork(seen.typed)
    return restore_work.RestoreWork(seen.typed, seen.typed_repository)


def _steps(seen: World, session: Session) -> list[Step]:
    sequential = seen.typed is not None and seen.typed.execution_order == "Sequential"
    return course.steps(session, _entries(seen), sequential=sequential)


def _entries(seen: World) -> list[JsonObject]:
    """The stored entries once the restore has begun; until then those of the spec as it is."""
    stored = entries(seen.obj)
    if (seen.has_begun and stored) or seen.typed is None:
        return stored
    return [{"ref": encode(target.ref), "phase": "Pending"} for target in seen.targets]


def _facts(seen: World, found: Course, *, skipped: bool, allowed: bool) -> machine.Observation:
    return machine.Observation(
        must_be_skipped=skipped,
        may_use_repository=allowed,
        some_target_started=seen.has_begun,
        all_targets_final=found.all_final,
        some_target_failed=found.some_failed,
        hooks_settled=found.hooks_settled,
        some_hook_failed=found.some_hook_failed,
    )


def _finalizer(seen: World) -> Iterator[Finalizers]:
    present = tuple(seen.obj["metadata"].get("finalizers") or ())
    if names.FINALIZER not in present:
        yield _finalizers(seen.resource, seen.obj, (*present, names.FINALIZER))


def _finalizers(resource: Resource, obj: JsonObject, wanted: tuple[str, ...]) -> Finalizers:
    meta = obj["metadata"]
    version = meta["resourceVersion"]
    return Finalizers(resource, meta["namespace"], meta["name"], version, wanted)


# -- telling --------------------------------------------------------------------------------------


def _status_write(seen: World, status: JsonObject) -> Status:
    meta = seen.obj["metadata"]
    version = meta["resourceVersion"]
    return Status(seen.resource, meta["namespace"], meta["name"], version, status)


def _status(seen: World, phase: str, found: Course, now: dt.datetime) -> JsonObject:
    ended = phase not in course.UNFINISHED
    wanted = {
        **seen.status,
        "phase": phase,
        "sessionDeadline": conditions.timestamp(seen.deadline),
        "sessionDuration": limits.duration(seen.obj, now) if ended else "",
    }
    told = restore_conditions.with_conditions(
        seen, phase, found.entries, found.hook_conditions, now
    )
    wanted = with_entries(seen.resource.kind, wanted, told.entries)
    wanted["conditions"] = told.whole
    return {key: value for key, value in wanted.items() if value not in (None, "", [])}


def _events(seen: World, phase: str, found: Course) -> Iterator[EventIntent]:
    """One a change of phase."""
    if phase == world.phase_of(seen.obj):
        return
    source = f"{seen.resource.kind} Controller"
    if phase == machine.RUNNING:
        message = "The targets are being restored."
        yield EventIntent(seen.obj, "Restore Running", message, source=source)
    elif phase == machine.SUCCEEDED:
        message = "Every target was restored."
        yield EventIntent(seen.obj, "Restore Succeeded", message, source=source)
    elif phase == machine.FAILED:
        what = "; ".join(found.failures)
        yield EventIntent(seen.obj, "Restore Failed", what, "Warning", source)
    else:
        message = restore_conditions.why_skipped(seen)
        yield EventIntent(seen.obj, "Restore Skipped", message, "Warning", source)


# -- taking down ----------------------------------------------------------------------------------


def _take_down(resource: Resource, obj: JsonObject, view: View) -> Plan:
    """The init containers go first, then the finalizer; the Jobs go with their owner."""
    present = tuple(obj["metadata"].get("finalizers") or ())
    if names.FINALIZER not in present or next(marked(view, obj), None) is not None:
        return Plan()
    rest = tuple(name for name in present if name != names.FINALIZER)
    return Plan((_finalizers(resource, obj, rest),))


def marked(view: View, restore: JsonObject) -> Iterator[JsonObject]:
    """The workloads that carry the init container of this restore."""
    mark = restores.label(restore)
    for resource in WORKLOADS:
        for obj in view.list(resource, restore["metadata"]["namespace"]):
            if init_container.SLOT.mark_of(obj) == mark and not workload.is_owned(obj):
                yield obj
