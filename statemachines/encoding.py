"""What the numbers of a state stand for, and what is kept so that it is computed once.

Used by ``space.py`` and ``exploration.py``. Pure data, and the rules of writes that come late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from statemachines.invariants import Invariant
from statemachines.patching import Patch, Write
from statemachines.world import NOBODY, TOLD, Frame, Target, is_unfinished

State = tuple[int, ...]
"""A world as numbers: first everything but the targets, then each target."""


class Late(NamedTuple):
    """A write that is decided on and not yet made. ``base``: what it was decided on."""

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


class Move(NamedTuple):
    """What happens: its sentence with a place for a target's name, and that target's place."""

    story: str
    kind: str
    cost: int = 0
    """How many faults it needs."""
    place: int = 0


class Step(NamedTuple):
    """A move from one state to another one."""

    move: Move
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


def place_of(write: Write) -> int:
    return int(write.object[-1]) if write.object.startswith("target") else 0


def content_of(target: Target) -> tuple[Any, ...]:
    """What a session's status says of a target: who changes it makes a late write conflict."""
    told = target.hook in ("told", "lost", "refused")
    return (target.phase, target.claim != "none", target.report, told)


def base_of(frame: Frame, write: Write) -> Any:
    """What must be so for a late write to be made: its object's content, or its owner."""
    if write.object.startswith("session"):
        phase = frame.sessions[int(write.object[-1])].phase
        return (phase, *(hook in TOLD for hook in (frame.pre, frame.post)))
    if write.object.endswith("hook"):
        return (frame.owner, frame.pre, frame.post)
    if write.object == "repository":
        return (*(each.listed for each in frame.sessions), frame.maintaining)
    if Patch("job") in write.targets or Patch("thaw") in write.targets:
        return (frame.owner, frame.owner != NOBODY and is_unfinished(frame.sessions[frame.owner]))
    return frame.batch == "gone"


def may_come(late: Late, cell: Cell) -> bool:
    """Whether a late write finds a target as it must be for what it does there."""
    known, patch = cell.late or (None, None)
    if late.write.object.startswith("session"):
        return content_of(cell.target) == known
    if patch == Patch("job"):
        return cell.target.exists and cell.target.runner == "none"
    if patch == Patch("thaw"):
        return cell.target.hook == "owed"
    return cell.target.exists and patch is not None and cell.target.sidecar != patch.values[0]
