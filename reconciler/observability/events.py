"""Kubernetes Events: what a user sees at the end of ``kubectl describe``.

Given to the loop as its recorder. An Event's name is computed from what it says, so that a repeat
raises its count instead of adding another one, also after a restart. Events are a courtesy: a fault
in recording one is logged and never stops a reconcile.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import threading
from collections import OrderedDict

from reconciler.api.resources import EVENTS, JsonObject
from reconciler.cluster.port import Writer
from reconciler.cluster.transport import MERGE_PATCH
from reconciler.decisions.plan import EventIntent
from reconciler.engine.clock import Clock
from reconciler.errors import AlreadyExists, NamespaceTerminating, NotFound, TandemError

logger = logging.getLogger(__name__)

QUIET = dt.timedelta(minutes=1)
"""A repeat within this time of the last one is not worth a request."""
REMEMBERED = 4096
"""Events whose count is known without asking."""
LONGEST_MESSAGE = 1024
"""Bytes: the limit of events.k8s.io/v1, which shows the same Events."""


class EventRecorder:
    """Makes Events of intents. Thread-safe."""

    def __init__(self, port: Writer, clock: Clock) -> None:
        self._port, self._clock = port, clock
        self._known: OrderedDict[str, tuple[dt.datetime, int]] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, intent: EventIntent) -> None:
        """Create the Event, or count a repeat. Never raises a TandemError."""
        event = make_event(intent, self._clock.now())
        name = event["metadata"]["name"]
        count = self._next_count(name)
        if count is None:
            return
        try:
            if count == 1 or not self._count(event, count):
                self._create(event)
        except NamespaceTerminating as error:
            logger.debug("no Event %s: %s", intent.reason, error)
        except TandemError as error:
            logger.warning("could not record Event %s: %s", intent.reason, error)

    def _next_count(self, name: str) -> int | None:
        """The count that the Event will have; None: it was recorded a moment ago."""
        now = self._clock.now()
        with self._lock:
            last, count = self._known.get(name, (None, 0))
            if last is not None and now - last < QUIET:
                return None
            self._remember(name, now, count + 1)
            return count + 1

    def _remember(self, name: str, now: dt.datetime, count: int) -> None:
        self._known[name] = now, count
        self._known.move_to_end(name)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _count(self, event: JsonObject, count: int) -> bool:
        """False when the Event has expired meanwhile (API servers keep them for an hour)."""
        meta = event["metadata"]
        patch = {"count": count, "lastTimestamp": event["lastTimestamp"]}
        try:
            self._port.patch(
                EVENTS, meta["namespace"], meta["name"], patch, content_type=MERGE_PATCH
            )
        except NotFound:
            return False
        return True

    def _create(self, event: JsonObject) -> None:
        """An Event of that name may be there from before a restart: then count on."""
        name = event["metadata"]["name"]
        try:
            self._port.create(EVENTS, event)
        except AlreadyExists:
            with self._lock:
                count = self._known.get(name, (None, 1))[1] + 1
                self._remember(name, self._clock.now(), count)
            self._count(event, count)


def make_event(intent: EventIntent, now: dt.datetime) -> JsonObject:
    """The core/v1 Event, as it is when it happens for the first time."""
    regarding = intent.regarding
    meta = regarding["metadata"]
    moment = now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": _name(intent), "namespace": meta.get("namespace") or "default"},
        "involvedObject": _reference(regarding),
        "reason": intent.reason,
        "message": _shortened(intent.message),
        "type": intent.type,
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": intent.source},
        "reportingComponent": intent.source,
        "reportingInstance": intent.source,
    }


def _name(intent: EventIntent) -> str:
    meta = intent.regarding["metadata"]
    said = "\0".join((meta.get("uid", ""), intent.type, intent.reason, intent.message))
    digest = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
    return f"{meta['name'][:236]}.{digest}"


def _reference(obj: JsonObject) -> JsonObject:
    meta = obj["metadata"]
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    for field in ("namespace", "name", "uid", "resourceVersion"):
        if meta.get(field):
            reference[field] = meta[field]
    return reference


def _shortened(message: str) -> str:
    if len(message.encode()) <= LONGEST_MESSAGE:
        return message
    return message.encode()[: LONGEST_MESSAGE - 3].decode("utf-8", "ignore") + "…"
