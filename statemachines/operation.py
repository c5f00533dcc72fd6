"""What the operator does in the small world: the same tables decide, and their intents are applied.

Used by ``space.py``. Each controller (batch, session, repository) *sees* a part of the world,
advances the machines on it and decides on the first :class:`Write` by which the world differs
from what it should be. As the next write is decided on anew, the operator may die between any two
of them.

Rules of this file:

- A decision reads what its controller sees and nothing else, so that it can be kept and used
  again wherever the same is seen.
- The phases of batch and repository are derived from ``Pending`` on each look: nothing reads
  them, and machines without final states converge, so that a stored one would only multiply the
  worlds.
- What no machine says is a rule of :class:`OperatorRules`, so that a test can replace it and see
  what it is good for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import attrs

from statemachines import batch, host, repository, session, target
from statemachines.patching import Patch, Write
from statemachines.table import Table, advance
from statemachines.world import (
    FINAL_SESSION,
    FINAL_TARGET,
    JOB,
    NOBODY,
    PARALLEL,
    SIDECAR,
    TOLD,
    Frame,
    Session,
    Target,
    is_unfinished,
    with_session,
)

# The rules between the machines -----------------------------------------------------------------


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


def is_given_up(seen: TargetSeen, own: Session, _targets: tuple[TargetSeen, ...]) -> bool:
    """Whether no host of the target can be expected: it is not there, and time is up."""
    return not seen.exists and (own.grace_over or own.late)


def has_its_turn(before: tuple[str, ...], order: str) -> bool:
    """Whether nothing stands before a target: Sequential means after all before it are final."""
    return order == PARALLEL or all(phase in FINAL_TARGET for phase in before)


def may_be_torn_down(frame: Frame) -> bool:
    """Whether sidecars of a deleted batch may go: a session that runs is finished first."""
    return not any(is_unfinished(each) for each in frame.sessions)


def is_released(frame: Frame) -> bool:
    """Whether the lock of a maintenance may be given back: its Job is proven to be over."""
    return frame.job in ("done", "dead")


def may_begin(seen: SessionSeen) -> bool:
    """Whether targets may begin: the batch has no pre hook, or it has succeeded."""
    return seen.pre in ("off", "good")


def may_thaw(seen: SessionSeen) -> bool:
    """Whether the batch's post hook may begin: its pre hook has ended."""
    return seen.pre in TOLD


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
    is_given_up: Callable[[TargetSeen, Session, tuple[TargetSeen, ...]], bool] = is_given_up
    has_its_turn: Callable[[tuple[str, ...], str], bool] = has_its_turn
    may_be_torn_down: Callable[[Frame], bool] = may_be_torn_down
    is_released: Callable[[Frame], bool] = is_released
    may_begin: Callable[[SessionSeen], bool] = may_begin
    may_thaw: Callable[[SessionSeen], bool] = may_thaw
    waits_for_hooks: bool = True
    """Whether a session is not final before the batch's hooks have ended."""
    writes_what_is_so: bool = False
    """Whether a status is written although it is so already."""


# The batch --------------------------------------------------------------------------------------


class BatchSeen(NamedTuple):
    """What the batch's controller sees, but for the workloads."""

    batch: str
    paused: bool
    cron_job: str
    session_in_flight: bool
    may_be_torn_down: bool


class WorkloadSeen(NamedTuple):
    """What the batch's controller sees of a target."""

    kind: str
    exists: bool
    sidecar: str
    has_pod: bool


def see_batch(rules: OperatorRules, frame: Frame) -> BatchSeen:
    """What the batch's controller sees."""
    in_flight = any(is_unfinished(each) for each in frame.sessions)
    torn = rules.may_be_torn_down(frame)
    return BatchSeen(frame.batch, frame.paused, frame.cron_job, in_flight, torn)


def see_workload(each: Target) -> WorkloadSeen:
    """What the batch's controller sees of a target."""
    return WorkloadSeen(each.kind, each.exists, each.sidecar, each.runner != "none")


def batch_write(
    rules: OperatorRules, seen: BatchSeen, workloads: tuple[WorkloadSeen, ...]
) -> Write | None:
    """The first write of the batch's controller; None: nothing is to do."""
    if seen.batch == "gone":
        return None
    state = advance(rules.batch, rules.batch.initial, _observe_batch(seen, workloads)).state
    intents = rules.batch.intents(state)
    if batch.NOTHING_LEFT in intents:
        return _teardown(seen, workloads)
    if batch.CRON_JOB_SUSPENDED in intents and seen.cron_job == "active":
        return _cron_job("suspended")
    wanted = "suspended" if seen.paused else "active"
    if batch.CRON_JOB in intents and seen.cron_job != wanted:
        return _cron_job(wanted)
    return _inject(workloads) if batch.SIDECARS in intents else None


def _observe_batch(seen: BatchSeen, workloads: tuple[WorkloadSeen, ...]) -> batch.Observation:
    injected = (w.sidecar == "current" and w.has_pod for w in workloads if _has_template(w))
    return batch.Observation(
        deletion_requested=seen.batch == "deleting",
        some_target_found=any(each.exists for each in workloads),
        sidecars_in_place=all(injected),
        session_in_flight=seen.session_in_flight,
    )


def _has_template(workload: WorkloadSeen) -> bool:
    return workload.kind == SIDECAR and workload.exists


def _cron_job(wanted: str) -> Write:
    return Write(
        f"the operator makes the CronJob {wanted}", "cron job", Patch("cron job", (wanted,))
    )


def _inject(workloads: tuple[WorkloadSeen, ...]) -> Write | None:
    for place, each in enumerate(workloads):
        if _has_template(each) and each.sidecar != "current":
            story = "the operator injects the sidecar into {}"
            return _one_target(story, place, len(workloads), Patch("roll", ("current",)))
    return None


def _teardown(seen: BatchSeen, workloads: tuple[WorkloadSeen, ...]) -> Write | None:
    if seen.cron_job != "none":
        return Write("the operator deletes the CronJob", "cron job", Patch("cron job", ("none",)))
    if not seen.may_be_torn_down:
        return None
    for place, each in enumerate(workloads):
        if each.sidecar != "none":
            story = "the operator takes the sidecar out of {}"
            return _one_target(story, place, len(workloads), Patch("roll", ("none",)))
    return Write("the operator releases the batch", "batch", Patch("release"))


def _one_target(story: str, place: int, count: int, patch: Patch) -> Write:
    patches = tuple(patch if n == place else None for n in range(count))
    return Write(story, f"target {place}", None, patches)


# The session ------------------------------------------------------------------------------------


class SessionSeen(NamedTuple):
    """What the session's controller sees, but for the targets."""

    number: int
    order: str
    own: Session
    owns_targets: bool
    targets_are_free: bool
    must_be_skipped: bool
    pre: str
    post: str


class TargetSeen(NamedTuple):
    """What the session's controller sees of a target."""

    kind: str
    exists: bool
    runner: str
    claim: str
    report: str
    phase: str
    hook: str


def see_session(rules: OperatorRules, frame: Frame, number: int) -> SessionSeen:
    """What the controller sees of session ``number``."""
    skip = rules.must_be_skipped(frame, number)
    own, owner = frame.sessions[number], frame.owner
    free = owner == NOBODY
    hooks = (frame.pre, frame.post)
    return SessionSeen(number, frame.order, own, owner == number, free, skip, *hooks)


def see_target(each: Target) -> TargetSeen:
    """What the session's controller sees of a target. Who works or has ended looks the same."""
    runner = "busy" if each.runner in ("working", "ended") else each.runner
    return TargetSeen(
        each.kind, each.exists, runner, each.claim, each.report, each.phase, each.hook
    )


def session_write(
    rules: OperatorRules, seen: SessionSeen, targets: tuple[TargetSeen, ...]
) -> Write | None:
    """The first write of a session's controller; None: nothing is to do."""
    started = seen.own.phase == "Running" or seen.owns_targets
    seen = _with_lost_pre_hook(seen)
    judged = _judge_all(rules, seen, targets, started=started)
    facts = _observe_session(rules, seen, judged, started=started)
    phase = advance(rules.session, seen.own.phase, facts).state
    if phase == "Running" and not started:
        judged = _judge_all(rules, seen, targets, started=True)
        facts = _observe_session(rules, seen, judged, started=True)
        phase = advance(rules.session, phase, facts).state
    if phase in ("Pending", "Skipped"):
        judged = ()
    if phase != seen.own.phase or (judged and judged != targets) or rules.writes_what_is_so:
        story = f"the operator writes the status of session {seen.number + 1} ({phase})"
        patches = tuple(Patch("status", (each.phase, each.report, each.hook)) for each in judged)
        pre = seen.pre if judged else ""
        status = Patch("session", (seen.number, phase, bool(judged), pre))
        return Write(story, f"session {seen.number}", status, patches or (None,) * len(targets))
    if not seen.owns_targets or phase in FINAL_SESSION:
        return None
    return _create_hook(rules, seen, targets) or _create_job(targets)


def _with_lost_pre_hook(seen: SessionSeen) -> SessionSeen:
    """A pre hook that is not begun when the deadline comes has failed; the status says so."""
    mine = seen.owns_targets or (seen.own.phase == "Running" and seen.targets_are_free)
    runs = mine and seen.own.phase not in FINAL_SESSION
    lost = runs and seen.pre == "idle" and seen.own.late
    return seen._replace(pre="bad") if lost else seen


def _create_hook(
    rules: OperatorRules, seen: SessionSeen, targets: tuple[TargetSeen, ...]
) -> Write | None:
    """The Job of a hook that is due by what is stored."""
    if seen.pre == "idle":
        story = "the operator creates the Job of the batch's pre hook"
        return Write(story, "pre hook", Patch("hook", ("pre",)))
    for place, each in enumerate(targets):
        if each.hook == "owed" and each.report != "none" and each.claim == "dead":
            story = "the operator creates the Job of the post hook that {} owes"
            return _one_target(story, place, len(targets), Patch("thaw"))
    final = all(each.phase in FINAL_TARGET for each in targets)
    if final and seen.post == "idle" and rules.may_thaw(seen):
        story = "the operator creates the Job of the batch's post hook"
        return Write(story, "post hook", Patch("hook", ("post",)))
    return None


def _judge_all(
    rules: OperatorRules, seen: SessionSeen, targets: tuple[TargetSeen, ...], *, started: bool
) -> tuple[TargetSeen, ...]:
    """The targets as the session would leave them, each after those before it.

    None while the row of targets is another session's.
    """
    own = seen.own
    if not (seen.owns_targets or seen.targets_are_free):
        return ()
    judged: tuple[TargetSeen, ...] = ()
    for each in targets:
        turn = rules.has_its_turn(tuple(before.phase for before in judged), seen.order)
        refused = seen.pre == "bad"
        given_up = refused or rules.is_given_up(each, own, targets)
        begun = started and rules.may_begin(seen)
        new = judge(rules, each, own, started=begun, turn=turn, given_up=given_up)
        if refused and new.phase == "Failed" and new.hook == "none":
            new = new._replace(hook="refused")
        judged = (*judged, new)
    return judged


def judge(
    rules: OperatorRules,
    each: TargetSeen,
    own: Session,
    *,
    started: bool,
    turn: bool,
    given_up: bool,
) -> TargetSeen:
    """One target as its session's status should show it: first its host, then itself."""
    expected = each.exists or each.claim != "none"
    if expected and each.report == "none":
        state = advance(rules.host, rules.host.initial, _observe_host(each, own)).state
        if host.REPORT_OF_FAILURE in rules.host.intents(state):
            each = each._replace(report="Failed")
    if each.hook == "owed" and each.report != "none" and not each.exists:
        each = each._replace(hook="lost")  # there is nothing left to thaw
    facts = target.Observation(
        session_started=started,
        turn_has_come=turn,
        some_runner_ready=each.runner == "ready",
        some_host_claimed=each.claim != "none",
        all_hosts_reported=each.report != "none",
        some_host_failed=each.report == "Failed",
        hooks_settled=each.hook not in ("owed", "running"),
        given_up=given_up,
    )
    return each._replace(phase=advance(rules.target, each.phase, facts).state)


def _observe_host(each: TargetSeen, own: Session) -> host.Observation:
    return host.Observation(
        target_started=each.phase != "Pending",
        runner_ready=each.runner == "ready",
        claimed=each.claim != "none",
        runner_dead=each.claim == "dead" or (each.claim == "none" and each.runner == "gone"),
        runner_overdue=own.grace_over and each.runner in ("none", "starting"),
        deadline_passed=own.late,
    )


def _observe_session(
    rules: OperatorRules, seen: SessionSeen, targets: tuple[TargetSeen, ...], *, started: bool
) -> session.Observation:
    phases = [each.phase for each in targets]
    told = ("off", *TOLD)
    pending = started and not (seen.pre in told and seen.post in told)
    return session.Observation(
        must_be_skipped=seen.must_be_skipped,
        may_use_repository=bool(targets) and seen.own.listed,
        some_target_started=seen.owns_targets,
        all_targets_final=bool(phases) and all(phase in FINAL_TARGET for phase in phases),
        some_target_failed="Failed" in phases,
        hooks_settled=not (pending and rules.waits_for_hooks),
        some_hook_failed="bad" in (seen.pre, seen.post),
    )


def rebuild(
    rules: OperatorRules, seen: SessionSeen, targets: tuple[TargetSeen, ...]
) -> tuple[str, tuple[TargetSeen, ...]]:
    """The phases of a session and its targets as the operator finds them, had they been lost."""
    lost = seen._replace(own=seen.own._replace(phase="Pending"))
    blank = tuple(each._replace(phase="Pending") for each in targets)
    write = session_write(rules, lost, blank)
    if write is None or write.frame is None:
        return "Pending", blank
    pairs = zip(blank, write.targets, strict=True)
    found = (
        each
        if p is None
        else each._replace(phase=p.values[0], report=p.values[1], hook=p.values[2])
        for each, p in pairs
    )
    return write.frame.values[1], tuple(found)


def _create_job(targets: tuple[TargetSeen, ...]) -> Write | None:
    for place, each in enumerate(targets):
        started = each.phase in ("Injecting", "Scheduled", "Running")
        if each.kind == JOB and each.exists and started and each.runner == "none":
            story = "the operator creates the Job of {}"
            return _one_target(story, place, len(targets), Patch("job"))
    return None


# The repository ---------------------------------------------------------------------------------


def repository_write(rules: OperatorRules, frame: Frame, *, good: bool) -> Write | None:
    """The first write of the repository's controller; None: nothing is to do.

    ``good``: a target of the session that owns the targets has reported success.
    """
    after = _without_final(frame)
    if frame.maintaining != NOBODY and rules.is_released(frame):
        after = _lock_released(after)
    due = good and _is_due(after)
    intents = rules.repository.intents(_repository_state(rules, after, due=due))
    if repository.EXCLUSIVE_LOCK in intents and after.maintaining == NOBODY:
        after = after._replace(maintaining=after.owner)
    if repository.SESSIONS_MAY_BE_LISTED in intents:
        after = _with_next(rules, after)
    if after != frame:
        marks = tuple((each.listed, each.maintained) for each in after.sessions)
        patch = Patch("repository", (*marks, after.maintaining, after.job))
        return Write(_repository_story(frame, after), "repository", patch)
    if repository.MAINTENANCE_JOB in intents and frame.job == "none":
        story = "the operator creates the Job of the maintenance"
        return Write(story, "maintenance", Patch("maintenance"))
    return None


def _repository_state(rules: OperatorRules, frame: Frame, *, due: bool) -> str:
    facts = repository.Observation(
        initialized=True,
        sessions_active=any(each.listed for each in frame.sessions),
        maintenance_due=due,
        maintenance_held=frame.maintaining != NOBODY,
    )
    return advance(rules.repository, rules.repository.initial, facts).state


def _is_due(frame: Frame) -> bool:
    """Whether the session that owns the targets is over, and was not followed by maintenance."""
    own = frame.sessions[frame.owner]
    return own.phase in FINAL_SESSION and not own.maintained


def _without_final(frame: Frame) -> Frame:
    kept = tuple(
        each._replace(listed=each.listed and is_unfinished(each)) for each in frame.sessions
    )
    return frame._replace(sessions=(kept[0], kept[1]))


def _lock_released(frame: Frame) -> Frame:
    own = frame.sessions[frame.maintaining]._replace(maintained=True)
    return with_session(frame, frame.maintaining, own)._replace(maintaining=NOBODY, job="none")


def _with_next(rules: OperatorRules, frame: Frame) -> Frame:
    for number in (1, 0) if frame.second_is_older else (0, 1):
        own = frame.sessions[number]
        waits = own.phase == "Pending" and not own.listed
        if (
            waits
            and rules.may_be_listed(frame, number)
            and not rules.must_be_skipped(frame, number)
        ):
            frame = with_session(frame, number, own._replace(listed=True))
    return frame


def _repository_story(before: Frame, after: Frame) -> str:
    if after.maintaining == before.maintaining:
        listed = [str(n + 1) for n, each in enumerate(after.sessions) if each.listed]
        return f"the operator lists as active: session {', '.join(listed) or 'none'}"
    if after.maintaining == NOBODY:
        return "the operator takes the repository back from maintenance"
    return "the operator locks the repository for maintenance"
