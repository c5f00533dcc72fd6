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
    drawn = {name: _draw(name, language) for name in _chosen(machine)}
    if output is Format.JSON:
        console.emit_json(drawn)
    else:
        typer.echo("\n".join(drawn.values()), nl=False)


def _chosen(machine: str | None) -> list[str]:
    from statemachines import diagrams

    if machine is None:
        return list(diagrams.MACHINES)
    if machine not in diagrams.MACHINES:
        raise TerminalError(f"no machine named {machine}; there are {', '.join(diagrams.MACHINES)}")
    return [machine]


def _draw(name: str, language: Language) -> str:
    from statemachines import diagrams

    draw = diagrams.mermaid if language is Language.MERMAID else diagrams.dot
    return draw(diagrams.MACHINES[name])
