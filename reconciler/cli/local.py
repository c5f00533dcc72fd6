"""The embedded cluster with the operator in it, as a context: what ``up`` and ``demo`` run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reconciler.engine.clock import SystemClock

if TYPE_CHECKING:
    from reconciler.embedded.cluster import EmbeddedCluster

NodeKind = Literal["virtual", "process"]


@contextlib.contextmanager
def running(
    data: Path | None, *, node: NodeKind | None, port: int = 0, operator: bool = True
) -> Iterator[EmbeddedCluster]:
    """A cluster that runs while the context lasts; all its processes are gone afterwards.

    ``data`` is the folder for volumes, logs and the kubeconfig, made if need be; None: a temporary
    one that is removed at the end.
    """
    # the HTTP server's package takes a fifth of a second to import
    from reconciler.embedded.cluster import EmbeddedCluster
    from reconciler.engine import operator as operators

    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    with EmbeddedCluster(clock, node, data, port=port) as cluster:
        cluster.install_crds()
        if not operator:
            yield cluster
            return
        loop = operators.build(cluster.client(), clock, cluster.settings, workers=4)
        loop.start()
        try:
            yield cluster
        finally:
            loop.stop()
