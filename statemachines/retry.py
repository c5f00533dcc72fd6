"""The machine of a failed session's retry: is another session made, and when no more.

Rules of this file:

- A failed session stays failed. Its retry is another session, whose name is computed from the
  first of the chain: who is first to create it wins, and a second look finds it.
- The retry stands in for the slot. Once the next slot has come, or another session has run, there
  is nothing to stand in for any more, and it is dropped.
- Paused or not valid, a batch starts nothing: the retry waits as long as it may still stand in.
"""

from __future__ import annotations

import attrs

from statemachines.table import Arc, State, Table

WAITING = "Waiting"
RETRIED = "Retried"
DROPPED = "Dropped"

RETRY_SESSION = "the next session of the chain exists, with one retry less"
NOTHING_ANNOUNCED = "the status announces no retry any more"


@attrs.frozen
class Observation:
    """What the world says about the retry of one failed session."""

    exists: bool = False
    """The next session of the chain is there."""
    delay_over: bool = False
    """The delay since the session's end is over."""
    held_back: bool = False
    """The batch is paused, or its spec is not valid."""
    unwanted: bool = False
    """The batch is gone or being deleted, or asks for no retries any more."""
    slot_has_come: bool = False
    """The next slot of the schedule after the session's end has come."""
    overtaken: bool = False
    """Another session of the batch came later and was not skipped."""


def it_exists(world: Observation) -> bool:
    """The next session of the chain is there."""
    return world.exists


def nobody_needs_it(world: Observation) -> bool:
    """The batch does not want it, or a slot or another session has come instead."""
    return world.unwanted or world.slot_has_come or world.overtaken


def its_time_has_come(world: Observation) -> bool:
    """The delay is over and the batch may start sessions."""
    return world.delay_over and not world.held_back


TABLE = Table(
    name="retry",
    about=__doc__,
    observation=Observation,
    states=(
        State(WAITING, "Its time has not come."),
        State(RETRIED, "The next session of the chain is made.", (RETRY_SESSION,), final=True),
        State(DROPPED, "It would come too late.", (NOTHING_ANNOUNCED,), final=True),
    ),
    arcs=(
        Arc(WAITING, it_exists, RETRIED, "the operator died before it could say so"),
        Arc(WAITING, nobody_needs_it, DROPPED, "a retry stands in for its slot, not for the next"),
        Arc(WAITING, its_time_has_come, RETRIED, "the delay gave the fault time to pass"),
    ),
)
