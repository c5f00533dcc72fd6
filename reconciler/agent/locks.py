"""Locks of a restic repository: removed when their owner is proven gone, else named.

``restic unlock`` removes the locks of processes of this machine that are gone, and those that
nobody has refreshed for 30 minutes (a living restic refreshes every 5). All others belong to
somebody, and the error says to whom.
"""

from __future__ import annotations

import logging

from reconciler.agent import failures, parsing
from reconciler.agent.failures import Cause, Failure
from reconciler.agent.restic import Restic
from reconciler.agent.runner import Outcome, Runner

_log = logging.getLogger(__name__)


def remove_stale(restic: Restic, runner: Runner) -> Outcome:
    """``restic unlock``, never with ``--remove-all``."""
    outcome = runner.run(restic.unlock())
    if not outcome.ok:
        _log.warning("restic unlock failed: %s", failures.one_line(outcome.stderr, 1))
    return outcome


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
