"""What the loop has done so far, as plain numbers: for benchmarks, health and metrics.

Figures about backups come from objects, which outlive a restart; these are about the process.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict


class Stats:
    """Counters that several workers may raise at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reconciles: Counter[tuple[str, str]] = Counter()
        """By controller and outcome: ``ok``, ``conflict``, ``temporary``, ``terminal``, ``bug``."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Time spent in reconciles, by controller, in seconds."""
        self.writes: Counter[tuple[str, str]] = Counter()
        """Requests that changed the cluster, by verb and kind."""
        self.skipped: Counter[tuple[str, str]] = Counter()
        """Wanted writes that were already so, by verb and kind."""
        self.reads: Counter[str] = Counter()
        """Reads that the cache could not answer, by kind."""

    def reconciled(self, controller: str, outcome: str, seconds: float) -> None:
        with self._lock:
            self.reconciles[controller, outcome] += 1
            self.seconds[controller] += seconds

    def wrote(self, verb: str, kind: str) -> None:
        with self._lock:
            self.writes[verb, kind] += 1

    def skip(self, verb: str, kind: str) -> None:
        with self._lock:
            self.skipped[verb, kind] += 1

    def read(self, kind: str) -> None:
        with self._lock:
            self.reads[kind] += 1

    @property
    def total_writes(self) -> int:
        return sum(self.writes.values())
