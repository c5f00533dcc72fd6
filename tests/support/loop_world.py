"""What the tests of the loop share: an API server, its clock, and what was asked of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from reconciler.api.resources import CONFIG_MAPS, DEPLOYMENTS, SECRETS, Key
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.decisions.plan import (
    Apply,
    EventIntent,
    Plan,
    Settings,
    View,
)
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.engine.controller import Controller, Watched, nothing, owned_by
from reconciler.engine.loop import Loop

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Obj = dict[str, Any]
Simple = Callable[[Obj, View, dt.datetime], Plan]


class Counting:
    """The embedded server, with the writes that reach it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.writes: list[tuple[str, str]] = []
        self.before: Callable[[Request], None] = lambda request: None

    def send(self, request: Request) -> Response:
        if request.method != "GET":
            self.writes.append((request.method, request.path.rpartition("/")[2]))
            self.before(request)
        return self.server.send(request)

    def watch(self, request: Request) -> WatchStream:
        return self.server.watch(request)


class World:
    """A server, its user, and a loop with one controller over ConfigMaps."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.line = Counting(Server(self.clock))
        self.user = Client(self.line.server)
        self.recorded: list[str] = []
        self.intents: list[EventIntent] = []

    def record(self, intent: EventIntent) -> None:
        self.recorded.append(intent.reason)
        self.intents.append(intent)

    def loop(self, decide: Simple) -> Loop:
        def whole(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
            obj = view.get(CONFIG_MAPS, key.namespace, key.name)
            return Plan() if obj is None else decide(obj, view, now)

        controller = Controller(
            "test",
            CONFIG_MAPS,
            whole,
            (
                Watched(DEPLOYMENTS, owned_by(CONFIG_MAPS)),
                Watched(SECRETS, nothing),
            ),
        )
        return Loop(Client(self.line), self.clock, [controller], Settings(), recorder=self)

    def give(self, name: str = "a", **meta: Any) -> Obj:
        return self.user.create(CONFIG_MAPS, make(name, **meta))

    def see(self, name: str = "a") -> Obj:
        return self.user.get(CONFIG_MAPS, "default", name)


def make(name: str, **meta: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **meta},
        "data": {},
    }


def deployment(owner: Obj, image: str = "i") -> Obj:
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"{meta['name']}-d",
            "namespace": "default",
            "ownerReferences": [{**reference, "controller": True}],
        },
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    }


def wants_deployment(obj: Obj, view: View, now: dt.datetime) -> Plan:
    return Plan(writes=(Apply(DEPLOYMENTS, deployment(obj)),))
