"""What nothing reads any more, taken out of the world: two worlds that differ in it alone are one.

Used by ``space.py`` after each step, once the step has been checked.

Rules of this file:

- A target that has its report, or is past saving, keeps nothing of what led to it. Whether the
  operator has yet written that a claimed target is Running is not kept: the agent acts alike on
  both.
- A sidecar of which nothing is wanted may restart at any time, so that being ready is not kept.
- A session that is over makes room for another one, so that there may be any number of sessions,
  two at a time. The one that exists, or the older of two, is session 1.
- Once a session is final, its runners are quiet and the repository is maintained, its row of
  targets is cleared, and the next session may have it.
"""

from __future__ import annotations

from statemachines.world import (
    ABSENT,
    FINAL_SESSION,
    FINAL_TARGET,
    JOB,
    NOBODY,
    OVER,
    SIDECAR,
    Claim,
    Frame,
    Hook,
    Session,
    Target,
    World,
    is_unfinished,
    owes,
    with_session,
)


def tidy_target(target: Target) -> Target:
    """``target`` without what nothing reads any more."""
    if not target.exists:
        target = target._replace(owed=0)
    if target.phase == "Scheduled" and target.claim == "living":
        target = target._replace(phase="Running")
    if target.runner in ("working", "ended"):
        return target
    if target.phase in FINAL_TARGET:
        return _without_runner(target)._replace(claim="none", hook=_told(target))
    if target.phase != "Pending" and _is_decided(target):
        kept = target.report == "none" or owes(target)
        claim: Claim = "dead" if kept else "none"
        return _without_runner(target)._replace(claim=claim, phase="Running")
    idle = target.phase == "Pending" or target.overdue
    if target.kind == SIDECAR and target.runner == "ready" and idle:
        return target._replace(runner="none")
    return target


def _is_decided(target: Target) -> bool:
    """Whether the operator, and nobody else, has something to say of a target."""
    return target.report != "none" or target.claim == "dead"


def _told(target: Target) -> Hook:
    """What nobody reads of a hook: how it was settled."""
    return "none" if target.hook in ("told", "lost") else target.hook


def _without_runner(target: Target) -> Target:
    return target._replace(
        runner="gone" if target.kind == JOB else "none",
        work=target.work if target.point else "none",
        overdue=False,
    )


def tidy_frame(frame: Frame) -> Frame:
    """``frame`` without what nothing reads any more."""
    first, second = (
        _tidy_session(own, owns=number == frame.owner) for number, own in enumerate(frame.sessions)
    )
    frame = frame._replace(sessions=(first, second))
    if first.phase == ABSENT != second.phase:
        frame = _second_is_first(frame)
    first, second = frame.sessions
    if not (is_unfinished(first) and is_unfinished(second)):
        frame = frame._replace(second_is_older=False)
    frame = _with_usual_slots(frame)
    waiting = any(own.phase in (ABSENT, "Pending") for own in (first, second))
    if frame.paused and not (frame.batch == "live" and waiting):
        cron_job = "active" if frame.cron_job == "suspended" else frame.cron_job
        frame = frame._replace(paused=False, cron_job=cron_job)
    return frame


def _with_usual_slots(frame: Frame) -> Frame:
    """Slots 1 and 2 by the number of the session: which ones they are makes no difference."""
    first, second = frame.sessions
    if first.slot == second.slot:
        return frame
    if first.slot or first.phase not in (ABSENT, "Pending"):
        first = first._replace(slot=1)
    if second.slot:
        second = second._replace(slot=2)
    return frame._replace(sessions=(first, second))


def _second_is_first(frame: Frame) -> Frame:
    renamed = {NOBODY: NOBODY, 1: 0}
    return frame._replace(
        sessions=(frame.sessions[1], frame.sessions[0]),
        owner=renamed[frame.owner],
        maintaining=renamed[frame.maintaining],
    )


def _tidy_session(own: Session, *, owns: bool) -> Session:
    if own.phase in FINAL_SESSION and not owns:
        return Session(OVER, listed=True) if own.listed else Session()
    return own._replace(grace_over=own.grace_over and not own.late)


def is_over(world: World) -> bool:
    """Whether nothing reads the row of targets of a final session any more."""
    own = world.frame.sessions[world.frame.owner]
    quiet = not any(each.runner in ("working", "ended") for each in world.targets)
    good = any(each.report == "Succeeded" for each in world.targets)
    return quiet and world.frame.maintaining == NOBODY and (own.maintained or not good)


def row_cleared(world: World) -> World:
    """The world with a clear row of targets, and without the session that owned it."""
    frame = world.frame
    own = frame.sessions[frame.owner]._replace(
        phase=OVER, late=False, grace_over=False, maintained=False
    )
    targets = []
    for each in world.targets:
        hook: Hook = "off" if each.hook == "off" else "none"
        blank = Target(
            each.kind, exists=each.exists, sidecar=each.sidecar, owed=each.owed, hook=hook
        )
        targets.append(blank if each.kind == JOB else blank._replace(runner=each.runner))
    frame = with_session(frame, frame.owner, own)._replace(owner=NOBODY)
    if frame.pre != "off":
        frame = frame._replace(pre="idle", post="idle")
    return World(frame, tuple(targets))
