"""``tandem pause`` and ``tandem resume``: hold a batch's schedule, and let it go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import typer

from reconciler.cli import connection, console, options
from reconciler.cli.console import Format
from reconciler.cluster.transport import MERGE_PATCH

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Name of the batch.")]


def pause(
    batch: Batch,
    namespace: options.Namespace = None,
    kind: options.Kind = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Start no more sessions by the schedule; a running one goes on, and trigger still works.

    Example: tandem pause wordpress -n demo

    Exit codes: 0 it is paused, 1 not found or refused, 2 wrong usage.
    """
    _set(_Wish(batch, namespace, kind, paused=True), kubeconfig, context, output)


def resume(
    batch: Batch,
    namespace: options.Namespace = None,
    kind: options.Kind = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Let the schedule of a paused batch go on.

    Example: tandem resume wordpress -n demo

    Exit codes: 0 it is not paused, 1 not found or refused, 2 wrong usage.
    """
    _set(_Wish(batch, namespace, kind, paused=False), kubeconfig, context, output)


@attrs.frozen
class _Wish:
    batch: str
    namespace: str | None
    kind: str | None
    paused: bool


def _set(wish: _Wish, kubeconfig: Path | None, context: str | None, output: Format) -> None:
    port, place = connection.reach(kubeconfig, context, wish.namespace)
    resource, obj = connection.find_invoker(port, place, wish.batch, wish.kind)
    was = bool((obj.get("spec") or {}).get("paused"))
    if was != wish.paused:
        change = {"spec": {"paused": wish.paused}}
        port.patch(resource, place, wish.batch, change, content_type=MERGE_PATCH)
    told = {"kind": resource.kind, "namespace": place, "name": wish.batch, "paused": wish.paused}
    if output is not Format.TEXT:
        console.emit({**told, "changed": was != wish.paused}, output)
        return
    state = "paused" if wish.paused else "not paused"
    already = " already" if was == wish.paused else ""
    console.out().print(f"{resource.kind} {place}/{wish.batch} is{already} {state}")
