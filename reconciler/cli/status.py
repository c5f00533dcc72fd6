"""``tandem status``: one batch with its conditions, sessions, targets and hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NoReturn

import attrs
import typer
from rich.live import Live

from reconciler.cli import connection, console, options, screens, summary
from reconciler.cli.console import Format
from reconciler.engine.clock import Clock, SystemClock

INTERVAL = 1.0
"""Seconds between two looks of --watch."""


def status(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="Name of the batch.")],
    namespace: options.Namespace = "default",
    kind: options.Kind = None,
    kubeconfig: options.Kubeconfig = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Show a batch: its phase, why it waits, its sessions, targets and hosts.

    Example: tandem status wordpress -n demo --watch

    Exit codes: 0 shown, 1 not found or no answer, 2 wrong usage, 130 interrupted.
    """
    reader = connection.connect(kubeconfig)

    def look() -> summary.Summary:
        return summary.gather(reader, *connection.find_invoker(reader, namespace, batch, kind))

    if watch:
        _watch(look, SystemClock(), output)
    else:
        _show(look(), SystemClock(), output)


def _show(found: summary.Summary, clock: Clock, output: Format) -> None:
    if output is Format.JSON:
        console.emit_json(attrs.asdict(found))
    else:
        console.out().print(screens.summary_tree(found, clock.now()))


def _watch(look: Callable[[], summary.Summary], clock: Clock, output: Format) -> NoReturn:
    """On a terminal a live screen; in a pipe, and as JSON, a new print at each change."""
    screen = console.out()
    if output is Format.TEXT and screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            while True:
                live.update(screens.summary_tree(look(), clock.now()), refresh=True)
                clock.sleep(INTERVAL)
    shown = None
    while True:
        found = look()
        if found != shown:
            _show(found, clock, output)
            shown = found
        clock.sleep(INTERVAL)
