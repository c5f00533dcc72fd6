"""At most one operator leads, and another one takes over when it falls silent."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from reconciler.api.resources import LEASES
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.embedded.server import Server
from reconciler.engine.clock import Clock, SystemClock, VirtualClock
from reconciler.engine.leader import LeaderElector, Terms
from reconciler.errors import ApiUnavailable

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Line:
    """A server that one candidate may lose sight of."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cut = False

    def send(self, request: Request) -> Response:
        if self.cut:
            raise ApiUnavailable("cut off")
        return self.server.send(request)

    def watch(self, request: Request) -> WatchStream:
        return self.server.watch(request)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def server(clock: VirtualClock) -> Server:
    return Server(clock)


def candidate(line: Line | Server, clock: Clock, identity: str) -> LeaderElector:
    return LeaderElector(Client(line), clock, namespace="default", name="tandem", identity=identity)


def spec(server: Server) -> dict[str, object]:
    found: dict[str, object] = Client(server).get(LEASES, "default", "tandem")["spec"]
    return found


def test_the_first_one_leads_and_the_second_one_waits(server: Server, clock: VirtualClock) -> None:
    one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
    one.step()
    two.step()
    assert (one.is_leader, two.is_leader) == (True, False)
    assert spec(server) == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }


def test_a_leader_that_renews_stays_the_leader(server: Server, clock: VirtualClock) -> None:
    one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
    for _ in range(60):
        clock.advance(min(one.step(), two.step()))
        assert (one.is_leader, two.is_leader) == (True, False)
    assert spec(server)["leaseTransitions"] == 0


def test_a_leader_that_is_cut_off_gives_up_before_another_one_takes_over(
    server: Server, clock: VirtualClock
) -> None:
    line = Line(server)
    one, two = candidate(line, clock, "one"), candidate(server, clock, "two")
    one.step()
    two.step()
    line.cut = True
    led = [0.0, 0.0]
    while not two.is_leader:
        one.step()
        clock.advance(min(1.0, two.step()))
        assert not (one.is_leader and two.is_leader)
        led[0] = clock.monotonic() if one.is_leader else led[0]
        led[1] = clock.monotonic()
    assert led[0] < 10
    assert 15 <= led[1] <= 20
    assert spec(server)["holderIdentity"] == "two"
    assert spec(server)["leaseTransitions"] == 1


def test_a_clock_that_is_wrong_on_another_machine_does_not_matter(
    server: Server, clock: VirtualClock
) -> None:
    wrong = VirtualClock(START - dt.timedelta(days=1))
    one, two = candidate(server, wrong, "one"), candidate(server, clock, "two")
    one.step()
    two.step()
    assert not two.is_leader, "its renewTime is long past, but we have only just seen it"


def test_a_released_lease_is_taken_at_once(server: Server, clock: VirtualClock) -> None:
    one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
    one.step()
    two.step()
    one.release()
    assert not one.is_leader
    two.step()
    assert two.is_leader


def test_the_waits_are_not_in_step(server: Server, clock: VirtualClock) -> None:
    waits = {candidate(server, clock, "one").step() for _ in range(10)}
    assert len(waits) == 10
    assert all(2 <= wait <= 2.4 for wait in waits)


def test_terms_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="retry"):
        Terms(duration=10, renew_deadline=10)


def test_work_begins_with_the_lease_and_ends_when_it_is_lost(
    server: Server, clock: VirtualClock
) -> None:
    line = Line(server)
    told: list[str] = []

    def started() -> None:
        told.append("started")
        line.cut = True

    candidate(line, clock, "one").run(started, lambda: told.append("stopped"))
    assert told == ["started", "stopped"]
    assert clock.monotonic() >= 10, "a short failure is no reason to give up"


def test_stopping_releases_the_lease() -> None:
    clock = SystemClock()
    server = Server(clock)
    elector = candidate(server, clock, "one")
    started = threading.Event()
    told: list[str] = []
    thread = threading.Thread(
        target=elector.run, args=(started.set, lambda: told.append("stopped"))
    )
    thread.start()
    assert started.wait(10)
    elector.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert told == ["stopped"]
    assert spec(server)["holderIdentity"] == ""


def test_who_never_led_never_stops_working() -> None:
    clock = SystemClock()
    server = Server(clock)
    candidate(server, clock, "other").step()
    elector = candidate(server, clock, "one")
    told: list[str] = []
    thread = threading.Thread(
        target=elector.run, args=(lambda: told.append("on"), lambda: told.append("off"))
    )
    thread.start()
    elector.stop()
    thread.join(10)
    assert told == []
    assert spec(server)["holderIdentity"] == "other"


def test_an_error_at_the_start_of_work_is_told_and_leaves_the_lease_to_others(
    server: Server, clock: VirtualClock
) -> None:
    told: list[str] = []

    def started() -> None:
        raise RuntimeError("cannot start")

    with pytest.raises(RuntimeError, match="cannot start"):
        candidate(server, clock, "one").run(started, lambda: told.append("stopped"))
    assert told == []
    assert spec(server)["holderIdentity"] == ""


SHORT = Terms(duration=3, renew_deadline=0.5, retry=0.1)


class Hanging(Line):
    """A server that, once ``cut``, answers only when it is let go."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.let_go = threading.Event()

    def send(self, request: Request) -> Response:
        if self.cut:
            self.let_go.wait(30)
        return self.server.send(request)


def test_a_lost_lease_is_noticed_while_a_renewal_hangs() -> None:
    clock = SystemClock()
    line = Hanging(Server(clock))
    elector = LeaderElector(
        Client(line), clock, namespace="default", name="tandem", identity="one", terms=SHORT
    )
    started, lost = threading.Event(), threading.Event()
    thread = threading.Thread(target=elector.run, args=(started.set, bool))
    thread.start()
    assert started.wait(10)
    guard = threading.Thread(target=elector.guard, args=(lost.set,))
    guard.start()
    line.cut = True
    assert lost.wait(10)
    assert thread.is_alive(), "the renewal hangs still"
    line.let_go.set()
    elector.stop()
    thread.join(10)
    guard.join(10)


def test_the_guard_is_silent_when_work_ends_in_good_order() -> None:
    clock = SystemClock()
    elector = LeaderElector(
        Client(Server(clock)), clock, namespace="default", name="tandem", identity="one"
    )
    told: list[str] = []
    started = threading.Event()
    thread = threading.Thread(target=elector.run, args=(started.set, bool))
    thread.start()
    assert started.wait(10)
    guard = threading.Thread(target=elector.guard, args=(lambda: told.append("lost"),))
    guard.start()
    elector.stop()
    thread.join(10)
    guard.join(10)
    assert not guard.is_alive()
    assert told == []


def test_it_is_known_who_leads(server: Server, clock: VirtualClock) -> None:
    one, two = candidate(server, clock, "one"), candidate(server, clock, "two")
    assert two.holder is None
    one.step()
    two.step()
    assert two.holder == "one"
    one.release()
    three = candidate(server, clock, "three")
    three.step()
    assert three.holder == "three"
