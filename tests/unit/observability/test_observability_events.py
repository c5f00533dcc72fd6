"""An Event says once what happened, and how often it happened again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api.resources import BACKUP_BATCHES, EVENTS, NAMESPACES
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response
from reconciler.decisions.plan import EventIntent
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.errors import ApiUnavailable
from reconciler.observability.events import EventRecorder, make_event

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BATCH: dict[str, Any] = {
    "apiVersion": BACKUP_BATCHES.api_version,
    "kind": "BackupBatch",
    "metadata": {"name": "b", "namespace": "default", "uid": "u", "resourceVersion": "7"},
}


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.server = Server(self.clock)
        self.writes = 0
        self.server.intercept(self.count)
        self.recorder = EventRecorder(Client(self.server), self.clock)

    def count(self, request: Request, proceed: Callable[[Request], Response]) -> Response:
        self.writes += request.method != "GET"
        return proceed(request)

    def record(self, message: str = "the Secret is missing", regarding: Any = None) -> None:
        self.recorder.record(EventIntent(regarding or BATCH, "NotReady", message, "Warning"))

    def events(self) -> list[dict[str, Any]]:
        return Client(self.server).list(EVENTS, "default").items


@pytest.fixture
def world() -> World:
    return World()


def test_an_event_names_its_object_and_its_time(world: World) -> None:
    world.record()
    (event,) = world.events()
    assert event["involvedObject"] == {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "namespace": "default",
        "name": "b",
        "uid": "u",
        "resourceVersion": "7",
    }
    assert (event["reason"], event["type"], event["count"]) == ("NotReady", "Warning", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["source"] == {"component": "tandem"}


def test_repeats_are_counted(world: World) -> None:
    for _ in range(3):
        world.record()
        world.clock.advance(120)
    (event,) = world.events()
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["lastTimestamp"] == "2026-01-01T00:04:00Z"


def test_repeats_in_quick_succession_cost_nothing(world: World) -> None:
    for _ in range(50):
        world.record()
        world.clock.advance(1)
    assert world.writes == 1


def test_counting_goes_on_after_a_restart(world: World) -> None:
    world.record()
    world.recorder = EventRecorder(Client(world.server), world.clock)
    world.record()
    (event,) = world.events()
    assert event["count"] == 2


def test_an_event_that_has_expired_is_made_anew(world: World) -> None:
    world.record()
    (event,) = world.events()
    Client(world.server).delete(EVENTS, "default", event["metadata"]["name"])
    world.clock.advance(3600)
    world.record()
    (event,) = world.events()
    assert event["firstTimestamp"] == "2026-01-01T01:00:00Z"


def test_different_messages_and_objects_have_events_of_their_own(world: World) -> None:
    recreated = {**BATCH, "metadata": {**BATCH["metadata"], "uid": "another"}}
    world.record()
    world.record("the Repository is missing")
    world.record(regarding=recreated)
    assert len(world.events()) == 3


def test_a_fault_in_recording_is_only_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(request: Request, proceed: Callable[[Request], Response]) -> Response:
        raise ApiUnavailable("down")

    world.server.intercept(refuse)
    world.record()
    assert "could not record Event NotReady: down" in caplog.text


def test_an_event_in_a_namespace_that_is_being_deleted_is_not_missed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    user = Client(world.server)
    user.create(NAMESPACES, {"metadata": {"name": "n"}})
    user.delete(NAMESPACES, "", "n")
    world.record(regarding={**BATCH, "metadata": {**BATCH["metadata"], "namespace": "n"}})
    assert caplog.records == []


def test_objects_without_a_namespace_have_their_events_in_the_default_one() -> None:
    node = {"apiVersion": "v1", "kind": NAMESPACES.kind, "metadata": {"name": "x" * 250}}
    event = make_event(EventIntent(node, "R", "m"), START)
    assert event["metadata"]["namespace"] == "default"
    assert len(event["metadata"]["name"]) <= 253


def test_a_message_is_shortened_to_what_kubernetes_takes() -> None:
    event = make_event(EventIntent(BATCH, "R", "ä" * 2000), START)
    assert len(event["message"].encode()) <= 1024
    assert event["message"].endswith("…")
