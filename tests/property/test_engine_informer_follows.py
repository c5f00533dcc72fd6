"""The informer's view equals the store, whatever is written, cut, compacted or buried meanwhile."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.api.resources import CONFIG_MAPS, JsonObject, Resource
from reconciler.cluster.client import Client
from reconciler.cluster.informer import InformerCache
from reconciler.cluster.transport import (
    MERGE_PATCH,
    Request,
    Response,
    StreamEnded,
    WatchEvent,
    WatchStream,
)
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.errors import ApiUnavailable, NotFound

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NAMES = st.sampled_from("abc")


class Line:
    """The server, over a connection that can be down and watches that can end or break."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.down = False
        self.end: Exception | None = None

    def send(self, request: Request) -> Response:
        if self.down:
            raise ApiUnavailable("down")
        return self.server.send(request)

    def watch(self, request: Request) -> WatchStream:
        if self.down:
            raise ApiUnavailable("down")
        self.end = None
        return Stream(self, self.server.watch(request))


class Stream:
    def __init__(self, line: Line, stream: WatchStream) -> None:
        self.line, self.stream = line, stream

    def next(self, timeout: float | None) -> WatchEvent | None:
        if self.line.end is not None:
            raise self.line.end
        return self.stream.next(timeout)

    def close(self) -> None:
        self.stream.close()


class InformerFollows(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock(START)
        self.server = Server(self.clock)
        self.user = Client(self.server)
        self.line = Line(self.server)
        self.informer = InformerCache(Client(self.line), [CONFIG_MAPS], self.clock)
        self.informer.on_change(self.told)
        self.seen: dict[str, JsonObject] = {}

    def told(self, resource: Resource, old: JsonObject | None, new: JsonObject | None) -> None:
        """What is told, added up, must be the view: each change once, in order."""
        name = (new or old or {})["metadata"]["name"]
        assert self.seen.get(name) == old
        assert old is None or old != new
        if new is None:
            del self.seen[name]
        else:
            self.seen[name] = new

    def stored(self) -> dict[str, Any]:
        found = self.user.list(CONFIG_MAPS, "default").items
        return {each["metadata"]["name"]: each for each in found}

    # the world

    @rule(name=NAMES, own=st.booleans(), held=st.booleans())
    def create(self, name: str, own: bool, held: bool) -> None:
        """``own``: by us, so that the cache is told at once."""
        if name in self.stored():
            return
        meta: JsonObject = {"name": name, "namespace": "default"}
        if held:
            meta["finalizers"] = ["x/y"]
        made = self.user.create(CONFIG_MAPS, {"metadata": meta})
        if own:
            self.informer.written(CONFIG_MAPS, made)

    @rule(name=NAMES, value=st.integers(0, 3), own=st.booleans())
    def change(self, name: str, value: int, own: bool) -> None:
        patch = {"data": {"x": str(value)}}
        try:
            made = self.user.patch(CONFIG_MAPS, "default", name, patch, content_type=MERGE_PATCH)
        except NotFound:
            return
        if own:
            self.informer.written(CONFIG_MAPS, made)

    @rule(name=NAMES, own=st.booleans())
    def delete(self, name: str, own: bool) -> None:
        cached = self.informer.get(CONFIG_MAPS, "default", name)
        stored = self.stored().get(name)
        if stored is None:
            return
        self.user.delete(CONFIG_MAPS, "default", name)
        if own and cached is not None and cached["metadata"]["uid"] == stored["metadata"]["uid"]:
            self.informer.deleted(CONFIG_MAPS, cached, "Background")

    @rule(name=NAMES)
    def let_go(self, name: str) -> None:
        patch = {"metadata": {"finalizers": None}}
        if name in self.stored():
            self.user.patch(CONFIG_MAPS, "default", name, patch, content_type=MERGE_PATCH)

    # the way to it

    @rule(broken=st.booleans())
    def watch_ends(self, broken: bool) -> None:
        self.line.end = ApiUnavailable("broken") if broken else StreamEnded()

    @rule()
    def history_is_forgotten(self) -> None:
        """Compaction and a cut: what was not seen yet will never be told."""
        self.server.compact()
        self.line.end = ApiUnavailable("broken")

    @rule(down=st.booleans())
    def line_changes(self, down: bool) -> None:
        self.line.down = down
        if down:
            self.line.end = ApiUnavailable("down")

    @rule(seconds=st.sampled_from([1, 40, 700]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def step(self) -> None:
        self.informer.step()

    @precondition(lambda self: not self.line.down)
    @rule()
    def comes_to_rest(self) -> None:
        """With a sound line and some time, the view is the store."""
        for _ in range(4):
            self.clock.advance(31)
            while self.informer.step():
                pass
        assert self.seen == self.stored()

    @invariant()
    def the_view_is_what_was_told(self) -> None:
        view = {each["metadata"]["name"]: each for each in self.informer.list(CONFIG_MAPS)}
        assert view == self.seen


TestInformerFollows = InformerFollows.TestCase
TestInformerFollows.settings = settings(deadline=None, stateful_step_count=40, max_examples=100)
