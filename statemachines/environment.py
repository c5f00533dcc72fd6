"""How the world moves without the operator: runners, Kubernetes, users, time, and what goes wrong.

Used by ``exploration.py``. Each function returns the moves that are possible now. A move is
*fair* (it will happen if nothing else does), *free* (it may happen, and need not), or a *fault*
(it happens at most as often as the exploration allows).

Rules of this file:

- The operator restarts and is down: no move is needed. It holds no state but a write that it has
  decided on (``operation.py``), and every order of other moves without one of its own is
  explored.
- A report is late: no move is needed. A runner that has ended its work may report at any time,
  also after the deadline has passed and the operator has failed its host.
- A runner claims nothing after the session's deadline and stops its work by itself when it comes;
  the operator acts on the deadline a little later. So no runner works for a session that is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import attrs

from statemachines.world import (
    ABSENT,
    FINAL_TARGET,
    JOB,
    SIDECAR,
    Frame,
    Report,
    Session,
    Target,
    is_unfinished,
    owes,
    with_session,
)

FAIR, FREE, FAULT = "fair", "free", "fault"

EDITED = "the spec of the batch is edited"
DELETED = "the batch is deleted"


class TargetMove(NamedTuple):
    """One target changes. ``story`` has a place for the target's name."""

    story: str
    kind: str
    after: Target


class FrameMove(NamedTuple):
    """The rest changes; ``each`` is what that means for every target."""

    story: str
    kind: str
    after: Frame
    each: Callable[[Target], Target]


@attrs.frozen
class AgentRules:
    """What the data side does, a rule a field: a test replaces one to see what it is good for."""

    may_claim: Callable[[Target], bool] = attrs.field(
        default=lambda target: (
            target.claim == "none" and target.report == "none" and not target.overdue
        )
    )
    """A host is claimed once, not when it is over, and not after the deadline."""
    reports: Callable[[Target], Report] = attrs.field(
        default=lambda target: "Succeeded" if target.work == "good" else "Failed"
    )
    """A report says what the work was."""
    may_report: Callable[[Target], bool] = attrs.field(
        default=lambda target: target.report == "none"
    )
    """A report that is there is never replaced."""
    retention_keeps: Callable[[Target], bool] = attrs.field(default=lambda target: target.point)
    """The newest good snapshot of a host is kept."""
    name_is_lock: bool = True
    """A session's name is computed from its slot, so it cannot be created twice."""


def same(target: Target) -> Target:
    """Nothing changes for it."""
    return target


# One target -------------------------------------------------------------------------------------


def target_moves(rules: AgentRules, target: Target) -> Iterator[TargetMove]:
    """What can happen to one target, whatever the others do."""
    yield from _pod_moves(target)
    yield from _agent_moves(rules, target)
    if target.hook == "running":
        story = "the Job of the post hook that {} owes tells how it ended"
        yield TargetMove(story, FAIR, target._replace(hook="told"))
    yield from _target_faults(target)


def _pod_moves(target: Target) -> Iterator[TargetMove]:
    injected = target.kind == SIDECAR and target.runner == "none" and target.sidecar != "none"
    if target.exists and (injected or target.runner == "starting"):
        yield TargetMove("a runner of {} becomes ready", FAIR, target._replace(runner="ready"))


def _agent_moves(rules: AgentRules, target: Target) -> Iterator[TargetMove]:
    told = target.phase in ("Scheduled", "Running")
    if target.runner == "ready" and told and rules.may_claim(target):
        hook = "owed" if target.hook == "none" else target.hook
        after = target._replace(runner="working", claim="living", hook=hook)
        yield TargetMove("the runner of {} claims its host and begins", FAIR, after)
    if target.runner == "working":
        after = target._replace(runner="ended", work="good")
        yield TargetMove("the runner of {} has taken a snapshot", FAIR, after)
        after = target._replace(runner="ended", work="bad")
        yield TargetMove("the backup of {} fails", FAULT, after)
    if target.runner == "ended":
        yield _report(rules, target)


def _report(rules: AgentRules, target: Target) -> TargetMove:
    after = target._replace(runner="ready" if target.kind == SIDECAR else "gone")
    if target.hook == "owed":  # told with the report, also where that is dropped
        after = after._replace(hook="told")
    if not rules.may_report(target):
        return TargetMove("the runner of {} finds a report there and drops its own", FAIR, after)
    said = rules.reports(target)
    after = after._replace(report=said, point=said == "Succeeded")
    return TargetMove("the runner of {} reports " + said, FAIR, after)


def _target_faults(target: Target) -> Iterator[TargetMove]:
    if target.runner in ("starting", "ready", "working") and target.phase not in FINAL_TARGET:
        yield TargetMove("the runner of {} dies", FAULT, killed(target))
    if target.runner == "ended":
        story = "the runner of {} dies after its work, and its report is lost"
        yield TargetMove(story, FAULT, killed(target))
    if target.exists:
        after = target._replace(exists=False)
        if target.kind == SIDECAR:
            after = killed(after)._replace(sidecar="none")
        yield TargetMove("{} is deleted", FAULT, after)


def killed(target: Target) -> Target:
    """Its Pod is gone. A sidecar's workload makes another one, a Job of ours does not."""
    lost = target.claim == "living" and (target.report == "none" or owes(target))
    over = target.kind == JOB and target.runner != "none"
    return target._replace(
        runner="gone" if over else "none", claim="dead" if lost else target.claim
    )


# Everything else --------------------------------------------------------------------------------


def frame_moves(rules: AgentRules, frame: Frame) -> Iterator[FrameMove]:
    """What can happen to the rest of the world."""
    yield from _new_sessions(rules, frame)
    yield from _maintenance_moves(rules, frame)
    yield from _hook_moves(frame)
    yield from _user_faults(frame)
    for number, session in enumerate(frame.sessions):
        if is_unfinished(session) and not session.late:
            yield deadline(frame, number, FAULT)


def _new_sessions(rules: AgentRules, frame: Frame) -> Iterator[FrameMove]:
    free = [number for number, session in enumerate(frame.sessions) if session.phase == ABSENT]
    if not free or frame.batch == "gone":
        return
    number = free[0]

    def born(slot: int) -> Frame:
        return with_session(frame, number, Session(phase="Pending", slot=slot))

    if frame.cron_job == "active":
        yield FrameMove(
            f"a slot fires and creates session {number + 1}",
            FREE,
            born(_other_slot(frame, number)),
            same,
        )
    yield FrameMove(f"somebody creates session {number + 1} by hand", FAULT, born(0), same)
    if number == 1:
        story = (
            "somebody creates session 2 by hand in the same second, with a name that sorts first"
        )
        yield FrameMove(story, FAULT, born(0)._replace(second_is_older=True), same)
        again = frame if rules.name_is_lock else born(frame.sessions[0].slot)
        yield FrameMove("the trigger runs twice for one slot", FAULT, again, same)


def _other_slot(frame: Frame, number: int) -> int:
    """A slot that is not that of the other session."""
    return 2 if frame.sessions[1 - number].slot == 1 else 1


def _maintenance_moves(rules: AgentRules, frame: Frame) -> Iterator[FrameMove]:
    if frame.job != "running":
        return

    def retained(target: Target) -> Target:
        return target._replace(point=target.point and rules.retention_keeps(target))

    story = "maintenance is done, and retention is applied"
    yield FrameMove(story, FAIR, frame._replace(job="done"), retained)
    yield FrameMove("the Pod of the maintenance dies", FAULT, frame._replace(job="dead"), same)


def _hook_moves(frame: Frame) -> Iterator[FrameMove]:
    if frame.pre == "running":
        yield FrameMove("the batch's pre hook succeeds", FAIR, frame._replace(pre="good"), same)
        yield FrameMove("the batch's pre hook fails", FAULT, frame._replace(pre="bad"), same)
    if frame.post == "running":
        yield FrameMove("the batch's post hook succeeds", FAIR, frame._replace(post="good"), same)
        yield FrameMove("the batch's post hook fails", FAULT, frame._replace(post="bad"), same)


def _user_faults(frame: Frame) -> Iterator[FrameMove]:
    if frame.batch != "live":
        return
    if not frame.paused:
        yield FrameMove("the batch is paused", FAULT, frame._replace(paused=True), same)
    yield FrameMove(DELETED, FAULT, frame._replace(batch="deleting"), _unwanted)
    yield FrameMove(EDITED, FAULT, frame, _edited)


def _unwanted(target: Target) -> Target:
    return target if target.sidecar == "none" else owed_one_more(target)


def _edited(target: Target) -> Target:
    if target.sidecar != "current":
        return target
    return owed_one_more(target)._replace(sidecar="outdated")


def owed_one_more(target: Target) -> Target:
    """One more change of the batch may roll the workload."""
    return target._replace(owed=target.owed + 1)


def deadline(frame: Frame, number: int, kind: str) -> FrameMove:
    """The deadline of a session passes."""
    after = with_session(frame, number, frame.sessions[number]._replace(late=True))
    each = stopped if number == frame.owner else same
    return FrameMove(f"the deadline of session {number + 1} passes", kind, after, each)


def stopped(target: Target) -> Target:
    """What a passed deadline of its session means for a target."""
    if target.runner == "working":
        return target._replace(runner="ended", work="bad", overdue=True)
    return target._replace(overdue=True)


def grace(frame: Frame, number: int) -> FrameMove:
    """The time for which a runner may be missing is over."""
    after = with_session(frame, number, frame.sessions[number]._replace(grace_over=True))
    return FrameMove(
        f"the grace for missing runners of session {number + 1} is over", FAIR, after, same
    )
