"""How answers to questions look on a terminal: why something is so, and what a repository holds.

Called by ``explain`` and ``snapshots``; as ``screens``, it gets data and prints nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from reconciler.cli.explanation import ArcLine, Explanation, MachineLine, Waiting
from reconciler.cli.screens import phase_text, relative, table


class StoredSnapshot(Protocol):
    """A snapshot of a repository (``snapshots.SnapshotLine``)."""

    @property
    def id(self) -> str: ...
    @property
    def moment(self) -> dt.datetime: ...
    @property
    def host(self) -> str: ...
    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def size(self) -> int | None: ...
    @property
    def tags(self) -> tuple[str, ...]: ...


def snapshot_table(found: Sequence[StoredSnapshot], now: dt.datetime) -> RenderableType:
    """Snapshots of a repository, one a line."""
    if not found:
        return Text("no snapshot", style="dim")
    rows = table("ID", "TIME", "HOST", "PATHS", "SIZE", "TAGS")
    for each in found:
        size = "-" if each.size is None else _bytes(each.size)
        moment = relative(f"{each.moment:%Y-%m-%dT%H:%M:%S}+00:00", now)
        paths, tags = escape("\n".join(each.paths)), escape(" ".join(each.tags)) or "-"
        rows.add_row(each.id[:8], moment, escape(each.host), paths, size, tags)
    return rows


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def explanation_tree(told: Explanation, now: dt.datetime) -> Tree:
    """Why it is so, what is missing, and what comes next."""
    heading = Text.assemble(
        f"{told.kind} {told.namespace}/", (told.name, "bold"), "  ", phase_text(told.phase)
    )
    if told.decided != told.phase:
        heading.append(f"  (about to be {told.decided})", style="yellow")
    tree = Tree(heading)
    if told.meaning:
        tree.add(Text(told.meaning))
    for wait in told.waits:
        tree.add(_wait(wait))
    for machine in told.machines:
        if not machine.final:
            _add_machine(tree, machine)
    if told.pending:
        branch = tree.add(Text("The operator is about to (if this stays, is it running?)"))
        for write in told.pending:
            branch.add(Text(write))
    if told.next_look:
        tree.add(Text(f"it is looked at again at {relative(told.next_look, now)}, or on a change"))
    for unread in told.unread:
        tree.add(Text(f"could not be read, and was taken for absent: {unread}", style="yellow"))
    return tree


def _wait(wait: Waiting) -> Text:
    about = f"{wait.about}: " if wait.about else ""
    text = Text.assemble(("! ", "yellow"), f"{about}{wait.what}")
    said = ": ".join(part for part in (wait.reason, wait.message) if part)
    return text.append(f"  {said}", style="dim") if said else text


def _add_machine(tree: Tree, machine: MachineLine) -> None:
    about = machine.about or f"the {machine.machine}"
    meaning = f"  {machine.meaning}" if machine.about else " leads on to"
    branch = tree.add(Text.assemble(f"{about}  ", phase_text(machine.state), (meaning, "dim")))
    for way in machine.ways:
        branch.add(_way(way))


def _way(way: ArcLine) -> Text:
    text = Text.assemble("→ ", phase_text(way.to), f" when {way.when}")
    if way.missing:
        facts = ", ".join(_fact(name, value) for name, value in way.missing.items())
        text.append(f"; missing: {facts}", style="dim")
    return text


def _fact(name: str, value: object) -> str:
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"not {words}"
    return f"{words}: {value}"
