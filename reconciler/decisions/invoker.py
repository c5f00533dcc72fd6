"""The decision for a BackupBatch or BackupConfiguration: set it up, keep it so, take it down.

One plan sets a batch up: access rules where they are missing, its sidecars, its CronJob, its
finalizer and its status. Drift is repaired and readiness is a condition, because everything here
follows from what is there now and nothing from what was done before (spec 10.41 to 10.44). The
machine ``statemachines.batch`` gives the phase; its intents are carried out here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

import attrs

from reconciler.api import conditions as c
from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_SESSIONS,
    CRON_JOBS,
    CRON_JOBS_V1BETA1,
    SECRETS,
    WORKLOADS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.api.schedule import Schedule
from reconciler.decisions import (
    access,
    conditions,
    history,
    host_names,
    injecting,
    invoker_conditions,
    repository,
    restores,
    slots,
    targets,
    workload,
    world,
)
from reconciler.decisions.plan import (
    Apply,
    Decide,
    Delete,
    EventIntent,
    Finalizers,
    Plan,
    Settings,
    Status,
    View,
    Write,
)
from reconciler.decisions.targets import Target
from reconciler.errors import Fault
from reconciler.manifests import cron_job, labels, names, sidecar
from statemachines import batch as machine

SOURCE = "Invoker Controller"


@attrs.frozen
class World:
    """Everything that the decision knows, read once."""

    resource: Resource
    obj: JsonObject
    typed: Invoker | None
    faults: tuple[Fault, ...]
    repository: JsonObject | None
    typed_repository: Repository | None
    secret_problem: str
    targets: tuple[Target, ...]
    sessions: tuple[JsonObject, ...]
    """From the oldest on."""
    cron_jobs: Resource
    cron_job: JsonObject | None
    namesakes: Mapping[str, JsonObject]
    """The hosts that another invoker of the Repository has too, with that one."""
    is_new: bool

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def status(self) -> JsonObject:
        return world.status_of(self.obj)

    @property
    def needs_repository(self) -> bool:
        return not world.takes_snapshots(self.obj)

    @property
    def repository_problem(self) -> str:
        """Why the repository cannot be used yet, with the remedy; "" when it can."""
        if not self.needs_repository:
            return ""
        name = f"Repository {self.namespace}/{world.repository_name(self.obj)}"
        if self.repository is None:
            return f"{name} does not exist; create it, or name another one in spec.repository.name"
        if self.typed_repository is None:
            return f"{name} is not valid; see its condition {c.VALID}"
        return self.secret_problem

    @property
    def cron_job_is_foreign(self) -> bool:
        found, uid = self.cron_job, self.obj["metadata"]["uid"]
        return found is not None and not labels.is_controlled_by(found, uid)

    @property
    def running(self) -> bool:
        return any(world.phase_of(session) == "Running" for session in self.sessions)


def decide_for(resource: Resource) -> Decide:
    """The decision for the invokers of one kind."""

    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        obj = view.get(resource, key.namespace, key.name)
        if obj is None:
            return Plan()
        return decide_one(observe(resource, obj, view, settings, now=now), view, now, settings)

    return decide


def decide_one(seen: World, view: View, now: dt.datetime, settings: Settings) -> Plan:
    phase = machine.TABLE.advance(_known(seen), facts(seen, view)).state
    if phase == machine.TERMINATING:
        return _take_down(seen, view, now, settings)
    ready = phase != machine.PENDING
    sidecars = _sidecars(seen, view, settings) if ready and seen.is_new else []
    events = [*_injected(seen)] if sidecars else []
    suspended = _is_suspended(seen, phase)
    trigger = list(_cron_job(seen, view, now, settings, suspended=suspended, create=ready))
    slot = _next_slot(seen, phase, now)
    status = list(_status(seen, phase, slot, now))
    writes: list[Write] = [*_finalizer(seen), *(_access(seen, view) if ready else ())]
    # A new invoker takes its success for granted and writes its status once. If the API server
    # refuses something, that shows a moment later: then the status comes first and says so.
    writes += [*trigger, *sidecars, *status] if seen.is_new else [*status, *trigger]
    writes += _surplus(seen, view)
    return Plan(tuple(writes), (*events, *_events(seen)), _wake(seen, slot, now))


def _wake(seen: World, slot: dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    """The next slot; or when a new invoker must look whether all that it wrote is so."""
    doubtful = seen.is_new and not all(target.is_injected for target in _own_workloads(seen))
    moments = [
        slot,
        slots.doubtful_until(seen, now),
        world.settled_at(seen.obj, now) if doubtful else None,
    ]
    return min((moment for moment in moments if moment), default=None)


def _own_workloads(seen: World) -> Iterator[Target]:
    """The workloads that may have our sidecar now."""
    return (target for target in seen.targets if target.part is not None)


def _known(seen: World) -> str:
    phase = seen.status.get("phase")
    return phase if phase in {state.name for state in machine.TABLE.states} else machine.PENDING


# -- observing ------------------------------------------------------------------------------------


def observe(
    resource: Resource,
    obj: JsonObject,
    view: View,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
) -> World:
    """``now`` tells a new invoker from one that has settled; without it, it counts as settled."""
    meta = obj["metadata"]
    namespace = meta["namespace"]
    typed, faults = world.read_invoker(obj)
    found = world.repository(view, namespace, world.repository_name(obj))
    typed_repository, problem = _read_repository(view, namespace, found)
    cron_jobs = CRON_JOBS if view.serves(CRON_JOBS) else CRON_JOBS_V1BETA1
    seen = (
        targets.read(view, obj, typed, typed_repository, settings.image)
        if typed and not faults
        else ()
    )
    return World(
        resource=resource,
        obj=obj,
        typed=typed,
        faults=faults,
        repository=found,
        typed_repository=typed_repository,
        secret_problem=problem,
        targets=tuple(seen),
        sessions=tuple(world.sessions_of(view, namespace, resource.kind, meta["name"])),
        cron_jobs=cron_jobs,
        cron_job=view.get(cron_jobs, namespace, names.cron_job(meta["name"])),
        namesakes=host_names.taken(view, obj),
        is_new=now is not None and world.is_new(obj, now),
    )


def _read_repository(
    view: View, namespace: str, found: JsonObject | None
) -> tuple[Repository | None, str]:
    """The typed Repository, if it is usable, and what is wrong with its Secret."""
    if found is None:
        return None, ""
    typed, faults = world.read_repository(found)
    if typed is None or faults:
        return None, ""
    name = typed.spec.backend.storage_secret_name
    return typed, world.secret_problem(view.get(SECRETS, namespace, name), typed)


def facts(seen: World, view: View) -> machine.Observation:
    """The observation that the machine decides on."""
    found = [target for target in seen.targets if not target.is_missing]
    sidecars = [target for target in found if target.is_workload and target.part is not None]
    return machine.Observation(
        deletion_requested=world.terminating(seen.obj),
        spec_valid=seen.typed is not None and not seen.faults,
        repository_found=seen.typed_repository is not None or not seen.needs_repository,
        secret_found=not seen.secret_problem,
        some_target_found=bool(found),
        sidecars_in_place=all(_in_place(view, target) for target in sidecars),
        session_in_flight=any(not world.is_final(session) for session in seen.sessions),
        last_session=_last_outcome(seen.sessions),
    )


def _in_place(view: View, target: Target) -> bool:
    return target.is_injected and target.obj is not None and workload.rolled_out(view, target.obj)


def _last_outcome(sessions: tuple[JsonObject, ...]) -> machine.LastSession:
    outcomes = {
        "Succeeded": machine.LastSession.SUCCEEDED,
        "Failed": machine.LastSession.FAILED,
    }
    phases = (world.phase_of(session) for session in reversed(sessions))
    return next((outcomes[p] for p in phases if p in outcomes), machine.LastSession.NONE)


# -- setting up -----------------------------------------------------------------------------------


def _finalizer(seen: World) -> Iterator[Finalizers]:
    present = tuple(seen.obj["metadata"].get("finalizers") or ())
    if names.FINALIZER not in present:
        yield _finalizers(seen, (*present, names.FINALIZER))


def _finalizers(seen: World, wanted: tuple[str, ...]) -> Finalizers:
    meta = seen.obj["metadata"]
    version = meta["resourceVersion"]
    return Finalizers(seen.resource, meta["namespace"], meta["name"], version, wanted)


def _access(seen: World, view: View) -> Iterator[Write]:
    """Access first: a sidecar without it would start and fail (spec 10.28)."""
    found = [target.obj for target in _own_workloads(seen) if target.obj is not None]
    for account in dict.fromkeys(map(workload.service_account, found)):
        yield from access.for_sidecar(view, seen.namespace, account)
    hooked = (t.obj for t in _own_workloads(seen) if t.obj is not None and t.member.hooks)
    for account in dict.fromkeys(map(workload.service_account, hooked)):
        yield from access.for_hooks(view, seen.namespace, account)


def _sidecars(seen: World, view: View, settings: Settings) -> list[Write]:
    return [
        write
        for target in seen.targets
        if target.resource and target.obj and target.part
        for write in injecting.with_restore(
            view, target.resource, target.obj, target.part, settings
        )
    ]


def _injected(seen: World) -> Iterator[EventIntent]:
    for target in _own_workloads(seen):
        if target.obj is not None and not target.is_injected:
            yield injected(target, target.obj)


def injected(target: Target, obj: JsonObject) -> EventIntent:
    """The Event that tells of a new or changed sidecar."""
    what = f"{target.ref.kind} {obj['metadata']['namespace']}/{target.ref.name}"
    message = f"Injected the stash sidecar into {what}."
    return EventIntent(obj, "Sidecar Injection Succeeded", message, source=workload.SOURCE)


def _is_suspended(seen: World, phase: str) -> bool:
    """Suspended while paused, and while a slot could only produce a session that cannot start."""
    paused = seen.typed is not None and seen.typed.paused
    return paused or phase in (machine.PENDING, machine.TERMINATING)


def _cron_job(
    seen: World, view: View, now: dt.datetime, settings: Settings, *, suspended: bool, create: bool
) -> Iterator[Write]:
    """Keep the CronJob as it is wanted; an invalid spec leaves the last good one as it is.

    What that one triggers is skipped by the session decision, which says why.
    """
    if seen.typed is None or seen.faults or seen.cron_job_is_foreign:
        return
    going = seen.cron_job is not None and world.terminating(seen.cron_job)
    if going or (seen.cron_job is None and not create):
        return  # one that is going wakes us again when it is gone
    if create:
        account = cron_job.service_account(seen.typed)
        yield from access.for_cron_job(view, seen.namespace, account)
    since = slots.active_since(seen.cron_job, seen.typed.schedule, suspended=suspended, now=now)
    built = cron_job.build(
        seen.typed,
        resource=seen.cron_jobs,
        image=settings.image,
        suspended=suspended,
        active_since=since,
    )
    yield Apply(seen.cron_jobs, built, create=create)


def _next_slot(seen: World, phase: str, now: dt.datetime) -> dt.datetime | None:
    if seen.typed is None or seen.faults or _is_suspended(seen, phase):
        return None
    found = Schedule.parse(seen.typed.schedule).next_after(now)
    return found.astimezone(dt.UTC) if found else None


def _surplus(seen: World, view: View) -> Iterator[Delete]:
    if seen.typed is None:
        return
    needed = _needed(seen, view)
    limit = seen.typed.backup_history_limit
    for session in history.surplus(seen.sessions, limit, needed):
        meta = session["metadata"]
        yield Delete(BACKUP_SESSIONS, meta["namespace"], meta["name"], meta["uid"])


def _needed(seen: World, view: View) -> set[str]:
    """Sessions whose maintenance is still to come: it reads their hosts."""
    if seen.repository is None:
        return set()
    holding = world.status_of(seen.repository).get("maintaining") or ""
    waiting = repository.due(view, seen.repository, (seen.obj,))
    return {holding, *(world.name_of(session) for session in waiting)}


# -- taking down ----------------------------------------------------------------------------------


def _take_down(seen: World, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """A running session is finished; then the sidecars go; then the finalizer does.

    The CronJob and the sessions go with their owner, shared access rules with the last of all.
    """
    writes: list[Write] = list(_cron_job(seen, view, now, settings, suspended=True, create=False))
    present = tuple(seen.obj["metadata"].get("finalizers") or ())
    if names.FINALIZER not in present:
        return Plan(tuple(writes))
    if seen.running or next(marked(view, seen.obj), None) is not None:
        return Plan((*writes, *_status(seen, machine.TERMINATING, None, now)))
    rest = tuple(name for name in present if name != names.FINALIZER)
    if not _others(seen, view):
        writes += access.left_behind(view, seen.namespace)
    return Plan((*writes, _finalizers(seen, rest)))


def _others(seen: World, view: View) -> bool:
    """Whether another invoker or an unfinished restore of the namespace needs what is shared."""
    uid = seen.obj["metadata"]["uid"]
    rest = (*world.invokers(view, seen.namespace), *restores.unfinished(view, seen.namespace))
    return any(obj["metadata"]["uid"] != uid and not world.terminating(obj) for obj in rest)


def marked(view: View, invoker: JsonObject) -> Iterator[JsonObject]:
    """The workloads that carry the sidecar of this invoker.

    A Deployment's controller copies its annotations, and so the mark, to its ReplicaSets: those are
    kept as history and are not ours to change.
    """
    mark = f"{invoker['kind']}/{world.name_of(invoker)}"
    for resource in WORKLOADS:
        for obj in view.list(resource, invoker["metadata"]["namespace"]):
            if sidecar.SLOT.mark_of(obj) == mark and not workload.is_owned(obj):
                yield obj


# -- telling --------------------------------------------------------------------------------------


def _status(
    seen: World, phase: str, slot: dt.datetime | None, now: dt.datetime
) -> Iterator[Status]:
    wanted = _status_wanted(seen, phase, slot, now)
    if wanted != seen.status:
        meta = seen.obj["metadata"]
        version = meta["resourceVersion"]
        yield Status(seen.resource, meta["namespace"], meta["name"], version, wanted)


def _status_wanted(
    seen: World, phase: str, slot: dt.datetime | None, now: dt.datetime
) -> JsonObject:
    stored = seen.status
    own = [*invoker_conditions.of(seen, phase), *slots.condition(seen, now), *slots.skipped(seen)]
    is_batch = seen.resource == BACKUP_BATCHES
    if not is_batch:
        for target in seen.targets:
            own += targets.conditions_of(target, seen.namespace, _injection_doubt(seen))
    last = seen.sessions[-1] if seen.sessions else None
    found: JsonObject = {
        **{key: stored[key] for key in ("lastSession", "lastSessionTime") if key in stored},
        "phase": phase,
        "observedGeneration": seen.obj["metadata"].get("generation", 0),
        "conditions": conditions.merged(stored.get("conditions"), own, now),
        "nextSessionTime": conditions.timestamp(slot) if slot else "",
        **(_last(last, now) if last else {}),
    }
    if is_batch and not seen.faults:
        found["memberConditions"] = _member_conditions(seen, now)
    elif is_batch:
        found["memberConditions"] = stored.get("memberConditions")
    return {key: value for key, value in found.items() if value not in ("", [], None)}


def _injection_doubt(seen: World) -> str:
    """Why a sidecar that could be in its workload is not; "" where it is about to be."""
    if seen.repository_problem or seen.is_new:
        return seen.repository_problem
    return (
        "The sidecar is not in the pod template yet. If this lasts, the API server refuses it: "
        "see the operator's log."
    )


def _last(session: JsonObject, now: dt.datetime) -> JsonObject:
    moment = conditions.timestamp(world.created(session, now))
    return {"lastSession": world.name_of(session), "lastSessionTime": moment}


def _member_conditions(seen: World, now: dt.datetime) -> list[JsonObject]:
    """One entry a member; those of members that left the spec are not kept (spec 10.43)."""
    stored = {
        (item["target"].get("kind"), item["target"].get("name")): item.get("conditions")
        for item in seen.status.get("memberConditions") or ()
    }
    entries = []
    for target in seen.targets:
        old = stored.get((target.ref.kind, target.ref.name))
        found = targets.conditions_of(target, seen.namespace, _injection_doubt(seen))
        entries.append(
            {
                "target": encode(target.ref),
                "conditions": conditions.merged(old, found, now),
            }
        )
    return entries


def _events(seen: World) -> Iterator[EventIntent]:
    """One when the CronJob's name turns out to be taken; the condition remembers it."""
    stored = conditions.find(seen.status.get("conditions"), c.CRON_JOB_CREATED)
    told = stored is not None and stored.get("reason") == conditions.NAME_TAKEN
    if seen.cron_job_is_foreign and not told:
        name = names.cron_job(world.name_of(seen.obj))
        message = f"CronJob {seen.namespace}/{name} belongs to something else."
        yield EventIntent(seen.obj, "CronJob Creation Failed", message, "Warning", SOURCE)
