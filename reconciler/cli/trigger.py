"""``tandem trigger``: start a backup now, beside the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from reconciler.agent.trigger import session_of
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.cli import awaiting, connection, console, options, screens, summary
from reconciler.cli.console import Format
from reconciler.engine.clock import Clock, SystemClock
from reconciler.errors import AlreadyExists, TemporaryError

if TYPE_CHECKING:
    from reconciler.cluster.port import Port


def trigger(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="Name of the batch.")],
    namespace: options.Namespace = None,
    kind: options.Kind = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the session.")] = False,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long --wait waits at most.")
    ] = "24h",
    output: options.Output = Format.TEXT,
) -> None:
    """Start a session of a batch now; a paused batch is backed up too.

    Example: tandem trigger wordpress -n demo --wait

    Exit codes: 0 created (with --wait: succeeded), 1 failed or skipped, 2 wrong usage.
    """
    seconds = options.seconds(timeout)
    port, place = connection.reach(kubeconfig, context, namespace)
    clock = SystemClock()
    _, invoker = connection.find_invoker(port, place, batch, kind)
    session = create_session(port, clock, invoker)
    if wait:
        session = awaiting.final(port, clock, BACKUP_SESSIONS, session, seconds)
    line = summary.session_line(session)
    if output is not Format.TEXT:
        console.emit(attrs.asdict(line), output)
    else:
        console.out().print(screens.session_tree(line))
    if wait and line.phase != "Succeeded":
        raise typer.Exit(1)


def create_session(port: Port, clock: Clock, invoker: JsonObject) -> JsonObject:
    """Create a session by hand. Raises TemporaryError when this second has one already."""
    session = session_of(invoker, clock.now(), scheduled=False)
    try:
        return port.create(BACKUP_SESSIONS, session)
    except AlreadyExists as error:
        raise TemporaryError(
            f"BackupSession {session['metadata']['name']} exists already: this very second is a"
            " slot of the schedule; look at it with tandem status, or try again"
        ) from error
