"""``tandem up``: the embedded cluster with the operator, for kubectl and for trying things out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from reconciler.cli import console, local, options, waiting
from reconciler.cli.console import Format


class Node(StrEnum):
    """Where the pods of the embedded cluster run."""

    PROCESS = "process"
    VIRTUAL = "virtual"
    NONE = "none"


_KINDS: Final[dict[Node, local.NodeKind | None]] = {
    Node.PROCESS: "process",
    Node.VIRTUAL: "virtual",
    Node.NONE: None,
}


def up(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for volumes and logs; default: a temporary one, removed.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one.")
    ] = 0,
    kubeconfig: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to write the kubeconfig.")
    ] = Path("tandem.kubeconfig"),
    node: Annotated[
        Node, typer.Option(help="Pods as local processes, as a model, or not at all.")
    ] = Node.PROCESS,
    operator: Annotated[
        bool, typer.Option("--operator/--no-operator", help="Run the operator in it.")
    ] = True,
    output: options.Output = Format.TEXT,
) -> None:
    """Run an embedded cluster until Ctrl-C; kubectl and tandem speak to it.

    Example: tandem up --kubeconfig demo.kubeconfig

    Exit codes: 0 stopped on request, 1 failed, 2 wrong usage.
    """
    with (
        waiting.until_told_to_stop() as told,
        local.running(data, node=_KINDS[node], port=port, operator=operator) as cluster,
    ):
        assert cluster.http is not None  # noqa: S101 -- it has been started
        cluster.http.write_kubeconfig(kubeconfig)
        _announce(cluster.http.url, kubeconfig.resolve(), output)
        told.wait()


def _announce(url: str, kubeconfig: Path, output: Format) -> None:
    if output is not Format.TEXT:
        console.emit({"url": url, "kubeconfig": str(kubeconfig)}, output)
        return
    console.err().print(f"the cluster answers at {url}; stop it with Ctrl-C")
    console.out().print(f"export KUBECONFIG={kubeconfig}", soft_wrap=True)
