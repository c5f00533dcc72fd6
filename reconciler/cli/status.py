"""``tandem status``: all batches on one line each, or one of them with everything about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import attrs
import typer
from rich.console import RenderableType
from rich.live import Live

from reconciler.cli import connection, console, options, screens, summary
from reconciler.cli.console import Format
from reconciler.cluster.port import Reader
from reconciler.engine.clock import Clock, SystemClock

INTERVAL = 1.0
"""Seconds between two looks of --watch."""
Found = summary.Summary | summary.Overview


def status(
    batch: Annotated[
        str | None,
        typer.Argument(metavar="[BATCH]", help="Name of a batch; without: all, one line each."),
    ] = None,
    namespace: options.Namespace = None,
    kind: options.Kind = None,
    all_namespaces: options.AllNamespaces = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    plain: options.Plain = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Show batches: their phase, why they wait, their sessions, targets, hosts and restores.

    Example: tandem status wordpress -n demo --watch

    Exit codes: 0 shown, 1 not found or no answer, 2 wrong usage, 130 interrupted.
    """
    if batch is not None and all_namespaces:
        raise typer.BadParameter("a batch is in one namespace: leave out either BATCH or -A")
    port, place = connection.reach(kubeconfig, context, namespace)
    screen = Screen(output, plain)
    look = _look(port, None if all_namespaces else place, batch, kind)
    if watch:
        screen.follow(look)
    else:
        screen.show(look())


def _look(
    reader: Reader, namespace: str | None, batch: str | None, kind: str | None
) -> Callable[[], Found]:
    if batch is None or namespace is None:
        return lambda: summary.overview(reader, namespace)
    return lambda: summary.gather(reader, *connection.find_invoker(reader, namespace, batch, kind))


@attrs.frozen
class Screen:
    """Where what was found is shown."""

    output: Format
    plain: bool
    clock: Clock = attrs.field(factory=SystemClock)

    def show(self, found: Found) -> None:
        """Once."""
        if self.output is not Format.TEXT:
            console.emit(attrs.asdict(found), self.output)
        else:
            console.out(plain=self.plain).print(self._drawn(found))

    def follow(self, look: Callable[[], Found]) -> None:
        """On a terminal a live screen; in a pipe, and for programs, a new print at each change."""
        screen = console.out(plain=self.plain)
        if self.output is Format.TEXT and screen.is_terminal and not self.plain:
            with Live(console=screen, auto_refresh=False) as live:
                while True:
                    live.update(self._drawn(look()), refresh=True)
                    self.clock.sleep(INTERVAL)
        shown = None
        while True:
            found = look()
            if found != shown:
                self.show(found)
                shown = found
            self.clock.sleep(INTERVAL)

    def _drawn(self, found: Found) -> RenderableType:
        if isinstance(found, summary.Overview):
            return screens.overview_table(found, self.clock.now())
        return screens.summary_tree(found, self.clock.now())
