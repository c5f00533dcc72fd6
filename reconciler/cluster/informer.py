"""The informer cache: what the cluster looks like, read without a single request.

Implements ``decisions.plan.View``. The engine's loop drives it, with threads in production and
step by step on a virtual clock; both run the same code. Objects are shared: readers must not
change them.
"""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from reconciler.api.resources import PODS, JsonObject, Resource
from reconciler.cluster import trimming
from reconciler.cluster.objects import Objects
from reconciler.cluster.port import Port, Propagation
from reconciler.cluster.reflector import Reflector
from reconciler.engine.clock import Clock

OnChange = Callable[[Resource, JsonObject | None, JsonObject | None], None]

THREAD_WAIT = 1.0
"""Seconds that a reflector's thread waits for news before it looks whether it must stop."""
DISCOVERY_AGE = 300.0
"""Seconds for which the answer about a resource that is not watched is believed."""


class InformerCache:
    """A cache of ``resources``, of one namespace or (None) of all."""

    def __init__(
        self,
        port: Port,
        resources: Iterable[Resource],
        clock: Clock,
        namespace: str | None = None,
        *,
        absent: Iterable[Resource] = (),
        trim: trimming.Trim = trimming.whole,
    ) -> None:
        """``absent`` are resources that the cluster is known not to serve: there is nothing of
        them, and nothing is asked about them.
        """
        self._absent = frozenset(absent)
        self._port, self._clock, self._trim = port, clock, trim
        self._lock = threading.RLock()
        self._listeners: list[OnChange] = []
        self._stopping = threading.Condition()
        self._stopped = False
        self._threads: list[threading.Thread] = []
        self._served: dict[Resource, tuple[float, bool]] = {}
        self._objects: dict[Resource, Objects] = {}
        self._reflectors: dict[Resource, Reflector] = {}
        for resource in dict.fromkeys(resources):
            self._add(resource, namespace if resource.namespaced else None)

    def on_change(self, listener: OnChange) -> None:
        """Call ``listener(resource, old, new)`` for every real change, in the order of changes."""
        self._listeners.append(listener)

    # plan.View

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        return None if resource in self._absent else self._shelf(resource).get(namespace, name)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        if resource in self._absent:
            return ()
        with self._lock:
            return self._shelf(resource).select(namespace, labels, owner_uid)

    def serves(self, resource: Resource) -> bool:
        """From the watch itself where there is one; else discovery, at most every five minutes."""
        if resource in self._reflectors:
            return self._reflectors[resource].served
        if resource in self._absent:
            return False
        asked, served = self._served.get(resource, (float("-inf"), False))
        if self._clock.monotonic() - asked >= DISCOVERY_AGE:
            served = self._port.serves(resource)
            self._served[resource] = self._clock.monotonic(), served
        return served

    # what we wrote ourselves

    def written(self, resource: Resource, obj: JsonObject) -> None:
        """Show at once what a write of ours returned, before the watch brings it."""
        if resource in self._objects:
            with self._lock:
                self._objects[resource].put(self._trim(resource, obj))

    def deleted(self, resource: Resource, obj: JsonObject, propagation: Propagation) -> None:
        """Show at once that we deleted ``obj``: gone, or terminating if something holds it."""
        if resource not in self._objects:
            return
        held = obj["metadata"].get("finalizers") or propagation != "Background" or resource == PODS
        with self._lock:
            if held:
                moment = self._clock.now().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._objects[resource].mark_terminating(obj, moment)
            else:
                self._objects[resource].bury(obj)

    # running

    @property
    def has_synced(self) -> bool:
        """Whether every resource has been listed once, or is known not to be served."""
        return all(reflector.synced for reflector in self._reflectors.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each resource that cannot be read now."""
        return tuple(
            f"{each.resource.plural}: {each.problem}"
            for each in self._reflectors.values()
            if each.problem is not None
        )

    def step(self) -> bool:
        """Take in everything that has happened, without blocking; True if anything had."""
        changed = False
        for reflector in self._reflectors.values():
            changed = reflector.step() or changed
        return changed

    def next_due(self) -> float | None:
        """When (monotonic) a failed list or watch is to be tried again; None: all are well.

        Resources that are not served do not count: their coming is a change of the outer world.
        """
        due = [
            each.due for each in self._reflectors.values() if each.due is not None and each.served
        ]
        return min(due, default=None)

    def start(self) -> None:
        """Keep up with the cluster in threads, one for each resource, until ``stop``."""
        self._stopped = False
        for reflector in self._reflectors.values():
            name = f"informer-{reflector.resource.plural}"
            thread = threading.Thread(target=self._run, args=(reflector,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads and their watches."""
        with self._stopping:
            self._stopped = True
            self._stopping.notify_all()
        for reflector in self._reflectors.values():
            reflector.close()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _run(self, reflector: Reflector) -> None:
        while not self._stopped:
            if reflector.due is None:
                reflector.step(THREAD_WAIT)
            elif reflector.due <= self._clock.monotonic():
                reflector.step()
            else:
                with self._stopping:
                    if not self._stopped:
                        pause = min(THREAD_WAIT, reflector.due - self._clock.monotonic())
                        self._clock.wait(self._stopping, max(0.0, pause))
        reflector.close()

    def _shelf(self, resource: Resource) -> Objects:
        try:
            return self._objects[resource]
        except KeyError:
            raise LookupError(
                f"{resource.api_version} {resource.plural} is not watched: name it in the "
                "controller's primary or watches"
            ) from None

    def _add(self, resource: Resource, namespace: str | None) -> None:
        objects = Objects(functools.partial(self._tell, resource))

        def sink(change: Callable[[Objects], None]) -> None:
            with self._lock:
                change(objects)

        self._objects[resource] = objects
        self._reflectors[resource] = Reflector(
            self._port,
            resource,
            namespace,
            self._clock,
            sink=sink,
            trim=functools.partial(self._trim, resource),
        )

    def _tell(self, resource: Resource, old: JsonObject | None, new: JsonObject | None) -> None:
        for listener in self._listeners:
            listener(resource, old, new)
