"""Waiting for the end of a session or a restore. Used by ``trigger`` and ``restore``."""

from __future__ import annotations

from reconciler.api.resources import JsonObject, Resource
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.cluster.port import Reader
from reconciler.engine.clock import Clock
from reconciler.errors import TemporaryError

INTERVAL = 1.0
"""Seconds between two looks."""


def final(
    reader: Reader, clock: Clock, resource: Resource, obj: JsonObject, seconds: float
) -> JsonObject:
    """The object once its phase is final. Raises TemporaryError after ``seconds``, NotFound."""
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    give_up = clock.monotonic() + seconds
    while (obj.get("status") or {}).get("phase") not in FINAL_SESSION_PHASES:
        if clock.monotonic() > give_up:
            raise TemporaryError(
                f"{resource.kind} {namespace}/{name}: not final after {seconds:.0f} s; it goes on,"
                " look at it with tandem status, or ask why with tandem explain"
            )
        clock.sleep(INTERVAL)
        obj = reader.get(resource, namespace, name)
    return obj
