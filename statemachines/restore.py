"""The machine of a restore (RestoreSession, RestoreBatch): a fold of its targets, as a backup's.

Rules of this file:

- ``Succeeded``, ``Failed`` and ``Skipped`` are final; the targets and the hooks of the whole decide
  as in a backup session.
- Stash's phase ``Unknown`` is no state here: a host that cannot say how it ended has failed, and
  its report says why. "Unknown" gives its reader nothing to do.
- It waits in ``Pending`` until the repository may be read: restic's exclusive work removes what a
  restore reads. It waits there too while its spec is invalid or a target is missing: a restore is
  made once, so it must begin by itself when that is mended.
- It is skipped if another restore into one of its targets is unfinished: two writers into one
  volume leave neither state.
"""

from __future__ import annotations

import attrs

from statemachines.table import Arc, State, Table, arcs_from

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
SKIPPED = "Skipped"

WANTS_REPOSITORY = "the restore waits for the repository to list it"
TARGETS_LISTED = "every target is in the status with its phase and its expected hosts"
TARGETS_STARTED = "targets are started in the order that the spec asks for"
DURATION = "the duration is in the status"
REASON = "a condition says why it was skipped"


@attrs.frozen
class Observation:
    """What the world says about one restore."""

    must_be_skipped: bool = False
    """Another restore into one of its targets is unfinished."""
    may_use_repository: bool = False
    """The Repository lists it among its active restores, and no exclusive work goes on."""
    some_target_started: bool = False
    """A target has left Pending."""
    all_targets_final: bool = False
    """There is at least one target, and each of them is Succeeded or Failed."""
    some_target_failed: bool = False
    """A target is Failed."""
    hooks_settled: bool = True
    """No hook of the whole restore runs, or is still to run."""
    some_hook_failed: bool = False
    """A hook of the whole restore has failed, or was given up."""


def every_target_succeeded(world: Observation) -> bool:
    """All targets are final and the hooks settled, and none of them failed."""
    failed = world.some_target_failed or world.some_hook_failed
    return world.all_targets_final and world.hooks_settled and not failed


def a_target_or_a_hook_failed(world: Observation) -> bool:
    """All targets are final and the hooks settled, and at least one of them failed."""
    failed = world.some_target_failed or world.some_hook_failed
    return world.all_targets_final and world.hooks_settled and failed


def it_must_be_skipped(world: Observation) -> bool:
    """There is a reason not to run it, and it has not written anything."""
    return world.must_be_skipped and not world.some_target_started


def it_may_use_the_repository(world: Observation) -> bool:
    """The Repository lists it, or it has begun already and only its phase was lost."""
    return world.may_use_repository or world.some_target_started


_UNFINISHED = (PENDING, RUNNING)

TABLE = Table(
    name="restore",
    about=__doc__,
    observation=Observation,
    states=(
        State(
            PENDING,
            "It waits until it may use the repository.",
            (TARGETS_LISTED, WANTS_REPOSITORY),
        ),
        State(RUNNING, "Its targets are restored.", (TARGETS_LISTED, TARGETS_STARTED)),
        State(SUCCEEDED, "Every target was restored.", (DURATION,), final=True),
        State(FAILED, "At least one target was not, or a hook failed.", (DURATION,), final=True),
        State(SKIPPED, "It must not run, and wrote nothing.", (REASON, DURATION), final=True),
    ),
    arcs=(
        *arcs_from(_UNFINISHED, every_target_succeeded, SUCCEEDED, "the targets decide"),
        *arcs_from(_UNFINISHED, a_target_or_a_hook_failed, FAILED, "the targets decide"),
        Arc(PENDING, it_must_be_skipped, SKIPPED, "two restores into one place leave neither"),
        Arc(PENDING, it_may_use_the_repository, RUNNING, "the repository is its to read"),
    ),
)
