"""A session made by hand gets the labels and the owner that ``create-backupsession`` gives.

Called by the session decision. Sessions are found by their labels, and go with their owner.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.decisions import world
from reconciler.decisions.plan import Apply
from reconciler.manifests import labels


def adopted(
    session: JsonObject, invoker: JsonObject | None, typed: Invoker | None
) -> Iterator[Apply]:
    """What the session lacks; nothing while its invoker cannot be read, or is being deleted."""
    if typed is None or invoker is None or world.terminating(invoker):
        return
    meta = session["metadata"]
    wanted = labels.of_invoker(typed.kind, typed.name)
    present = meta.get("labels") or {}
    owned = labels.controller_uid(session) is not None
    if owned and all(present.get(key) == value for key, value in wanted.items()):
        return
    owner = {} if owned else {"ownerReferences": [encode(typed.owner_reference())]}
    found = {
        "apiVersion": session["apiVersion"],
        "kind": session["kind"],
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "labels": wanted,
            **owner,
        },
    }
    yield Apply(BACKUP_SESSIONS, found, create=False)
