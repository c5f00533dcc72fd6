"""The worlds of one configuration as small tuples of numbers, and the steps between them.

Used by ``exploration.py`` alone. Must not decide anything: ``operation.py`` and ``environment.py`` do.

Rules of this file:

- What a number stands for is kept once, and what can be computed for a part of the world (the moves of
  one target, a decision on what its controller sees, an invariant of one step) is computed once.
- In Parallel order targets of a kind are alike, so their numbers are sorted: one state stands for all
  permutations.
- The operator *decides and writes* in one step, unless it is slow, which is a fault: then something
  happens between the two. The write comes later, or never, if the operator restarts; a status
  write finds that the object has changed, if it has. A write is held only while it would do another
  thing than a decision made now: otherwise nobody could tell.
- A final target keeps nothing of what led to it. Once a session is over, its runners are quiet and the
  repository is maintained, its whole row of targets is cleared: nothing reads it any more.
- When nothing can happen while a session is unfinished, time passes: first the grace for missing
  runners, then the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from statemachines import environment, invariants, operation, tidying
from statemachines.environment import FAIR, FAULT, AgentRules
from statemachines.invariants import Invariant
from statemachines.operation import OperatorRules, Patch, Write
from statemachines.world import (
    FINAL_SESSION,
    NOBODY,
    PARALLEL,
    Config,
    Frame,
    Target,
    World,
    is_unfinished,
)

State = tuple[int, ...]
"""A world as numbers: first everything but the targets, then each target."""


class Late(NamedTuple):
    """A write that a controller has decided on and not yet made; ``base``: what it was made from."""

    controller: str
    write: Write
    base: Any


class Rest(NamedTuple):
    """Everything but the targets."""

    frame: Frame
    late: Late | None = None


class Cell(NamedTuple):
    """One target, and what a late write wants of it: the content that it knew, and the change."""

    target: Target
    late: tuple[Any, Patch | None] | None = None


class Step(NamedTuple):
    """A move. ``story`` has a place for the name of the target at ``place``."""

    story: str
    place: int
    kind: str
    cost: int
    """How many faults it needs."""
    state: State
    raw: State
    """The state before what nothing reads any more was taken out of it."""
    broken: Invariant | None
    """The invariant that it breaks."""


class Numbers(dict[Any, int]):
    """Numbers for values: a value gives its number, ``meant`` is the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.meant: list[Any] = []

    def __missing__(self, value: Any) -> int:
        number = self[value] = len(self.meant)
        self.meant.append(value)
        return number


class Kept(dict[Any, Any]):
    """Answers that are computed once: ``answer(*key)`` makes those that are missing."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        super().__init__()
        self._answer = answer

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self._answer(*key)
        return value


class Space:
    """The states of ``config`` under given rules."""

    def __init__(self, config: Config, operator: OperatorRules, agent: AgentRules) -> None:
        self.config, self._rules, self._agent = config, operator, agent
        self._rests, self._cells, self._seen = Numbers(), Numbers(), Numbers()
        self._cell_moves = Kept(self._moves_of_cell)
        self._rest_moves = Kept(self._moves_of_rest)
        self._mapped = Kept(self._map)
        self._patched_rests = Kept(self._patch_rest)
        self._patched_cells = Kept(self._patch_cell)
        self._seen_rests = Kept(self._see_rest)
        self._seen_cells = Kept(self._see_cell)
        self._decisions = Kept(self._decide)
        self._rebuilds = Kept(self._rebuild)
        self._cleaned = Kept(self._tidy_cell)
        self._is_overdue = Kept(self._overdue)
        self._tidied = Kept(self._tidy_rest)
        self._briefs = Kept(self._brief)
        self._checks = Kept(self._check)
        self._world_checks: dict[Any, Invariant | None] = {}

    def start(self) -> State:
        """The state in which everything begins."""
        return self._state(self.config.start())

    def canonical(self, state: State) -> State:
        """The state that stands for all permutations of like targets."""
        return (state[0], *sorted(state[1:])) if self.config.order == PARALLEL else state

    def world(self, state: State) -> World:
        """What a state stands for."""
        cells = self._cells.meant
        frame = self._rests.meant[state[0]].frame
        return World(frame, tuple(cells[number].target for number in state[1:]))

    def tell(self, state: State, step: Step) -> str:
        """The sentence of a step from ``state``."""
        if "{}" not in step.story:
            return step.story
        target = self._cells.meant[state[1 + step.place]].target
        return step.story.replace("{}", operation.name_of(step.place, target))

    def steps(self, state: State, faults: int = 0) -> list[Step]:
        """All steps from ``state`` that need at most ``faults``; their states are not yet sorted."""
        found = list(self._environment(state, faults))
        late: Late | None = self._rests.meant[state[0]].late
        writes = list(self._writes(state, late))
        moves = [("", step) for step in found]
        for controller, write in writes:
            moves.append((controller, self._written(state, controller, write)))
        found = [step for _, step in moves]
        if late is not None:
            found += self._arrivals(state, faults)
        elif faults:
            for controller, write in writes:
                others = (step for mover, step in moves if mover != controller)
                found += self._slow(state, others, controller, write, faults)
        if not any(step.kind == FAIR and self.canonical(step.state) != state for step in found):
            found += self._time(state)
        return found

    def at_rest(self, state: State) -> Invariant | None:
        """What a state in which nothing fair can happen breaks."""
        return invariants.broken(invariants.REST, self.world(state))

    def _state(self, world: World) -> State:
        cells = (self._cells[Cell(each)] for each in world.targets)
        return (self._rests[Rest(world.frame)], *cells)

    # The environment

    def _environment(self, state: State, faults: int) -> Iterator[Step]:
        for place, cell in enumerate(state[1:]):
            for story, kind, cost, after in self._cell_moves[(cell,)]:
                if cost <= faults:
                    moved = (*state[: place + 1], after, *state[place + 2 :])
                    yield self._step(story, place, kind, cost, state, moved)
        for story, kind, cost, after, each in self._rest_moves[(state[0],)]:
            if cost <= faults:
                moved = self._moved(state, after, each)
                if story in (environment.EDITED, environment.DELETED):
                    moved = self._outdated(moved, edited=story == environment.EDITED)
                yield self._step(story, 0, kind, cost, state, moved)

    def _moved(self, state: State, rest: int, each: Callable[[Target], Target]) -> State:
        if each is environment.same:
            return (rest, *state[1:])
        return (rest, *(self._mapped[each, cell] for cell in state[1:]))

    def _moves_of_cell(self, cell: int) -> list[tuple[str, str, int, int]]:
        target, late = self._cells.meant[cell]
        return [
            (move.story, move.kind, int(move.kind == FAULT), self._cells[Cell(move.after, late)])
            for move in environment.target_moves(self._agent, target)
        ]

    def _moves_of_rest(self, rest: int) -> list[tuple[Any, ...]]:
        frame, late = self._rests.meant[rest]
        return [
            (
                move.story,
                move.kind,
                int(move.kind == FAULT),
                self._rests[Rest(move.after, late)],
                move.each,
            )
            for move in environment.frame_moves(self._agent, frame)
        ]

    def _map(self, each: Callable[[Target], Target], cell: int) -> int:
        target, late = self._cells.meant[cell]
        return self._cells[Cell(each(target), late)]

    def _time(self, state: State) -> Iterator[Step]:
        frame, late = self._rests.meant[state[0]]
        for number, own in enumerate(frame.sessions):
            if not is_unfinished(own):
                continue
            if number == frame.owner and not own.grace_over:
                move = environment.grace(frame, number)
            elif not own.late:
                move = environment.deadline(frame, number, FAIR)
            else:
                continue
            after = self._moved(state, self._rests[Rest(move.after, late)], move.each)
            yield self._step(move.story, 0, FAIR, 0, state, after)

    # The operator

    def _writes(self, state: State, late: Late | None) -> Iterator[tuple[str, Write]]:
        """Each controller that is not busy with a late write, and what it writes."""
        frame = self._rests.meant[state[0]].frame
        for controller in ("batch", "repository", "session 0", "session 1"):
            if late is not None and late.controller == controller:
                continue
            if controller[:-1] == "session " and not is_unfinished(
                frame.sessions[int(controller[-1])]
            ):
                continue
            write = self._decision(controller, state)
            if write is not None:
                yield controller, write

    def _decision(self, controller: str, state: State) -> Write | None:
        write: Write | None = self._decisions[self._sight(controller, state)]
        return write

    def _sight(self, controller: str, state: State) -> tuple[Any, ...]:
        seen = self._seen_cells
        return (
            controller,
            self._seen_rests[controller, state[0]],
            *(seen[controller[0], cell] for cell in state[1:]),
        )

    def _see_rest(self, controller: str, rest: int) -> int:
        frame = self._rests.meant[rest].frame
        if controller == "batch":
            return self._seen[operation.see_batch(self._rules, frame)]
        if controller == "repository":
            return self._seen[frame]
        return self._seen[operation.see_session(self._rules, frame, int(controller[-1]))]

    def _see_cell(self, initial: str, cell: int) -> int:
        target = self._cells.meant[cell].target
        if initial == "b":
            return self._seen[operation.see_workload(target)]
        if initial == "r":
            return self._seen[target.report == "Succeeded"]
        return self._seen[operation.see_target(target)]

    def _decide(self, controller: str, seen: int, *cells: int) -> Write | None:
        values = tuple(self._seen.meant[cell] for cell in cells)
        if controller == "batch":
            return operation.batch_write(self._rules, self._seen.meant[seen], values)
        if controller == "repository":
            return operation.repository_write(self._rules, self._seen.meant[seen], good=any(values))
        return operation.session_write(self._rules, self._seen.meant[seen], values)

    def _written(self, state: State, controller: str, write: Write) -> Step:
        after = self._patched(state, write)
        wrong = self._checks[invariants.DECISION, state[0], after[0]] or self._twice(
            controller, write, after
        )
        return self._step(write.story, _place(write), FAIR, 0, state, after, wrong)

    def _twice(self, controller: str, write: Write, after: State) -> Invariant | None:
        """Invariants 9 and 10: what the same controller would write right behind its write."""
        again = self._decision(controller, after)
        if again is not None and again.object == write.object:
            return invariants.broken(invariants.TWO_PASSES, again, None)
        if write.object[:-1] == "session " and write.frame is not None and write.frame.values[2]:
            rebuilt: Invariant | None = self._rebuilds[self._sight(controller, after)]
            return rebuilt
        return None

    def _rebuild(self, _controller: str, seen: int, *cells: int) -> Invariant | None:
        view: operation.SessionSeen = self._seen.meant[seen]
        if not is_unfinished(view.own):
            return None
        targets = tuple(self._seen.meant[cell] for cell in cells)
        rebuilt = operation.rebuild(self._rules, view, targets)
        return invariants.broken(invariants.REBUILT, (view.own.phase, targets), rebuilt)

    def _patched(self, state: State, write: Write) -> State:
        rest = state[0] if write.frame is None else self._patched_rests[state[0], write.frame]
        if not any(write.targets):
            return (rest, *state[1:])
        pairs = zip(state[1:], write.targets, strict=True)
        cells = [c if patch is None else self._patched_cells[c, patch] for c, patch in pairs]
        if self._is_overdue[rest,]:  # a runner reads the deadline in the session's status
            cells = [self._mapped[environment.stopped, cell] for cell in cells]
        return (rest, *cells)

    def _overdue(self, rest: int) -> bool:
        frame = self._rests.meant[rest].frame
        return frame.owner != NOBODY and frame.sessions[frame.owner].late

    def _patch_rest(self, rest: int, patch: Patch) -> int:
        frame, late = self._rests.meant[rest]
        return self._rests[Rest(operation.patch_frame(frame, patch), late)]

    def _patch_cell(self, cell: int, patch: Patch) -> int:
        target, late = self._cells.meant[cell]
        return self._cells[Cell(operation.patch_target(target, patch), late)]

    # A slow operator

    def _slow(
        self, state: State, steps: Iterable[Step], controller: str, write: Write, faults: int
    ) -> Iterator[Step]:
        """The steps of others, between the decision of a slow controller and its write."""
        place = _place(write)
        meant = write.story.removeprefix("the operator ")
        meant = meant.replace("{}", operation.name_of(place, self.world(state).targets[place]))
        for step in steps:
            if step.cost < faults and step.broken is None:
                held = self._held(state, step, controller, write)
                if held is not None:
                    story = (
                        f"{step.story}; the operator is slow, and still is to do this: it {meant}"
                    )
                    cost = step.cost + 1
                    yield Step(story, step.place, FAULT, cost, held, held, None)

    def _held(self, before: State, step: Step, controller: str, write: Write) -> State | None:
        """The state after ``step`` with the write held, or None if nobody could tell."""
        after = step.raw
        frame = self._rests.meant[before[0]].frame
        late = Late(controller, write, _base(frame, write))
        patches = write.targets or (None,) * (len(before) - 1)
        whole = write.object.startswith("session")
        cells = []
        for old, new, patch in zip(before[1:], after[1:], patches, strict=True):
            known = _content(self._cells.meant[old].target)
            wanted = (known, patch) if whole or patch is not None else None
            cells.append(self._cells[Cell(self._cells.meant[new].target, wanted)])
        held = (self._rests[Rest(self._rests.meant[after[0]].frame, late)], *cells)
        if step.story in (environment.EDITED, environment.DELETED):
            held = self._outdated(held, edited=step.story == environment.EDITED)
        return held if self._matters(held) else None

    def _outdated(self, state: State, *, edited: bool) -> State:
        """A held Pod template was decided on before the batch was changed: one more may follow."""
        cells = []
        for number in state[1:]:
            target, late = self._cells.meant[number]
            if late is not None and late[1] is not None and late[1].what == "roll":
                target = environment.owed_one_more(target)
                late = (late[0], Patch("roll", ("outdated",))) if edited else late
            cells.append(self._cells[Cell(target, late)])
        return (state[0], *cells)

    def _matters(self, held: State) -> bool:
        """Whether a held write would do another thing than a decision made now."""
        late: Late = self._rests.meant[held[0]].late
        free = self._forgotten(held)
        arrived = self._arrived(held)
        if arrived == free:
            return False
        fresh = self._decision(late.controller, free)
        return fresh is None or self._patched(free, fresh) != arrived

    def _forgotten(self, state: State) -> State:
        cells = (self._cells[Cell(self._cells.meant[cell].target)] for cell in state[1:])
        return (self._rests[Rest(self._rests.meant[state[0]].frame)], *cells)

    def _arrivals(self, state: State, faults: int) -> Iterator[Step]:
        late: Late = self._rests.meant[state[0]].late
        if faults:
            yield self._step("the operator restarts", 0, FAULT, 1, state, self._forgotten(state))
        story = f"late, {late.write.story}"
        yield self._step(story, _place(late.write), FAIR, 0, state, self._arrived(state))

    def _arrived(self, held: State) -> State:
        """The state after the held write has come; the same without it if it finds a conflict."""
        frame, late = self._rests.meant[held[0]]
        cells: list[Cell] = [self._cells.meant[cell] for cell in held[1:]]
        known = all(_may_come(frame, late, cell) for cell in cells if cell.late is not None)
        free = self._forgotten(held)
        if not known or _base(frame, late.write) != late.base:
            return free
        write = late.write._replace(targets=tuple(cell.late and cell.late[1] for cell in cells))
        return self._patched(free, write)

    # Checks

    def _step(
        self,
        story: str,
        place: int,
        kind: str,
        cost: int,
        before: State,
        after: State,
        wrong: Invariant | None = None,
    ) -> Step:
        wrong = wrong or self._wrong(before, after)
        return Step(story, place, kind, cost, self._cleared(after), after, wrong)

    def _wrong(self, before: State, after: State) -> Invariant | None:
        checks = self._checks
        if before[0] != after[0]:
            wrong: Invariant | None = checks[invariants.FRAME_STEP, before[0], after[0]]
            if wrong is not None:
                return wrong
        for old, new in zip(before[1:], after[1:], strict=True):
            if old != new:
                wrong = checks[invariants.TARGET_STEP, old, new] or checks[invariants.TARGET, new]
                if wrong is not None:
                    return wrong
        briefs = self._briefs
        key = (after[0], *[briefs[cell,] for cell in after[1:]])
        if key not in self._world_checks:
            self._world_checks[key] = invariants.broken(invariants.WORLD, self.world(after))
        return self._world_checks[key]

    def _brief(self, cell: int) -> int:
        """What invariants of a whole world read of a target."""
        target = self._cells.meant[cell].target
        return self._seen[target.phase, target.runner == "working"]

    def _check(self, scope: str, *numbers: int) -> Invariant | None:
        """The first invariant of ``scope`` that the parts with these numbers break."""
        if scope in (invariants.FRAME_STEP, invariants.DECISION):
            return invariants.broken(scope, *(self._rests.meant[n].frame for n in numbers))
        return invariants.broken(scope, *(self._cells.meant[n].target for n in numbers))

    # What nothing reads any more

    def _cleared(self, state: State) -> State:
        frame, late = self._rests.meant[state[0]]
        if late is not None:
            return state if self._matters(state) else self._cleared(self._forgotten(state))
        cleaned = self._cleaned
        state = (self._tidied[state[0],], *state[1:])
        cells = [cleaned[cell,] for cell in state[1:]]
        if frame.owner == NOBODY or frame.sessions[frame.owner].phase not in FINAL_SESSION:
            return (state[0], *cells)
        world = self.world((state[0], *cells))
        return (
            self._state(tidying.row_cleared(world))
            if tidying.is_over(world)
            else (state[0], *cells)
        )

    def _tidy_rest(self, rest: int) -> int:
        return self._rests[Rest(tidying.tidy_frame(self._rests.meant[rest].frame))]

    def _tidy_cell(self, cell: int) -> int:
        return self._cells[Cell(tidying.tidy_target(self._cells.meant[cell].target))]


def _place(write: Write) -> int:
    return int(write.object[-1]) if write.object.startswith("target") else 0


def _content(target: Target) -> tuple[Any, ...]:
    """What a session's status says of a target: who changes it makes a late write conflict."""
    return (target.phase, target.claim != "none", target.report)


def _base(frame: Frame, write: Write) -> Any:
    """What must be so for a late write to be made: its object's content, or its owner."""
    if write.object.startswith("session"):
        return frame.sessions[int(write.object[-1])].phase
    if write.object == "repository":
        return (*(each.listed for each in frame.sessions), frame.maintaining)
    if Patch("job") in write.targets:
        return (frame.owner, frame.owner != NOBODY and is_unfinished(frame.sessions[frame.owner]))
    return frame.batch == "gone"


def _may_come(frame: Frame, late: Late, cell: Cell) -> bool:
    """Whether a late write finds a target as it must be for what it does there."""
    known, patch = cell.late or (None, None)
    if late.write.object.startswith("session"):
        return _content(cell.target) == known
    if patch == Patch("job"):
        return cell.target.exists and cell.target.runner == "none"
    return cell.target.exists and patch is not None and cell.target.sidecar != patch.values[0]
