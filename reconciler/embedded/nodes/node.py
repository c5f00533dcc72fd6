"""A node of the embedded cluster: what both kinds share, as a kubelet does it.

Made by ``EmbeddedCluster``. It registers a Node object, follows the Pods that are bound to it, lets
``pod.PodLife`` drive them on a ``Runtime``, writes their status, and removes them in the end.
On a virtual clock it is stepped (``settle``, ``next_due``); on the system clock it has a thread
(``start``, ``stop``). It adopts nothing from an earlier process: what ran then counts as lost.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import platform
import threading
from collections import deque
from typing import Literal

from reconciler.api.resources import NODES, PODS, JsonObject, Resource
from reconciler.cluster.port import Port
from reconciler.decisions.plan import EventIntent
from reconciler.embedded.controllers.pods import timestamp
from reconciler.embedded.nodes.feed import Feed
from reconciler.embedded.nodes.pod import PodLife
from reconciler.embedded.nodes.runtime import Runtime
from reconciler.engine.clock import Clock
from reconciler.engine.workers import Recorder
from reconciler.errors import AlreadyExists, Conflict, NotFound, TandemError

NODE_NAME = "tandem-node"
LOG = logging.getLogger(__name__)
RETRY_SECONDS = 1.0
"""The wait after the API server did not answer."""


class Node:
    """Lets the Pods of one node live."""

    def __init__(
        self,
        port: Port,
        clock: Clock,
        runtime: Runtime,
        *,
        name: str = NODE_NAME,
        host_ip: str = "127.0.0.1",
    ) -> None:
        self.recorder: Recorder | None = None
        """Makes Events of what happens to Pods; None: nobody."""
        self.port, self.clock, self.runtime = port, clock, runtime
        self.name, self.host_ip = name, host_ip
        self._lives: dict[str, PodLife] = {}
        self._dues: dict[str, dt.datetime] = {}
        self._dirty: set[str] = set()
        self._registered = False
        self._incoming: deque[tuple[Resource, str, JsonObject]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        pods = Feed(port, PODS, f"spec.nodeName={name}")
        self._feeds = [pods, *(Feed(port, resource) for resource in runtime.watches)]

    def settle(self) -> int:
        """Follow every change and every due Pod until nothing is left; the number of writes."""
        self._register()
        writes = 0
        while True:
            changes = self._read()
            done = self._work()
            writes += done
            if not changes and not done and not self._dirty:
                return writes

    def next_due(self) -> dt.datetime | None:
        """When something happens here though nothing changed; None: never by itself."""
        moments = [*self._dues.values(), self.runtime.next_due()]
        return min((at for at in moments if at is not None), default=None)

    def start(self) -> None:
        """Follow the Pods in threads, until ``stop``."""
        self._stopping = False
        self._register()
        self._threads = [
            threading.Thread(target=self._follow, args=(feed,), daemon=True, name="node-watch")
            for feed in self._feeds
        ]
        self._threads.append(threading.Thread(target=self._loop, daemon=True, name="node"))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop following; whatever still runs is killed. Idempotent."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for feed in self._feeds:
            feed.close()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.runtime.close()

    def wake(self) -> None:
        """Something happened in the runtime; callable from every thread."""
        with self._wake:
            self._wake.notify_all()

    def _follow(self, feed: Feed) -> None:
        while not self._stopping:
            try:
                changes = feed.poll(None)
            except TandemError as problem:
                if not self._stopping:
                    LOG.warning("the node cannot watch %s: %s", feed.resource.plural, problem)
                    self._pause()
                continue
            with self._wake:
                self._incoming += [(feed.resource, *change) for change in changes]
                self._wake.notify_all()

    def _pause(self) -> None:
        with self._wake:
            if not self._stopping:
                self.clock.wait(self._wake, RETRY_SECONDS)

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self._take_incoming()
                self._work()
            except TandemError as problem:
                LOG.warning("the node cannot write: %s", problem)
                self._pause()
            except Exception:  # a defect that one Pod brings out must not end all the others
                LOG.exception("the node stumbled")
                self._pause()
            self._sleep()

    def _sleep(self) -> None:
        self._dirty |= self.runtime.changed()
        due = self.next_due()
        seconds = None if due is None else (due - self.clock.now()).total_seconds()
        with self._wake:
            idle = not self._incoming and not self._dirty and not self._stopping
            if idle and (seconds is None or seconds > 0):
                self.clock.wait(self._wake, seconds)

    def _read(self) -> bool:
        found = False
        for feed in self._feeds:
            while changes := feed.poll(0):
                found = True
                self._incoming += [(feed.resource, *change) for change in changes]
        self._take_incoming()
        return found

    def _take_incoming(self) -> None:
        while self._incoming:
            resource, change, obj = self._incoming.popleft()
            if resource is PODS:
                self._take(change, obj)
            else:
                self.runtime.observe(resource, change, obj)

    def _take(self, change: str, pod: JsonObject) -> None:
        uid = pod["metadata"]["uid"]
        if change == "DELETED":
            self._forget(uid)
            return
        if uid not in self._lives:
            self._lives[uid] = PodLife.of(pod, self.clock.now())
        if _version(pod) < _version(self._lives[uid].pod):
            return  # the echo of a write before our last one
        self._lives[uid].pod = pod
        self._dirty.add(uid)

    def _forget(self, uid: str) -> None:
        if self._lives.pop(uid, None) is not None:
            self.runtime.remove(uid)
        self._dues.pop(uid, None)
        self._dirty.discard(uid)

    def _work(self) -> int:
        """Look at every Pod for which something changed or is due; the number of writes."""
        now = self.clock.now()
        due = {uid for uid, at in self._dues.items() if at <= now}
        chosen = (self._dirty | self.runtime.changed() | due) & set(self._lives)
        self._dirty = set()
        ordered = sorted(chosen, key=lambda uid: _place(self._lives[uid].pod))
        writes = 0
        for index, uid in enumerate(ordered):
            try:
                writes += self._sync(uid, now)
            except TandemError:
                self._dirty |= set(ordered[index:])
                raise
        return writes

    def _sync(self, uid: str, now: dt.datetime) -> int:
        life = self._lives[uid]
        life.sync(life.pod, self.runtime, now)
        due = life.next_due()
        self._dues.pop(uid, None)
        if due is not None:
            self._dues[uid] = due
        written = self._report(life, now)
        self._record(life)
        if life.gone:
            self._delete(life)
            return written + 1
        return written

    def _record(self, life: PodLife) -> None:
        for said in life.tell():
            if self.recorder is not None:
                kind: Literal["Normal", "Warning"] = "Warning" if said.warning else "Normal"
                self.recorder.record(
                    EventIntent(life.pod, said.reason, said.message, kind, source="kubelet")
                )

    def _report(self, life: PodLife, now: dt.datetime) -> int:
        status = life.status(self.host_ip, now)
        if life.finished and not life.ip and life.pod.get("status", {}).get("podIP"):
            return 0  # it was finished before this node started: nothing is known better
        if life.pod.get("status", {}) == status:
            return 0
        try:
            life.pod = self.port.replace(PODS, {**life.pod, "status": status}, subresource="status")
        except (Conflict, NotFound):
            return 0  # it changed, and the change is on its way here
        return 1

    def _delete(self, life: PodLife) -> None:
        meta = life.pod["metadata"]
        uid = meta["uid"]
        with contextlib.suppress(Conflict, NotFound):  # somebody else removed it: as wanted
            self.port.delete(
                PODS, meta.get("namespace", ""), meta["name"], uid=uid, grace_period_seconds=0
            )
        if not meta.get("finalizers"):
            self._forget(uid)

    def _register(self) -> None:
        if self._registered:
            return
        try:
            made = self.port.create(NODES, self._object())
        except AlreadyExists:
            made = self.port.get(NODES, "", self.name)
        self.port.replace(NODES, {**made, "status": self._status()}, subresource="status")
        self._registered = True

    def _object(self) -> JsonObject:
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": platform.system().lower(),
            "kubernetes.io/arch": platform.machine(),
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {},
        }

    def _status(self) -> JsonObject:
        now = timestamp(self.clock.now())
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "the embedded node is ready",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        return {
            "conditions": [ready],
            "addresses": [
                {"type": "InternalIP", "address": self.host_ip},
                {"type": "Hostname", "address": self.name},
            ],
            "capacity": {"pods": "1000"},
            "allocatable": {"pods": "1000"},
            "nodeInfo": {
                "architecture": platform.machine(),
                "operatingSystem": platform.system().lower(),
                "kubeletVersion": "v1.31.0-tandem",
                "containerRuntimeVersion": "tandem://0",
                "kernelVersion": platform.release(),
                "osImage": platform.platform(),
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kubeProxyVersion": "",
            },
        }


def _version(pod: JsonObject) -> int:
    """Versions of one object can be compared, here and since Kubernetes 1.35 everywhere."""
    return int(pod["metadata"]["resourceVersion"])


def _place(pod: JsonObject) -> tuple[str, str]:
    return pod["metadata"].get("namespace", ""), pod["metadata"]["name"]
