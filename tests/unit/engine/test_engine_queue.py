"""The work queue hands out each key once, never twice at a time, and not before its moment."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from reconciler.engine.clock import SystemClock, VirtualClock
from reconciler.engine.queue import WorkQueue

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def queue(clock: VirtualClock) -> WorkQueue[str]:
    return WorkQueue(clock)


def after(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def test_a_key_added_twice_is_handed_out_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert queue.take() == "a"
    assert queue.take() is None


def test_keys_are_handed_out_in_the_order_of_their_coming(queue: WorkQueue[str]) -> None:
    for key in "cab":
        queue.add(key)
    assert [queue.take(), queue.take(), queue.take()] == ["c", "a", "b"]


def test_a_key_added_while_worked_on_comes_once_more_afterwards(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take()
    queue.add("a")
    queue.add("a")
    assert queue.take() is None, "nobody else may work on it meanwhile"
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_a_key_is_not_handed_out_before_its_moment(
    queue: WorkQueue[str], clock: VirtualClock
) -> None:
    queue.add_at("a", after(60))
    clock.advance(59)
    assert queue.take() is None
    assert queue.next_due() == after(60)
    clock.advance(1)
    assert queue.take() == "a"
    assert queue.next_due() is None


@pytest.mark.parametrize("moments", [(60, 30), (30, 60)])
def test_of_several_moments_the_earliest_counts(
    queue: WorkQueue[str], clock: VirtualClock, moments: tuple[int, int]
) -> None:
    for seconds in moments:
        queue.add_at("a", after(seconds))
    assert queue.next_due() == after(30)
    clock.advance(30)
    assert queue.take() == "a"
    queue.done("a")
    clock.advance(100)
    assert queue.take() is None, "the later moment has lapsed"


def test_a_moment_lapses_when_the_key_is_handed_out_before(
    queue: WorkQueue[str], clock: VirtualClock
) -> None:
    queue.add_at("a", after(60))
    queue.add("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.next_due() is None
    clock.advance(60)
    assert queue.take() is None


def test_a_moment_set_while_worked_on_is_kept(queue: WorkQueue[str], clock: VirtualClock) -> None:
    queue.add("a")
    queue.take()
    queue.add_at("a", after(10))
    queue.done("a")
    assert queue.take() is None
    clock.advance(10)
    assert queue.take() == "a"


def test_nothing_is_handed_out_after_the_shutdown(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.shut_down()
    assert queue.take() is None
    assert queue.take(block=True) is None


def test_a_waiting_worker_is_woken_by_a_key_and_by_the_shutdown() -> None:
    clock = SystemClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    taken: list[str | None] = []

    def work() -> None:
        while (key := queue.take(block=True)) is not None:
            taken.append(key)
            queue.done(key)
            if key == "last":
                queue.shut_down()

    worker = threading.Thread(target=work)
    worker.start()
    queue.add("first")
    queue.add_at("last", clock.now() + dt.timedelta(milliseconds=20))
    worker.join(timeout=10)
    assert not worker.is_alive()
    assert taken == ["first", "last"]
