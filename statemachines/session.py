"""The machine of a backup session: a fold of its targets, once it may begin.

Rules of this file:

- ``Succeeded``, ``Failed`` and ``Skipped`` are final. A session is ``Succeeded`` or ``Failed``
  exactly when every target is final and the hooks are settled, ``Succeeded`` exactly when all of
  them are.
- It waits in ``Pending`` until the Repository lists it among those that may use it. The list has
  one writer, so exclusive work of the repository never overlaps with a backup, and two sessions of
  one batch are never on it together.
- ``Skipped`` is for sessions that must not run: another one of the batch is unfinished, the batch
  is paused (and nobody asked by hand), being deleted, gone or invalid. Only a session that has not
  started anything is skipped: a running one is finished.
- Hooks of the whole batch: no target starts before the pre hook has succeeded, and the session is
  final only when no hook of it runs or is owed. One that failed makes it ``Failed``.
- The deadline is no fact of this machine. It fails the hosts, they fold into targets and these into
  the session: there is one way to the end, not two.
"""

from __future__ import annotations

import attrs

from statemachines.table import Arc, State, Table, arcs_from

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
SKIPPED = "Skipped"

WANTS_REPOSITORY = "the session waits for the repository to list it"
TARGETS_LISTED = "every target is in the status with its phase and its expected hosts"
TARGETS_STARTED = "targets are started in the order that the batch asks for"
HOOKS = "the batch's hooks run before the first and after the last target"
DURATION = "the duration is in the status"
HISTORY = "final sessions beyond the batch's history limits are deleted, never the last good one"
REASON = "a condition says why it was skipped"


@attrs.frozen
class Observation:
    """What the world says about one session."""

    must_be_skipped: bool = False
    """A reason to skip it holds now."""
    may_use_repository: bool = False
    """The Repository lists it among its active sessions, and no exclusive work goes on."""
    some_target_started: bool = False
    """A target has left Pending, or a hook before them was started."""
    all_targets_final: bool = False
    """There is at least one target, and each of them is Succeeded or Failed."""
    some_target_failed: bool = False
    """A target is Failed."""
    hooks_settled: bool = True
    """No hook of the whole batch runs, or is still to run."""
    some_hook_failed: bool = False
    """A hook of the whole batch has failed, or was given up."""


def every_target_succeeded(world: Observation) -> bool:
    """All targets are final and the hooks settled, and none of them failed."""
    failed = world.some_target_failed or world.some_hook_failed
    return world.all_targets_final and world.hooks_settled and not failed


def a_target_or_a_hook_failed(world: Observation) -> bool:
    """All targets are final and the hooks settled, and at least one of them failed."""
    failed = world.some_target_failed or world.some_hook_failed
    return world.all_targets_final and world.hooks_settled and failed


def it_must_be_skipped(world: Observation) -> bool:
    """There is a reason not to run it, and it has not started anything."""
    return world.must_be_skipped and not world.some_target_started


def it_may_use_the_repository(world: Observation) -> bool:
    """The Repository lists it, or it has begun already and only its phase was lost."""
    return world.may_use_repository or world.some_target_started


_UNFINISHED = (PENDING, RUNNING)

TABLE = Table(
    name="session",
    about=__doc__,
    observation=Observation,
    states=(
        State(
            PENDING,
            "It waits until it may use the repository.",
            (TARGETS_LISTED, WANTS_REPOSITORY),
        ),
        State(RUNNING, "Its targets are backed up.", (TARGETS_LISTED, HOOKS, TARGETS_STARTED)),
        State(SUCCEEDED, "Every target was backed up.", (DURATION, HISTORY), final=True),
        State(
            FAILED,
            "At least one target was not, or a hook failed.",
            (DURATION, HISTORY),
            final=True,
        ),
        State(
            SKIPPED, "It must not run, and ran nothing.", (REASON, DURATION, HISTORY), final=True
        ),
    ),
    arcs=(
        *arcs_from(_UNFINISHED, every_target_succeeded, SUCCEEDED, "the targets decide"),
        *arcs_from(
            _UNFINISHED,
            a_target_or_a_hook_failed,
            FAILED,
            "the targets decide, also for a session whose deadline passed while it waited",
        ),
        Arc(PENDING, it_must_be_skipped, SKIPPED, "a slot that cannot be used is told, not lost"),
        Arc(PENDING, it_may_use_the_repository, RUNNING, "the repository is its to use"),
    ),
)
