"""The work queue: which keys must be looked at, each at most once at a time.

Client-go's semantics: a key that is added twice before somebody takes it is handed out once; a key
that is added while it is worked on is handed out once more afterwards; one key is never worked on
by two workers. Keys may also be added for a later moment; the earliest one counts, and it lapses
when the key is handed out, because whoever works on it then says anew when to look again.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from reconciler.engine.clock import Clock

Item = TypeVar("Item", bound=Hashable)

LONGEST_WAIT = 10.0
"""Seconds after which a waiting worker looks at the clock again, should the wall clock jump."""


class WorkQueue(Generic[Item]):
    """Thread-safe. ``take`` and ``done`` enclose the work on one item."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: deque[Item] = deque()
        self._dirty: set[Item] = set()
        self._processing: set[Item] = set()
        self._due: dict[Item, dt.datetime] = {}
        self._heap: list[tuple[dt.datetime, int, Item]] = []
        self._numbers = itertools.count()
        self._shut_down = False

    def __len__(self) -> int:
        """How many items are ready to be taken."""
        return len(self._ready)

    def add(self, item: Item) -> None:
        """Hand ``item`` out as soon as possible."""
        with self._changed:
            self._ripen()
            self._add(item)

    def add_at(self, item: Item, moment: dt.datetime) -> None:
        """Hand ``item`` out at ``moment`` (aware), unless it is handed out before."""
        with self._changed:
            self._ripen()
            if item not in self._due or moment < self._due[item]:
                self._due[item] = moment
                heapq.heappush(self._heap, (moment, next(self._numbers), item))
                self._changed.notify()

    def take(self, *, block: bool = False) -> Item | None:
        """The next item, or None: nothing is ready (``block`` False), or the queue is shut down."""
        with self._changed:
            self._ripen()
            while block and not self._ready and not self._shut_down:
                self._clock.wait(self._changed, self._wait())
                self._ripen()
            if not self._ready or self._shut_down:
                return None
            item = self._ready.popleft()
            self._dirty.discard(item)
            self._due.pop(item, None)
            self._processing.add(item)
            return item

    def done(self, item: Item) -> None:
        """The work on a taken item has ended; if it was added meanwhile, it is ready again."""
        with self._changed:
            self._ripen()
            self._processing.discard(item)
            if item in self._dirty:
                self._ready.append(item)
                self._changed.notify()

    def next_due(self) -> dt.datetime | None:
        """The moment of the earliest item that waits for its time, or None."""
        with self._changed:
            self._forget_stale()
            return self._heap[0][0] if self._heap else None

    def shut_down(self) -> None:
        """From now on every ``take`` gives None."""
        with self._changed:
            self._shut_down = True
            self._changed.notify_all()

    def _add(self, item: Item) -> None:
        if item in self._dirty:
            return
        self._dirty.add(item)
        if item not in self._processing:
            self._ready.append(item)
            self._changed.notify()

    def _ripen(self) -> None:
        now = self._clock.now()
        self._forget_stale()
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)[2]
            del self._due[item]
            self._add(item)
            self._forget_stale()

    def _forget_stale(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)

    def _wait(self) -> float:
        if not self._heap:
            return LONGEST_WAIT
        left = (self._heap[0][0] - self._clock.now()).total_seconds()
        return min(LONGEST_WAIT, max(0.0, left))
