"""What the operator does in the small world: the same tables decide, and their intents are applied.

Used by ``exploration.py``. One function a controller (batch, session, repository): it observes the
world, advances the machines and returns the *first* write by which the world differs from what it
should be. As the next write is decided on anew, the operator may die between any two of them.

Rules of this file:

- A write to a status holds only if what it was decided on is still so (resourceVersion).
- The phases of batch and repository are derived from ``Pending`` on each look: nothing reads them, and
  machines without final states converge, so that a stored one would only multiply the worlds.
- What no machine says is a rule of :class:`OperatorRules`, so that a test can replace it and see what
  it is good for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import attrs

from statemachines import batch, host, repository, session, target
from statemachines.table import Table, advance
from statemachines.world import (
    ABSENT,
    FINAL_SESSION,
    FINAL_TARGET,
    JOB,
    NOBODY,
    PARALLEL,
    SIDECAR,
    Frame,
    Session,
    Target,
    World,
    is_unfinished,
    with_session,
)


class Write(NamedTuple):
    """One write: a sentence, the object that it changes, and the world as it is afterwards."""

    story: str
    object: str
    after: World


def must_be_skipped(frame: Frame, number: int) -> bool:
    """Whether a session must not run: its batch does not want it, or another one comes first.

    Who is listed comes first, then who is older: age alone would let a session that was created in
    the same second, with a name that sorts first, overtake one that runs already.
    """
    own, other = frame.sessions[number], frame.sessions[1 - number]
    if frame.batch != "live" or (frame.paused and own.slot):
        return True
    if not is_unfinished(other) or own.listed:
        return False
    return other.listed or other.phase == "Running" or _is_older(frame, 1 - number)


def _is_older(frame: Frame, number: int) -> bool:
    return (number == 1) == frame.second_is_older


def may_be_listed(frame: Frame, number: int) -> bool:
    """Whether the repository may list a waiting session: no other one of its batch is listed."""
    return not frame.sessions[1 - number].listed


def is_given_up(target: Target, session: Session, _targets: tuple[Target, ...]) -> bool:
    """Whether no host of the target can be expected: it is not there, and time is up."""
    return not target.exists and (session.grace_over or session.late)


def has_its_turn(before: tuple[str, ...], order: str) -> bool:
    """Whether nothing stands before a target: Sequential means after all before it are final."""
    return order == PARALLEL or all(phase in FINAL_TARGET for phase in before)


def may_be_torn_down(frame: Frame) -> bool:
    """Whether sidecars of a deleted batch may go: a session that runs is finished first."""
    return not any(is_unfinished(session) for session in frame.sessions)


def is_released(frame: Frame) -> bool:
    """Whether the lock of a maintenance may be given back: its Job is proven to be over."""
    return frame.job in ("done", "dead")


@attrs.frozen
class OperatorRules:
    """The tables and the rules between them."""

    batch: Table[batch.Observation] = batch.TABLE
    session: Table[session.Observation] = session.TABLE
    target: Table[target.Observation] = target.TABLE
    host: Table[host.Observation] = host.TABLE
    repository: Table[repository.Observation] = repository.TABLE
    must_be_skipped: Callable[[Frame, int], bool] = must_be_skipped
    may_be_listed: Callable[[Frame, int], bool] = may_be_listed
    is_given_up: Callable[[Target, Session, tuple[Target, ...]], bool] = is_given_up
    has_its_turn: Callable[[tuple[str, ...], str], bool] = has_its_turn
    may_be_torn_down: Callable[[Frame], bool] = may_be_torn_down
    is_released: Callable[[Frame], bool] = is_released
    writes_what_is_so: bool = False
    """Whether a status is written although it is so already."""


# The batch --------------------------------------------------------------------------------------


def batch_write(rules: OperatorRules, world: World) -> Write | None:
    """The first write of the batch's controller; None: nothing is to do."""
    frame = world.frame
    if frame.batch == "gone":
        return None
    state = advance(rules.batch, rules.batch.initial, _observe_batch(world)).state
    intents = rules.batch.intents(state)
    if batch.NOTHING_LEFT in intents:
        return _teardown(rules, world)
    if batch.CRON_JOB_SUSPENDED in intents and frame.cron_job == "active":
        return _cron_job(world, "suspended")
    wanted = "suspended" if frame.paused else "active"
    if batch.CRON_JOB in intents and frame.cron_job != wanted:
        return _cron_job(world, wanted)
    return _inject(world) if batch.SIDECARS in intents else None


def _observe_batch(world: World) -> batch.Observation:
    frame, targets = world
    workloads = [each for each in targets if each.kind == SIDECAR and each.exists]
    return batch.Observation(
        deletion_requested=frame.batch == "deleting",
        some_target_found=any(each.exists for each in targets),
        sidecars_in_place=all(
            each.sidecar == "current" and each.runner != "none" for each in workloads
        ),
        session_in_flight=any(is_unfinished(each) for each in frame.sessions),
    )


def _cron_job(world: World, wanted: Any) -> Write:
    after = world._replace(frame=world.frame._replace(cron_job=wanted))
    return Write(f"the operator makes the CronJob {wanted}", "cron job", after)


def _inject(world: World) -> Write | None:
    for number, each in enumerate(world.targets):
        if each.kind == SIDECAR and each.exists and each.sidecar != "current":
            after = rolled(each, "current")
            return _target_write(world, number, after, "the operator injects the sidecar into {}")
    return None


def rolled(each: Target, sidecar: Any) -> Target:
    """A changed Pod template restarts the Pods: a runner that is at work dies."""
    lost = each.claim == "living" and each.report == "none"
    claim = "dead" if lost else each.claim
    return each._replace(
        sidecar=sidecar, owed=max(each.owed - 1, -1), runner="none", claim=claim
    )


def _teardown(rules: OperatorRules, world: World) -> Write | None:
    frame = world.frame
    if frame.cron_job != "none":
        after = world._replace(frame=frame._replace(cron_job="none"))
        return Write("the operator deletes the CronJob", "cron job", after)
    if not rules.may_be_torn_down(frame):
        return None
    for number, each in enumerate(world.targets):
        if each.sidecar != "none":
            after_target = rolled(each, "none")
            story = "the operator takes the sidecar out of {}"
            return _target_write(world, number, after_target, story)
    after = world._replace(frame=frame._replace(batch="gone"))
    return Write("the operator releases the batch", "batch", after)


def _target_write(world: World, number: int, after: Target, story: str) -> Write:
    targets = (*world.targets[:number], after, *world.targets[number + 1 :])
    return Write(story.format(name_of(number, after)), f"target {number}", world._replace(targets=targets))


def name_of(number: int, target: Target) -> str:
    """What a target is called in a story."""
    return f"target {number + 1} ({target.kind})"


# The session ------------------------------------------------------------------------------------


def session_write(rules: OperatorRules, world: World, number: int) -> Write | None:
    """The first write of the session's controller; None: nothing is to do."""
    frame = world.frame
    own = frame.sessions[number]
    if own.phase == ABSENT or own.phase in FINAL_SESSION:
        return None
    targets = _targets_of(rules, world, number)
    phase = advance(rules.session, own.phase, _observe_session(rules, frame, number, targets)).state
    after = _status_written(world, number, phase, targets)
    if after != world or rules.writes_what_is_so:
        story = f"the operator writes the status of session {number + 1} ({phase})"
        return Write(story, f"session {number}", after)
    return _create_job(world) if number == frame.owner else None


def _targets_of(
    rules: OperatorRules, world: World, number: int
) -> tuple[Target, ...] | None:
    """The targets as the session would leave them; None while the row is another session's."""
    frame = world.frame
    if frame.owner not in (NOBODY, number):
        return None
    own = frame.sessions[number]
    begins = own.listed and not rules.must_be_skipped(frame, number)
    started = begins or own.phase == "Running" or frame.owner == number
    phases: tuple[str, ...] = ()
    judged: list[Target] = []
    for each in world.targets:
        turn = rules.has_its_turn(phases, frame.order)
        given_up = rules.is_given_up(each, own, world.targets)
        judged.append(judge(rules, each, own, started=started, turn=turn, given_up=given_up))
        phases += (judged[-1].phase,)
    return tuple(judged)


def judge(
    rules: OperatorRules, each: Target, own: Session, *, started: bool, turn: bool, given_up: bool
) -> Target:
    """One target as its session's status should show it: first its host, then itself."""
    expected = each.exists or each.claim != "none" or each.report != "none"
    if expected and each.report == "none":
        state = advance(rules.host, rules.host.initial, _observe_host(each, own)).state
        if host.REPORT_OF_FAILURE in rules.host.intents(state):
            each = each._replace(report="Failed")
    facts = target.Observation(
        session_started=started,
        turn_has_come=turn,
        some_runner_ready=each.runner == "ready",
        some_host_claimed=each.claim != "none",
        all_hosts_reported=each.report != "none",
        some_host_failed=each.report == "Failed",
        given_up=given_up,
    )
    return each._replace(phase=advance(rules.target, each.phase, facts).state)


def _observe_host(each: Target, own: Session) -> host.Observation:
    return host.Observation(
        target_started=each.phase != "Pending",
        runner_ready=each.runner == "ready",
        claimed=each.claim != "none",
        runner_dead=each.claim == "dead" or (each.claim == "none" and each.runner == "gone"),
        runner_overdue=own.grace_over and each.runner in ("none", "starting"),
        deadline_passed=own.late,
    )


def _observe_session(
    rules: OperatorRules, frame: Frame, number: int, targets: tuple[Target, ...] | None
) -> session.Observation:
    phases = [each.phase for each in targets or ()]
    return session.Observation(
        must_be_skipped=rules.must_be_skipped(frame, number),
        may_use_repository=targets is not None and frame.sessions[number].listed,
        some_target_started=frame.owner == number,
        all_targets_final=bool(phases) and all(phase in FINAL_TARGET for phase in phases),
        some_target_failed="Failed" in phases,
    )


def _status_written(
    world: World, number: int, phase: str, targets: tuple[Target, ...] | None
) -> World:
    frame = with_session(
        world.frame, number, world.frame.sessions[number]._replace(phase=phase)
    )
    if targets is None or phase in ("Pending", "Skipped"):
        return world._replace(frame=frame)
    return World(frame._replace(owner=number), targets)


def without_phases(world: World) -> World:
    """The world without the phases in the status of the session that owns the targets."""
    frame = world.frame
    own = frame.sessions[frame.owner]._replace(phase="Pending")
    targets = tuple(each._replace(phase="Pending") for each in world.targets)
    return World(with_session(frame, frame.owner, own), targets)


def _create_job(world: World) -> Write | None:
    for number, each in enumerate(world.targets):
        started = each.phase in ("Injecting", "Scheduled", "Running")
        if each.kind == JOB and each.exists and started and each.runner == "none":
            after = each._replace(runner="starting")
            return _target_write(world, number, after, "the operator creates the Job of {}")
    return None


# The repository ---------------------------------------------------------------------------------


def repository_write(rules: OperatorRules, world: World) -> Write | None:
    """The first write of the repository's controller; None: nothing is to do."""
    frame = world.frame
    after = _without_final(frame)
    if frame.maintaining != NOBODY and rules.is_released(frame):
        after = _lock_released(after)
    due = maintenance_due(world._replace(frame=after))
    intents = rules.repository.intents(_repository_state(rules, after, due=due))
    if repository.EXCLUSIVE_LOCK in intents and after.maintaining == NOBODY:
        after = after._replace(maintaining=after.owner)
    elif repository.SESSIONS_MAY_BE_LISTED in intents and not due:
        after = _with_next(rules, after)
    if after != frame:
        return Write(_repository_story(frame, after), "repository", world._replace(frame=after))
    if repository.MAINTENANCE_JOB in intents and frame.job == "none":
        job = world._replace(frame=frame._replace(job="running"))
        return Write("the operator creates the Job of the maintenance", "maintenance", job)
    return None


def _repository_state(rules: OperatorRules, frame: Frame, *, due: bool) -> str:
    facts = repository.Observation(
        initialized=True,
        sessions_active=any(each.listed for each in frame.sessions),
        maintenance_due=due,
        maintenance_held=frame.maintaining != NOBODY,
    )
    return advance(rules.repository, rules.repository.initial, facts).state


def maintenance_due(world: World) -> bool:
    """A session that took a good snapshot is over, and the repository was not maintained since."""
    frame = world.frame
    if frame.owner == NOBODY:
        return False
    own = frame.sessions[frame.owner]
    good = any(each.report == "Succeeded" for each in world.targets)
    return own.phase in FINAL_SESSION and good and not own.maintained


def _without_final(frame: Frame) -> Frame:
    kept = tuple(each._replace(listed=each.listed and is_unfinished(each)) for each in frame.sessions)
    return frame._replace(sessions=(kept[0], kept[1]))


def _lock_released(frame: Frame) -> Frame:
    own = frame.sessions[frame.maintaining]._replace(maintained=True)
    return with_session(frame, frame.maintaining, own)._replace(maintaining=NOBODY, job="none")


def _with_next(rules: OperatorRules, frame: Frame) -> Frame:
    for number in (1, 0) if frame.second_is_older else (0, 1):
        own = frame.sessions[number]
        waits = own.phase == "Pending" and not own.listed
        if waits and rules.may_be_listed(frame, number) and not rules.must_be_skipped(frame, number):
            return with_session(frame, number, own._replace(listed=True))
    return frame


def _repository_story(before: Frame, after: Frame) -> str:
    if after.maintaining != before.maintaining:
        verb = "gives the repository back from" if after.maintaining == NOBODY else "locks it for"
        return f"the operator {verb} maintenance"
    listed = [str(n + 1) for n, each in enumerate(after.sessions) if each.listed]
    return f"the operator lists as active: session {', '.join(listed) or 'none'}"
