"""The skip rule: why a session must not run.

Called by the session decision, which writes the reason, and by the repository decision, which lets
no such session in. A reason counts only until the session has started (invariant 5).
"""

from __future__ import annotations

import attrs

from reconciler.api import conditions as c
from reconciler.api.resources import JsonObject
from reconciler.decisions import world
from reconciler.decisions.plan import View
from reconciler.manifests import labels


@attrs.frozen
class Reason:
    """One CamelCase word, and a sentence with the remedy."""

    reason: str
    message: str


def reason(view: View, session: JsonObject) -> Reason | None:
    """Why the session must be skipped, or None."""
    namespace = session["metadata"]["namespace"]
    kind, name = world.session_invoker(session)
    what = f"{kind} {namespace}/{name}"
    invoker = world.invoker(view, namespace, kind, name)
    if invoker is None:
        return Reason(c.INVOKER_NOT_FOUND, f"{what} does not exist.")
    if world.terminating(invoker):
        return Reason(c.INVOKER_TERMINATING, f"{what} is being deleted.")
    typed, faults = world.read_invoker(invoker)
    if typed is None or faults:
        return Reason(c.INVALID_INVOKER, f"{what} is not valid: {world.told(faults)}")
    if typed.paused and is_scheduled(session):
        return Reason(c.PAUSED, f"{what} is paused; set spec.paused to false to resume.")
    return _other(view, session, kind, name)


def _other(view: View, session: JsonObject, kind: str, name: str) -> Reason | None:
    """Of the unfinished sessions of an invoker one may run: who has begun, else the oldest.

    Creation times have a resolution of one second, so a session that comes later may be the older
    one by its name; it must not get in beside one that has begun (invariant 1).
    """
    if world.has_begun(view, session):
        return None
    namespace = session["metadata"]["namespace"]
    for other in world.sessions_of(view, namespace, kind, name):
        if world.is_final(other) or world.name_of(other) == world.name_of(session):
            continue
        if world.age_key(other) < world.age_key(session) or world.has_begun(view, other):
            message = f"BackupSession {world.name_of(other)} has not finished yet."
            return Reason(c.PREVIOUS_SESSION_RUNNING, message)
    return None


def is_scheduled(session: JsonObject) -> bool:
    """Whether a slot of the schedule made it; one made by hand runs while the batch is paused."""
    return labels.SLOT in (session["metadata"].get("annotations") or {})
