"""The worlds of one configuration as small tuples of numbers, and the steps between them.

Used by ``exploration.py`` alone. Must not decide anything: ``operation.py`` and
``environment.py`` do.

Rules of this file:

- What a number stands for is kept once, and what can be computed for a part of the world (the
  moves of one target, a decision on what its controller sees, an invariant of one step) is
  computed once.
- In Parallel order targets of a kind are alike, so their numbers are sorted: one state stands for
  all permutations.
- The operator *decides and writes* in one step, unless it is slow, which is a fault: then
  something happens between the two. The write comes later, or never, if the operator restarts; a
  status write finds that the object has changed, if it has. A write is held only while it would
  do another thing than a decision made now: otherwise nobody could tell.
- A final target keeps nothing of what led to it. Once a session is over, its runners are quiet
  and the repository is maintained, its whole row of targets is cleared: nothing reads it any
  more.
- When nothing can happen while a session is unfinished, time passes: first the grace for missing
  runners, then the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from statemachines import environment, invariants, operation, patching, tidying
from statemachines.encoding import (
    Cell,
    Kept,
    Late,
    Move,
    Numbers,
    Rest,
    State,
    Step,
    base_of,
    content_of,
    may_come,
    place_of,
)
from statemachines.environment import FAIR, FAULT, AgentRules
from statemachines.invariants import Invariant
from statemachines.operation import OperatorRules
from statemachines.patching import Patch, Write
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

_RESTART = Move("the operator restarts", FAULT, 1)


class Space:
    """The states of ``config`` under given rules.

    ``tidy`` False keeps what nothing reads any more: many more states, with the same violations.
    """

    def __init__(
        self, config: Config, operator: OperatorRules, agent: AgentRules, *, tidy: bool = True
    ) -> None:
        self.config, self._rules, self._agent, self._tidies = config, operator, agent, tidy
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
        self._tidied_cells = Kept(self._tidy_cell)
        self._begins_overdue = Kept(self._is_begun_overdue)
        self._tidied_rests = Kept(self._tidy_rest)
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
        story, place = step.move.story, step.move.place
        target = self._cells.meant[state[1 + place]].target
        return story.replace("{}", patching.name_of(place, target))

    def steps(self, state: State, faults: int = 0) -> list[Step]:
        """All steps from ``state`` of at most ``faults``; their states are not yet sorted."""
        found = list(self._environment(state, faults))
        late: Late | None = self._rests.meant[state[0]].late
        writes = list(self._writes(state, late))
        moves = [("", step) for step in found]
        for controller, write in writes:
            moves.append((controller, self._written(state, controller, write)))
        found = [step for _, step in moves]
        if late is not None:
            found += self._arrivals(state, faults)
        else:
            found += self._lost(state, writes)
        if late is None and faults:
            for controller, write in writes:
                others = (step for mover, step in moves if mover != controller)
                found += self._slow(state, others, controller, write, faults)
        if not any(step.move.kind == FAIR and step.state != state for step in found):
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
            for move, after in self._cell_moves[cell, place]:
                if move.cost <= faults:
                    moved = (*state[: place + 1], after, *state[place + 2 :])
                    yield self._step(move, state, moved)
        for move, rest, each in self._rest_moves[state[0],]:
            if move.cost <= faults:
                moved = self._outdated(self._moved(state, rest, each), move)
                yield self._step(move, state, moved)

    def _moved(self, state: State, rest: int, each: Callable[[Target], Target]) -> State:
        if each is environment.same:
            return (rest, *state[1:])
        return (rest, *(self._mapped[each, cell] for cell in state[1:]))

    def _moves_of_cell(self, cell: int, place: int) -> list[tuple[Move, int]]:
        target, late = self._cells.meant[cell]
        return [
            (_move(move, place), self._cells[Cell(move.after, late)])
            for move in environment.target_moves(self._agent, target)
        ]

    def _moves_of_rest(self, rest: int) -> list[tuple[Move, int, Callable[[Target], Target]]]:
        frame, late = self._rests.meant[rest]
        return [
            (_move(move), self._rests[Rest(move.after, late)], move.each)
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
            yield self._step(_move(move), state, after)

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
        move = Move(write.story, FAIR, place=place_of(write))
        return self._step(move, state, after, wrong)

    def _twice(self, controller: str, write: Write, after: State) -> Invariant | None:
        """Invariant 9: what the same controller would write right behind its write."""
        again = self._decision(controller, after)
        if again is not None and again.object == write.object:
            return invariants.broken(invariants.TWO_PASSES, again, None)
        return None

    def _lost(self, state: State, writes: list[tuple[str, Write]]) -> Iterator[Step]:
        """Invariant 10: what becomes of a settled session if its phases are lost."""
        owner = self._rests.meant[state[0]].frame.owner
        writer = f"session {owner}"
        settled = all(write.object != writer for _, write in writes)
        if owner != NOBODY and settled:
            wrong = self._rebuilds[self._sight(writer, state)]
            if wrong is not None:
                yield Step(Move(f"the phases of {writer} are lost", FAIR), state, state, wrong)

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
        if self._begins_overdue[state[0], rest]:  # a runner reads it in the session's status
            cells = [self._mapped[environment.stopped, cell] for cell in cells]
        return (rest, *cells)

    def _is_begun_overdue(self, before: int, after: int) -> bool:
        old: Frame = self._rests.meant[before].frame
        new: Frame = self._rests.meant[after].frame
        return old.owner != new.owner != NOBODY and new.sessions[new.owner].late

    def _patch_rest(self, rest: int, patch: Patch) -> int:
        frame, late = self._rests.meant[rest]
        return self._rests[Rest(patching.patch_frame(frame, patch), late)]

    def _patch_cell(self, cell: int, patch: Patch) -> int:
        target, late = self._cells.meant[cell]
        return self._cells[Cell(patching.patch_target(target, patch), late)]

    # A slow operator

    def _slow(
        self, state: State, steps: Iterable[Step], controller: str, write: Write, faults: int
    ) -> Iterator[Step]:
        """The steps of others, between the decision of a slow controller and its write."""
        place = place_of(write)
        meant = write.story.removeprefix("the operator ")
        meant = meant.replace("{}", patching.name_of(place, self.world(state).targets[place]))
        for step in steps:
            story, _, cost, moved = step.move
            held = None
            if cost < faults and step.broken is None:
                held = self._held(state, step, controller, write)
            if held is not None:
                story += f"; the operator is slow, and still is to do this: it {meant}"
                yield Step(Move(story, FAULT, cost + 1, moved), held, held, None)

    def _held(self, before: State, step: Step, controller: str, write: Write) -> State | None:
        """The state after ``step`` with the write held, or None if nobody could tell."""
        after = step.raw
        frame = self._rests.meant[before[0]].frame
        late = Late(controller, write, base_of(frame, write))
        patches = write.targets or (None,) * (len(before) - 1)
        whole = write.object.startswith("session")
        cells = []
        for old, new, patch in zip(before[1:], after[1:], patches, strict=True):
            known = content_of(self._cells.meant[old].target)
            wanted = (known, patch) if whole or patch is not None else None
            cells.append(self._cells[Cell(self._cells.meant[new].target, wanted)])
        held = (self._rests[Rest(self._rests.meant[after[0]].frame, late)], *cells)
        held = self._outdated(held, step.move)
        return held if self._matters(held) else None

    def _outdated(self, state: State, move: Move) -> State:
        """A held Pod template was decided on before the batch was changed: one more may follow."""
        if move.story not in (environment.EDITED, environment.DELETED):
            return state
        edited, cells = move.story == environment.EDITED, []
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
            yield self._step(_RESTART, state, self._forgotten(state))
        move = Move(f"late, {late.write.story}", FAIR, place=place_of(late.write))
        yield self._step(move, state, self._arrived(state))

    def _arrived(self, held: State) -> State:
        """The state after the held write has come; the same without it if it finds a conflict."""
        frame, late = self._rests.meant[held[0]]
        cells: list[Cell] = [self._cells.meant[cell] for cell in held[1:]]
        known = all(may_come(late, cell) for cell in cells if cell.late is not None)
        free = self._forgotten(held)
        if not known or base_of(frame, late.write) != late.base:
            return free
        write = late.write._replace(targets=tuple(cell.late and cell.late[1] for cell in cells))
        return self._patched(free, write)

    # Checks

    def _step(
        self, move: Move, before: State, after: State, wrong: Invariant | None = None
    ) -> Step:
        wrong = wrong or self._wrong(before, after)
        return Step(move, self._cleared(after), after, wrong)

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
        if frame.owner != NOBODY and frame.sessions[frame.owner].phase in FINAL_SESSION:
            world = self.world(state)
            if tidying.is_over(world):
                state = self._state(tidying.row_cleared(world))
        if not self._tidies:
            return state
        tidied = self._tidied_cells
        return (self._tidied_rests[state[0],], *[tidied[cell,] for cell in state[1:]])

    def _tidy_rest(self, rest: int) -> int:
        return self._rests[Rest(tidying.tidy_frame(self._rests.meant[rest].frame))]

    def _tidy_cell(self, cell: int) -> int:
        return self._cells[Cell(tidying.tidy_target(self._cells.meant[cell].target))]


def _move(move: environment.TargetMove | environment.FrameMove, place: int = 0) -> Move:
    return Move(move.story, move.kind, int(move.kind == FAULT), place)
