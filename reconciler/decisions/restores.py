"""Restores as the world shows them: who restores what, who has begun, who is in whose way.

Called by the restore decision, by those about workloads and repositories, and by the key mappers.
Like ``world`` it answers from raw JSON where an object may be broken, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.api.decoding import decode
from reconciler.api.resources import (
    BACKUP_SESSIONS,
    REPOSITORIES,
    RESTORE_BATCHES,
    JsonObject,
    Resource,
)
from reconciler.api.restore import RestoreBatch, RestoreSession
from reconciler.api.restore_invoker import (
    RESTORE_INVOKERS,
    RestoreInvoker,
    entries,
    raw_ref,
)
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.api.validation import validate
from reconciler.decisions import conditions, world
from reconciler.decisions.plan import View
from reconciler.errors import Fault, InvalidObject
from reconciler.manifests import init_container


def resource_of(kind: str) -> Resource | None:
    return next((resource for resource in RESTORE_INVOKERS if resource.kind == kind), None)


def label(restore: JsonObject) -> str:
    """``Kind/name``: how Repositories, workloads and messages name a restore."""
    return f"{restore['kind']}/{world.name_of(restore)}"


def labelled(view: View, namespace: str, name: str) -> JsonObject | None:
    """The restore of a ``Kind/name``."""
    kind, _, own = name.partition("/")
    resource = resource_of(kind)
    return view.get(resource, namespace, own) if resource else None


def every(view: View, namespace: str | None) -> Iterator[JsonObject]:
    for resource in RESTORE_INVOKERS:
        yield from view.list(resource, namespace)


def unfinished(view: View, namespace: str | None) -> Iterator[JsonObject]:
    return (found for found in every(view, namespace) if not is_final(found))


def read(obj: JsonObject) -> tuple[RestoreInvoker | None, tuple[Fault, ...]]:
    """The typed view, if the object can be read at all, and everything that is wrong with it."""
    batch = obj["kind"] == RESTORE_BATCHES.kind
    typed: RestoreBatch | RestoreSession
    try:
        if batch:
            typed = decode(RestoreBatch, obj, unknown="ignore")
        else:
            typed = decode(RestoreSession, obj, unknown="ignore")
    except InvalidObject as error:
        return None, error.faults
    return RestoreInvoker.of(typed), tuple(validate(typed))


def is_final(obj: JsonObject) -> bool:
    return world.phase_of(obj) in FINAL_SESSION_PHASES


@world.remembered
def references(obj: JsonObject) -> frozenset[tuple[str, str]]:
    """(kind, name) of every target in a restore's raw spec."""
    spec = obj.get("spec") or {}
    found = spec.get("members") if obj["kind"] == RESTORE_BATCHES.kind else [spec]
    members = found if isinstance(found, list) else []
    refs = [raw_ref(member) for member in members if isinstance(member, dict)]
    return frozenset((ref.get("kind", ""), ref.get("name", "")) for ref in refs)


def started(obj: JsonObject) -> frozenset[tuple[str, str]]:
    """(kind, name) of every target whose turn has come."""
    refs = [entry["ref"] for entry in entries(obj) if entry.get("startTime")]
    return frozenset((ref.get("kind", ""), ref.get("name", "")) for ref in refs)


def age_key(obj: JsonObject) -> tuple[str, str, str]:
    """Orders restores from the oldest on, without a tie."""
    return (*world.age_key(obj), obj["kind"])


def has_begun(view: View, restore: JsonObject) -> bool:
    """Whether the restore runs, or a Repository has let it in."""
    if world.phase_of(restore) == "Running":
        return True
    namespace, name = restore["metadata"]["namespace"], label(restore)
    return any(
        name in (world.status_of(obj).get("activeRestores") or ())
        for obj in view.list(REPOSITORIES, namespace)
    )


# -- who is in whose way --------------------------------------------------------------------------


def rival(view: View, restore: JsonObject) -> JsonObject | None:
    """The unfinished restore because of which this one must not run: two writers into one target
    leave neither. One that has begun stays; else the oldest that can be read runs.
    """
    if has_begun(view, restore):
        return None
    for other in _sharing(view, restore):
        older = age_key(other) < age_key(restore) and not read(other)[1]
        if not world.terminating(other) and (older or has_begun(view, other)):
            return other
    return None


def going(view: View, restore: JsonObject) -> JsonObject | None:
    """A restore into the same target that is being deleted: its pods may still write."""
    return next(filter(world.terminating, _sharing(view, restore)), None)


def _sharing(view: View, restore: JsonObject) -> Iterator[JsonObject]:
    """The other unfinished restores into one of its targets."""
    mine = references(restore)
    for other in unfinished(view, restore["metadata"]["namespace"]):
        if label(other) != label(restore) and not references(other).isdisjoint(mine):
            yield other


def are_into_targets_of(found: Sequence[JsonObject], invoker: JsonObject) -> bool:
    """Whether one of the restores is into one of the invoker's targets."""
    wanted = world.references(invoker)
    return any(not wanted.isdisjoint(references(restore)) for restore in found)


def wants_repository(restore: JsonObject) -> bool:
    """Whether the restore's own decision has found that only the Repository is waited for.

    It looks at the targets, so the Repository need not; before it has, nothing is listed.
    """
    found = conditions.find(world.status_of(restore).get("conditions"), conditions.READY_TO_START)
    return found is not None and found["status"] == "True"


def session_before(view: View, restore: JsonObject) -> JsonObject | None:
    """The running session that backs up one of the restore's targets: it is waited for."""
    namespace = restore["metadata"]["namespace"]
    for session in view.list(BACKUP_SESSIONS, namespace):
        if world.is_final(session) or not world.has_begun(view, session):
            continue
        invoker = world.invoker(view, namespace, *world.session_invoker(session))
        if invoker and not world.references(invoker).isdisjoint(references(restore)):
            return session
    return None


def before_session(view: View, invoker: JsonObject) -> JsonObject | None:
    """The restore into one of the invoker's targets that has begun: a backup waits for it, for it
    would back up half of the old state and half of the new.
    """
    wanted = world.references(invoker)
    for restore in unfinished(view, invoker["metadata"]["namespace"]):
        if not wanted.isdisjoint(references(restore)) and has_begun(view, restore):
            return restore
    return None


# -- in workloads ---------------------------------------------------------------------------------


def entitled(view: View, workload: JsonObject) -> JsonObject | None:
    """The restore whose init container is or may be in the workload.

    It comes when the target's turn does. It stays when the restore is finished, for taking it out
    would restart the pods once more; it goes with the restore object.
    """
    meta = workload["metadata"]
    wanted = (workload["kind"], meta["name"])
    for restore in unfinished(view, meta["namespace"]):
        if wanted in started(restore) and not world.terminating(restore):
            return restore
    marked = labelled(view, meta["namespace"], init_container.SLOT.mark_of(workload))
    if marked is None or world.terminating(marked) or wanted not in started(marked):
        return None
    return marked
