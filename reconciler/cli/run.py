"""``tandem run``: the operator, in a cluster or beside it."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.api.durations import parse_duration
from reconciler.cli import connection, options, waiting
from reconciler.cli.console import Format
from reconciler.decisions.plan import Settings
from reconciler.errors import TerminalError

if TYPE_CHECKING:
    from reconciler.engine.clock import Clock
    from reconciler.engine.leader import LeaderElector


def run(
    kubeconfig: options.Kubeconfig = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Reconciles that may run side by side.")
    ] = 4,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Image of the sidecars and Jobs; default: that of the operator's own Pod, and"
            f" {Settings().image} outside of a Pod.",
            show_default=False,
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAMESPACE",
            help="Look after one namespace only; default: all.",
            show_default=False,
        ),
    ] = None,
    operator_namespace: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="Namespace of the operator's own objects.")
    ] = "tandem",
    default_timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="Deadline of sessions without spec.timeOut.")
    ] = "24h",
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="NUMBER",
            help="Port of /healthz, /readyz and /metrics; default: none.",
            show_default=False,
        ),
    ] = None,
    leader_elect: Annotated[
        bool,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            help="Work only while holding the Lease tandem-operator.",
        ),
    ] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Run the operator until it is told to stop (SIGTERM or Ctrl-C). It logs to standard error.

    Example: tandem run --kubeconfig ~/.kube/config --workers 8

    Exit codes: 0 stopped on request, 1 failed or lost the lease, 2 wrong usage.
    """
    from reconciler.cli import leading, operating
    from reconciler.cli.kinds import Kinds
    from reconciler.engine.clock import SystemClock
    from reconciler.observability import logs

    clock = SystemClock()
    logs.configure(clock, stream=sys.stderr, style="text" if output is Format.TEXT else "json")
    port = connection.connect(kubeconfig)
    image = image or operating.own_image(port, operator_namespace, os.environ)
    settings = Settings(
        image=image or Settings().image,
        operator_namespace=operator_namespace,
        default_timeout=_duration(default_timeout),
    )
    loop = operating.build(port, clock, settings, workers, namespace)
    candidate = _candidate(kubeconfig, clock, operator_namespace) if leader_elect else None
    kinds = Kinds(port)

    def start() -> None:
        operating.install_builtins(port, settings)
        loop.start()

    served = operating.health(loop, health_port, candidate, lambda: kinds.problems)
    with waiting.until_told_to_stop() as told, served:
        # before the lease is asked for: an operator that needs no more than is there may hold it
        kinds.wait(told)
        if told.is_set():
            return
        if candidate:
            leading.lead(candidate, told, start=start, stop=loop.stop)
        else:
            operating.work(told, start=start, stop=loop.stop)


def _candidate(kubeconfig: Path | None, clock: Clock, namespace: str) -> LeaderElector:
    """Over a client of its own: its requests must not wait behind others, nor for long."""
    from reconciler.cli import leading

    port = connection.connect(kubeconfig, read_seconds=leading.READ_SECONDS)
    return leading.elector(port, clock, namespace, os.environ)


def _duration(text: str) -> dt.timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise TerminalError(f"--default-timeout {text}: {error}; write for example 6h") from error
