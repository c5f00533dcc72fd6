"""The controllers of the operator: which decision looks at what, and what wakes it.

``CONTROLLERS`` is read by ``reconciler.engine.operator``. A mapper answers which primary objects a
changed object concerns; it is called with the old and the new state, works on raw JSON, and may
name too many keys but never too few: a decision that finds nothing to do writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import (
    APP_BINDINGS,
    BACKUP_SESSIONS,
    CRON_JOBS,
    CRON_JOBS_V1BETA1,
    FUNCTIONS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    REPOSITORIES,
    ROLE_BINDINGS,
    SECRETS,
    SERVICE_ACCOUNTS,
    TASKS,
    WORKLOADS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.api.restore_invoker import RESTORE_INVOKERS
from reconciler.decisions import (
    host_names,
    invoker,
    repository,
    restore,
    restores,
    session,
    sidecars,
    world,
)
from reconciler.decisions.controller import Controller, Keys, Watched, nothing, owned_by
from reconciler.decisions.plan import View
from reconciler.manifests import init_container, labels, names, sidecar

_TARGETS = (*WORKLOADS, PERSISTENT_VOLUME_CLAIMS, APP_BINDINGS)


def _namespace(obj: JsonObject) -> str:
    return str(obj["metadata"].get("namespace") or "")


# -- to invokers ----------------------------------------------------------------------------------


def target_to_invokers(target: Resource, resource: Resource) -> Keys:
    """A target concerns the invokers that name it, and the one whose sidecar it carries."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        kind, _, name = sidecar.SLOT.mark_of(obj).partition("/")
        if kind == resource.kind:
            yield Key(_namespace(obj), name)
        wanted = (target.kind, world.name_of(obj))
        for found in view.list(resource, _namespace(obj)):
            if wanted in world.references(found):
                yield Key.of(found)

    return keys


def repository_to_invokers(resource: Resource) -> Keys:
    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for found in view.list(resource, _namespace(obj)):
            if world.repository_name(found) == world.name_of(obj):
                yield Key.of(found)

    return keys


def secret_to_repositories(obj: JsonObject, view: View) -> Iterable[Key]:
    for found in view.list(REPOSITORIES, _namespace(obj)):
        backend = (found.get("spec") or {}).get("backend") or {}
        if backend.get("storageSecretName") == world.name_of(obj):
            yield Key.of(found)


def secret_to_invokers(resource: Resource) -> Keys:
    of_repository = repository_to_invokers(resource)

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for key in secret_to_repositories(obj, view):
            found = view.get(REPOSITORIES, key.namespace, key.name)
            yield from of_repository(found, view) if found else ()

    return keys


def session_to_invokers(resource: Resource) -> Keys:
    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        del view
        kind, name = world.session_invoker(obj)
        return (Key(_namespace(obj), name),) if kind == resource.kind else ()

    return keys


def rivals(resource: Resource) -> Keys:
    """An invoker concerns those that name one of its targets: one of them may have the sidecar."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        mine = world.references(obj)
        for found in view.list(resource, _namespace(obj)):
            if not mine.isdisjoint(world.references(found)):
                yield Key.of(found)

    return keys


def namesakes(resource: Resource) -> Keys:
    """An invoker concerns those that say that a host of theirs has the name of one of its own."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for found in host_names.concerned(view, obj):
            if found["kind"] == resource.kind:
                yield Key.of(found)

    return keys


def step_to_invokers(resource: Resource) -> Keys:
    """A Task or Function concerns every invoker with a Task: they are few, and seldom change."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        del obj
        for found in view.list(resource, None):
            if any(member.get("task") for member in world.members(found)):
                yield Key.of(found)

    return keys


def lost_access_to_invokers(resource: Resource) -> Keys:
    """Shared access rules concern all of the namespace, but only when they are gone."""
    ours = (
        names.CRON_JOB_ACCOUNT,
        names.BACKUP_JOB_ACCOUNT,
        names.SNAPSHOT_JOB_ACCOUNT,
        names.SIDECAR_ROLE,
        names.HOOKS_ROLE,
    )

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        kind = SERVICE_ACCOUNTS if "roleRef" not in obj else ROLE_BINDINGS
        gone = view.get(kind, _namespace(obj), world.name_of(obj)) is None
        if gone and world.name_of(obj).startswith(ours):
            yield from (Key.of(found) for found in view.list(resource, _namespace(obj)))

    return keys


def _of_invokers(resource: Resource) -> Controller:
    return Controller(
        name=resource.plural,
        primary=resource,
        decide=invoker.decide_for(resource),
        watches=(
            Watched(BACKUP_SESSIONS, session_to_invokers(resource)),
            Watched(REPOSITORIES, repository_to_invokers(resource)),
            Watched(SECRETS, secret_to_invokers(resource)),
            *(Watched(other, rivals(resource)) for other in INVOKERS),
            *(Watched(other, namesakes(resource)) for other in INVOKERS),
            *(Watched(target, target_to_invokers(target, resource)) for target in _TARGETS),
            Watched(CRON_JOBS, owned_by(resource)),
            Watched(CRON_JOBS_V1BETA1, owned_by(resource)),
            Watched(TASKS, step_to_invokers(resource)),
            Watched(FUNCTIONS, step_to_invokers(resource)),
            Watched(SERVICE_ACCOUNTS, lost_access_to_invokers(resource)),
            Watched(ROLE_BINDINGS, lost_access_to_invokers(resource)),
            Watched(JOBS, nothing),
            Watched(PODS, nothing),
            *(Watched(other, nothing) for other in RESTORE_INVOKERS),
        ),
    )


# -- to sessions ----------------------------------------------------------------------------------


def _unfinished(view: View, namespace: str | None) -> Iterator[JsonObject]:
    for found in view.list(BACKUP_SESSIONS, namespace):
        if not world.is_final(found):
            yield found


def _open(view: View, namespace: str) -> Iterator[JsonObject]:
    """The sessions that an invoker still has to do with."""
    for found in view.list(BACKUP_SESSIONS, namespace):
        if not world.is_final(found) or world.awaits_retry(found):
            yield found


def to_sessions(obj: JsonObject, view: View) -> Iterable[Key]:
    """Whatever changes in a namespace may concern its unfinished sessions: they are few."""
    yield from (Key.of(found) for found in _unfinished(view, _namespace(obj) or None))


def pod_to_sessions(obj: JsonObject, view: View) -> Iterable[Key]:
    """Only pods that run something of ours concern a session."""
    of_job = (obj["metadata"].get("labels") or {}).get(labels.TASK) == "backup"
    if of_job or sidecar.SLOT.of(obj) is not None:
        yield from to_sessions(obj, view)


def invoker_to_sessions(resource: Resource) -> Keys:
    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for found in _open(view, _namespace(obj)):
            if world.session_invoker(found) == (resource.kind, world.name_of(obj)):
                yield Key.of(found)

    return keys


def session_to_rivals(obj: JsonObject, view: View) -> Iterable[Key]:
    """A session that ends or goes may let a later one of the same invoker run.

    One that comes makes the retry of an earlier one needless.
    """
    for found in _open(view, _namespace(obj)):
        if world.session_invoker(found) == world.session_invoker(obj):
            yield Key.of(found)


def repository_job_to_sessions(obj: JsonObject, view: View) -> Iterable[Key]:
    """A maintenance Job concerns the session that it follows."""
    del view
    followed = (obj["metadata"].get("annotations") or {}).get(labels.SESSION)
    if followed:
        yield Key(_namespace(obj), followed)


_SESSIONS = Controller(
    name=BACKUP_SESSIONS.plural,
    primary=BACKUP_SESSIONS,
    decide=session.decide,
    watches=(
        Watched(JOBS, owned_by(BACKUP_SESSIONS)),
        Watched(JOBS, repository_job_to_sessions),
        Watched(PODS, pod_to_sessions),
        Watched(REPLICA_SETS, nothing),
        Watched(REPOSITORIES, to_sessions),
        Watched(BACKUP_SESSIONS, session_to_rivals),
        *(Watched(resource, invoker_to_sessions(resource)) for resource in INVOKERS),
        *(Watched(target, to_sessions) for target in _TARGETS),
        *(Watched(other, to_sessions) for other in RESTORE_INVOKERS),
        Watched(TASKS, to_sessions),
        Watched(FUNCTIONS, to_sessions),
        Watched(SERVICE_ACCOUNTS, nothing),
        Watched(ROLE_BINDINGS, nothing),
    ),
)


# -- to repositories ------------------------------------------------------------------------------


def invoker_to_repository(obj: JsonObject, view: View) -> Iterable[Key]:
    del view
    name = world.repository_name(obj)
    return (Key(_namespace(obj), name),) if name else ()


def session_to_repository(obj: JsonObject, view: View) -> Iterable[Key]:
    """The Repository of the session's invoker; all that list it, when the invoker is gone."""
    kind, name = world.session_invoker(obj)
    found = world.invoker(view, _namespace(obj), kind, name)
    if found is not None:
        yield from invoker_to_repository(found, view)
    for holder in view.list(REPOSITORIES, _namespace(obj)):
        status = world.status_of(holder)
        used = (*(status.get("activeSessions") or ()), status.get("maintaining"))
        if world.name_of(obj) in used:
            yield Key.of(holder)


def restore_to_repositories(obj: JsonObject, view: View) -> Iterable[Key]:
    """The Repository that it names, all that list it, and those whose sessions wait for it."""
    yield from invoker_to_repository(obj, view)
    for holder in view.list(REPOSITORIES, _namespace(obj)):
        if restores.label(obj) in (world.status_of(holder).get("activeRestores") or ()):
            yield Key.of(holder)
    for found in world.invokers(view, _namespace(obj)):
        if restores.are_into_targets_of((obj,), found):
            yield from invoker_to_repository(found, view)


def pod_to_repository(obj: JsonObject, view: View) -> Iterable[Key]:
    """A pod that outlives its maintenance Job keeps the repository locked."""
    own = obj["metadata"].get("labels") or {}
    if own.get(labels.TASK) != "maintain":
        return
    for found in view.list(REPOSITORIES, _namespace(obj)):
        if names.limited(world.name_of(found)) == own.get(labels.REPOSITORY):
            yield Key.of(found)


_REPOSITORIES = Controller(
    name=REPOSITORIES.plural,
    primary=REPOSITORIES,
    decide=repository.decide,
    watches=(
        *(Watched(resource, invoker_to_repository) for resource in INVOKERS),
        Watched(SECRETS, secret_to_repositories),
        Watched(JOBS, owned_by(REPOSITORIES)),
        Watched(PODS, pod_to_repository),
        Watched(BACKUP_SESSIONS, session_to_repository),
        *(Watched(other, restore_to_repositories) for other in RESTORE_INVOKERS),
        Watched(SERVICE_ACCOUNTS, nothing),
        Watched(ROLE_BINDINGS, nothing),
    ),
)


# -- to restores ----------------------------------------------------------------------------------


def to_restores(resource: Resource) -> Keys:
    """Whatever changes in a namespace may concern its unfinished restores: they are few."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for found in view.list(resource, _namespace(obj) or None):
            if not restores.is_final(found):
                yield Key.of(found)

    return keys


def pod_to_restores(resource: Resource) -> Keys:
    """Only pods that restore something concern a restore."""
    unfinished = to_restores(resource)

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        of_job = (obj["metadata"].get("labels") or {}).get(labels.TASK) == "restore"
        if of_job or init_container.SLOT.of(obj) is not None:
            yield from unfinished(obj, view)

    return keys


def target_to_restores(resource: Resource) -> Keys:
    """A target concerns the unfinished restores, and the one whose init container it carries."""
    unfinished = to_restores(resource)

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        kind, _, name = init_container.SLOT.mark_of(obj).partition("/")
        if kind == resource.kind:
            yield Key(_namespace(obj), name)
        yield from unfinished(obj, view)

    return keys


def _of_restores(resource: Resource) -> Controller:
    unfinished = to_restores(resource)
    return Controller(
        name=resource.plural,
        primary=resource,
        decide=restore.decide_for(resource),
        watches=(
            Watched(JOBS, owned_by(resource)),
            Watched(PODS, pod_to_restores(resource)),
            Watched(REPLICA_SETS, nothing),
            Watched(REPOSITORIES, unfinished),
            Watched(SECRETS, unfinished),
            Watched(BACKUP_SESSIONS, unfinished),
            *(Watched(other, nothing) for other in INVOKERS),
            *(Watched(other, unfinished) for other in RESTORE_INVOKERS),
            *(Watched(target, target_to_restores(resource)) for target in _TARGETS),
            Watched(TASKS, unfinished),
            Watched(FUNCTIONS, unfinished),
            Watched(SERVICE_ACCOUNTS, nothing),
            Watched(ROLE_BINDINGS, nothing),
        ),
    )


# -- to workloads ---------------------------------------------------------------------------------


def invoker_to_workloads(other: Resource, resource: Resource) -> Keys:
    """An invoker concerns the workloads that it names or named, and those that it has marked."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for kind, name in world.references(obj):
            if kind == resource.kind:
                yield Key(_namespace(obj), name)
        alive = view.get(other, _namespace(obj), world.name_of(obj))
        if alive is None or world.terminating(alive):
            yield from _marked(view, obj, resource)

    return keys


def _marked(view: View, found: JsonObject, resource: Resource) -> Iterator[Key]:
    mark = f"{found['kind']}/{world.name_of(found)}"
    for item in view.list(resource, _namespace(found)):
        if sidecar.SLOT.mark_of(item) == mark:
            yield Key.of(item)


def session_to_workloads(resource: Resource) -> Keys:
    """The last session of an invoker that is being deleted lets its sidecars go."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        kind, name = world.session_invoker(obj)
        found = world.invoker(view, _namespace(obj), kind, name)
        if found is not None and world.terminating(found):
            yield from _marked(view, found, resource)

    return keys


def restore_to_workloads(resource: Resource) -> Keys:
    """A restore concerns the workloads that it names, and those that carry its init container."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        for kind, name in restores.references(obj):
            if kind == resource.kind:
                yield Key(_namespace(obj), name)
        alive = restores.labelled(view, _namespace(obj), restores.label(obj))
        if alive is None or world.terminating(alive):
            for item in view.list(resource, _namespace(obj)):
                if init_container.SLOT.mark_of(item) == restores.label(obj):
                    yield Key.of(item)

    return keys


_READ_WITH_INVOKERS = (
    *WORKLOADS,
    REPOSITORIES,
    SECRETS,
    PERSISTENT_VOLUME_CLAIMS,
    APP_BINDINGS,
    CRON_JOBS,
    CRON_JOBS_V1BETA1,
    TASKS,
    FUNCTIONS,
    SERVICE_ACCOUNTS,
    ROLE_BINDINGS,
)
"""What is read with the invoker of a workload: its changes wake the invoker, whose status changes
with them, and that wakes the workload."""


def _of_workloads(resource: Resource) -> Controller:
    return Controller(
        name=resource.plural,
        primary=resource,
        decide=sidecars.decide_for(resource),
        watches=(
            *(Watched(other, invoker_to_workloads(other, resource)) for other in INVOKERS),
            Watched(BACKUP_SESSIONS, session_to_workloads(resource)),
            *(Watched(other, restore_to_workloads(resource)) for other in RESTORE_INVOKERS),
            Watched(PODS, owned_by(resource)),
            *(Watched(read, nothing) for read in _READ_WITH_INVOKERS),
        ),
    )


CONTROLLERS: tuple[Controller, ...] = (
    *map(_of_invokers, INVOKERS),
    _SESSIONS,
    _REPOSITORIES,
    *map(_of_restores, RESTORE_INVOKERS),
    *map(_of_workloads, WORKLOADS),
)
"""All of them. Their order does not matter."""
