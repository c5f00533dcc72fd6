"""Keeps one resource's shelf of the cache equal to the cluster: list, watch, repair.

Run by ``informer.InformerCache``. The same ``step`` serves a thread (it may block on the watch) and
the deterministic mode (it never blocks). A closed watch is taken up again where it ended; a
resourceVersion that is too old (410) leads to a new list, of which only real differences are told;
faults lead to a growing, jittered pause, so that a server in trouble is not hammered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster import answers
from reconciler.cluster.objects import Objects
from reconciler.cluster.port import Port
from reconciler.cluster.transport import StreamEnded, WatchEvent, WatchStream
from reconciler.engine.clock import Clock
from reconciler.errors import Gone, NotFound, TandemError

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.8, 30.0
"""Seconds of back-off, as client-go's reflector has them."""
UNSERVED_PAUSE = 30.0
"""Seconds until a resource that the cluster does not serve is asked for again."""
SHORT_WATCH = 1.0
"""A watch that ends sooner than this, without an event, counts as a fault (seconds)."""
TICK = 1e-5
"""Seconds by which a moment may be missed: wall clocks are rounded to microseconds."""
WATCH_SECONDS = (300, 600)
"""The life that is asked for a watch; random, so that not all are renewed at once."""


class Reflector:
    """One list-and-watch. ``sink`` runs a change of the shelf under the informer's lock."""

    def __init__(
        self,
        port: Port,
        resource: Resource,
        namespace: str | None,
        clock: Clock,
        *,
        sink: Callable[[Callable[[Objects], None]], None],
        trim: Callable[[JsonObject], JsonObject],
    ) -> None:
        self.resource = resource
        self.synced = False
        self.served = True
        self.problem: TandemError | None = None
        self.due: float | None = clock.monotonic()
        """When (monotonic) a list or watch is to be tried; None while a watch is open."""
        self._port, self._namespace, self._clock = port, namespace, clock
        self._sink, self._trim = sink, trim
        self._version: str | None = None
        self._stream: WatchStream | None = None
        self._opened = clock.monotonic()
        self._heard = False
        self._faults = 0

    def step(self, timeout: float | None = 0) -> bool:
        """Do what can be done; wait at most ``timeout`` seconds for news. True: something was."""
        try:
            if self._stream is None:
                if self.due is None or self._clock.monotonic() < self.due - TICK:
                    return False
                self._connect()
                return True
            return self._drain(self._stream, timeout)
        except StreamEnded:
            self._reconnect(fault=None)
        except Gone as gone:
            self._version = None
            self._reconnect(fault=gone)
        except NotFound:
            self._unserved()
        except TandemError as error:
            self._failed(error)
        return True

    def close(self) -> None:
        """End the open watch; callable from another thread."""
        if self._stream is not None:
            self._stream.close()

    def _connect(self) -> None:
        if self._version is None:
            listing = self._port.list(self.resource, self._namespace)
            items = [self._trim(item) for item in listing.items]
            self._sink(lambda objects: objects.replace(items, listing.resource_version))
            self._version = listing.resource_version
        self._stream = self._port.watch(
            self.resource,
            self._namespace,
            resource_version=self._version,
            timeout_seconds=self._clock.random.randint(*WATCH_SECONDS),
        )
        self._opened, self._heard, self.due = self._clock.monotonic(), False, None
        self.synced = self.served = True
        if self.problem is not None:
            logger.info("%s: reading again", self.resource.plural)
            self.problem = None

    def _drain(self, stream: WatchStream, timeout: float | None) -> bool:
        changed = False
        event = stream.next(timeout)
        while event is not None:
            changed = self._take(event) or changed
            event = stream.next(0)
        return changed

    def _take(self, event: WatchEvent) -> bool:
        if event.type == "ERROR":
            raise answers.watch_error(event.object)
        self._heard, self._faults = True, 0
        self._version = str(event.object["metadata"]["resourceVersion"])
        if event.type == "BOOKMARK":
            return False
        obj = self._trim(event.object)
        if event.type == "DELETED":
            self._sink(lambda objects: objects.remove(obj))
        else:
            self._sink(lambda objects: objects.put(obj))
        return True

    def _reconnect(self, fault: TandemError | None) -> None:
        """At once after a watch that did its work; with a pause after one that did not."""
        useful = self._heard or self._clock.monotonic() - self._opened >= SHORT_WATCH
        if self._stream is not None and useful:
            self._disconnect(pause=0.0)
        else:
            self._failed(fault)

    def _failed(self, error: TandemError | None) -> None:
        if error is not None and type(error) is not type(self.problem):
            logger.warning("%s: cannot read: %s", self.resource.plural, error)
        self.problem = error
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._faults, 16))
        self._faults += 1
        self._disconnect(pause=longest * self._clock.random.uniform(0.5, 1.0))

    def _unserved(self) -> None:
        if self.served:
            logger.info("%s: not served by this cluster", self.resource.plural)
        self._sink(Objects.clear)
        self._version, self.served, self.synced, self.problem = None, False, True, None
        self._disconnect(pause=UNSERVED_PAUSE)

    def _disconnect(self, pause: float) -> None:
        self.close()
        self._stream = None
        self.due = self._clock.monotonic() + pause
