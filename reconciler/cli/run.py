"""``tandem run``: the operator, in a cluster or beside it."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import connection, console, options, waiting
from reconciler.cli.console import Format


def run(
    kubeconfig: options.Kubeconfig = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Reconciles that may run side by side.")
    ] = 4,
    image: Annotated[
        str, typer.Option(help="Image of the sidecars and Jobs: that of the operator itself.")
    ] = "tandem/tandem:latest",
    operator_namespace: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="Namespace of the operator's own objects.")
    ] = "tandem",
    output: options.Output = Format.TEXT,
) -> None:
    """Run the operator until it is told to stop (SIGTERM or Ctrl-C).

    Example: tandem run --kubeconfig ~/.kube/config --workers 8

    Exit codes: 0 stopped on request, 1 failed, 2 wrong usage.
    """
    from reconciler.decisions.plan import Settings
    from reconciler.engine import operator
    from reconciler.engine.clock import SystemClock

    port = connection.connect(kubeconfig)
    settings = Settings(image=image, operator_namespace=operator_namespace)
    loop = operator.build(port, SystemClock(), settings, workers=workers)
    with waiting.until_told_to_stop() as told:
        loop.start()
        try:
            _say("running", output)
            told.wait()
        finally:
            loop.stop()
    _say("stopped", output)


def _say(state: str, output: Format) -> None:
    if output is Format.JSON:
        console.emit_json({"state": state})
    else:
        console.err().print(f"tandem {state}")
