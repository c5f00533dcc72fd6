"""``tandem unlock``: remove the locks that dead processes left in a repository."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import connection, console, options, snapshots
from reconciler.cli.console import Format
from reconciler.cli.errands import Errands
from reconciler.engine.clock import SystemClock
from reconciler.manifests import jobs


def unlock(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A batch, or a Repository (repository/NAME where both are)."
        ),
    ],
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    timeout: options.Timeout = "5m",
    image: options.Image = "",
    output: options.Output = Format.TEXT,
) -> None:
    """Remove the locks of dead processes; name the owner of every other lock.

    Example: tandem unlock repository/wordpress -n demo

    Exit codes: 0 no lock is left, 1 one is (and is named) or it failed, 2 wrong usage.
    """
    seconds = options.seconds(timeout)
    port, place = connection.reach(kubeconfig, context, namespace)
    repository, _ = snapshots.subject(port, place, name)
    Errands(port, SystemClock(), place, image, seconds).run(repository, jobs.unlocking)
    if output is not Format.TEXT:
        told = {"repository": repository, "namespace": place, "locked": False}
        console.emit(told, output)
    else:
        console.out().print(f"Repository {place}/{repository} has no lock")
