"""``tandem plan``: what the operator would create, change and delete, applied to nothing.

The manifests are put into an embedded API server, on top of what a live cluster has (which is only
read), and the operator's own loop runs there until nothing is left to do. So the plan is what would
happen, not a second opinion about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import attrs
import typer
from rich.text import Text

from reconciler.cli import connection, console, documents, options, rehearsal
from reconciler.cli.console import Format
from reconciler.cli.differences import Change
from reconciler.cli.documents import Document
from reconciler.errors import TerminalError

CHANGES: Final = 2
"""Exit code when there is something to do, as of ``terraform plan -detailed-exitcode``."""


def plan(
    files: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            metavar="FILE",
            help="Manifests: a file, a folder, or - for standard input; may be repeated.",
        ),
    ],
    kubeconfig: options.Kubeconfig = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Plan for an empty cluster; contact none.")
    ] = False,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace of manifests that name none.")
    ] = "default",
    output: options.Output = Format.TEXT,
) -> None:
    """Show what applying manifests would do: theirs and the operator's changes, as a diff.

    Example: tandem plan -f app/ --empty

    Exit codes: 0 nothing to do, 1 failed or invalid input, 2 changes.
    """
    if empty and kubeconfig is not None:
        raise TerminalError("--empty and --kubeconfig exclude each other; leave one out")
    read = documents.read(files)
    if not read:
        raise TerminalError(f"{', '.join(files)}: no manifests; name files that hold some")
    _refuse_invalid(read)
    outcome = rehearsal.rehearse(read, namespace, _live(kubeconfig, empty))
    if output is not Format.TEXT:
        console.emit(attrs.asdict(outcome), output)
    else:
        _print(outcome)
    if outcome.changes:
        raise typer.Exit(CHANGES)


def _live(kubeconfig: Path | None, empty: bool) -> rehearsal.Snapshot:
    return [] if empty else rehearsal.snapshot(connection.connect(kubeconfig))


def _refuse_invalid(read: list[Document]) -> None:
    """Say all that is wrong in all files, not only the first fault."""
    errors = [error for document in read for error in rehearsal.faults(document)]
    for error in errors:
        console.report_error(error)
    if errors:
        raise typer.Exit(1)


def _print(outcome: rehearsal.Outcome) -> None:
    screen = console.out()
    for change in outcome.changes:
        screen.print(_heading(change))
        if _worth_showing(change):
            screen.print(_coloured(change.diff), soft_wrap=True)
    for line in outcome.ignored:
        screen.print(Text.assemble(("ignored  ", "dim"), f"{line}: not for the operator"))
    for line in outcome.waiting:
        screen.print(Text.assemble(("waiting  ", "yellow"), line), soft_wrap=True)
    screen.print(_total(outcome.changes))


def _heading(change: Change) -> Text:
    sign, colour = {"create": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}[
        change.action
    ]
    by = "from your files" if change.author == "files" else "by the operator"
    return Text.assemble((f"{sign} {change.action} {change.subject}", f"bold {colour}"), f"  {by}")


def _worth_showing(change: Change) -> bool:
    # what the user wrote is known to the user; Functions, Tasks and roles are the same everywhere
    new = change.action == "create"
    return not (new and (change.author == "files" or not change.namespace))


def _coloured(diff: str) -> Text:
    text = Text()
    # the two lines of file names, and of a new object its line numbers, say nothing
    lines = diff.splitlines()[3 if "@@ -0,0" in diff or "+0,0 @@" in diff else 2 :]
    for line in lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        text.append(f"    {line}\n", style=colour)
    return text


def _total(changes: list[Change]) -> str:
    if not changes:
        return "nothing to do"
    counts = {
        action: sum(change.action == action for change in changes)
        for action in ("create", "change", "delete")
    }
    return "plan: " + ", ".join(f"{count} to {action}" for action, count in counts.items())
