"""Per-key exponential back-off: how long a key that failed waits. Used by the workers."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from reconciler.engine.clock import Clock

SHORTEST, LONGEST = 0.005, 300.0
"""Seconds: client-go's first delay, and a longest one that an operator can wait for."""


class Backoff:
    """Doubles with every failure in a row, up to ``longest``; jittered by up to a half."""

    def __init__(
        self, clock: Clock, *, shortest: float = SHORTEST, longest: float = LONGEST
    ) -> None:
        self._clock, self._shortest, self._longest = clock, shortest, longest
        self._failures: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def failed(self, key: Hashable, *, at_least: float = 0.0) -> float:
        """Count a failure; the seconds to wait: between a half and the whole of the step.

        ``at_least`` is where the doubling begins for faults that will not heal by themselves.
        """
        with self._lock:
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
            step = max(self._shortest, at_least) * 2.0 ** min(count, 32)
            return min(self._longest, step) * self._clock.random.uniform(0.5, 1.0)

    def failures(self, key: Hashable) -> int:
        """How often ``key`` has failed in a row."""
        return self._failures.get(key, 0)

    def succeeded(self, key: Hashable) -> None:
        """Forget the failures of ``key``."""
        with self._lock:
            self._failures.pop(key, None)
