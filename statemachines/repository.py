"""The machine of a Repository: whether it is initialised, and who has it to itself.

Rules of this file:

- One machine a Repository, without final states: the same world leads to the same state.
- It is ``Pending`` until an invoker names it and its Secret is there; then ``Initializing`` until
  restic has seen or made the repository. ``Failed`` is a failed initialisation; a changed spec or
  Secret makes a new Job, so it heals by itself.
- ``Ready``: sessions may be listed in ``activeSessions``. At most one session of a batch is listed,
  and none while exclusive work is due or running.
- ``Maintaining``: ``forget``, ``prune`` and ``check`` have the repository to themselves. They begin
  when they are due and no session is listed, and a lock that is held is given back only when its
  Job is proven finished, whatever else has gone missing meanwhile.
- A deleted one is ``Terminating`` until nothing keeps it. If its data is to go with it, it is
  ``Wiping`` as soon as nobody names or uses it; the finalizer goes when the data has gone, or when
  nobody wants it to go any more.
- The list of sessions and the holder of exclusive work are fields of one object with one writer,
  under its resourceVersion: a stale view can delay work, and cannot let it overlap.
"""

from __future__ import annotations

import attrs

from statemachines.table import Arc, State, Table, arcs_from

PENDING = "Pending"
INITIALIZING = "Initializing"
READY = "Ready"
MAINTAINING = "Maintaining"
FAILED = "Failed"
TERMINATING = "Terminating"
WIPING = "Wiping"

INIT_JOB = "the Job that initialises the repository exists"
SESSIONS_MAY_BE_LISTED = "waiting sessions may be listed as active while nothing exclusive is due"
EXCLUSIVE_LOCK = "the repository is marked as held by the maintenance of one session"
MAINTENANCE_JOB = "the Job that maintains the repository exists while the lock is held"
NO_NEW_SESSION = "no session is listed anew"
WIPE_JOB = "the Job that removes the data exists"
FINALIZER_KEPT = "the finalizer stays while data is to be removed, and goes otherwise"


@attrs.frozen
class Observation:
    """What the world says about a Repository."""

    deletion_requested: bool = False
    wanted: bool = True
    """An invoker names it."""
    secret_found: bool = True
    initialized: bool = False
    """The agent has seen or made the restic repository."""
    initialization_failed: bool = False
    """The Job that initialises it, of the present spec and Secret, has failed."""
    sessions_active: bool = False
    """At least one session is listed in ``activeSessions``."""
    maintenance_due: bool = False
    """The last session with a good snapshot has not been maintained yet."""
    maintenance_held: bool = False
    """``maintaining`` names a session: its Job runs, or has not been seen finished."""
    data_is_to_go: bool = False
    """The spec asks for the data to be removed with the object, and it has not been yet."""
    in_use: bool = False
    """An invoker or a restore names it, or a session uses it."""


def deletion_is_requested(world: Observation) -> bool:
    """Somebody has deleted the object, and no exclusive work is under way."""
    return world.deletion_requested and not world.maintenance_held


def deletion_is_not_requested(world: Observation) -> bool:
    """The object lives, or exclusive work must be finished first."""
    return not deletion_is_requested(world)


def data_may_be_removed(world: Observation) -> bool:
    """It is to go, the Secret is there, and nobody names or uses the repository."""
    wanted = deletion_is_requested(world) and world.data_is_to_go
    return wanted and world.secret_found and not world.in_use


def data_may_not_be_removed(world: Observation) -> bool:
    """It has gone, or must not go, or cannot now."""
    return not data_may_be_removed(world)


def all_needs_are_met(world: Observation) -> bool:
    """An invoker wants it and its Secret is there, or exclusive work is under way."""
    return world.maintenance_held or (world.wanted and world.secret_found)


def a_need_is_missing(world: Observation) -> bool:
    """Nobody wants it or its Secret is not there, and no exclusive work is under way."""
    return not all_needs_are_met(world)


def it_is_initialized(world: Observation) -> bool:
    """Restic can use it."""
    return world.initialized


def it_is_not_initialized(world: Observation) -> bool:
    """Restic has not seen it, or the status that said so was lost."""
    return not world.initialized


def initialization_failed(world: Observation) -> bool:
    """The Job for this spec and Secret has failed."""
    return world.initialization_failed and not world.initialized


def initialization_may_be_tried(world: Observation) -> bool:
    """Spec or Secret have changed since the Job that failed, or it has succeeded after all."""
    return not initialization_failed(world)


def exclusive_work_has_it(world: Observation) -> bool:
    """Maintenance holds the lock, or is due and nobody uses the repository."""
    due_and_free = world.maintenance_due and not world.sessions_active
    return world.initialized and (world.maintenance_held or due_and_free)


def no_exclusive_work_has_it(world: Observation) -> bool:
    """The lock is not held, and nothing is due that could begin now."""
    return not exclusive_work_has_it(world)


_LIVE = (INITIALIZING, READY, MAINTAINING, FAILED)

TABLE = Table(
    name="repository",
    about=__doc__,
    observation=Observation,
    states=(
        State(PENDING, "Nobody names it, or its Secret is missing.", (NO_NEW_SESSION,)),
        State(
            INITIALIZING, "Restic is making or finding the repository.", (INIT_JOB, NO_NEW_SESSION)
        ),
        State(READY, "Sessions may use it.", (SESSIONS_MAY_BE_LISTED,)),
        State(
            MAINTAINING,
            "Exclusive work has it to itself.",
            (EXCLUSIVE_LOCK, MAINTENANCE_JOB, NO_NEW_SESSION),
        ),
        State(FAILED, "Initialisation failed; spec or Secret must change.", (NO_NEW_SESSION,)),
        State(TERMINATING, "It is being deleted.", (NO_NEW_SESSION, FINALIZER_KEPT)),
        State(WIPING, "Its data is being removed.", (NO_NEW_SESSION, FINALIZER_KEPT, WIPE_JOB)),
    ),
    arcs=(
        *arcs_from(
            (PENDING, *_LIVE), deletion_is_requested, TERMINATING, "a deleted repository is left"
        ),
        *arcs_from(_LIVE, a_need_is_missing, PENDING, "without it restic can do nothing"),
        Arc(PENDING, all_needs_are_met, INITIALIZING, "now restic can be asked"),
        Arc(INITIALIZING, it_is_initialized, READY, "restic has answered"),
        Arc(INITIALIZING, initialization_failed, FAILED, "trying the same again is useless"),
        Arc(FAILED, initialization_may_be_tried, INITIALIZING, "a changed spec or Secret may help"),
        Arc(READY, it_is_not_initialized, INITIALIZING, "the status was lost; ask restic again"),
        Arc(READY, exclusive_work_has_it, MAINTAINING, "it is due, and nobody uses the repository"),
        Arc(MAINTAINING, no_exclusive_work_has_it, READY, "it is done; sessions may go on"),
        Arc(TERMINATING, deletion_is_not_requested, PENDING, "the status was wrong; begin anew"),
        Arc(TERMINATING, data_may_be_removed, WIPING, "the data goes with the Repository"),
        Arc(WIPING, data_may_not_be_removed, TERMINATING, "it has gone, or is kept after all"),
    ),
)
