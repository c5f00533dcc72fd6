"""``tandem logs``: what the sidecars and Jobs of a session or a restore have printed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Annotated

import attrs
import typer
from rich.text import Text

from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject, Resource
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.cli import connection, console, explain, log_sources, options, summary
from reconciler.cli.console import Format
from reconciler.cli.log_sources import Source
from reconciler.cluster.port import Port
from reconciler.engine.clock import Clock, SystemClock
from reconciler.errors import NotFound, TandemError, TerminalError

INTERVAL = 1.0
"""Seconds between two looks for new pods, and for the end."""
COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


def logs(
    object_: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT",
            help="backupsession/NAME, restore/NAME, or a batch: its newest session.",
        ),
    ],
    namespace: options.Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the session has ended.")
    ] = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    plain: options.Plain = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Print the logs of all sidecars and Jobs of a session or a restore, each line with its host.

    For programs every line is one of JSON, also with --output yaml.

    Example: tandem logs wordpress -n demo --follow

    Exit codes: 0 printed, 1 not found or no answer, 2 wrong usage, 130 interrupted.
    """
    port, place = connection.reach(kubeconfig, context, namespace)
    resource, obj = _subject(port, place, object_)
    reading = Reading(port, SystemClock(), resource, obj, Printer(output, plain=plain))
    if follow:
        reading.follow()
    else:
        reading.show()


def _subject(port: Port, namespace: str, text: str) -> tuple[Resource, JsonObject]:
    resource, obj = explain.find(port, namespace, text)
    if resource in INVOKERS:
        newest = summary.gather(port, resource, obj).sessions[:1]
        if not newest:
            name = f"{resource.kind} {namespace}/{obj['metadata']['name']}"
            raise NotFound(f"{name} has no session yet; start one with tandem trigger")
        return BACKUP_SESSIONS, port.get(BACKUP_SESSIONS, namespace, newest[0].name)
    if resource.plural == "repositories":
        raise TerminalError(f"{text}: logs are those of sessions and restores; name one of them")
    return resource, obj


class Printer:
    """Lines with whose they are, in a colour each."""

    def __init__(self, output: Format, *, plain: bool) -> None:
        self._output = output
        self._screen = console.out(plain=plain)
        self._colours: dict[str, str] = {}

    def print(self, source: Source, line: str) -> None:
        if self._output is not Format.TEXT:
            console.emit_line({"whose": source.whose, "container": source.container, "line": line})
            return
        whose = f"{source.whose}[{source.container}]"
        colour = self._colours.setdefault(whose, COLOURS[len(self._colours) % len(COLOURS)])
        self._screen.print(Text.assemble((whose, colour), f" | {line}"), soft_wrap=True)


@attrs.define
class Reading:
    """The logs of one object."""

    port: Port
    clock: Clock
    resource: Resource
    obj: JsonObject
    printer: Printer

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    def show(self) -> None:
        """What is there now."""
        sources = log_sources.of(self.port, self.obj)
        if not sources:
            console.err().print("no pod works for it, or they are gone with their logs")
        for source in sources:
            with contextlib.suppress(TandemError):  # it has not started, or is gone by now
                for line in self._lines(source, follow=False):
                    self.printer.print(source, line)

    def _lines(self, source: Source, *, follow: bool) -> Iterator[str]:
        return self.port.logs(
            self.namespace, source.pod, source.container, follow=follow, since=source.since
        )

    def follow(self) -> None:
        """Until the object is final and nothing more comes."""
        said: queue.Queue[tuple[Source, str]] = queue.Queue()
        known: set[Source] = set()
        ended = False
        while True:
            for source in set(log_sources.of(self.port, self.obj)) - known:
                known.add(source)
                threading.Thread(target=self._pump, args=(source, said), daemon=True).start()
            if not self._print(said) and ended:
                return
            ended = (self.obj.get("status") or {}).get("phase") in FINAL_SESSION_PHASES
            self.obj = self.port.get(self.resource, self.namespace, self.obj["metadata"]["name"])

    def _pump(self, source: Source, said: queue.Queue[tuple[Source, str]]) -> None:
        """One log into the queue; a container that has not started yet is asked again."""
        while True:
            with contextlib.suppress(TandemError):
                for line in self._lines(source, follow=True):
                    said.put((source, line))
                return
            self.clock.sleep(INTERVAL)

    def _print(self, said: queue.Queue[tuple[Source, str]]) -> bool:
        """What comes within an interval; whether anything did."""
        found = False
        give_up = self.clock.monotonic() + INTERVAL
        while (left := give_up - self.clock.monotonic()) > 0:
            try:
                source, line = said.get(timeout=left)
            except queue.Empty:
                break
            found = True
            self.printer.print(source, line)
        return found
