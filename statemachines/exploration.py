"""Every order of what can happen in the small world, and the shortest story of a violation.

``python -m statemachines.exploration`` explores all configurations (or those of up to as many
targets as its argument says) and prints a table; tests call :func:`explore`, also with mutated
tables and rules. Must not decide anything: ``operation.py`` does.

Rules of this file:

- Breadth first, worlds with fewer faults before worlds with more. So each world is looked at
  once, with as much left to go wrong as there can be; a story has the fewest faults, then the
  fewest steps.
- It ends when there is no world left to look at, or at the first violation.
- Liveness: from every world, doing the first fair thing again and again comes to rest, and at
  rest every session is final.
"""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Sequence

import attrs

from statemachines import invariants
from statemachines.encoding import State, Step
from statemachines.environment import FAIR, AgentRules
from statemachines.invariants import Invariant
from statemachines.operation import OperatorRules
from statemachines.space import Space
from statemachines.world import JOB, PARALLEL, SEQUENTIAL, SIDECAR, Config

MOST_TARGETS = 3
_LIVENESS = next(each for each in invariants.ALL if each.holds is invariants.every_session_ends)


@attrs.frozen
class Trace:
    """How a violation comes about: the sentences of what happened, in order."""

    config: Config
    invariant: Invariant
    steps: tuple[str, ...]

    def story(self) -> str:
        """The trace as a page to read."""
        lines = [f"A batch is created: {self.config}."]
        lines += [f"{n}. {step[0].upper()}{step[1:]}." for n, step in enumerate(self.steps, 1)]
        return "\n".join([*lines, f"This breaks {self.invariant}"])


@attrs.frozen
class Result:
    """What an exploration has seen. ``violations`` has at most one trace: it stops at the first."""

    config: Config
    states: int
    transitions: int
    violations: tuple[Trace, ...]


def explore(
    config: Config,
    *,
    operator: OperatorRules | None = None,
    agent: AgentRules | None = None,
    tidy: bool = True,
) -> Result:
    """Explore ``config`` to the end, under the real tables and rules unless others are given.

    ``tidy`` False also tells worlds apart that differ in what nothing reads any more.
    """
    rules = operator or OperatorRules(), agent or AgentRules()
    search = _Search(Space(config, *rules, tidy=tidy))
    trace = search.run()
    found = () if trace is None else (trace,)
    return Result(config, len(search.states), search.transitions, found)


class _Search:
    """One search. States have numbers in the order in which they were met."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.states: list[State] = []
        self.transitions = 0
        self._numbers: dict[State, int] = {}
        self._parents: list[int] = []
        self._depths: list[int] = []
        self._fair: list[int] = []
        self._queue: deque[int] = deque()
        self._seeds: list[dict[State, int]] = [{} for _ in range(space.config.faults + 2)]

    def run(self) -> Trace | None:
        """The first violation, or None when there is nothing left to look at."""
        self._seeds[0][self.space.canonical(self.space.start())] = -1
        for faults in range(self.space.config.faults + 1):
            trace = self._layer(faults)
            if trace is not None:
                return trace
        return self._restless()

    def _layer(self, faults: int) -> Trace | None:
        """Look at every world that needs this many faults, those nearest to the start first."""
        seeds = deque(self._seeds[faults].items())
        while seeds or self._queue:
            depth = self._depths[self._queue[0]] if self._queue else sys.maxsize
            if seeds and self._depth_after(seeds[0][1]) <= depth:
                self._meet(*seeds.popleft())
                continue
            trace = self._look(self._queue.popleft(), faults)
            if trace is not None:
                return trace
        return None

    def _depth_after(self, parent: int) -> int:
        return 0 if parent < 0 else self._depths[parent] + 1

    def _meet(self, state: State, parent: int) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self.states)
            self.states.append(state)
            self._parents.append(parent)
            self._depths.append(self._depth_after(parent))
            self._fair.append(-1)
            self._queue.append(number)
        return number

    def _look(self, number: int, faults: int) -> Trace | None:
        state = self.states[number]
        steps = self.space.steps(state, self.space.config.faults - faults)
        self.transitions += len(steps)
        following = -1
        for step in steps:
            if step.broken is not None:
                return self._trace(number, step.broken, self.space.tell(state, step))
            after = self.space.canonical(step.state)
            if step.move.cost:
                if after not in self._numbers:
                    self._seeds[faults + step.move.cost].setdefault(after, number)
                continue
            met = self._meet(after, number)
            if step.move.kind == FAIR and following < 0 and met != number:
                following = met
        self._fair[number] = following
        wrong = self.space.at_rest(state) if following < 0 else None
        return None if wrong is None else self._trace(number, wrong, "nothing more happens")

    def _restless(self) -> Trace | None:
        """A world from which doing the first fair thing for ever never comes to rest."""
        calm = [following < 0 for following in self._fair]
        for start in range(len(calm)):
            walk: dict[int, None] = {}
            number = start
            while not calm[number]:
                if number in walk:
                    return self._trace(number, _LIVENESS, "the same things happen again for ever")
                walk[number] = None
                number = self._fair[number]
            for number in walk:
                calm[number] = True
        return None

    def _trace(self, number: int, broken: Invariant, last: str) -> Trace:
        """The way to a state, told again from the start with every target under its own name."""
        path = [self.states[number]]
        while (number := self._parents[number]) >= 0:
            path.append(self.states[number])
        stories, state = [], self.space.start()
        for wanted in reversed(path[:-1]):
            steps = self.space.steps(state, self.space.config.faults)
            step = next(step for step in steps if self._is(step, wanted))
            stories.append(self.space.tell(state, step))
            state = step.state
        steps = self.space.steps(state, self.space.config.faults)
        ends = [self.space.tell(state, step) for step in steps if step.broken is broken]
        return Trace(self.space.config, broken, (*stories, ends[0] if ends else last))

    def _is(self, step: Step, wanted: State) -> bool:
        return step.broken is None and self.space.canonical(step.state) == wanted


def configurations(most_targets: int = MOST_TARGETS, faults: int = 2) -> tuple[Config, ...]:
    """Every mix of sidecar and job, in every order where the order makes a difference; and the
    small ones with hooks, which bind targets to each other no more than their session does.
    """
    kinds: tuple[str, ...] = (SIDECAR, JOB)
    found: list[Config] = []
    for count in range(1, most_targets + 1):
        mixes = itertools.combinations_with_replacement(kinds, count)
        found += [Config(PARALLEL, mix, faults) for mix in mixes]
        found += [Config(SEQUENTIAL, row, faults) for row in itertools.product(kinds, repeat=count)]
    hooked = ((PARALLEL, (SIDECAR,)), (PARALLEL, (JOB,)), (PARALLEL, (SIDECAR, SIDECAR)))
    mixed = ((PARALLEL, (SIDECAR, JOB)), (SEQUENTIAL, (SIDECAR, JOB)))
    found += [
        Config(order, mix, faults, hooks=True)
        for order, mix in (*hooked, *mixed)
        if len(mix) <= most_targets
    ]
    return tuple(found)


def main(arguments: Sequence[str]) -> int:
    """Explore all configurations of up to ``arguments[0]`` targets (3) and print a table.

    Exit code 1: an invariant is broken.
    """
    line = "{:<40} {:>9} {:>12}  {}\n"
    sys.stdout.write(line.format("configuration", "states", "transitions", "violations"))
    states = transitions = 0
    for config in configurations(int(arguments[0]) if arguments else MOST_TARGETS):
        result = explore(config)
        states, transitions = states + result.states, transitions + result.transitions
        found = len(result.violations)
        sys.stdout.write(
            line.format(str(config), result.states, result.transitions, found or "none")
        )
        sys.stdout.flush()
        for trace in result.violations:
            sys.stdout.write(f"\n{trace.story()}\n")
            return 1
    sys.stdout.write(line.format("all, with up to 2 faults", states, transitions, "none"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
