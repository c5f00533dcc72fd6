"""The machine of a batch: whether its schedule is in force, and how its last session ended.

Rules of this file:

- One machine a BackupBatch (or BackupConfiguration), without final states: whatever its status
  says, the same world leads to the same state. A lost or wrong status heals with the next
  reconcile.
- It is ``Pending`` while something that it needs is missing (a valid spec, the Repository, its
  Secret, at least one target). Nothing is taken from the workloads then: a Secret that is replaced
  must not restart everybody's pods. The CronJob, if there is one, is suspended.
- It is ``Injecting`` while sidecars are missing or rolling out, and ``Scheduled`` when all is in
  place and nothing has run yet. The CronJob does not wait for the sidecars: a target without a
  runner is the session's business, and must not keep the others from being backed up.
- It is ``Running`` while one of its sessions is unfinished, and otherwise ``Succeeded`` or
  ``Failed`` by its last finished session. The next one leads to ``Running`` again. Skipped sessions
  do not count: they ran nothing.
- ``Terminating`` begins with the deletion of the object and lasts until everything that Tandem put
  into the cluster for it has gone; then the finalizer is released.
- Paused is a condition, not a state: it suspends the CronJob and changes nothing else.
"""

from __future__ import annotations

import enum

import attrs

from statemachines.table import Arc, State, Table, arcs_from

PENDING = "Pending"
INJECTING = "Injecting"
SCHEDULED = "Scheduled"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
TERMINATING = "Terminating"

FINALIZER = "the finalizer is on the object"
ACCESS_RULES = "service accounts and role bindings exist"
CRON_JOB = "the CronJob exists, suspended exactly while the batch is paused"
CRON_JOB_SUSPENDED = "the CronJob, if there is one, is suspended"
SIDECARS = "every workload target has exactly one sidecar, as the spec says now"
SIDECARS_AS_THEY_ARE = "sidecars stay as they are"
NOTHING_LEFT = "sidecars, CronJob and access rules of the batch are gone; then the finalizer is too"


class LastSession(enum.Enum):
    """How the last finished session that ran at all has ended."""

    NONE = "none has finished yet"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@attrs.frozen
class Observation:
    """What the world says about a batch."""

    deletion_requested: bool = False
    spec_valid: bool = True
    repository_found: bool = True
    secret_found: bool = True
    some_target_found: bool = True
    sidecars_in_place: bool = True
    """Every workload target that exists has its sidecar as the spec wants it, rolled out."""
    session_in_flight: bool = False
    """A session of this batch is Running, or Pending and not to be skipped."""
    last_session: LastSession = LastSession.NONE


def deletion_is_requested(world: Observation) -> bool:
    """Somebody has deleted the object; its finalizer keeps it until we are done."""
    return world.deletion_requested


def deletion_is_not_requested(world: Observation) -> bool:
    """The object lives: a status that says otherwise is wrong."""
    return not world.deletion_requested


def all_needs_are_met(world: Observation) -> bool:
    """The spec is valid, Repository and Secret are there, and there is something to back up."""
    return (
        world.spec_valid
        and world.repository_found
        and world.secret_found
        and world.some_target_found
        and not world.deletion_requested
    )


def a_need_is_missing(world: Observation) -> bool:
    """Something without which no backup can be taken is not there."""
    return not all_needs_are_met(world)


def sidecars_are_in_place_or_a_session_runs(world: Observation) -> bool:
    """Nothing is rolling out, or what runs is of more interest than what rolls out."""
    return world.sidecars_in_place or world.session_in_flight


def sidecars_are_not_in_place(world: Observation) -> bool:
    """A sidecar is missing, outdated or rolling out, and no session is in flight."""
    return not sidecars_are_in_place_or_a_session_runs(world)


def a_session_is_in_flight(world: Observation) -> bool:
    """A session has been created and is not final."""
    return world.session_in_flight


def the_last_session_succeeded(world: Observation) -> bool:
    """Nothing is in flight, and the last session that ran backed up every target."""
    return not world.session_in_flight and world.last_session is LastSession.SUCCEEDED


def the_last_session_failed(world: Observation) -> bool:
    """Nothing is in flight, and the last session that ran lost at least one target."""
    return not world.session_in_flight and world.last_session is LastSession.FAILED


def nothing_has_run_yet(world: Observation) -> bool:
    """Nothing is in flight, and no finished session is left."""
    return not world.session_in_flight and world.last_session is LastSession.NONE


def the_last_session_did_not_succeed(world: Observation) -> bool:
    """Nothing is in flight, and the last session is gone or another one has failed since."""
    return not world.session_in_flight and world.last_session is not LastSession.SUCCEEDED


def the_last_session_did_not_fail(world: Observation) -> bool:
    """Nothing is in flight, and the last session is gone or another one has succeeded since."""
    return not world.session_in_flight and world.last_session is not LastSession.FAILED


_LIVE = (INJECTING, SCHEDULED, RUNNING, SUCCEEDED, FAILED)
_IN_FORCE = (FINALIZER, ACCESS_RULES, CRON_JOB, SIDECARS)

TABLE = Table(
    name="batch",
    about=__doc__,
    observation=Observation,
    states=(
        State(
            PENDING,
            "Something that the batch needs is missing.",
            (FINALIZER, CRON_JOB_SUSPENDED, SIDECARS_AS_THEY_ARE),
        ),
        State(INJECTING, "Sidecars are missing or rolling out.", _IN_FORCE),
        State(SCHEDULED, "All is in place, and nothing has run yet.", _IN_FORCE),
        State(RUNNING, "A session is in flight.", _IN_FORCE),
        State(SUCCEEDED, "The last session backed up every target.", _IN_FORCE),
        State(FAILED, "The last session lost at least one target.", _IN_FORCE),
        State(TERMINATING, "The batch is being deleted and cleans up.", (NOTHING_LEFT,)),
    ),
    arcs=(
        *arcs_from(
            (PENDING, *_LIVE),
            deletion_is_requested,
            TERMINATING,
            "a deleted batch cleans up, whatever it was doing",
        ),
        *arcs_from(_LIVE, a_need_is_missing, PENDING, "without it no backup can be taken"),
        Arc(PENDING, all_needs_are_met, INJECTING, "now runners can be put into place"),
        Arc(
            INJECTING,
            sidecars_are_in_place_or_a_session_runs,
            SCHEDULED,
            "every workload has its runner, or a session does what it can without",
        ),
        *arcs_from(
            (SCHEDULED, RUNNING, SUCCEEDED, FAILED),
            sidecars_are_not_in_place,
            INJECTING,
            "a workload is new, was changed, or the spec was",
        ),
        *arcs_from(
            (SCHEDULED, SUCCEEDED, FAILED),
            a_session_is_in_flight,
            RUNNING,
            "a slot has come, or somebody started a session by hand",
        ),
        *arcs_from(
            (SCHEDULED, RUNNING),
            the_last_session_succeeded,
            SUCCEEDED,
            "its outcome is the batch's",
        ),
        *arcs_from(
            (SCHEDULED, RUNNING), the_last_session_failed, FAILED, "its outcome is the batch's"
        ),
        Arc(RUNNING, nothing_has_run_yet, SCHEDULED, "the session was skipped or deleted"),
        Arc(
            SUCCEEDED, the_last_session_did_not_succeed, SCHEDULED, "the outcome is another one now"
        ),
        Arc(FAILED, the_last_session_did_not_fail, SCHEDULED, "the outcome is another one now"),
        Arc(TERMINATING, deletion_is_not_requested, PENDING, "the status was wrong; begin anew"),
    ),
)
