"""``tandem demo``: the command line of the demo, and what it prints at the end."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Final

import attrs
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconciler.cli import console, local, options, screens, waiting
from reconciler.cli.console import Format
from reconciler.cli.demo import story
from reconciler.cli.demo.progress import LiveProgress, PlainProgress, Progress
from reconciler.cli.demo.stage import Stage
from reconciler.cli.demo.story import Outcome
from reconciler.engine.clock import Clock, SystemClock
from reconciler.errors import ToolMissing

PROGRAMS: Final = ("restic", "mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump")
SBIN: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps servers; not on everybody's PATH."""


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the cluster running until Ctrl-C.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Folder for volumes, repository and logs; default: a temporary one, removed.",
            show_default=False,
        ),
    ] = None,
    plain: options.Plain = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Take a real batch backup on this machine and prove it by a restore, in about a minute.

    An embedded cluster runs a WordPress-like application as local processes; one BackupBatch backs
    up a Deployment by its sidecar, a claim and a MariaDB by Jobs, with the real restic. Nothing
    outside a temporary folder is touched, and every process is gone afterwards.

    Example: tandem demo --keep

    Exit codes: 0 backed up, restored and compared equal, 1 failed (standard error says why),
    2 wrong usage, 130 interrupted.
    """
    _require(PROGRAMS)
    clock = SystemClock()
    began = clock.monotonic()
    with (
        waiting.until_told_to_stop() as told,
        local.running(directory, node="process", log_file="tandem.log") as cluster,
    ):
        screen = console.out() if output is Format.TEXT else console.err()
        with _progress(screen, clock, plain=plain) as progress:
            outcome = story.tell(Stage(cluster.client(), cluster.server, clock, progress, told))
        _report(screen, outcome, clock.monotonic() - began, output)
        if keep:
            screen.print(_kept(cluster.kubeconfig), markup=False, soft_wrap=True)
            told.wait()
        elif output is Format.TEXT:
            screen.print(_next(), markup=False, soft_wrap=True)
    if not outcome.proven:
        raise typer.Exit(1)


def _require(programs: tuple[str, ...]) -> None:
    path = os.pathsep.join((os.environ.get("PATH", ""), *SBIN))
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing:
        raise ToolMissing(
            f"the demo needs {', '.join(missing)}, not installed here; run ./.ci/setup prepare,"
            " or install restic and MariaDB (Debian: restic mariadb-server-core mariadb-client;"
            " Homebrew: restic mariadb)"
        )


def _progress(screen: Console, clock: Clock, *, plain: bool) -> Progress:
    if plain or not screen.is_terminal:
        return PlainProgress(screen, clock)
    return LiveProgress(screen, clock)


def _report(screen: Console, outcome: Outcome, seconds: float, output: Format) -> None:
    if output is not Format.TEXT:
        told = {"proven": outcome.proven, "seconds": round(seconds, 1), **attrs.asdict(outcome)}
        console.emit(told, output)
        return
    proof = "restored and compared" if outcome.proven else "but what was restored differs"
    took = screens.shortened(outcome.session.duration)
    screen.print()
    screen.print(_snapshots(outcome))
    for check in outcome.checks:
        mark = ("✓ ", "green") if check.ok else ("✗ ", "red")
        screen.print(Text.assemble(mark, f"{check.what}: {check.detail}"), soft_wrap=True)
    screen.print(
        f"\nOne batch, three targets, one repository: backed up in {took},"
        f" {proof}; {seconds:.0f} s in all.\n",
        soft_wrap=True,
    )


def _snapshots(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("TARGET", "HOST", "SNAPSHOT", "SIZE", "FILES"):
        table.add_column(heading, no_wrap=True)
    for target in outcome.session.targets:
        for host in target.hosts:
            for snapshot in host.snapshots:
                table.add_row(
                    f"{target.kind} {target.name}",
                    host.name,
                    snapshot.id,
                    snapshot.size,
                    "" if snapshot.files is None else str(snapshot.files),
                )
    return table


def _next() -> str:
    tandem = program()
    return (
        "What to try next\n"
        f"  {tandem} demo --keep   the same, and the cluster stays up for kubectl\n"
        f"  {tandem} plan -f examples/wordpress --empty   what the operator would do, as a diff\n"
        f"  {tandem} up   an empty cluster of your own\n"
        "  docs/tutorial.md   the same by hand, step by step"
    )


def program() -> str:
    """How the reader can start this program again: by name, or by path where it is not on PATH."""
    here = Path(sys.argv[0]).absolute()
    if shutil.which("tandem") or here.name != "tandem":
        return "tandem"
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def _kept(kubeconfig: Path) -> str:
    return (
        "The cluster stays up until Ctrl-C, with a backup every minute. In another terminal:\n"
        f"  export KUBECONFIG={kubeconfig}\n"
        f"  {program()} status wordpress -n demo --watch\n"
        f"  {program()} trigger wordpress -n demo --wait\n"
        "  kubectl -n demo get backupbatch,backupsession,repository,pods"
    )
