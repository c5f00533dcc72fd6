"""The cluster that a command talks to, and the invoker that it was given by name.

Used by the commands that need a cluster.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import JsonObject, Resource
from reconciler.cli import summary
from reconciler.errors import NotFound, TerminalError

if TYPE_CHECKING:
    from reconciler.cluster.port import Port, Reader


def reach(kubeconfig: Path | None, context: str | None, namespace: str | None) -> tuple[Port, str]:
    """A client of the cluster, and the namespace that is meant, as kubectl understands it."""
    # the kubernetes package takes a third of a second to import
    from reconciler.cluster.connection import default_namespace

    port = connect(kubeconfig, context)
    path = str(kubeconfig) if kubeconfig else None
    return port, namespace or default_namespace(path, context) or "default"


def connect(
    kubeconfig: Path | None, context: str | None = None, *, read_seconds: float | None = None
) -> Port:
    """A client of the cluster. Raises TerminalError when the file is not there.

    ``read_seconds`` bounds the wait for an answer; None: the transport's own patience.
    """
    # the kubernetes package takes a third of a second to import
    from reconciler.cluster.client import Client
    from reconciler.cluster.kubernetes_transport import READ_SECONDS, KubernetesTransport

    if kubeconfig is not None and not kubeconfig.is_file():
        raise TerminalError(
            f"{kubeconfig}: no such file; name the kubeconfig that kubectl uses,"
            " or leave --kubeconfig out"
        )
    transport = KubernetesTransport.from_kubeconfig(
        str(kubeconfig) if kubeconfig else None,
        context=context,
        read_seconds=read_seconds or READ_SECONDS,
    )
    return Client(transport)


def find_invoker(
    reader: Reader, namespace: str, name: str, kind: str | None = None
) -> tuple[Resource, JsonObject]:
    """The BackupBatch or BackupConfiguration of this name.

    Raises NotFound, naming the nearest known name, and TerminalError for an unknown kind or when
    both kinds have the name.
    """
    found = [
        (resource, obj)
        for resource in _wanted(kind)
        if (obj := _get(reader, resource, namespace, name)) is not None
    ]
    if not found:
        raise NotFound(_absent(reader, namespace, name, kind))
    if len(found) > 1:
        raise TerminalError(
            f"{namespace}/{name} is a BackupBatch and a BackupConfiguration; say which with --kind"
        )
    return found[0]


def _wanted(kind: str | None) -> list[Resource]:
    if kind is None:
        return list(INVOKERS)
    wanted = [resource for resource in INVOKERS if resource.kind.lower() == kind.lower()]
    if not wanted:
        known = " or ".join(resource.kind for resource in INVOKERS)
        raise TerminalError(f"--kind {kind}: no such kind of invoker; use {known}")
    return wanted


def _get(reader: Reader, resource: Resource, namespace: str, name: str) -> JsonObject | None:
    try:
        return reader.get(resource, namespace, name)
    except NotFound:
        return None


def _absent(reader: Reader, namespace: str, name: str, kind: str | None) -> str:
    what = f"{kind or 'BackupBatch'} {namespace}/{name} not found"
    known = [
        str(obj["metadata"]["name"])
        for resource in _wanted(kind)
        for obj in summary.listed(reader, resource, namespace)
    ]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"{what}; did you mean {near[0]}?"
    if known:
        return f"{what}; namespace {namespace} has {', '.join(sorted(known))}"
    return f"{what}; namespace {namespace} has none, name another one with -n"
