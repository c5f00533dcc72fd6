"""An open watch of the embedded server.

Made by ``server.Server.watch``; fed by the store while a write holds the server's lock, read by one
consumer in any thread. Selectors are applied here, so that an object which leaves the selection is
seen as DELETED and one that enters it as ADDED, as a real server does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import StreamEnded, WatchEvent
from reconciler.embedded.selectors import Predicate
from reconciler.embedded.store import Bucket, Change, Store, copied
from reconciler.engine.clock import Clock

BOOKMARK_INTERVAL = 60.0
"""Seconds between bookmarks of a quiet watch, as in the real server."""


_OBJECTS = frozenset({"ADDED", "MODIFIED", "DELETED"})


class Watch:
    """A ``cluster.transport.WatchStream``."""

    def __init__(
        self,
        store: Store,
        bucket: Bucket,
        namespace: str,
        wanted: Predicate,
        *,
        clock: Clock,
        lock: threading.RLock,
        convert: Callable[[JsonObject], JsonObject],
        bookmark: JsonObject | None = None,
        timeout: float | None = None,
    ) -> None:
        """``bookmark`` is the kind and apiVersion of bookmarks, or None if none are wanted.

        ``timeout`` is the watch's whole life in seconds; None: it has no end.
        """
        self._store, self._bucket, self._namespace = store, bucket, namespace
        self._wanted, self._clock, self._lock = wanted, clock, lock
        self._convert, self._bookmark = convert, bookmark
        self._queue: deque[tuple[str, JsonObject]] = deque()
        self._ready = threading.Condition()
        self._ends = None if timeout is None else clock.monotonic() + timeout
        self._bookmarked = clock.monotonic()
        self._told = store.version
        self._closed = False
        self.present: Callable[[JsonObject], JsonObject] = lambda obj: obj
        """What the consumer is shown of an object: itself, or a Table."""
        self.on_ready: Callable[[], None] | None = None
        """Called, in the writer's thread, when something is there to read."""

    def open(self, initial: list[Change]) -> None:
        """Take what has happened already and listen to what follows; the lock is held."""
        for change in initial:
            self._receive(change)
        self._store.subscribe(self._bucket, self._receive)

    def put(self, kind: str, obj: JsonObject) -> None:
        """Queue an event as it is: the ERROR, or the bookmark after the initial events."""
        with self._ready:
            self._queue.append((kind, obj))
            self._ready.notify()
        if self.on_ready is not None:
            self.on_ready()

    def end(self) -> None:
        """The server ends the stream after what is queued."""
        self._ends = self._clock.monotonic()

    def remaining(self, limit: float) -> float:
        """Seconds until the watch's end, at most ``limit``."""
        if self._ends is None:
            return limit
        return min(limit, max(0.0, self._ends - self._clock.monotonic()))

    def _receive(self, change: Change) -> None:
        namespace = change.new["metadata"].get("namespace", "")
        if self._namespace and namespace != self._namespace:
            return
        kind = self._seen_as(change)
        if kind is not None:
            self.put(kind, self._convert(_left(change) if kind == "DELETED" else change.new))

    def _seen_as(self, change: Change) -> str | None:
        before = change.old is not None and self._wanted(change.old)
        after = change.type != "DELETED" and self._wanted(change.new)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None

    def next(self, timeout: float | None) -> WatchEvent | None:
        """See ``WatchStream.next``. The event's object is the caller's own copy."""
        found = self.next_shared(timeout)
        return None if found is None else WatchEvent(found[0], copied(found[1]))

    def next_shared(self, timeout: float | None) -> tuple[str, JsonObject] | None:
        """As ``next``, but the object is the store's own: read it, never change it."""
        found = self._take()
        while found is None and (timeout is None or timeout > 0):
            self._wait(timeout)
            found = self._take()
            if timeout is not None:
                break
        return found

    def _take(self) -> tuple[str, JsonObject] | None:
        if self._closed:
            raise StreamEnded("the watch is closed")
        with self._ready:
            if self._queue:
                kind, obj = self._queue.popleft()
                self._told = int(obj.get("metadata", {}).get("resourceVersion") or self._told)
                return kind, self.present(obj) if kind in _OBJECTS else obj
        over = self._ends is not None and self._clock.monotonic() >= self._ends
        bookmark = self._due_bookmark(over=over)
        if bookmark is None and over:
            self.close()
            raise StreamEnded("the watch reached its timeout")
        return bookmark

    def _due_bookmark(self, *, over: bool) -> tuple[str, JsonObject] | None:
        now = self._clock.monotonic()
        if self._bookmark is None or not (over or now - self._bookmarked >= BOOKMARK_INTERVAL):
            return None
        with self._lock:  # no write can slip in between: the bookmark covers all that was sent
            if self._queue or self._store.version <= self._told:
                return None
            self._told, self._bookmarked = self._store.version, now
        meta = {"resourceVersion": str(self._told), "creationTimestamp": None}
        return "BOOKMARK", {**self._bookmark, "metadata": meta}

    def _wait(self, timeout: float | None) -> None:
        limits = [timeout] if timeout is not None else []
        if self._ends is not None:
            limits.append(max(0.0, self._ends - self._clock.monotonic()))
        with self._ready:
            if not self._queue and not self._closed:
                self._clock.wait(self._ready, min(limits) if limits else None)

    def close(self) -> None:
        """End the watch; idempotent, callable from another thread."""
        self._store.unsubscribe(self._bucket, self._receive)
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        if self.on_ready is not None:
            self.on_ready()


def _left(change: Change) -> JsonObject:
    """What a watch last saw of an object that is gone from its selection, with the new version."""
    if change.type == "DELETED" or change.old is None:
        return change.new
    version = change.new["metadata"]["resourceVersion"]
    return {**change.old, "metadata": {**change.old["metadata"], "resourceVersion": version}}
