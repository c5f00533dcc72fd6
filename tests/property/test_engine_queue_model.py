"""The work queue against the simplest model of it: sets, and a list for the order."""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.engine.clock import VirtualClock
from reconciler.engine.queue import WorkQueue

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KEYS = st.sampled_from("abcd")


class QueueAgainstModel(RuleBasedStateMachine):
    """``wanted``: in the order of coming; ``later``: key to moment; ``busy``: handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock(START)
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.wanted: list[str] = []
        self.again: set[str] = set()
        self.busy: set[str] = set()
        self.later: dict[str, dt.datetime] = {}

    def want(self, key: str) -> None:
        if key in self.busy:
            self.again.add(key)
        elif key not in self.wanted:
            self.wanted.append(key)

    def ripen(self) -> None:
        """What is due now is wanted. The queue does this first, whatever it is asked."""
        ripe = [key for key, at in self.later.items() if at <= self.clock.now()]
        for key in sorted(ripe, key=lambda key: self.later[key]):
            del self.later[key]
            self.want(key)

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.ripen()
        self.queue.add(key)
        self.want(key)

    @rule(key=KEYS, seconds=st.integers(0, 20))
    def add_at(self, key: str, seconds: int) -> None:
        self.ripen()
        moment = self.clock.now() + dt.timedelta(seconds=seconds)
        self.queue.add_at(key, moment)
        self.later[key] = min(moment, self.later.get(key, moment))

    @rule(seconds=st.integers(0, 20))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def take(self) -> None:
        self.ripen()
        taken = self.queue.take()
        assert (taken is None) == (not self.wanted)
        if taken is None:
            return
        assert taken in self.wanted, "handed out though nobody asked, or though it is worked on"
        self.wanted.remove(taken)
        self.later.pop(taken, None)
        self.busy.add(taken)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        self.ripen()
        key = data.draw(st.sampled_from(sorted(self.busy)))
        self.queue.done(key)
        self.busy.remove(key)
        if key in self.again:
            self.again.remove(key)
            self.wanted.append(key)

    @invariant()
    def the_next_moment_is_the_models(self) -> None:
        ripe = [at for at in self.later.values() if at > self.clock.now()]
        found = self.queue.next_due()
        if found is not None and found > self.clock.now():
            assert ripe
            assert found == min(ripe)
        elif found is None:
            assert not ripe


TestQueueAgainstModel = QueueAgainstModel.TestCase
