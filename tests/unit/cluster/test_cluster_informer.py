"""The informer's view is what the API server holds, whatever happens on the way."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.api.resources import BACKUP_BATCHES, CONFIG_MAPS, SECRETS, Resource
from reconciler.cluster.client import Client
from reconciler.cluster.informer import InformerCache
from reconciler.cluster.transport import (
    Request,
    Response,
    StreamEnded,
    WatchEvent,
    WatchStream,
)
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock, VirtualClock
from reconciler.errors import ApiUnavailable, Forbidden, TandemError

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Fallible:
    """The embedded server behind a line that can be cut."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.fault: TandemError | None = None
        self.end: Exception | None = None
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        return self.server.send(request)

    def watch(self, request: Request) -> WatchStream:
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        self.end = None
        return FallibleStream(self, self.server.watch(request))

    def lists(self) -> int:
        return sum("watch" not in request.query for request in self.requests)


class FallibleStream:
    def __init__(self, line: Fallible, stream: WatchStream) -> None:
        self.line, self.stream = line, stream

    def next(self, timeout: float | None) -> WatchEvent | None:
        if self.line.end is not None:
            raise self.line.end
        return self.stream.next(timeout)

    def close(self) -> None:
        self.stream.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def line(clock: VirtualClock) -> Fallible:
    return Fallible(Server(clock))


@pytest.fixture
def user(line: Fallible) -> Client:
    return Client(line.server)


class Observed(InformerCache):
    """An informer that remembers what it told."""

    def __init__(self, line: Fallible, clock: VirtualClock, *resources: Resource) -> None:
        super().__init__(Client(line), resources or (CONFIG_MAPS,), clock)
        self.told: list[tuple[str, str]] = []
        self.on_change(self.tell)

    def tell(self, resource: Resource, old: Any, new: Any) -> None:
        kind = "added" if old is None else "removed" if new is None else "changed"
        self.told.append((kind, (new or old)["metadata"]["name"]))

    def names(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.list(CONFIG_MAPS)]


@pytest.fixture
def informer(line: Fallible, clock: VirtualClock) -> Observed:
    return Observed(line, clock)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


def change(user: Client, name: str, **data: str) -> None:
    patch = {"data": data}
    user.patch(CONFIG_MAPS, "default", name, patch, content_type="application/merge-patch+json")


def drained(informer: InformerCache) -> None:
    while informer.step():
        pass


def test_what_is_there_and_what_comes_is_seen(informer: Observed, user: Client) -> None:
    user.create(CONFIG_MAPS, config_map("a"))
    assert not informer.has_synced
    drained(informer)
    assert informer.has_synced
    user.create(CONFIG_MAPS, config_map("b"))
    change(user, "a", x="1")
    user.delete(CONFIG_MAPS, "default", "b")
    drained(informer)
    assert informer.names() == ["a"]
    found = informer.get(CONFIG_MAPS, "default", "a")
    assert found is not None
    assert found["data"] == {"x": "1"}
    assert informer.told == [("added", "a"), ("added", "b"), ("changed", "a"), ("removed", "b")]


def test_a_watch_that_ends_is_taken_up_where_it_ended(
    informer: Observed, line: Fallible, user: Client, clock: VirtualClock
) -> None:
    drained(informer)
    clock.advance(300)
    line.end = StreamEnded()
    user.create(CONFIG_MAPS, config_map("a"))
    drained(informer)
    assert informer.names() == ["a"]
    assert line.lists() == 1, "nothing was lost, so nothing is listed again"


def test_a_history_that_is_gone_leads_to_a_new_list_which_tells_only_differences(
    informer: Observed, line: Fallible, user: Client, clock: VirtualClock
) -> None:
    for name in ("same", "changed", "removed"):
        user.create(CONFIG_MAPS, config_map(name))
    drained(informer)
    informer.told.clear()
    line.end = ApiUnavailable("cut")
    line.fault = ApiUnavailable("down")
    drained(informer)
    change(user, "changed", x="1")
    user.delete(CONFIG_MAPS, "default", "removed")
    user.create(CONFIG_MAPS, config_map("added"))
    line.server.compact()
    line.fault = None
    clock.advance(60)
    drained(informer)
    clock.advance(60)
    drained(informer)
    assert informer.names() == ["added", "changed", "same"]
    assert sorted(informer.told) == [
        ("added", "added"),
        ("changed", "changed"),
        ("removed", "removed"),
    ]
    assert line.lists() == 2


def test_a_server_in_trouble_is_asked_less_and_less(
    informer: Observed, line: Fallible, clock: VirtualClock
) -> None:
    line.fault = ApiUnavailable("down")
    for _ in range(600):
        drained(informer)
        clock.advance(1)
    assert 15 <= len(line.requests) <= 60
    assert not informer.has_synced
    assert informer.problems == ("configmaps: down",)
    line.fault = None
    clock.advance(31)
    drained(informer)
    assert informer.has_synced
    assert informer.problems == ()


def test_watches_that_break_at_once_are_not_reopened_without_a_pause(
    informer: Observed, line: Fallible, clock: VirtualClock
) -> None:
    drained(informer)
    asked = len(line.requests)
    for _ in range(100):
        line.end = StreamEnded()
        informer.step()
    assert len(line.requests) == asked
    assert informer.next_due() is not None
    clock.advance(1)
    drained(informer)
    assert len(line.requests) == asked + 1


def test_a_missing_permission_is_told_and_tried_again(
    informer: Observed, line: Fallible, clock: VirtualClock
) -> None:
    line.fault = Forbidden("configmaps is forbidden")
    drained(informer)
    assert informer.problems == ("configmaps: configmaps is forbidden",)
    line.fault = None
    clock.advance(1)
    drained(informer)
    assert informer.has_synced


def test_a_resource_that_is_not_served_is_empty_until_it_is(
    line: Fallible, clock: VirtualClock
) -> None:
    informer = Observed(line, clock, BACKUP_BATCHES)
    drained(informer)
    assert informer.has_synced
    assert informer.list(BACKUP_BATCHES) == []
    assert not informer.serves(BACKUP_BATCHES)
    assert informer.next_due() is None, "nothing of our own makes it come"


def test_a_resource_nobody_named_is_a_mistake_and_not_an_empty_list(informer: Observed) -> None:
    with pytest.raises(LookupError, match="secrets is not watched"):
        informer.list(SECRETS)


def test_what_is_known_to_be_absent_is_empty_and_costs_no_request(
    line: Fallible, clock: VirtualClock
) -> None:
    cache = InformerCache(Client(line), [CONFIG_MAPS], clock, absent=[BACKUP_BATCHES])
    drained(cache)
    asked = len(line.requests)
    assert cache.list(BACKUP_BATCHES) == ()
    assert cache.get(BACKUP_BATCHES, "default", "web") is None
    assert not cache.serves(BACKUP_BATCHES)
    assert len(line.requests) == asked


def test_discovery_of_other_resources_is_asked_rarely(
    informer: Observed, line: Fallible, clock: VirtualClock
) -> None:
    assert not informer.serves(BACKUP_BATCHES)
    assert informer.serves(SECRETS)
    asked = len(line.requests)
    clock.advance(100)
    informer.serves(BACKUP_BATCHES)
    informer.serves(SECRETS)
    assert len(line.requests) == asked


def test_an_own_write_is_seen_before_the_watch_brings_it(informer: Observed, user: Client) -> None:
    drained(informer)
    informer.written(CONFIG_MAPS, user.create(CONFIG_MAPS, config_map("a")))
    assert informer.names() == ["a"]
    drained(informer)
    assert informer.told == [("added", "a")], "the watch's echo is no news"


def test_an_own_deletion_is_seen_before_the_watch_brings_it(
    informer: Observed, user: Client
) -> None:
    made = user.create(CONFIG_MAPS, config_map("a"))
    drained(informer)
    change(user, "a", x="late")
    user.delete(CONFIG_MAPS, "default", "a")
    informer.deleted(CONFIG_MAPS, made, "Background")
    assert informer.names() == []
    drained(informer)
    assert informer.names() == []


def test_a_deletion_that_a_finalizer_holds_shows_the_object_terminating(
    informer: Observed, user: Client
) -> None:
    obj = config_map("a")
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    made = user.create(CONFIG_MAPS, obj)
    drained(informer)
    informer.deleted(CONFIG_MAPS, made, "Background")
    found = informer.get(CONFIG_MAPS, "default", "a")
    assert found is not None
    assert "deletionTimestamp" in found["metadata"]


def test_only_one_namespace_is_seen_where_one_is_asked_for(
    line: Fallible, clock: VirtualClock, user: Client
) -> None:
    elsewhere = config_map("b")
    elsewhere["metadata"]["namespace"] = "kube-system"
    user.create(CONFIG_MAPS, config_map("a"))
    user.create(CONFIG_MAPS, elsewhere)
    informer = InformerCache(Client(line), [CONFIG_MAPS], clock, "default")
    drained(informer)
    assert [each["metadata"]["name"] for each in informer.list(CONFIG_MAPS)] == ["a"]


@pytest.fixture
def threaded() -> Iterator[tuple[InformerCache, Client]]:
    server = Server(SystemClock())
    informer = InformerCache(Client(server), [CONFIG_MAPS], SystemClock())
    yield informer, Client(server)
    informer.stop()


def test_threads_see_the_same(threaded: tuple[InformerCache, Client]) -> None:
    informer, user = threaded
    seen = threading.Event()
    informer.on_change(lambda resource, old, new: seen.set())
    informer.start()
    user.create(CONFIG_MAPS, config_map("a"))
    assert seen.wait(10)
    assert informer.get(CONFIG_MAPS, "default", "a") is not None
