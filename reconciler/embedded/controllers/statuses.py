"""Status writes and conditions, as all built-in controllers make them.

Called by the controllers of this package; pure. A status is written only when it differs from what
is there, so that a second look at an unchanged world writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from reconciler.api.resources import JsonObject, Resource
from reconciler.decisions.plan import Status
from reconciler.embedded.controllers import pods


def write(resource: Resource, obj: JsonObject, status: JsonObject) -> tuple[Status, ...]:
    """The write that makes ``status`` so; nothing when it is so already."""
    if obj.get("status", {}) == status:
        return ()
    meta = obj["metadata"]
    version = meta.get("resourceVersion", "")
    return (Status(resource, meta.get("namespace", ""), meta["name"], version, status),)


def condition(
    obj: JsonObject,
    kind: str,
    now: dt.datetime,
    *,
    value: bool,
    reason: str = "",
    message: str = "",
    updated: bool = False,
) -> JsonObject:
    """A condition; its transition time is kept while its value does not change.

    ``updated``: also keep ``lastUpdateTime`` (Deployments have it).
    """
    status = "True" if value else "False"
    before = pods.condition(obj, kind)
    same = before is not None and before["status"] == status
    since = before["lastTransitionTime"] if same and before else pods.timestamp(now)
    made: JsonObject = {"type": kind, "status": status, "lastTransitionTime": since}
    if updated:
        unchanged = same and before is not None and before.get("reason", "") == reason
        keep = before.get("lastUpdateTime", since) if unchanged and before else None
        made["lastUpdateTime"] = keep or pods.timestamp(now)
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def observed(obj: JsonObject) -> JsonObject:
    """``observedGeneration``, for a status; empty when the object has no generation."""
    generation = obj["metadata"].get("generation")
    return {} if generation is None else {"observedGeneration": generation}


def earliest(moments: Iterable[dt.datetime | None]) -> dt.datetime | None:
    """The earliest of the moments that are known: for ``Plan.wake_at``."""
    return min((at for at in moments if at is not None), default=None)
