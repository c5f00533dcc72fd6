"""A server in memory on a clock that stands still, and short ways to speak to it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from controllers_world import World

from reconciler.cluster import transport
from reconciler.cluster.transport import Request, Response
from reconciler.embedded.server import Server
from reconciler.embedded.watching import Watch
from reconciler.engine.clock import VirtualClock

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class Api:
    """An embedded server; paths without a leading slash are ConfigMaps of ``default``."""

    def __init__(self) -> None:
        self.clock = VirtualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        self.server = Server(self.clock)

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> Response:
        path = path if path.startswith("/") else f"{CONFIG_MAPS}/{path}".rstrip("/")
        return self.server.send(Request(method, path, body=body, **more))

    def get(self, path: str, **query: str) -> Any:
        return self.ok(self.send("GET", path, query=query))

    def create(self, path: str, body: Any, **query: str) -> Any:
        return self.ok(self.send("POST", path, body, query=query))

    def merge(self, path: str, body: Any, **query: str) -> Any:
        return self.ok(self.patch(path, body, transport.MERGE_PATCH, **query))

    def patch(self, path: str, body: Any, kind: str, **query: str) -> Response:
        return self.send("PATCH", path, body, content_type=kind, query=query)

    def apply(self, path: str, body: Any, manager: str, *, force: bool = False) -> Response:
        query = {"fieldManager": manager, "force": str(force).lower()}
        return self.send("PATCH", path, body, content_type=transport.APPLY_PATCH, query=query)

    def delete(self, path: str, body: Any = None, **query: str) -> Any:
        return self.ok(self.send("DELETE", path, body, query=query))

    def watch(self, path: str, **query: str) -> Watch:
        path = path if path.startswith("/") else f"{CONFIG_MAPS}/{path}".rstrip("/")
        return self.server.watch(Request("GET", path, {"watch": "true", **query}))

    @staticmethod
    def ok(response: Response) -> Any:
        assert response.status < 300, response.body
        return response.body


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def world() -> World:
    return World()
