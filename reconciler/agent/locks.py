"""Locks of a restic repository: removed when their owner is proven gone, else named.

``restic unlock`` removes the locks of processes of this machine that are gone, and those that
nobody has refreshed for 30 minutes (a living restic refreshes every 5). In a cluster the machine
of a dead process is a pod that is gone, which restic cannot know and ``owners`` can.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from reconciler.agent import failures, parsing
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.restic import Restic
from reconciler.agent.runner import Outcome, Runner
from reconciler.agent.workshop import Workshop

_log = logging.getLogger(__name__)
T = TypeVar("T")


def patiently(shop: Workshop, attempt: Callable[[], T], restic_part: Callable[[T], Outcome]) -> T:
    """Attempt; while it fails for a lock, remove what is provably dead and attempt again.

    ``restic_part`` picks restic's outcome from the attempt's. Raises ToolFailed, naming the owner,
    when a lock of the living is in the way.
    """
    outcome = attempt()
    for remove in (_remove_stale, remove_dead):
        if not _is_locked(restic_part(outcome)):
            return outcome
        if remove(shop):
            outcome = attempt()
    if _is_locked(restic_part(outcome)):
        raise ToolFailed(explain(shop.restic, shop.runner, restic_part(outcome)))
    return outcome


def remove_stale(restic: Restic, runner: Runner) -> Outcome:
    """``restic unlock``: what restic itself calls stale."""
    outcome = runner.run(restic.unlock())
    if not outcome.ok:
        _log.warning("restic unlock failed: %s", failures.one_line(outcome.stderr, 1))
    return outcome


def remove_dead(shop: Workshop) -> bool:
    """Remove all locks, if every single one belongs to a process that is proven gone.

    restic cannot remove a chosen lock. One that a living restic takes between our look and the
    removal is written again at its next refresh, within 5 minutes.
    """
    found = held(shop.restic, shop.runner)
    if not found or not all(shop.is_gone(lock) for lock in found):
        return False
    for lock in found:
        _log.warning("removing the %s: its owner is gone", lock)
    return shop.runner.run(shop.restic.unlock_all()).ok


def held(restic: Restic, runner: Runner) -> tuple[parsing.Lock, ...]:
    """The locks that are there. One that vanishes while we look is left out."""
    listed = runner.run(restic.list_locks())
    names = listed.stdout.split() if listed.ok else []
    shown = [runner.run(restic.show_lock(name)) for name in names]
    return tuple(parsing.lock(outcome.stdout) for outcome in shown if outcome.ok)


def explain(restic: Restic, runner: Runner, refused: Outcome) -> Failure:
    """Why the repository is locked: who holds it. ``refused`` is the call that failed for it."""
    owners = "; ".join(str(lock) for lock in held(restic, runner))
    said = failures.one_line(refused.stderr, refused.exit_code)
    return Failure(Cause.LOCKED, f"the repository is locked: {owners or said}")


def _remove_stale(shop: Workshop) -> bool:
    return remove_stale(shop.restic, shop.runner).ok


def _is_locked(outcome: Outcome) -> bool:
    if outcome.ok or outcome.ended_by:
        return False
    return failures.of_restic(outcome.exit_code, outcome.stderr).cause is Cause.LOCKED
