"""The writes of the operator in the small world: what they are, and what they change.

Used by ``operation.py``, which decides on them, and ``space.py``, which applies them, perhaps late.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from statemachines.world import Frame, Target, owes, with_session


class Write(NamedTuple):
    """One write of the operator.

    ``story`` has a place for the target's name; ``object`` is what it changes; ``frame`` and
    ``targets`` are what it does to the parts of the world (None: nothing).
    """

    story: str
    object: str
    frame: Patch | None
    targets: tuple[Patch | None, ...] = ()


class Patch(NamedTuple):
    """A change of one part of the world: what it is, and its values."""

    what: str
    values: tuple[Any, ...] = ()


def patch_frame(frame: Frame, patch: Patch) -> Frame:
    """``frame`` after ``patch``."""
    values = patch.values
    if patch.what == "cron job":
        return frame._replace(cron_job=values[0])
    if patch.what == "release":
        return frame._replace(batch="gone")
    if patch.what == "maintenance":
        return frame._replace(job="running")
    if patch.what == "session":
        number, phase, owns, pre = values
        after = with_session(frame, number, frame.sessions[number]._replace(phase=phase))
        return after._replace(owner=number, pre=pre) if owns else after
    if patch.what == "hook":
        first = values[0] == "pre"
        return frame._replace(pre="running") if first else frame._replace(post="running")
    first, second, maintaining, job = values
    one, two = frame.sessions
    sessions = (
        one._replace(listed=first[0], maintained=first[1]),
        two._replace(listed=second[0], maintained=second[1]),
    )
    return frame._replace(sessions=sessions, maintaining=maintaining, job=job)


def patch_target(each: Target, patch: Patch) -> Target:
    """``each`` after ``patch``. A changed Pod template restarts the Pods: who works there dies."""
    values = patch.values
    if patch.what == "status":
        hook = each.hook if owes(each) and values[2] == "owed" else values[2]
        return each._replace(phase=values[0], report=values[1], hook=hook)
    if patch.what == "thaw":
        return each._replace(hook="running")
    if patch.what == "job":
        return each._replace(runner="starting")
    lost = each.claim == "living" and (each.report == "none" or owes(each))
    claim = "dead" if lost else each.claim
    owed = max(each.owed - 1, -1)
    return each._replace(sidecar=values[0], owed=owed, runner="none", claim=claim)


def name_of(number: int, each: Target) -> str:
    """What a target is called in a story."""
    return f"target {number + 1} ({each.kind})"
