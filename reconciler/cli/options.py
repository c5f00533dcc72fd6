"""Options that several commands share, as annotated types. Used by the command modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.api.durations import parse_duration
from reconciler.cli.console import Format
from reconciler.errors import TerminalError

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Kubeconfig of the cluster; default: KUBECONFIG, ~/.kube/config, the pod's account.",
        show_default=False,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Context of the kubeconfig; default: its current one.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAMESPACE",
        help="Namespace; default: that of the context, else default.",
        show_default=False,
    ),
]
AllNamespaces = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="Look into every namespace.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="Text for people, JSON or YAML.")]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="BackupBatch or BackupConfiguration; needed only if both have this name.",
        show_default=False,
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="No colours and no live screen, as in a pipe.")
]
Image = Annotated[
    str,
    typer.Option(
        metavar="IMAGE",
        help="Tandem's image for the Job; default: the operator's.",
        show_default=False,
    ),
]
Timeout = Annotated[
    str, typer.Option(metavar="DURATION", help="How long to wait for the Job at most.")
]


def seconds(timeout: str) -> float:
    """The value of an option ``--timeout``. Raises TerminalError."""
    try:
        return parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise TerminalError(f"--timeout {timeout}: {error}; write for example 90s or 2h") from error
