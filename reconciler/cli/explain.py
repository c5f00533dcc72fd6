"""``tandem explain``: why an object is in its phase, and what it waits for."""

from __future__ import annotations

from typing import Annotated, Final

import attrs
import typer

from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    BACKUP_SESSIONS,
    REPOSITORIES,
    RESTORE_BATCHES,
    RESTORE_SESSIONS,
    JsonObject,
    Resource,
)
from reconciler.cli import answers, connection, console, explanation, options
from reconciler.cli.console import Format
from reconciler.cli.live_view import LiveView
from reconciler.cluster.port import Reader
from reconciler.decisions.plan import Settings
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound, TerminalError

KINDS: Final[dict[str, Resource]] = {
    "batch": BACKUP_BATCHES,
    "session": BACKUP_SESSIONS,
    "restore": RESTORE_BATCHES,
    **{
        word: resource
        for resource in (
            BACKUP_BATCHES,
            BACKUP_CONFIGURATIONS,
            BACKUP_SESSIONS,
            REPOSITORIES,
            RESTORE_BATCHES,
            RESTORE_SESSIONS,
        )
        for word in (resource.kind.lower(), resource.plural)
    },
}
"""The kinds as people write them."""


def explain(
    object_: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT", help="KIND/NAME, such as backupsession/web-1; or a batch's name."
        ),
    ],
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    plain: options.Plain = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Tell why an object is in its phase, what it waits for, and what would lead on.

    The operator's own decision is made here, on the cluster as it is now; nothing is written.

    Example: tandem explain backupsession/wordpress-1700000000 -n demo

    Exit codes: 0 told, 1 not found or no answer, 2 wrong usage.
    """
    port, place = connection.reach(kubeconfig, context, namespace)
    resource, obj = find(port, place, object_)
    settings = Settings()
    view = LiveView(port, settings.field_manager)
    told = explanation.explain(view, resource, obj, SystemClock().now(), settings)
    if output is not Format.TEXT:
        console.emit(attrs.asdict(told), output)
    else:
        console.out(plain=plain).print(answers.explanation_tree(told, SystemClock().now()))


def find(reader: Reader, namespace: str, text: str) -> tuple[Resource, JsonObject]:
    """The object that KIND/NAME names. Raises NotFound, and TerminalError for an unknown kind."""
    word, slash, name = text.rpartition("/")
    if not slash:
        return connection.find_invoker(reader, namespace, name)
    resource = KINDS.get(word.lower())
    if resource is None:
        known = ", ".join(sorted({each.kind for each in KINDS.values()}))
        raise TerminalError(f"{text}: kind {word} has nothing to explain; use one of {known}")
    try:
        return resource, reader.get(resource, namespace, name)
    except NotFound as error:
        if word.lower() == "restore":  # either kind of restore
            return find(reader, namespace, f"restoresession/{name}")
        raise NotFound(
            f"{resource.kind} {namespace}/{name} not found; kubectl get {resource.plural} -A lists"
            " what is there"
        ) from error
