"""The machine of one host of a target: who backs it up, and whether its report is there.

Rules of this file:

- A host is what restic calls one: the label under which its snapshots stand. A Deployment is one
  host whatever its replicas, a StatefulSet one a replica, a DaemonSet one a node.
- Its state is derived and never stored: decisions advance it from ``Pending`` on every look. What
  is stored is its claim (who) and its report (an entry of ``stats``).
- A report is written once. It comes from the runner that claimed the host or, when that runner is
  proven dead or time is up, from the operator. The second to come finds the first and is dropped.
- A death without a claim is no failure: another runner may come until the grace is over. A death
  with a claim is one at once: nobody else may go on with the work of a claim.
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

REPORT_OF_FAILURE = "an entry in stats says Failed and why; the operator writes it if nobody has"


class Report(enum.Enum):
    """What the host's entry in ``stats`` says."""

    NONE = "none is there"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@attrs.frozen
class Observation:
    """What the world says about one host."""

    target_started: bool = False
    """The target has left Pending: its turn has come."""
    runner_ready: bool = False
    """A pod that can back up this host is ready."""
    claimed: bool = False
    """A runner has written its name and uid beside the host."""
    runner_dead: bool = False
    """The runner that claimed it is proven dead, or nobody has claimed it and none can come."""
    runner_overdue: bool = False
    """Nobody has claimed it, none is ready, and the grace of a missing runner is over."""
    deadline_passed: bool = False
    """The session's deadline is over."""
    report: Report = Report.NONE


def success_is_reported(world: Observation) -> bool:
    """Its entry in stats says Succeeded."""
    return world.report is Report.SUCCEEDED


def failure_is_reported(world: Observation) -> bool:
    """Its entry in stats says Failed."""
    return world.report is Report.FAILED


def it_is_given_up(world: Observation) -> bool:
    """Nothing is reported, and its runner is dead or overdue or the deadline has passed."""
    lost = world.runner_dead or world.deadline_passed
    missing = world.runner_overdue and not world.claimed
    return world.report is Report.NONE and (lost or missing)


def its_target_has_started(world: Observation) -> bool:
    """The target's turn has come."""
    return world.target_started


def a_runner_is_ready(world: Observation) -> bool:
    """A pod stands ready to back it up, or has already claimed it."""
    return world.runner_ready or world.claimed


def no_runner_is_ready(world: Observation) -> bool:
    """The pod has gone before it claimed the host."""
    return not a_runner_is_ready(world)


def it_is_claimed(world: Observation) -> bool:
    """A runner has written its claim."""
    return world.claimed


_UNFINISHED = (PENDING, INJECTING, SCHEDULED, RUNNING)

TABLE = Table(
    name="host",
    about=__doc__,
    observation=Observation,
    states=(
        State(PENDING, "Its target has not started."),
        State(INJECTING, "No runner for it is ready."),
        State(SCHEDULED, "A runner is ready and may claim it."),
        State(RUNNING, "A runner has claimed it and works."),
        State(SUCCEEDED, "Its report says that it was backed up.", final=True),
        State(
            FAILED,
            "Its report says that it was not, or nobody is left to report.",
            (REPORT_OF_FAILURE,),
            final=True,
        ),
    ),
    arcs=(
        *arcs_from(_UNFINISHED, success_is_reported, SUCCEEDED, "a report counts, however late"),
        *arcs_from(_UNFINISHED, failure_is_reported, FAILED, "a report counts, however late"),
        *arcs_from(_UNFINISHED, it_is_given_up, FAILED, "nobody is left who could report in time"),
        Arc(PENDING, its_target_has_started, INJECTING, "now it needs a runner"),
        Arc(INJECTING, a_runner_is_ready, SCHEDULED, "there is somebody to do it"),
        Arc(SCHEDULED, it_is_claimed, RUNNING, "somebody does it"),
        Arc(SCHEDULED, no_runner_is_ready, INJECTING, "another runner may come"),
    ),
)
