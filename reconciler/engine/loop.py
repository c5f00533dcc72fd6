"""The loop: keeps every key of every controller as its decision wants it.

Used by ``tandem run`` for Tandem's own controllers, by the embedded cluster for those of
Kubernetes, and by simulation and tests. ``start``/``stop`` run it with threads on the system clock;
``settle`` and ``next_due`` run the very same code on one thread, step by step, on a virtual clock.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Iterable

from reconciler.api.resources import JsonObject, Key, Resource
from reconciler.cluster import trimming
from reconciler.cluster.informer import InformerCache
from reconciler.cluster.port import Port
from reconciler.decisions.controller import Controller, Keys
from reconciler.decisions.plan import Settings, View
from reconciler.engine.apply import Applier
from reconciler.engine.backoff import Backoff
from reconciler.engine.clock import Clock
from reconciler.engine.queue import WorkQueue
from reconciler.engine.stats import Stats
from reconciler.engine.workers import Recorder, Work, Worker

SYNC_WAIT = 0.05
"""Seconds between looks whether the cache has synced, before the workers begin."""
RESTLESS = 1000
"""Reconciles of one key within one ``settle`` after which it is taken for an endless loop."""


class Loop:
    """Controllers over one cache. ``namespace``: only that one; None: the whole cluster."""

    def __init__(
        self,
        port: Port,
        clock: Clock,
        controllers: Iterable[Controller],
        settings: Settings,
        workers: int = 4,
        *,
        recorder: Recorder | None = None,
        namespace: str | None = None,
        absent: Iterable[Resource] = (),
        trim: trimming.Trim = trimming.whole,
    ) -> None:
        """``recorder`` makes Events of the plans' intents; without one they are dropped.

        ``absent``: resources that decisions ask for and that the cluster does not serve.
        ``trim`` says what the cache keeps of each object (see ``cluster.trimming``).
        """
        self.stats = Stats()
        self._clock = clock
        self._controllers = {each.name: each for each in controllers}
        resources = [r for each in self._controllers.values() for r in each.resources]
        self.view = InformerCache(port, resources, clock, namespace, absent=absent, trim=trim)
        self.view.on_change(self._changed)
        self._routes = _routes(self._controllers.values())
        self._queue: WorkQueue[Work] = WorkQueue(clock)
        self._worker = Worker(
            controllers=self._controllers,
            view=self.view,
            applier=Applier(port, self.view, self.stats, field_manager=settings.field_manager),
            queue=self._queue,
            backoff=Backoff(clock),
            clock=clock,
            settings=settings,
            stats=self.stats,
            recorder=recorder,
        )
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Condition()
        self._stopped = False

    @property
    def writes(self) -> int:
        """Requests so far that changed the cluster (Events are not counted)."""
        return self.stats.total_writes

    @property
    def queue_length(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether the cache is complete, so that decisions are made."""
        return self.view.has_synced

    # one thread, any clock

    def settle(self) -> int:
        """Take in what happened and work on due keys until nothing is ready.

        Returns the number of writes. Never waits: what is due later is left to ``next_due``.
        Raises RuntimeError when a key never comes to rest.
        """
        before = self.writes
        seen: Counter[Work] = Counter()
        while True:
            news = self.view.step()
            if self._drain(seen) == 0 and not news:
                return self.writes - before

    def next_due(self) -> dt.datetime | None:
        """When there will be something to do though nothing changes; None: never."""
        moments = [self._queue.next_due()]
        retry = self.view.next_due()
        if retry is not None:
            left = max(0.0, retry - self._clock.monotonic())
            moments.append(self._clock.now() + dt.timedelta(seconds=left))
        return min((each for each in moments if each is not None), default=None)

    def _drain(self, seen: Counter[Work]) -> int:
        done = 0
        while self.view.has_synced and (work := self._queue.take()) is not None:
            self._worker.work(work)
            done += 1
            seen[work] += 1
            if seen[work] > RESTLESS:
                raise RuntimeError(f"{work.controller} {work.key} does not come to rest")
        return done

    # threads, the system clock

    def start(self) -> None:
        """Run until ``stop``, in threads of its own."""
        self._stopped = False
        self.view.start()
        for number in range(self._workers):
            thread = threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let the workers finish what they are at, then end; for good."""
        with self._stopping:
            self._stopped = True
            self._stopping.notify_all()
        self._queue.shut_down()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self.view.stop()

    def _run(self) -> None:
        with self._stopping:
            while not self._stopped and not self.view.has_synced:
                self._clock.wait(self._stopping, SYNC_WAIT)
        while (work := self._queue.take(block=True)) is not None:
            self._worker.work(work)

    # routing

    def _changed(self, resource: Resource, old: JsonObject | None, new: JsonObject | None) -> None:
        states = [each for each in (old, new) if each is not None]
        for name, keys in self._routes.get(resource, ()):
            for state in states:
                for key in keys(state, self.view):
                    self._queue.add(Work(name, key))


def _itself(obj: JsonObject, view: View) -> tuple[Key, ...]:
    del view
    return (Key.of(obj),)


def _routes(controllers: Iterable[Controller]) -> dict[Resource, list[tuple[str, Keys]]]:
    """Which controllers are interested in a resource, and how its objects map to their keys."""
    routes: dict[Resource, list[tuple[str, Keys]]] = {}
    for each in controllers:
        routes.setdefault(each.primary, []).append((each.name, _itself))
        for watched in each.watches:
            routes.setdefault(watched.resource, []).append((each.name, watched.keys))
    return routes
