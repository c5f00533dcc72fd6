"""``tandem diagram``: the state machines as Mermaid or dot, generated from their tables."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from reconciler.cli import console, options
from reconciler.cli.console import Format
from reconciler.errors import TerminalError


class Language(StrEnum):
    """The language of the diagram."""

    MERMAID = "mermaid"
    DOT = "dot"


def diagram(
    machine: Annotated[
        str | None,
        typer.Argument(metavar="[MACHINE]", help="Name of a machine; default: all of them."),
    ] = None,
    language: Annotated[Language, typer.Option("--format", help="Diagram language.")] = (
        Language.MERMAID
    ),
    output: options.Output = Format.TEXT,
) -> None:
    """Print the state machines that decide everything.

    Example: tandem diagram session --format dot | dot -Tsvg > session.svg

    Exit codes: 0 done, 1 no such machine, 2 wrong usage.
    """
    drawn = _draw(machine, language)
    if output is not Format.TEXT:
        console.emit(drawn, output)
    else:
        typer.echo("\n".join(drawn.values()), nl=False)


def _draw(machine: str | None, language: Language) -> dict[str, str]:
    """The diagram of each machine by its name. Raises TerminalError for an unknown one."""
    from statemachines import diagrams

    try:
        tables = diagrams.MACHINES if machine is None else (diagrams.machine(machine),)
    except LookupError as error:
        raise TerminalError(str(error.args[0])) from error
    draw = diagrams.mermaid if language is Language.MERMAID else diagrams.dot
    return {table.name: draw(table) for table in tables}
