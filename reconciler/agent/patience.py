"""Waiting that grows, is jittered, and ends at once when the process is told to stop.

Used by everything in the agent that waits for the API server or for its turn.
"""

from __future__ import annotations

import datetime as dt

from reconciler.agent.runner import Stop
from reconciler.engine.clock import Clock


class Patience:
    """One series of waits, from ``first`` seconds doubling up to ``longest``.

    After a stop, ``last_tries`` more waits of at most a second are granted: enough to deliver a
    result to a healthy API server, and well within a pod's grace period.
    """

    def __init__(
        self,
        clock: Clock,
        stop: Stop,
        *,
        first: float = 1.0,
        longest: float = 60.0,
        last_tries: int = 3,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._first = first
        self._longest = longest
        self._next = first
        self._last_tries = last_tries

    def now(self) -> dt.datetime:
        return self._clock.now()

    def reset(self) -> None:
        """Begin anew after a success."""
        self._next = self._first

    def again(self) -> bool:
        """Wait; False when it is time to give up, because the process ends."""
        seconds = self._next * self._clock.random.uniform(0.75, 1.25)
        self._next = min(self._longest, self._next * 2)
        if not self._stop:
            self.rest(seconds)
        if not self._stop:
            return True
        self._last_tries -= 1
        if self._last_tries < 0:
            return False
        self._clock.sleep(min(seconds, 1.0))
        return True

    def rest(self, seconds: float) -> None:
        """Wait so long, or until the process is told to stop."""
        end = self._clock.monotonic() + seconds
        with self._stop.condition:
            while not self._stop and (left := end - self._clock.monotonic()) > 0:
                self._clock.wait(self._stop.condition, left)
