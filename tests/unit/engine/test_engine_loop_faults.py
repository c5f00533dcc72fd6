"""What goes wrong in the loop harms one key only, and is told where its owner looks."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator

import pytest
from loop_world import (
    START,
    Obj,
    World,
    make,
    wants_deployment,
)

from reconciler.api.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, Key
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response
from reconciler.decisions.plan import (
    Apply,
    Create,
    EventIntent,
    Plan,
    Settings,
    View,
)
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock
from reconciler.engine.controller import Controller, Watched, owned_by
from reconciler.engine.loop import Loop
from reconciler.errors import ApiUnavailable, Conflict, Rejected


@pytest.mark.parametrize(
    ("fault", "outcome", "longest"),
    [
        (ApiUnavailable("down"), "temporary", 0.01),
        (Rejected("no"), "terminal", 10.0),
        (Conflict("changed"), "conflict", 0.01),
        (KeyError("a bug"), "bug", 0.01),
    ],
)
def test_a_fault_of_one_key_is_tried_again_and_harms_no_other(
    world: World, fault: Exception, outcome: str, longest: float
) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        if obj["metadata"]["name"] == "bad":
            raise fault
        return wants_deployment(obj, view, now)

    loop = world.loop(decide)
    world.give("bad")
    world.give("good")
    assert loop.settle() == 1
    assert loop.stats.reconciles["test", outcome] >= 1
    due = loop.next_due()
    assert due is not None
    assert due - START <= dt.timedelta(seconds=longest)


def test_a_short_failure_is_not_worth_a_line_but_a_long_one_is(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        raise ApiUnavailable("down")

    world.give()
    loop = world.loop(decide)
    loop.settle()
    assert caplog.records == []
    for _ in range(12):
        world.clock.advance(10)
        loop.settle()
    assert "reconcile failed (temporary)" in caplog.text


def test_a_bug_is_logged_with_its_traceback_and_the_key(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        raise KeyError("a bug")

    world.give()
    world.loop(decide).settle()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.__dict__["key"] == "default/a"


def test_a_refusal_for_good_is_told_on_the_object_without_what_it_holds(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        dump = 'core.PodTemplateSpec{Env: {Value: "s3cr3t"}}'
        raise Rejected(f'Job "j" is invalid: spec.template: Invalid value: {dump}: is immutable')

    world.give()
    world.loop(decide).settle()
    (told,) = world.intents
    assert (told.reason, told.type) == ("ReconcileFailed", "Warning")
    assert told.regarding["metadata"]["name"] == "a"
    assert told.message == (
        'Job "j" is invalid: spec.template: Invalid value: (not shown): is immutable'
    )


@pytest.mark.parametrize("fault", [ApiUnavailable("down"), Conflict("changed")])
def test_what_heals_by_itself_is_not_told(world: World, fault: Exception) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        raise fault

    world.give()
    world.loop(decide).settle()
    assert world.intents == []


def test_a_namespace_that_is_being_deleted_is_no_fault(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.user.create(NAMESPACES, {"metadata": {"name": "n"}})
    world.user.delete(NAMESPACES, "", "n")

    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        wanted = {**make("x"), "metadata": {"name": "x", "namespace": "n"}}
        return Plan(writes=(Create(CONFIG_MAPS, wanted),))

    world.give()
    loop = world.loop(decide)
    loop.settle()
    assert loop.stats.reconciles["test", "terminal"] == 1
    assert (world.intents, caplog.records) == ([], [])


def test_events_are_recorded_only_after_the_writes(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        broken = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}
        broken["metadata"]["namespace"] = "no-such-namespace"  # type: ignore[index]
        return Plan(writes=(Create(DEPLOYMENTS, broken),), events=(EventIntent(obj, "Made", "m"),))

    world.give()
    world.loop(decide).settle()
    assert world.recorded == []


def test_a_decision_that_never_comes_to_rest_is_found(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        count = int(obj["metadata"].get("labels", {}).get("n", "0"))
        patched = make("a", labels={"n": str(count + 1)})
        del patched["data"]
        return Plan(writes=(Apply(CONFIG_MAPS, patched),))

    world.give()
    with pytest.raises(RuntimeError, match="does not come to rest"):
        world.loop(decide).settle()


def test_nothing_is_decided_before_the_whole_cache_is_there(world: World) -> None:
    looked: list[str] = []

    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        looked.append(obj["metadata"]["name"])
        return Plan()

    loop = world.loop(decide)
    world.give()
    broken = True

    def interceptor(request: Request, proceed: Callable[[Request], Response]) -> Response:
        if broken and request.path.endswith("/secrets"):
            raise ApiUnavailable("down")
        return proceed(request)

    world.line.server.intercept(interceptor)
    loop.settle()
    assert looked == []
    broken = False
    world.clock.advance(2)
    loop.settle()
    assert looked == ["a"]


@pytest.fixture
def running() -> Iterator[tuple[Loop, Client]]:
    clock = SystemClock()
    user = Client(Server(clock))

    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        obj = view.get(CONFIG_MAPS, key.namespace, key.name)
        return Plan() if obj is None else wants_deployment(obj, view, now)

    controller = Controller(
        "t", CONFIG_MAPS, decide, (Watched(DEPLOYMENTS, owned_by(CONFIG_MAPS)),)
    )
    loop = Loop(user, clock, [controller], Settings())
    yield loop, user
    loop.stop()


def test_threads_do_the_same_and_stop_when_told(running: tuple[Loop, Client]) -> None:
    loop, user = running
    made: set[str] = set()
    all_made = threading.Event()

    def seen(resource: object, old: Obj | None, new: Obj | None) -> None:
        if resource == DEPLOYMENTS and new is not None:
            made.add(new["metadata"]["name"])
            if len(made) == 30:
                all_made.set()

    loop.view.on_change(seen)
    for number in range(15):
        user.create(CONFIG_MAPS, make(f"before-{number}"))
    loop.start()
    for number in range(15):
        user.create(CONFIG_MAPS, make(f"after-{number}"))
    assert all_made.wait(20)
    loop.stop()
    assert loop.writes == 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker-")]
