"""The machine of one target in one backup session.

Rules of this file:

- One machine a member of the invoker a session. ``Succeeded`` and ``Failed`` are final; whatever
  arrives later changes nothing.
- A target stays ``Pending`` while its session waits or, in Sequential order, while it is not its
  turn. Nothing runs for it then.
- ``Injecting``: its turn has come and no runner is ready (no ready sidecar pod, no Job's pod).
- ``Scheduled``: a runner is told to go. The agent acts on ``Scheduled`` and ``Running`` and on
  nothing else.
- ``Running``: at least one of its hosts is claimed by a runner.
- It is final exactly when every host that was expected has its report, or when it is given up: the
  target is not there, its Job cannot be made, or the deadline passed before any host was known. The
  reports decide: a target is ``Succeeded`` exactly when no host failed.
- A claimed host of a member with a post hook owes it until what became of it stands beside the
  claim. No target is final while a host owes.
- Other targets are no fact of this machine, but for the turn.
"""

from __future__ import annotations

import attrs

from statemachines.table import Arc, State, Table, arcs_from

PENDING = "Pending"
INJECTING = "Injecting"
SCHEDULED = "Scheduled"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"

RUNNER = (
    "its runner is on the way: the sidecar by the batch, for other kinds the Job by the session"
)
RUNNER_MAY_CLAIM = "a ready runner may claim a host of the target"
EXPECTED_HOSTS = "the hosts that are expected are listed in the session's status"
NOTHING_RUNS = "nothing runs for the target"


@attrs.frozen
class Observation:
    """What the world says about one target of one session."""

    session_started: bool = False
    """The session has left Pending: it may use the repository."""
    turn_has_come: bool = False
    """Parallel: always. Sequential: every target before this one is final."""
    some_runner_ready: bool = False
    """A pod that can back up a host of this target is ready and knows of the session."""
    some_host_claimed: bool = False
    """A runner has taken a host, whether or not it has reported since."""
    all_hosts_reported: bool = False
    """At least one host is expected, and each of them has its entry in ``stats``."""
    some_host_failed: bool = False
    """An entry in ``stats`` is Failed."""
    hooks_settled: bool = True
    """No host that was claimed still owes its post hook."""
    given_up: bool = False
    """No host can be expected any more: the target or its Job is not there, and time is up."""


def every_host_succeeded(world: Observation) -> bool:
    """All hosts that were expected have reported and owe no hook, and none of them failed."""
    return world.all_hosts_reported and world.hooks_settled and not world.some_host_failed


def it_failed_or_is_given_up(world: Observation) -> bool:
    """All hosts have reported, owe no hook and one failed, or no host will ever report."""
    if world.all_hosts_reported:
        return world.some_host_failed and world.hooks_settled
    return world.given_up


def its_turn_has_come(world: Observation) -> bool:
    """The session runs, and in its order nothing stands before this target."""
    return world.session_started and world.turn_has_come


def a_runner_is_ready(world: Observation) -> bool:
    """A pod stands ready to do the work, or has already begun to."""
    return world.some_runner_ready or world.some_host_claimed


def no_runner_is_ready(world: Observation) -> bool:
    """The pod has gone before it claimed anything; another one may come."""
    return not a_runner_is_ready(world)


def a_host_is_claimed(world: Observation) -> bool:
    """A runner has written its claim."""
    return world.some_host_claimed


_UNFINISHED = (PENDING, INJECTING, SCHEDULED, RUNNING)

TABLE = Table(
    name="target",
    about=__doc__,
    observation=Observation,
    states=(
        State(PENDING, "Its session waits, or it is not its turn.", (NOTHING_RUNS,)),
        State(INJECTING, "Its turn has come, and no runner is ready.", (EXPECTED_HOSTS, RUNNER)),
        State(
            SCHEDULED,
            "A runner is told to go.",
            (EXPECTED_HOSTS, RUNNER, RUNNER_MAY_CLAIM),
        ),
        State(
            RUNNING,
            "At least one host is claimed by a runner.",
            (EXPECTED_HOSTS, RUNNER, RUNNER_MAY_CLAIM),
        ),
        State(SUCCEEDED, "Every host was backed up.", final=True),
        State(FAILED, "A host failed, or the target was given up.", final=True),
    ),
    arcs=(
        *arcs_from(_UNFINISHED, every_host_succeeded, SUCCEEDED, "the reports decide"),
        *arcs_from(
            _UNFINISHED,
            it_failed_or_is_given_up,
            FAILED,
            "the reports decide, and a target without any must not hold up its session",
        ),
        Arc(PENDING, its_turn_has_come, INJECTING, "now it needs a runner"),
        Arc(INJECTING, a_runner_is_ready, SCHEDULED, "there is somebody to be told to go"),
        Arc(SCHEDULED, a_host_is_claimed, RUNNING, "a runner has begun"),
        Arc(SCHEDULED, no_runner_is_ready, INJECTING, "nobody is left who could go"),
    ),
)
