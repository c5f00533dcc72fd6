"""Who may use a Repository now, and who next: sessions and restores, from the oldest on.

Called by the repository decision, which alone writes the lists. A restore and a backup of one
target do not run side by side, whatever Repository each uses: the backup would take half of the
old state and half of the new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.decisions import restores, skipping, world
from reconciler.decisions.plan import View


def users_of(view: View, repository: JsonObject) -> Iterator[JsonObject]:
    """The invokers that name the Repository."""
    meta = repository["metadata"]
    for obj in world.invokers(view, meta["namespace"]):
        if world.repository_name(obj) == meta["name"]:
            yield obj


def active(view: View, obj: JsonObject) -> Iterator[str]:
    """A session that is final or gone gives its place back; finality never changes."""
    namespace = obj["metadata"]["namespace"]
    for name in world.status_of(obj).get("activeSessions") or ():
        session = view.get(BACKUP_SESSIONS, namespace, name)
        if session is not None and not world.is_final(session):
            yield name


def restores_of(view: View, repository: JsonObject) -> Iterator[JsonObject]:
    """The restores that name the Repository and are not final."""
    meta = repository["metadata"]
    for obj in restores.unfinished(view, meta["namespace"]):
        if world.repository_name(obj) == meta["name"]:
            yield obj


def restoring(view: View, obj: JsonObject) -> Iterator[str]:
    namespace = obj["metadata"]["namespace"]
    for name in world.status_of(obj).get("activeRestores") or ():
        restore = restores.labelled(view, namespace, name)
        if restore is not None and not restores.is_final(restore):
            yield name


def to_restore(view: View, asking: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """A restore is let in when its own decision has found it ready, and nobody is in its way."""
    for obj in sorted(asking, key=restores.age_key):
        ready = restores.wants_repository(obj) and not world.terminating(obj)
        free = not (
            restores.rival(view, obj)
            or restores.going(view, obj)
            or restores.session_before(view, obj)
        )
        if ready and free and not restores.has_begun(view, obj):
            yield obj


def waiting(view: View, users: Iterable[JsonObject], first: Sequence[JsonObject]) -> Iterator[str]:
    """``first``: the restores that are let in now too; a backup waits for those as well."""
    found: list[JsonObject] = []
    for obj in users:
        if restores.before_session(view, obj) or restores.are_into_targets_of(first, obj):
            continue
        meta = obj["metadata"]
        sessions = world.sessions_of(view, meta["namespace"], obj["kind"], meta["name"])
        unfinished = [session for session in sessions if not world.is_final(session)]
        if any(world.has_begun(view, session) for session in unfinished):
            continue  # one of an invoker at a time, whichever is the older
        # The oldest alone: the others are skipped by the session decision.
        if unfinished and skipping.reason(view, unfinished[0]) is None:
            found.append(unfinished[0])
    yield from (world.name_of(session) for session in sorted(found, key=world.age_key))
