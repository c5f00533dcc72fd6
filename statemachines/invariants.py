"""What must hold, whatever happens: eleven invariants, as named predicates over the small world.

Used by ``exploration.py`` on every world and step that can be reached; a simulation may check the
same predicates on a :class:`~statemachines.world.World` built from what it observes. Must not
know how the world moves.

Rules of this file:

- An invariant has a number and a name, and one or more predicates. A predicate is a sentence (its
  docstring) that is true or false of one value: a target, a world, a world at rest, or a step.
- A step is a pair: of one target, or of everything but the targets, before and after any one
  move.
- *At rest* means that nothing happens any more unless somebody from outside makes it happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from statemachines.world import (
    ABSENT,
    FINAL_SESSION,
    FINAL_TARGET,
    NOBODY,
    SEQUENTIAL,
    SIDECAR,
    TOLD,
    Frame,
    Target,
    World,
    is_unfinished,
    owes,
)

TARGET = "target"
"""Of every target, in every world."""
WORLD = "world"
"""Of every world."""
REST = "rest"
"""Of every world at rest."""
TARGET_STEP = "target step"
"""Of a target before and after a move."""
FRAME_STEP = "frame step"
"""Of everything but the targets, before and after a move."""
DECISION = "decision"
"""Of everything but the targets, before and after a write, as the operator saw it deciding."""
TWO_PASSES = "two passes"
"""Of a world after one pass of the operator, and after a second one right behind it."""
REBUILT = "rebuilt"
"""Of a settled world, and of what the operator makes of it once its phases are lost."""


@attrs.frozen
class Invariant:
    """A predicate of ``scope`` that belongs to the invariant ``number``."""

    number: int
    name: str
    scope: str
    holds: Callable[..., bool]

    @property
    def sentence(self) -> str:
        """What the predicate says."""
        return (self.holds.__doc__ or "").strip()

    def __str__(self) -> str:
        return f"invariant {self.number} ({self.name}): {self.sentence}"


# 1 One session at a time


def at_most_one_session_runs(world: World) -> bool:
    """At most one session of a batch runs, or is listed so that it may, at a time."""
    live = [each for each in world.frame.sessions if is_unfinished(each)]
    return sum(each.phase == "Running" or each.listed for each in live) <= 1


def a_slot_makes_one_session(world: World) -> bool:
    """A slot of the schedule makes at most one session."""
    slots = [each.slot for each in world.frame.sessions if each.phase != ABSENT and each.slot]
    return len(slots) == len(set(slots))


# 2 Final is final


def a_final_target_stays(before: Target, after: Target) -> bool:
    """The final phase of a target never changes, and a report is never replaced."""
    if before.report not in ("none", after.report):
        return False
    return before.phase not in FINAL_TARGET or after.phase == before.phase


def a_final_session_stays(before: Frame, after: Frame) -> bool:
    """The final phase of a session never changes."""
    pairs = zip(before.sessions, after.sessions, strict=True)
    return all(a.phase == b.phase for b, a in pairs if b.phase in FINAL_SESSION)


def a_session_is_the_fold_of_its_targets(world: World) -> bool:
    """A session is final when, and only when, all its targets are; Succeeded when all are."""
    frame = world.frame
    if frame.owner == NOBODY:
        return True
    phase = frame.sessions[frame.owner].phase
    phases = {each.phase for each in world.targets}
    final, good = phases <= FINAL_TARGET, phases == {"Succeeded"}
    if frame.post != "off":  # its targets may be final before its hooks are
        good = good and "bad" not in (frame.pre, frame.post)
        return phase not in FINAL_SESSION or (final and (phase == "Succeeded") == good)
    return (phase in FINAL_SESSION) == final and (phase == "Succeeded") == good


# 3 Targets are independent


def a_target_ends_by_its_own_hosts(target: Target) -> bool:
    """A target ends by what its own hosts report, or because it is not there."""
    if target.phase == "Succeeded":
        return target.report == "Succeeded"
    refused = target.hook == "refused"  # nothing of it was begun
    return target.phase != "Failed" or target.report == "Failed" or refused or not target.exists


def only_its_turn_holds_a_target_back(world: World) -> bool:
    """In Sequential order a target starts when all before it are final; nothing else binds them."""
    if world.frame.order != SEQUENTIAL:
        return True
    phases = [each.phase for each in world.targets]
    started = [n for n, phase in enumerate(phases) if phase not in ("Pending", *FINAL_TARGET)]
    return all(phase in FINAL_TARGET for n in started for phase in phases[:n])


# 4 One sidecar, one rollout


def one_change_makes_one_rollout(target: Target) -> bool:
    """One change of the batch makes at most one rollout of a workload."""
    return target.owed >= 0


def sidecars_are_as_wanted(world: World) -> bool:
    """At rest a workload has its sidecar exactly while its batch wants it."""
    wanted = {"live": "current", "gone": "none"}.get(world.frame.batch)
    workloads = [each for each in world.targets if each.kind == SIDECAR and each.exists]
    if world.frame.batch == "live" and not any(each.exists for each in world.targets):
        return True
    return all(each.sidecar == wanted for each in workloads)


# 5 Paused or terminating


def nothing_starts_unwanted(before: Frame, after: Frame) -> bool:
    """No session starts while its batch is being deleted or, unless by hand, is paused."""
    for own, then in zip(before.sessions, after.sessions, strict=True):
        unwanted = before.batch != "live" or (before.paused and own.slot != 0)
        if unwanted and own.phase == "Pending" and then.phase == "Running":
            return False
    return True


def a_running_session_keeps_its_runners(before: Target, after: Target) -> bool:
    """A runner is not taken from a started, unfinished target, but by a new version of itself."""
    at_work = before.phase not in ("Pending", *FINAL_TARGET) and before.exists and after.exists
    return not (at_work and before.sidecar != "none" and after.sidecar == "none")


# 6 Liveness


def every_session_ends(world: World) -> bool:
    """At rest every session is final."""
    return not any(is_unfinished(each) for each in world.frame.sessions)


# 7 Recovery points


def a_recovery_point_is_a_good_backup(target: Target) -> bool:
    """A recovery point is the snapshot of a good backup."""
    return not target.point or (target.work == "good" and target.report == "Succeeded")


def retention_keeps_the_last_good_snapshot(before: Target, after: Target) -> bool:
    """The last good snapshot of a target is never removed."""
    return after.point or not before.point


# 8 Exclusive work


def exclusive_work_is_alone(world: World) -> bool:
    """Exclusive work of a repository never overlaps with a run on it."""
    works = any(each.runner == "working" for each in world.targets)
    listed = any(each.listed for each in world.frame.sessions)
    locked = world.frame.maintaining != NOBODY
    return not (world.frame.job == "running" and works) and not (locked and listed)


def a_lock_goes_with_its_owner(before: Frame, after: Frame) -> bool:
    """A lock is given back only when the Job that holds it is proven to be over."""
    given_back = before.maintaining != NOBODY and after.maintaining == NOBODY
    return not given_back or before.job in ("done", "dead")


# 9 and 10 Level


def nothing_is_written_twice(before: World, after: World) -> bool:
    """A second reconcile without a change in the world writes nothing."""
    return before == after


def a_lost_status_comes_back(before: World, after: World) -> bool:
    """The phases of an unfinished session and its targets can be rebuilt from the reports."""
    return before == after


# 11 What was frozen is thawed


def a_final_target_owes_no_hook(target: Target) -> bool:
    """A post hook follows a started pre hook before its target is final, or a condition says so."""
    return target.phase not in FINAL_TARGET or not owes(target)


def a_final_session_owes_no_hook(world: World) -> bool:
    """When a session is final, both hooks of its batch have ended, or none of them was begun."""
    frame = world.frame
    if frame.owner == NOBODY or frame.sessions[frame.owner].phase not in FINAL_SESSION:
        return True
    if frame.pre in TOLD:
        return frame.post in TOLD
    return frame.pre == frame.post and frame.pre != "running"


def nothing_begins_before_the_pre_hook(world: World) -> bool:
    """No target begins before the batch's pre hook has succeeded."""
    if world.frame.pre in ("off", "good"):
        return True
    return all(each.phase in ("Pending", "Failed") for each in world.targets)


def the_post_hook_is_last(before: Frame, after: Frame) -> bool:
    """The batch's post hook begins when its pre hook has ended."""
    begins = before.post == "idle" and after.post == "running"
    return not begins or before.pre in TOLD


ALL: tuple[Invariant, ...] = (
    Invariant(1, "one session at a time", WORLD, at_most_one_session_runs),
    Invariant(1, "one session at a time", WORLD, a_slot_makes_one_session),
    Invariant(2, "final is final", TARGET_STEP, a_final_target_stays),
    Invariant(2, "final is final", FRAME_STEP, a_final_session_stays),
    Invariant(2, "final is final", WORLD, a_session_is_the_fold_of_its_targets),
    Invariant(3, "targets are independent", TARGET, a_target_ends_by_its_own_hosts),
    Invariant(3, "targets are independent", WORLD, only_its_turn_holds_a_target_back),
    Invariant(4, "one sidecar, one rollout", TARGET, one_change_makes_one_rollout),
    Invariant(4, "one sidecar, one rollout", REST, sidecars_are_as_wanted),
    Invariant(5, "paused or terminating", DECISION, nothing_starts_unwanted),
    Invariant(5, "paused or terminating", TARGET_STEP, a_running_session_keeps_its_runners),
    Invariant(6, "liveness", REST, every_session_ends),
    Invariant(7, "recovery points", TARGET, a_recovery_point_is_a_good_backup),
    Invariant(7, "recovery points", TARGET_STEP, retention_keeps_the_last_good_snapshot),
    Invariant(8, "exclusive work", WORLD, exclusive_work_is_alone),
    Invariant(8, "exclusive work", FRAME_STEP, a_lock_goes_with_its_owner),
    Invariant(9, "nothing twice", TWO_PASSES, nothing_is_written_twice),
    Invariant(10, "status is rebuilt", REBUILT, a_lost_status_comes_back),
    Invariant(11, "what is frozen is thawed", TARGET, a_final_target_owes_no_hook),
    Invariant(11, "what is frozen is thawed", WORLD, a_final_session_owes_no_hook),
    Invariant(11, "what is frozen is thawed", WORLD, nothing_begins_before_the_pre_hook),
    Invariant(11, "what is frozen is thawed", FRAME_STEP, the_post_hook_is_last),
)


def of_scope(scope: str) -> tuple[Invariant, ...]:
    """The invariants of one scope."""
    return tuple(each for each in ALL if each.scope == scope)


def broken(scope: str, *values: Any) -> Invariant | None:
    """The first invariant of ``scope`` that does not hold of ``values``, or None."""
    return next((each for each in of_scope(scope) if not each.holds(*values)), None)
