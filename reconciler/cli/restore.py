"""``tandem restore``: put back what a batch has saved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated

import typer

from reconciler.api.decoding import decode
from reconciler.api.resources import RESTORE_BATCHES, TASKS, JsonObject
from reconciler.api.restore import RestoreBatch, RestoreSession
from reconciler.api.validation import validate
from reconciler.cli import (
    awaiting,
    connection,
    console,
    options,
    restoration,
    screens,
    snapshots,
    summary,
)
from reconciler.cli.console import Format
from reconciler.cli.errands import Errands
from reconciler.cli.restoration import LATEST, Rules, Saved
from reconciler.cluster.port import Port
from reconciler.engine.clock import SystemClock
from reconciler.errors import InvalidObject, NotFound, TerminalError


def restore(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The batch that saved the data.")],
    namespace: options.Namespace = None,
    kind: options.Kind = None,
    snapshot: Annotated[
        str, typer.Option(metavar="ID", help="A snapshot, or latest: the latest of every host.")
    ] = LATEST,
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="As it was at this moment (RFC 3339, such as 2026-03-02T03:00:00Z).",
            show_default=False,
        ),
    ] = "",
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND/NAME", help="This target only; repeatable. Default: all."),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Name of the restore; default: the batch's and the time."
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the manifest, and create nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the restore.")] = False,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long --wait waits at most.")
    ] = "24h",
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    image: options.Image = "",
    output: options.Output = Format.TEXT,
) -> None:
    """Restore what a batch has saved, into the targets that it was saved from.

    Workloads are restarted: their pods restore before they start. Files that the snapshot does not
    have stay.

    Example: tandem restore wordpress -n demo --target deployment/wordpress --wait

    Exit codes: 0 created (with --wait: succeeded), 1 failed, 2 wrong usage.
    """
    if at and snapshot != LATEST:
        raise typer.BadParameter("--at and --snapshot choose snapshots both: leave one out")
    seconds = options.seconds(timeout)
    moment = _moment(at)
    port, place = connection.reach(kubeconfig, context, namespace)
    clock = SystemClock()
    _, invoker = connection.find_invoker(port, place, batch, kind)
    errands = Errands(port, clock, place, image, min(seconds, 300.0))
    wanted, rules = _choice(errands, invoker, target or (), snapshot, moment)
    named = name or restoration.default_name(invoker, clock.now())
    resource, obj = restoration.manifest(invoker, wanted, rules, named)
    _check(port, obj, wanted)
    if dry_run:
        console.emit(obj, Format.YAML if output is Format.TEXT else output)
        return
    made = port.create(resource, obj)
    if wait:
        made = awaiting.final(port, clock, resource, made, seconds)
    _show(made, output)
    if wait and (made.get("status") or {}).get("phase") != "Succeeded":
        raise typer.Exit(1)


def _moment(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise TerminalError(
            f"--at {text}: it is no time; write for example 2026-03-02T03:00:00Z"
        ) from error
    if found.tzinfo is None:
        raise TerminalError(f"--at {text}: whose time? Add Z for UTC, or an offset such as +01:00")
    return found.astimezone(dt.UTC)


def _choice(
    errands: Errands,
    invoker: JsonObject,
    targets: Sequence[str],
    snapshot: str,
    moment: dt.datetime | None,
) -> tuple[list[Saved], Rules]:
    """Which members, and by which rules. Asks the repository only where it must."""
    snapshots.repository_of(invoker)  # only what is in one is restored by this command
    wanted = restoration.chosen(restoration.members(invoker), targets)
    if moment is None and snapshot == LATEST:
        return wanted, restoration.latest
    listed = snapshots.fetch(errands, snapshots.repository_of(invoker))
    if moment is not None:
        return wanted, restoration.at(listed, moment)
    one, rules = restoration.by_id(wanted, listed, snapshot)
    return [one], rules


def _check(port: Port, obj: JsonObject, wanted: Sequence[Saved]) -> None:
    """Raises InvalidObject, and NotFound for a Task that is not there."""
    kind = RestoreBatch if obj["kind"] == RESTORE_BATCHES.kind else RestoreSession
    if faults := validate(decode(kind, obj)):
        meta = obj["metadata"]
        raise InvalidObject(f"{obj['kind']} {meta['namespace']}/{meta['name']}", faults)
    for each in wanted:
        task = (each.member.get("task") or {}).get("name")
        if task:
            _check_task(port, restoration.restore_task(task), each)


def _check_task(port: Port, task: str, saved: Saved) -> None:
    try:
        port.get(TASKS, "", task)
    except NotFound as error:
        raise NotFound(
            f"{saved}: Task {task}, which would restore it, is not there; create it, or leave the"
            " target out by naming the others with --target"
        ) from error


def _show(made: JsonObject, output: Format) -> None:
    if output is Format.TEXT:
        console.out().print(screens.restore_tree(summary.restore_line(made)))
    else:
        made["metadata"].pop("managedFields", None)
        console.emit(made, output)
