"""The operator as one of several: it works while it holds the Lease, and ends when it loses it.

Used by ``run``. A process that may have lost the lease must not write another word, also when the
API server answers nobody; so it ends at once, and Kubernetes starts it afresh.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping

from reconciler.cluster.port import Port
from reconciler.engine.clock import Clock
from reconciler.engine.leader import LeaderElector, Terms
from reconciler.errors import TemporaryError
from reconciler.manifests import names

logger = logging.getLogger(__name__)

LEASE = names.LEASE
READ_SECONDS = 4.0
"""The patience of the lease's own client: a renewal may fail twice within the renew deadline."""


def elector(
    port: Port,
    clock: Clock,
    namespace: str,
    environ: Mapping[str, str],
    *,
    terms: Terms | None = None,
) -> LeaderElector:
    """A candidate. ``port``: a client of its own, with ``READ_SECONDS`` of patience."""
    return LeaderElector(
        port, clock, namespace=namespace, name=LEASE, identity=_identity(environ), terms=terms
    )


def lead(
    candidate: LeaderElector,
    told_to_stop: threading.Event,
    *,
    start: Callable[[], None],
    stop: Callable[[], None],
    end: Callable[[], None] | None = None,
) -> None:
    """``start`` when we lead and ``stop`` when we are told to.

    A lost lease ends the process by ``end``. Raises TemporaryError after it where it does not.
    """
    end = end or end_at_once

    def stop_when_told() -> None:
        told_to_stop.wait()
        candidate.stop()

    def started() -> None:
        _thread("lease-guard", lambda: candidate.guard(end))
        start()

    def stopped() -> None:
        (stop if told_to_stop.is_set() else end)()

    _thread("stop", stop_when_told)
    candidate.run(started, stopped)
    if not told_to_stop.is_set():
        raise TemporaryError(f"Lease {LEASE} was lost; start again to wait for it")


def end_at_once() -> None:
    """No clean-up: whatever waits for an API server that does not answer would hold it up."""
    logger.error(
        "Lease %s was lost to another operator, or could not be renewed; ending at once", LEASE
    )
    logging.shutdown()
    os._exit(1)


def state(candidate: LeaderElector) -> str:
    """What the health page says of it."""
    if candidate.is_leader:
        return f"{candidate.identity} leads"
    if candidate.holder is None:
        return f"has not seen Lease {LEASE} yet"
    return f"waits for Lease {LEASE}, held by {candidate.holder or 'nobody'}"


def _thread(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()


def _identity(environ: Mapping[str, str]) -> str:
    """Unique also for a Pod that was made anew under its name, and readable in a Lease."""
    name = environ.get("POD_NAME") or socket.gethostname()
    return f"{name}_{environ.get('POD_UID') or secrets.token_hex(4)}"
