"""Options that several commands share, as annotated types. Used by the command modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import Format

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Kubeconfig of the cluster; default: KUBECONFIG, ~/.kube/config, the pod's account.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Namespace of the batch.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="Text for people, or JSON.")]
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
    bool, typer.Option("--plain", help="Plain lines instead of a live screen, as in a pipe.")
]
