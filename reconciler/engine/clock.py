"""The only place that reads the time, sleeps, or draws random numbers.

Everything else is given a Clock. ``SystemClock`` is production; ``VirtualClock`` moves only when
it is told to, so that simulation and tests jump from event to event and are deterministic.
"""

from __future__ import annotations

import datetime as dt
import random as _random
import threading
import time
from typing import Protocol

UTC = dt.UTC


class Clock(Protocol):
    """Time and chance, injected."""

    random: _random.Random

    def now(self) -> dt.datetime:
        """The wall clock: aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> bool:
        """Wait on a held condition for at most so many seconds (None: for ever).

        Returns False when the time ran out. On a virtual clock it never blocks: it moves the time
        forward by ``seconds`` and returns False.
        """


class SystemClock:
    """The machine's clock."""

    def __init__(self, seed: int | None = None) -> None:
        self.random = _random.Random(seed)  # noqa: S311 -- jitter, not cryptography

    def now(self) -> dt.datetime:
        return dt.datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> bool:
        return condition.wait(seconds)


class VirtualClock:
    """A clock that stands still until it is moved. Not thread-safe: it is for one thread."""

    def __init__(self, start: dt.datetime, seed: int = 0) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be aware, for example 2026-01-01T00:00:00+00:00")
        self._start = start.astimezone(UTC)
        self._elapsed = 0.0
        self.random = _random.Random(seed)  # noqa: S311 -- reproducible on purpose

    def now(self) -> dt.datetime:
        return self._start + dt.timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> bool:
        del condition  # nobody else runs on a virtual clock, so nobody can notify
        if seconds is None:
            raise RuntimeError("a wait for ever on a virtual clock would never end")
        self.advance(seconds)
        return False

    def advance(self, seconds: float) -> None:
        """Move forward by so many seconds; a negative number is refused."""
        if seconds < 0:
            raise ValueError(f"time cannot go back ({seconds} s)")
        self._elapsed += seconds

    def advance_to(self, moment: dt.datetime) -> None:
        """Move forward to ``moment``; a moment in the past changes nothing."""
        self.advance(max(0.0, (moment - self.now()).total_seconds()))
