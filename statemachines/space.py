"""The worlds of one configuration as small tuples of numbers, and the steps between them.

Used by ``exploration.py`` alone. Must not decide anything: ``operation.py`` and ``environment.py`` do.

Rules of this file:

- What a number stands for is kept once, and what can be computed for a part of the world (the moves of
  one target, an invariant of one step of it) is computed once.
- In Parallel order targets of a kind are alike, so their numbers are sorted: one state stands for all
  permutations.
- The operator *decides and writes* in one step, unless it is slow (a fault): then it holds a write,
  other things happen, and the write comes late, or never, if it restarts. A late status write finds that
  the object has changed, if it has. Nothing is lost by this: of what happens between a decision and its
  write, only another controller's writes could make a difference, and that is what the fault is for.
- Once a session is over, its runners are quiet and the repository is maintained, its row of targets is
  cleared: nothing reads it any more.
- When nothing can happen while a session is unfinished, time passes: first the grace for missing
  runners, then the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from statemachines import environment, invariants, operation
from statemachines.environment import FAIR, FAULT, AgentRules
from statemachines.invariants import ALL, Invariant
from statemachines.operation import OperatorRules, Write
from statemachines.world import (
    FINAL_SESSION,
    FINAL_TARGET,
    JOB,
    NOBODY,
    PARALLEL,
    Config,
    Frame,
    Session,
    Target,
    World,
    is_unfinished,
    with_session,
)

State = tuple[int, ...]
"""A world as numbers: first everything but the targets, then each target."""


class Late(NamedTuple):
    """A write that a controller has decided on and not yet made."""

    story: str
    controller: str
    object: str
    base: Any
    """What the object was at the decision."""
    after: Frame


class Rest(NamedTuple):
    """Everything but the targets."""

    frame: Frame
    late: Late | None = None


class Cell(NamedTuple):
    """One target, and what a late write wants to make of it."""

    target: Target
    late: tuple[Any, Target] | None = None


class Step(NamedTuple):
    """A move: its sentence, its kind, the state that it leads to, and what it breaks."""

    story: str
    kind: str
    state: State
    broken: Invariant | None


class Numbers(dict[Any, int]):
    """Numbers for values: a value gives its number, ``meant`` is the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.meant: list[Any] = []

    def __missing__(self, value: Any) -> int:
        number = self[value] = len(self.meant)
        self.meant.append(value)
        return number


class Space:
    """The states of ``config`` under given rules."""

    def __init__(self, config: Config, operator: OperatorRules, agent: AgentRules) -> None:
        self.config, self.operator, self.agent = config, operator, agent
        self.rests, self.cells = Numbers(), Numbers()
        self._checked: dict[Any, Invariant | None] = {}
        self._cell_moves: dict[int, tuple[tuple[str, str, int], ...]] = {}
        self._rest_moves: dict[int, tuple[environment.FrameMove, ...]] = {}
        self._mapped: dict[tuple[Any, int], int] = {}
        self._cleaned: dict[int, int] = {}
        self._brief = Numbers()
        self._briefs: dict[int, int] = {}

    def start(self) -> State:
        """The state in which everything begins."""
        return self._state(self.config.start())

    def canonical(self, state: State) -> State:
        """The state that stands for all permutations of like targets."""
        if self.config.order == PARALLEL:
            return (state[0], *sorted(state[1:]))
        return state

    def world(self, state: State) -> World:
        """What a state stands for."""
        cells = self.cells.meant
        return World(self.rests.meant[state[0]].frame, tuple(cells[n].target for n in state[1:]))

    def _state(self, world: World) -> State:
        return (
            self.rests[Rest(world.frame)],
            *(self.cells[Cell(each)] for each in world.targets),
        )

    # Steps

    def steps(self, state: State, *, with_faults: bool = True) -> list[Step]:
        """All steps from ``state``; their states are cleared, but not yet sorted."""
        found = [
            *self._environment(state, with_faults=with_faults),
            *self._operator(state, with_faults=with_faults),
        ]
        if not any(step.kind == FAIR for step in found):
            found += self._time(state)
        return found

    def at_rest(self, state: State) -> Invariant | None:
        """What a state in which nothing fair can happen breaks."""
        return invariants.broken(invariants.REST, self.world(state))

    def _environment(self, state: State, *, with_faults: bool) -> Iterator[Step]:
        for place, cell in enumerate(state[1:], 1):
            for story, kind, after in self._moves_of_cell(cell):
                if kind == FAULT and not with_faults:
                    continue
                yield self._step(
                    story.replace("{}", self._name(place, cell)) if "{}" in story else story,
                    kind,
                    state,
                    (*state[:place], after, *state[place + 1 :]),
                )
        for move in self._moves_of_rest(state[0]):
            if move.kind == FAULT and not with_faults:
                continue
            yield self._frame_step(state, move)

    def _name(self, place: int, cell: int) -> str:
        return operation.name_of(place - 1, self.cells.meant[cell].target)

    def _moves_of_cell(self, cell: int) -> tuple[tuple[str, str, int], ...]:
        known = self._cell_moves.get(cell)
        if known is None:
            target, late = self.cells.meant[cell]
            known = self._cell_moves[cell] = tuple(
                (move.story, move.kind, self.cells[Cell(move.after, late)])
                for move in environment.target_moves(self.agent, target)
            )
        return known

    def _moves_of_rest(self, rest: int) -> tuple[environment.FrameMove, ...]:
        known = self._rest_moves.get(rest)
        if known is None:
            frame = self.rests.meant[rest].frame
            known = self._rest_moves[rest] = tuple(environment.frame_moves(self.agent, frame))
        return known

    def _frame_step(self, state: State, move: environment.FrameMove) -> Step:
        late = self.rests.meant[state[0]].late
        cells = tuple(self._map(move.each, cell) for cell in state[1:])
        return self._step(move.story, move.kind, state, (self.rests[Rest(move.after, late)], *cells))

    def _map(self, each: Callable[[Target], Target], cell: int) -> int:
        if each is environment.same:
            return cell
        target, late = self.cells.meant[cell]
        if late is not None:
            late = (late[0], each(late[1]))  # a late Pod template is one of the old spec
        return self.cells[Cell(each(target), late)]

    def _time(self, state: State) -> Iterator[Step]:
        frame = self.rests.meant[state[0]].frame
        for number, session in enumerate(frame.sessions):
            if is_unfinished(session):
                if number == frame.owner and not session.grace_over:
                    yield self._frame_step(state, environment.grace(frame, number))
                elif not session.late:
                    yield self._frame_step(state, environment.deadline(frame, number, FAIR))

    # The operator

    def _operator(self, state: State, *, with_faults: bool) -> Iterator[Step]:
        rest: Rest = self.rests.meant[state[0]]
        world = self.world(state)
        for controller in self._controllers(rest):
            write = self._write(controller, world)
            if write is not None:
                yield self._written(state, rest, world, controller, write)
                if rest.late is None and with_faults:
                    yield self._held_back(state, world, controller, write)
            if write is None or not write.object.startswith("session"):
                yield from self._rebuilt(state, rest.frame, controller, world)
        if rest.late is not None:
            if with_faults:
                yield self._step("the operator restarts", FAULT, state, self._forgotten(state))
            yield self._arrived(state, rest.frame, rest.late)

    def _controllers(self, rest: Rest) -> Iterator[str]:
        busy = rest.late.controller if rest.late else ""
        frame = rest.frame
        if busy != "batch" and frame.batch != "gone":
            yield "batch"
        if busy != "repository":
            yield "repository"
        for number, session in enumerate(frame.sessions):
            if is_unfinished(session) and busy != f"session {number}":
                yield f"session {number}"

    def _write(self, controller: str, world: World) -> Write | None:
        if controller == "batch":
            return operation.batch_write(self.operator, world)
        if controller == "repository":
            return operation.repository_write(self.operator, world)
        return operation.session_write(self.operator, world, int(controller[-1]))

    def _written(
        self, state: State, rest: Rest, world: World, controller: str, write: Write
    ) -> Step:
        after = self._merged(state, Rest(write.after.frame, rest.late), write.after)
        wrong = self._check(invariants.DECISION, state[0], self.rests[Rest(write.after.frame)])
        again = self._write(controller, write.after)
        if again is not None and again.object == write.object and wrong is None:
            wrong = invariants.broken(invariants.TWO_PASSES, write.after, again.after)
        return self._step(write.story, FAIR, state, after, wrong)

    def _merged(self, state: State, rest: Rest, world: World) -> State:
        """``world`` as a state; what a late write wants of the targets stays as it is."""
        meant = self.cells.meant
        cells = (
            self.cells[Cell(each, meant[old].late)]
            for each, old in zip(world.targets, state[1:], strict=True)
        )
        return (self.rests[rest], *cells)

    def _rebuilt(self, state: State, frame: Frame, controller: str, world: World) -> Iterator[Step]:
        if not controller.startswith("session") or frame.owner != int(controller[-1]):
            return
        blank = operation.without_phases(world)
        write = self._write(controller, blank)
        after = blank if write is None else write.after
        wrong = invariants.broken(invariants.REBUILT, world, after)
        if wrong is not None:
            yield Step("the phases in its status are lost, and reconciled", FAIR, state, wrong)

    def _held_back(self, state: State, world: World, controller: str, write: Write) -> Step:
        story = write.story.removeprefix("the operator ")
        base = _base(world.frame, write)
        late = Late(story, controller, write.object, base, write.after.frame)
        whole = write.object.startswith("session")
        cells = (
            Cell(old, (_content(old), new) if whole or old != new else None)
            for old, new in zip(world.targets, write.after.targets, strict=True)
        )
        after = (self.rests[Rest(world.frame, late)], *(self.cells[cell] for cell in cells))
        return self._step(f"the operator is slow: it {story}, but not yet", FAULT, state, after)

    def _forgotten(self, state: State) -> State:
        cells = (self.cells[Cell(self.cells.meant[cell].target)] for cell in state[1:])
        return (self.rests[Rest(self.rests.meant[state[0]].frame)], *cells)

    def _arrived(self, state: State, frame: Frame, late: Late) -> Step:
        cells = [self.cells.meant[cell] for cell in state[1:]]
        if late.object.startswith("session"):
            after = _late_session(frame, late, cells)
        elif late.object.startswith("target"):
            after = _late_target(frame, late, cells)
        else:
            after = _late_frame(frame, late, cells)
        verb = "now it" if after else "it finds that the world has changed, and no more"
        story = f"the operator is late: {verb} {late.story}"
        return self._step(story, FAIR, state, self._state(after) if after else self._forgotten(state))

    # Checks

    def _step(
        self, story: str, kind: str, before: State, after: State, wrong: Invariant | None = None
    ) -> Step:
        if wrong is None:
            wrong = self._wrong(before, after)
        return Step(story, kind, self._cleared(after), wrong)

    def _wrong(self, before: State, after: State) -> Invariant | None:
        wrong = None
        if before[0] != after[0]:
            wrong = self._check(invariants.FRAME_STEP, before[0], after[0])
        for old, new in zip(before[1:], after[1:], strict=True):
            if old != new and wrong is None:
                wrong = self._check(invariants.TARGET_STEP, old, new)
                wrong = wrong or self._check(invariants.TARGET, new)
        return wrong or self._check_world(after)

    def _check(self, scope: str, *numbers: int) -> Invariant | None:
        """The first invariant of ``scope`` that the parts with these numbers break."""
        key = (scope, numbers)
        if key not in self._checked:
            if scope in (invariants.FRAME_STEP, invariants.DECISION):
                values = [self.rests.meant[number].frame for number in numbers]
            else:
                values = [self.cells.meant[number].target for number in numbers]
            self._checked[key] = invariants.broken(scope, *values)
        return self._checked[key]

    def _check_world(self, state: State) -> Invariant | None:
        """Invariants of a world read phases and who works, so worlds alike in these share an answer."""
        briefs = self._briefs
        for cell in state[1:]:
            if cell not in briefs:
                target = self.cells.meant[cell].target
                briefs[cell] = self._brief[target.phase, target.runner == "working"]
        key = (invariants.WORLD, state[0], *(briefs[cell] for cell in state[1:]))
        if key not in self._checked:
            self._checked[key] = invariants.broken(invariants.WORLD, self.world(state))
        return self._checked[key]

    # What nothing reads any more

    def _cleared(self, state: State) -> State:
        rest, *cells = state
        cleaned = self._cleaned
        for cell in cells:
            if cell not in cleaned:
                cleaned[cell] = self.cells[_cleaned(self.cells.meant[cell])]
        state = (rest, *(cleaned[cell] for cell in cells))
        frame, late = self.rests.meant[rest]
        if late is not None or frame.owner == NOBODY:
            return state
        own = frame.sessions[frame.owner]
        targets = [self.cells.meant[cell].target for cell in state[1:]]
        if own.phase in FINAL_SESSION and _is_over(own, frame, targets):
            return self._state(_row_cleared(World(frame, tuple(targets))))
        return state


def _cleaned(cell: Cell) -> Cell:
    """A final target without what led to it: nothing reads it but the invariants, and they have."""
    target = cell.target
    if cell.late is not None or target.phase not in FINAL_TARGET:
        return cell
    if target.runner in ("working", "ended"):
        return cell
    work = target.work if target.point else "none"
    runner = "gone" if target.kind == JOB else target.runner
    return Cell(target._replace(claim="none", work=work, runner=runner))


def _is_over(own: Session, frame: Frame, targets: list[Target]) -> bool:
    quiet = not any(each.runner in ("working", "ended") for each in targets)
    nothing_good = not any(each.report == "Succeeded" for each in targets)
    return quiet and frame.maintaining == NOBODY and (own.maintained or nothing_good)


def _row_cleared(world: World) -> World:
    frame = world.frame
    own = frame.sessions[frame.owner]._replace(late=False, grace_over=False, maintained=False)
    targets = (
        each._replace(
            phase="Pending",
            claim="none",
            work="none",
            report="none",
            point=False,
            runner="none" if each.kind == JOB else each.runner,
        )
        for each in world.targets
    )
    return World(with_session(frame, frame.owner, own)._replace(owner=NOBODY), tuple(targets))


# Writes that come late --------------------------------------------------------------------------


def _content(target: Target) -> tuple[Any, ...]:
    """What a session's status says of a target: who changes it makes a late write conflict."""
    return (target.phase, target.claim != "none", target.report)


def _base(frame: Frame, write: Write) -> Any:
    """What an object was when a write to it was decided on."""
    if write.object.startswith("session"):
        return frame.sessions[int(write.object[-1])].phase
    if write.object == "repository":
        return (*(each.listed for each in frame.sessions), frame.maintaining)
    return frame.owner


def _late_session(frame: Frame, late: Late, cells: list[Cell]) -> World | None:
    number = int(late.object[-1])
    own, planned = frame.sessions[number], late.after.sessions[number]
    known = [cell.late for cell in cells if cell.late is not None]
    same = all(_content(c.target) == base for c, (base, _) in zip(cells, known, strict=True))
    if own.phase != late.base or not same or frame.owner not in (NOBODY, late.after.owner):
        return None
    targets = (
        cell.target._replace(phase=new.phase, report=new.report)
        for cell, (_, new) in zip(cells, known, strict=True)
    )
    after = with_session(frame, number, own._replace(phase=planned.phase))
    return World(after._replace(owner=late.after.owner), tuple(targets))


def _late_target(frame: Frame, late: Late, cells: list[Cell]) -> World | None:
    """A Pod template is applied if the workload is there; a Job is made if its session still runs."""
    targets = []
    for target, wanted in cells:
        if wanted is None:
            targets.append(target)
        elif target.kind == JOB:
            runs = frame.owner == late.base != NOBODY and is_unfinished(frame.sessions[frame.owner])
            if not (runs and target.exists and target.runner == "none"):
                return None
            targets.append(target._replace(runner="starting"))
        elif target.exists and target.sidecar != wanted[1].sidecar:
            targets.append(operation.rolled(target, wanted[1].sidecar))
        else:
            return None
    return World(frame, tuple(targets))


def _late_frame(frame: Frame, late: Late, cells: list[Cell]) -> World | None:
    after, targets = late.after, tuple(cell.target for cell in cells)
    if late.object == "cron job":
        return World(frame._replace(cron_job=after.cron_job), targets)
    if late.object == "batch":
        return World(frame._replace(batch="gone"), targets)
    if late.object == "maintenance":
        return World(frame._replace(job="running"), targets)
    if _base(frame, Write("", "repository", World(frame, ()))) != late.base:
        return None
    sessions = tuple(
        own._replace(listed=planned.listed, maintained=planned.maintained)
        for own, planned in zip(frame.sessions, after.sessions, strict=True)
    )
    frame = frame._replace(maintaining=after.maintaining, job=after.job)
    return World(frame._replace(sessions=(sessions[0], sessions[1])), targets)
