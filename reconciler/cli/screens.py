"""How a summary looks on a terminal: trees with one colour a phase.

Called by ``status``, ``trigger`` and the demo; gets data, returns rich renderables, prints nothing.
All texts from objects are escaped: they are not markup.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from reconciler.api.durations import format_duration, parse_duration
from reconciler.cli.summary import (
    ConditionLine,
    HostLine,
    Overview,
    RepositoryLine,
    RestoreLine,
    SessionLine,
    Summary,
    TargetLine,
)

COLOURS: Final = {
    "Succeeded": "green",
    "Ready": "green",
    "Failed": "red",
    "NotFound": "red",
    "Running": "cyan",
    "Maintaining": "cyan",
    "Initializing": "cyan",
    "Scheduled": "blue",
    "Injecting": "blue",
    "Skipped": "yellow",
    "Terminating": "yellow",
}
"""The colour of a phase; the others are dim."""


def phase_text(phase: str) -> Text:
    """A phase in its colour."""
    return Text(phase or "-", style=COLOURS.get(phase, "dim"))


def summary_tree(
    summary: Summary, now: dt.datetime, *, sessions: int = 3, brief: bool = False
) -> RenderableType:
    """An invoker with its conditions, its Repository and its newest sessions.

    ``brief`` leaves out the conditions that hold.
    """
    tree = Tree(_heading(summary))
    tree.add(_times(summary, now))
    _add_conditions(tree, tuple(c for c in summary.conditions if not brief or c.status != "True"))
    _add_repository(tree, summary.repository)
    for session in summary.sessions[:sessions]:
        _add_session(tree, session)
    if not summary.sessions:
        tree.add(Text("no session yet", style="dim"))
    for restore in summary.restores[:sessions]:
        tree.add(restore_tree(restore))
    return Group(tree)


def overview_table(found: Overview, now: dt.datetime) -> RenderableType:
    """One line a batch, one line a restore."""
    parts: list[RenderableType] = []
    if found.batches:
        rows = table("NAMESPACE", "BATCH", "PHASE", "LAST", "NEXT", "LAST SESSION")
        for line in found.batches:
            phase = phase_text(line.phase)
            if line.paused:
                phase.append(" paused", style="yellow")
            upcoming = relative(line.next, now) if line.next else "-"
            last = relative(line.last, now) if line.last else "never"
            rows.add_row(line.namespace, line.name, phase, last, upcoming, line.last_session or "-")
        parts.append(rows)
    if found.restores:
        rows = table("NAMESPACE", "RESTORE", "PHASE", "CREATED", "TOOK")
        for each in found.restores:
            created, took = relative(each.created, now), shortened(each.duration) or "-"
            rows.add_row(each.namespace, each.name, phase_text(each.phase), created, took)
        parts.append(rows)
    return Group(*parts) if parts else Text("no batch and no restore", style="dim")


def table(*columns: str) -> Table:
    """A table without lines, as kubectl prints them."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def restore_tree(restore: RestoreLine) -> Tree:
    """A restore with its targets and hosts."""
    text = Text.assemble(f"{restore.kind} {restore.name}  ", phase_text(restore.phase))
    if restore.duration:
        text.append(f" in {shortened(restore.duration)}")
    tree = Tree(text)
    _fill_session(tree, restore)
    return tree


def session_tree(session: SessionLine) -> Tree:
    """A session with its targets and hosts."""
    tree = Tree(_session_heading(session))
    _fill_session(tree, session)
    return tree


def _heading(summary: Summary) -> Text:
    heading = Text.assemble(
        f"{summary.kind} {summary.namespace}/",
        (summary.name, "bold"),
        "  ",
        phase_text(summary.phase),
    )
    if summary.paused:
        heading.append("  paused", style="yellow")
    return heading


def _times(summary: Summary, now: dt.datetime) -> Text:
    last = relative(summary.last, now) if summary.last else "never"
    upcoming = relative(summary.next, now) if summary.next else "none"
    return Text(f"schedule {summary.schedule}   last {last}   next {upcoming}")


def relative(moment: str, now: dt.datetime) -> str:
    """An RFC 3339 time as ``15:31:00 (in 23 s)``; the text itself when it is none."""
    try:
        at = dt.datetime.fromisoformat(moment)
    except ValueError:
        return moment
    seconds = round((at - now).total_seconds())
    far = f"in {_span(seconds)}" if seconds >= 0 else f"{_span(-seconds)} ago"
    shown = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{shown} UTC ({far})"


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _add_conditions(tree: Tree, conditions: tuple[ConditionLine, ...]) -> None:
    for condition in conditions:
        tree.add(_condition(condition))


def _condition(condition: ConditionLine) -> Text:
    good = condition.status == "True"
    mark = ("✓", "green") if good else ("✗", "red") if condition.status == "False" else ("?", "dim")
    about = f"{condition.about}: " if condition.about else ""
    text = Text.assemble(mark, f" {about}{condition.type}")
    text.append(f"  {condition.reason}", style="dim")
    if not good and condition.message:
        text.append(f": {condition.message}")
    return text


def _add_repository(tree: Tree, repository: RepositoryLine) -> None:
    facts = [
        f"{repository.snapshots} snapshots" if repository.snapshots is not None else "",
        repository.size,
        {True: "verified", False: "damaged"}.get(repository.intact, "")
        if repository.intact is not None
        else "",
    ]
    text = Text.assemble(f"Repository {repository.name}  ", phase_text(repository.phase))
    text.append("  " + ", ".join(fact for fact in facts if fact), style="dim")
    branch = tree.add(text)
    _add_conditions(branch, tuple(c for c in repository.conditions if c.status != "True"))


def _add_session(tree: Tree, session: SessionLine) -> None:
    _fill_session(tree.add(_session_heading(session)), session)


def _session_heading(session: SessionLine) -> Text:
    text = Text.assemble(f"BackupSession {session.name}  ", phase_text(session.phase))
    if session.duration:
        text.append(f" in {shortened(session.duration)}")
    slot = session.slot.replace("T", " ").removesuffix("Z")
    text.append(f"  slot {slot}" if slot else "  by hand", style="dim")
    return text


def shortened(duration: str) -> str:
    """A Go duration to a tenth of a second."""
    try:
        parsed = parse_duration(duration)
    except ValueError:
        return duration
    return format_duration(dt.timedelta(seconds=round(parsed.total_seconds(), 1)))


def _fill_session(tree: Tree, session: SessionLine | RestoreLine) -> None:
    for target in session.targets:
        _add_target(tree, target)
    for condition in session.conditions:
        # what went well is the phase's business; what did not, and why it was skipped, is told
        if condition.status != "True" or condition.type == "Skipped":
            tree.add(_condition(condition))


def _add_target(tree: Tree, target: TargetLine) -> None:
    text = Text.assemble(f"{target.kind} {target.name}  ", phase_text(target.phase))
    if target.reason and target.phase != "Succeeded":
        text.append(f"  {target.reason}: {target.message}" if target.message else target.reason)
    branch = tree.add(text)
    for host in target.hosts:
        _add_host(branch, host)


def _add_host(tree: Tree, host: HostLine) -> None:
    text = Text.assemble(f"host {host.name}  ", phase_text(host.phase))
    if host.duration:
        text.append(f" in {shortened(host.duration)}")
    branch = tree.add(text)
    for snapshot in host.snapshots:
        files = f", {snapshot.files} files" if snapshot.files is not None else ""
        branch.add(f"snapshot {snapshot.id} of {escape(snapshot.path)}: {snapshot.size}{files}")
    if host.error:
        branch.add(Text(host.error, style="red"))
