"""A key that keeps failing waits longer and longer, up to a limit, and not in step with others."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.backoff import LONGEST, SHORTEST, Backoff
from reconciler.engine.clock import VirtualClock


def backoff(seed: int = 0) -> Backoff:
    return Backoff(VirtualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), seed))


@given(st.integers(0, 2**32))
def test_each_failure_doubles_the_wait_up_to_the_longest(seed: int) -> None:
    waits = backoff(seed)
    for failure in range(40):
        step = min(LONGEST, SHORTEST * 2**failure)
        assert step / 2 <= waits.failed("key") <= step


def test_success_begins_anew() -> None:
    waits = backoff()
    for _ in range(10):
        waits.failed("key")
    waits.succeeded("key")
    assert waits.failures("key") == 0
    assert waits.failed("key") <= SHORTEST


def test_keys_do_not_wait_for_each_other() -> None:
    waits = backoff()
    for _ in range(10):
        waits.failed("one")
    assert waits.failed("other") <= SHORTEST


def test_a_fault_that_does_not_heal_by_itself_begins_slowly() -> None:
    assert 5 <= backoff().failed("key", at_least=10) <= 10


def test_many_keys_that_fail_together_do_not_return_together() -> None:
    waits = backoff()
    assert len({waits.failed(number) for number in range(20)}) == 20
