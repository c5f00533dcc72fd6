"""``tandem crds``: the CustomResourceDefinitions, for ``kubectl apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli import console, options
from reconciler.cli.console import Format


def crds(
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write one file a kind into DIR instead.", show_default=False
        ),
    ] = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Print the CustomResourceDefinitions (YAML; a List with --output json).

    Example: tandem crds | kubectl apply -f -

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
    from reconciler.api import crds as definitions

    if write is not None:
        _write(write, output)
    elif output is not Format.TEXT:
        console.emit({"apiVersion": "v1", "kind": "List", "items": definitions.crds()}, output)
    else:
        typer.echo("---\n".join(definitions.render().values()), nl=False)


def _write(directory: Path, output: Format) -> None:
    from reconciler.api import crds as definitions

    definitions.main(directory)
    written = [str(directory / name) for name in definitions.render()]
    if output is not Format.TEXT:
        console.emit({"written": written}, output)
    else:
        typer.echo("\n".join(written))
