"""The machines as diagrams and as a page, from the tables and from nothing else.

``tandem diagram`` prints :func:`mermaid` or :func:`dot`; ``python -m statemachines.diagrams
FILE`` writes the whole page (without FILE it is printed), and a test fails when the page in
``docs/`` is stale. The text is stable: the same tables give the same bytes.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from statemachines import batch, host, repository, restore, retry, session, target
from statemachines.table import Arc, Table

MACHINES: tuple[Table[Any], ...] = (
    batch.TABLE,
    session.TABLE,
    retry.TABLE,
    target.TABLE,
    host.TABLE,
    restore.TABLE,
    repository.TABLE,
)
"""Every machine, from the outside in."""

_HEAD = """\
# State machines

<!-- Written by `python -m statemachines.diagrams docs/machines.md`: change the tables. -->

A machine advances by *level*: on each look at the world, the first arc of its table whose guard
holds is taken, again and again until none holds. Nothing depends on having seen an event. Effects
belong to states: the *intents* of a state hold while it lasts, and applying them twice is harmless.
"""


def machine(name: str) -> Table[Any]:
    """The table of that name; raises LookupError naming all that there are."""
    for table in MACHINES:
        if table.name == name:
            return table
    raise LookupError(f"no machine {name!r}: there are {', '.join(t.name for t in MACHINES)}")


def mermaid(table: Table[Any]) -> str:
    """A ``stateDiagram-v2``; arcs between the same two states share a line."""
    lines = ["stateDiagram-v2", f"    [*] --> {table.initial}"]
    for (source, destination), labels in _edges(table).items():
        lines.append(f"    {source} --> {destination}: {' / '.join(labels)}")
    lines += [f"    {state.name} --> [*]" for state in table.states if state.final]
    return "\n".join(lines) + "\n"


def dot(table: Table[Any]) -> str:
    """A ``digraph`` for Graphviz; final states have a double border."""
    lines = [f"digraph {table.name} {{", "    rankdir=LR;", "    node [shape=box, style=rounded];"]
    for state in table.states:
        border = ", peripheries=2" if state.final else ""
        lines.append(f'    {state.name} [tooltip="{_quoted(state.meaning)}"{border}];')
    for (source, destination), labels in _edges(table).items():
        lines.append(f'    {source} -> {destination} [label="{_quoted(chr(10).join(labels))}"];')
    return "\n".join([*lines, "}"]) + "\n"


def _edges(table: Table[Any]) -> dict[tuple[str, str], list[str]]:
    edges: dict[tuple[str, str], list[str]] = {}
    for arc in table.arcs:
        edges.setdefault((arc.source, arc.destination), []).append(arc.label)
    return edges


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def page() -> str:
    """The page of all machines, in Markdown."""
    return "\n".join([_HEAD, *(section(table) for table in MACHINES)])


def section(table: Table[Any]) -> str:
    """One machine: its prose, its diagram, its states and its arcs."""
    parts = [
        f"## {table.name.capitalize()}\n",
        f"{table.about.strip()}\n",
        f"```mermaid\n{mermaid(table)}```\n",
        _states(table),
        _arcs(table.arcs),
    ]
    return "\n".join(parts)


def _states(table: Table[Any]) -> str:
    rows = [
        (f"`{s.name}`{' (final)' if s.final else ''}", s.meaning, "; ".join(s.intents) or "none")
        for s in table.states
    ]
    return _table(("state", "meaning", "intents"), rows)


def _arcs(arcs: Sequence[Arc[Any]]) -> str:
    """The arcs in order; those that differ in their source alone share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for arc in arcs:
        rows.setdefault((arc.label, arc.destination, arc.why), []).append(f"`{arc.source}`")
    lines = [
        (", ".join(sources), _sentence(label), f"`{destination}`", why)
        for (label, destination, why), sources in rows.items()
    ]
    return _table(("from", "when", "to", "why"), lines)


def _sentence(label: str) -> str:
    return label[0].upper() + label[1:]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file that is named, or print it."""
    if arguments:
        pathlib.Path(arguments[0]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
