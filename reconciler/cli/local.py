"""The embedded cluster with the operator in it, as a context: what ``up`` and ``demo`` run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reconciler.engine.clock import SystemClock

if TYPE_CHECKING:
    from reconciler.embedded.cluster import EmbeddedCluster

NodeKind = Literal["virtual", "process"]


@contextlib.contextmanager
def running(
    data: Path | None,
    *,
    node: NodeKind | None,
    port: int = 0,
    operator: bool = True,
    log_file: str | None = None,
) -> Iterator[EmbeddedCluster]:
    """A cluster that runs while the context lasts; all its processes are gone afterwards.

    ``data`` is the folder for volumes, logs and the kubeconfig, made if need be; None: a temporary
    one that is removed at the end. ``log_file`` is the operator's log in that folder; None: it goes
    to standard error.
    """
    # the HTTP server's package takes a fifth of a second to import
    from reconciler.cli import operating
    from reconciler.embedded.cluster import EmbeddedCluster
    from reconciler.observability import logs

    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    with contextlib.ExitStack() as stack:
        cluster = EmbeddedCluster(clock, node, data, port=port)
        logs.configure(clock, stream=sys.stderr)
        if log_file is not None:
            stream = stack.enter_context((cluster.data_dir / log_file).open("w", encoding="utf-8"))
            logs.configure(clock, stream=stream)
            # before the file is closed, for whatever still logs then
            stack.callback(logs.configure, clock, stream=sys.stderr)
        stack.enter_context(cluster)
        cluster.install_crds()
        if operator:
            operating.install_builtins(cluster.client(), cluster.settings)
            loop = operating.build(cluster.client(), clock, cluster.settings, workers=4)
            loop.start()
            stack.callback(loop.stop)
        yield cluster
