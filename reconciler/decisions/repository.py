"""The decision for a Repository: initialise it, let sessions use it, maintain it in between.

The status is the lock table: ``activeSessions`` may use the repository, ``activeRestores`` may
read it, and ``maintaining`` has it to itself. All are written only here, under the object's
resourceVersion, and acted on only when they are seen in the object. So a stale cache delays work
and never lets it overlap (invariant 8).
Waiting sessions cannot starve maintenance, because none is listed while some is due; maintenance
cannot starve sessions, because each finished session makes it due at most once.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator

import attrs

from reconciler.api import conditions as c
from reconciler.api.decoding import encode
from reconciler.api.repository import Repository
from reconciler.api.resources import (
    BACKUP_SESSIONS,
    JOBS,
    PODS,
    REPOSITORIES,
    SECRETS,
    JsonObject,
    Key,
)
from reconciler.api.runtime import RuntimeSettings
from reconciler.decisions import access, admission, conditions, restores, runs, wiping, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.plan import (
    Create,
    Delete,
    EventIntent,
    Plan,
    Settings,
    Status,
    View,
    Write,
)
from reconciler.errors import Fault
from reconciler.manifests import jobs, labels, names
from statemachines import repository as machine

SOURCE = "Repository Controller"
INIT_DEADLINE = dt.timedelta(minutes=30)
"""How long an initialisation may take, image pull included."""
INIT_RETRY = dt.timedelta(minutes=5)
"""A failed initialisation is tried again so often: a backend that was down comes back by itself."""


@attrs.frozen
class World:
    """Everything that the decision knows, read once."""

    obj: JsonObject
    typed: Repository | None
    faults: tuple[Fault, ...]
    invokers: tuple[JsonObject, ...]
    """The raw invokers and restores that name it."""
    secret: JsonObject | None
    init: jobs.Errand | None
    init_job: JsonObject | None
    active: tuple[str, ...]
    """The listed sessions that are not final."""
    waiting: tuple[str, ...]
    """The sessions that may be listed next, from the oldest on."""
    restoring: tuple[str, ...]
    """The listed restores that are not final."""
    to_restore: tuple[JsonObject, ...]
    """The restores that may be listed next, from the oldest on."""
    due: tuple[JsonObject, ...]
    """The sessions that must be maintained, from the oldest on."""
    held: str
    """The session whose maintenance is under way, or ""."""

    @property
    def status(self) -> JsonObject:
        return world.status_of(self.obj)

    @property
    def secret_problem(self) -> str:
        if self.typed is None:
            return "the Repository is not valid"
        return world.secret_problem(self.secret, self.typed)


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    obj = view.get(REPOSITORIES, key.namespace, key.name)
    if obj is None:
        return Plan()
    seen = observe(obj, view)
    stored = seen.status.get("phase") or machine.PENDING
    wipe_job = wiping.job_of(seen, view)
    wiped = wipe_job is not None and runs.finished(wipe_job) == "Complete"
    phase = machine.TABLE.advance(_known(stored), facts(seen, wiped=wiped)).state
    writes: list[Write] = [*wiping.finalizers(seen, phase, wiped=wiped)]
    if writes and world.terminating(obj):
        return Plan(tuple(writes))  # the object goes with it
    writes += _clean_up(view, seen)
    events: list[EventIntent] = []
    if phase == machine.INITIALIZING:
        writes += _initialize(view, seen, settings)
    if phase == machine.MAINTAINING:
        writes += _maintain(view, seen, settings)
    if phase == machine.WIPING and wipe_job is None:
        writes += _wipe(view, seen, settings)
    retry_at, again = (
        wiping.retry(wipe_job, now) if phase == machine.WIPING else _retry(seen, phase, now)
    )
    writes += again
    status = _status(seen, phase, now, wipe_job)
    if status != seen.status:
        writes.append(_status_write(obj, status))
        events += _events(seen, phase, stored)
    return Plan(tuple(writes), tuple(events), retry_at)


def _known(phase: str) -> str:
    return phase if phase in {state.name for state in machine.TABLE.states} else machine.PENDING


# -- observing ------------------------------------------------------------------------------------


def observe(obj: JsonObject, view: View) -> World:
    meta = obj["metadata"]
    typed, faults = world.read_repository(obj)
    backend = (obj.get("spec") or {}).get("backend") or {}
    secret = view.get(SECRETS, meta["namespace"], backend.get("storageSecretName") or "")
    init = _init_errand(typed, secret)
    users = tuple(admission.users_of(view, obj))
    asking = tuple(admission.restores_of(view, obj))
    to_restore = tuple(admission.to_restore(view, asking))
    held = _held(view, obj)
    return World(
        obj=obj,
        typed=typed,
        faults=faults,
        invokers=(*users, *asking),
        secret=secret,
        init=init,
        init_job=view.get(JOBS, meta["namespace"], init.name) if init else None,
        active=tuple(admission.active(view, obj)),
        waiting=tuple(admission.waiting(view, users, to_restore)),
        restoring=tuple(admission.restoring(view, obj)),
        to_restore=to_restore,
        due=tuple(due(view, obj, users)),
        held=held,
    )


def _init_errand(typed: Repository | None, secret: JsonObject | None) -> jobs.Errand | None:
    """A changed Repository or Secret gives another name, and so a new Job by itself."""
    if typed is None or secret is None:
        return None
    meta = secret["metadata"]
    return jobs.init(typed, meta.get("uid") or "", meta.get("resourceVersion") or "")


def due(view: View, repository: JsonObject, users: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """The sessions after which maintenance must still run, from the oldest on.

    One an invoker at most: its last session that backed up anything stands for all before it.
    """
    found = []
    for obj in users:
        meta = obj["metadata"]
        sessions = world.sessions_of(view, meta["namespace"], obj["kind"], meta["name"])
        good = [s for s in sessions if world.is_final(s) and world.has_good_host(s)]
        if good and not world.terminating(obj) and _is_due(view, repository, good[-1]):
            found.append(good[-1])
    yield from sorted(found, key=world.age_key)


def _is_due(view: View, repository: JsonObject, session: JsonObject) -> bool:
    used = world.status_of(session).get("repository") or world.name_of(repository)
    if used != world.name_of(repository):
        return False  # its invoker has named another one since
    if world.terminating(session) or is_maintained(repository, session):
        return False
    job = maintenance_job(view, repository, session)
    return job is None or not runs.finished(job)


def is_maintained(repository: JsonObject, session: JsonObject) -> bool:
    """Whether the agent (or, for a Job that failed, the operator) has reported maintenance."""
    stored = world.status_of(session).get("conditions")
    if conditions.find(stored, c.RETENTION_POLICY_APPLIED):
        return True
    return bool(world.status_of(repository).get("lastMaintainedSession") == world.name_of(session))


def maintenance_job(view: View, repository: JsonObject, session: JsonObject) -> JsonObject | None:
    meta = session["metadata"]
    name = names.maintain_job(world.name_of(repository), meta["uid"])
    return view.get(JOBS, meta["namespace"], name)


def _held(view: View, obj: JsonObject) -> str:
    """The session in ``maintaining``, unless its Job is proven finished or can never be."""
    name = str(world.status_of(obj).get("maintaining") or "")
    if not name:
        return ""
    namespace = obj["metadata"]["namespace"]
    session = view.get(BACKUP_SESSIONS, namespace, name)
    job = _job_of(view, obj, name)
    if job is not None:
        return "" if runs.finished(job) else name
    if _unfinished_pods(view, obj, name):
        return name
    gone = session is None or is_maintained(obj, session)
    return "" if gone else name


def _job_of(view: View, obj: JsonObject, session: str) -> JsonObject | None:
    for job in _own_jobs(view, obj, "maintain"):
        if _session_of(job) == session:
            return job
    return None


def _own_jobs(view: View, obj: JsonObject, task: str) -> list[JsonObject]:
    meta = obj["metadata"]
    wanted = {labels.TASK: task, labels.REPOSITORY: names.limited(meta["name"])}
    found = view.list(JOBS, meta["namespace"], labels=wanted)
    return [job for job in found if labels.is_controlled_by(job, meta["uid"])]


def _session_of(job_or_pod: JsonObject) -> str:
    return str((job_or_pod["metadata"].get("annotations") or {}).get(labels.SESSION) or "")


def _unfinished_pods(view: View, obj: JsonObject, session: str) -> bool:
    """Whether a pod outlives a maintenance Job that somebody deleted."""
    meta = obj["metadata"]
    wanted = {labels.TASK: "maintain", labels.REPOSITORY: names.limited(meta["name"])}
    pods = view.list(PODS, meta["namespace"], labels=wanted)
    return any(_session_of(pod) == session and not runs.has_ended(pod) for pod in pods)


def facts(seen: World, *, wiped: bool = False) -> machine.Observation:
    """The observation that the machine decides on."""
    ended = runs.finished(seen.init_job) if seen.init_job else ""
    return machine.Observation(
        deletion_requested=world.terminating(seen.obj),
        wanted=bool(seen.invokers),
        secret_found=not seen.faults and not seen.secret_problem,
        initialized=ended == "Complete",
        initialization_failed=ended == "Failed",
        sessions_active=bool(seen.active or seen.restoring),
        maintenance_due=bool(seen.due),
        maintenance_held=bool(seen.held),
        data_is_to_go=wiping.is_wanted(seen.obj) and not wiped,
        in_use=wiping.is_in_use(seen),
    )


# -- acting ---------------------------------------------------------------------------------------


def _initialize(view: View, seen: World, settings: Settings) -> list[Write]:
    if seen.init is None or seen.typed is None or seen.init_job is not None:
        return []
    runtime = _settings_of(next(iter(seen.invokers), None))
    errand = attrs.evolve(seen.init, annotations={labels.SETTINGS: _fingerprint(runtime)})
    return _job_writes(view, seen.typed, seen, Work(errand, INIT_DEADLINE, runtime), settings)


def _fingerprint(runtime: RuntimeSettings | None) -> str:
    found = encode(runtime) if runtime else {}
    return names.digest(json.dumps(found, sort_keys=True))


def _is_outdated(seen: World, job: JsonObject) -> bool:
    """Whether an initialisation has not succeeded and would be tried with other settings now."""
    told = (job["metadata"].get("annotations") or {}).get(labels.SETTINGS)
    wanted = _fingerprint(_settings_of(next(iter(seen.invokers), None)))
    return runs.finished(job) != "Complete" and bool(seen.invokers) and told not in (None, wanted)


def _maintain(view: View, seen: World, settings: Settings) -> list[Write]:
    """The Job, once the lock is seen in the object; taking the lock is a write of the status."""
    namespace = seen.obj["metadata"]["namespace"]
    session = view.get(BACKUP_SESSIONS, namespace, seen.held) if seen.held else None
    if session is None or seen.typed is None or _job_of(view, seen.obj, seen.held) is not None:
        return []
    kind, name = world.session_invoker(session)
    runtime = _settings_of(world.invoker(view, namespace, kind, name))
    work = Work(jobs.maintain(seen.typed, session), settings.default_timeout, runtime)
    return _job_writes(view, seen.typed, seen, work, settings)


def _wipe(view: View, seen: World, settings: Settings) -> list[Write]:
    errand = wiping.errand(seen)
    work = Work(errand, wiping.DEADLINE, None) if errand else None
    return _job_writes(view, seen.typed, seen, work, settings) if work and seen.typed else []


@attrs.frozen
class Work:
    """An errand with the time that it may take and the settings of its pod."""

    errand: jobs.Errand
    deadline: dt.timedelta
    runtime: RuntimeSettings | None


def _job_writes(
    view: View, typed: Repository, seen: World, work: Work, settings: Settings
) -> list[Write]:
    job = jobs.of_repository(
        typed,
        seen.obj,
        work.errand,
        settings=work.runtime,
        image=settings.image,
        deadline_seconds=int(work.deadline.total_seconds()),
    )
    account = jobs.service_account(work.runtime)
    namespace = seen.obj["metadata"]["namespace"]
    return [*access.for_jobs(view, namespace, account), Create(JOBS, job)]


def _settings_of(invoker: JsonObject | None) -> RuntimeSettings | None:
    """The pod settings of a batch serve its repository's Jobs too: the same nodes and secrets.

    A restore has none but its members'.
    """
    if invoker is None or restores.resource_of(invoker["kind"]):
        return None
    typed = world.read_invoker(invoker)[0]
    return typed.runtime_settings if typed else None


def _retry(seen: World, phase: str, now: dt.datetime) -> tuple[dt.datetime | None, list[Write]]:
    """When a failed initialisation is tried again, and the deletion that makes room for it."""
    if phase not in (machine.INITIALIZING, machine.FAILED) or seen.init_job is None:
        return None, []
    if _is_outdated(seen, seen.init_job):
        return None, [_delete(seen.init_job)]
    if phase != machine.FAILED:
        return None, []
    failed = runs.failed_at(seen.init_job)
    again = (dt.datetime.fromisoformat(failed) if failed else now) + INIT_RETRY
    if now < again:
        return again, []
    return None, [_delete(seen.init_job)]


def _clean_up(view: View, seen: World) -> Iterator[Write]:
    """Finished Jobs that nobody will look at: of an older Secret, of a session that is gone."""
    namespace = seen.obj["metadata"]["namespace"]
    for job in _own_jobs(view, seen.obj, "init"):
        if runs.finished(job) and seen.init and world.name_of(job) != seen.init.name:
            yield _delete(job)
    for job in _own_jobs(view, seen.obj, "maintain"):
        session = view.get(BACKUP_SESSIONS, namespace, _session_of(job))
        if runs.finished(job) and session is None:
            yield _delete(job)


def _delete(job: JsonObject) -> Delete:
    meta = job["metadata"]
    return Delete(JOBS, meta["namespace"], meta["name"], meta["uid"])


# -- telling --------------------------------------------------------------------------------------


def _status_write(obj: JsonObject, status: JsonObject) -> Status:
    meta = obj["metadata"]
    return Status(REPOSITORIES, meta["namespace"], meta["name"], meta["resourceVersion"], status)


def _status(seen: World, phase: str, now: dt.datetime, job: JsonObject | None = None) -> JsonObject:
    """``job`` is the one that removes the data, if there is one."""
    stored = seen.status
    own = [
        _valid(seen),
        conditions.secret_found(seen.secret_problem),
        *_initialized(seen, phase),
        *wiping.condition(seen, job),
    ]
    types = {conditions.FULLY_SUPPORTED, c.REPOSITORY_WIPED, *(item.type for item in own)}
    foreign = [item["type"] for item in stored.get("conditions") or () if item["type"] not in types]
    found = {
        **stored,
        "phase": phase,
        "observedGeneration": seen.obj["metadata"].get("generation", 0),
        "conditions": conditions.merged(stored.get("conditions"), own, now, foreign=foreign),
        "activeSessions": _listed(seen, phase),
        "activeRestores": _listed_restores(seen, phase),
        "maintaining": _maintaining(seen, phase),
    }
    ended = stored.get("maintaining")
    if ended and not seen.held:
        found["lastMaintainedSession"] = ended
    return {key: value for key, value in found.items() if value not in ("", [], None)}


def _listed(seen: World, phase: str) -> list[str]:
    """Sessions are listed anew only while nothing exclusive is due."""
    if phase != machine.READY or seen.due or seen.held:
        return list(seen.active)
    return [*seen.active, *(name for name in seen.waiting if name not in seen.active)]


def _listed_restores(seen: World, phase: str) -> list[str]:
    if phase != machine.READY or seen.due or seen.held:
        return list(seen.restoring)
    return [*seen.restoring, *map(restores.label, seen.to_restore)]


def _maintaining(seen: World, phase: str) -> str:
    """A lock that is held stays held whatever the phase: its Job is not proven finished."""
    if seen.held or phase != machine.MAINTAINING:
        return seen.held
    return world.name_of(seen.due[0])


def _valid(seen: World) -> Condition:
    if seen.faults:
        return Condition.of(
            c.VALID, holds=False, reason=c.INVALID_SPEC, message=world.told(seen.faults)
        )
    message = "The spec is valid."
    return Condition.of(c.VALID, holds=True, reason=c.SPEC_ACCEPTED, message=message)


def _initialized(seen: World, phase: str) -> Iterator[Condition]:
    """The agent writes this condition; the operator only when the Job could not even do that."""
    stored = conditions.find(seen.status.get("conditions"), c.BACKEND_REPOSITORY_INITIALIZED)
    if phase != machine.FAILED or seen.init_job is None or _has_said_why(stored):
        return
    message = f"Job {world.name_of(seen.init_job)} failed: {runs.failure(seen.init_job)}"
    yield Condition.of(
        c.BACKEND_REPOSITORY_INITIALIZED,
        holds=False,
        reason=c.FAILED_TO_INITIALIZE_BACKEND_REPOSITORY,
        message=f"{message}; see its pods' logs. It is tried again by itself.",
    )


def _has_said_why(stored: JsonObject | None) -> bool:
    """The agent's words are better than the Job's."""
    return stored is not None and stored["status"] == "False"


def _events(seen: World, phase: str, stored: str) -> Iterator[EventIntent]:
    if phase == stored:
        return
    name = world.name_of(seen.obj)
    if phase == machine.FAILED:
        message = f"Repository {name} could not be initialised; it is tried again by itself."
        yield EventIntent(seen.obj, "Repository Initialization Failed", message, "Warning", SOURCE)
    if phase == machine.READY and stored == machine.INITIALIZING:
        message = f"Repository {name} is initialised."
        yield EventIntent(seen.obj, "Repository Initialized", message, source=SOURCE)
