"""A BackupSession as it is created: for a slot, by hand, or as the retry of a failed one.

Called by the trigger and by the session decision. The caller gives the name, which is the lock.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.api.resources import BACKUP_SESSIONS, STASH, JsonObject
from reconciler.manifests import labels


def build(
    invoker: JsonObject,
    name: str,
    *,
    annotations: Mapping[str, str] | None = None,
    retry_left: int | None = None,
) -> JsonObject:
    """The session of a raw invoker. ``retry_left`` None: as many as the invoker allows."""
    meta = invoker["metadata"]
    return {
        "apiVersion": BACKUP_SESSIONS.api_version,
        "kind": BACKUP_SESSIONS.kind,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {
                **labels.offshoot(meta.get("labels")),
                **labels.of_invoker(invoker["kind"], meta["name"]),
            },
            **({"annotations": dict(annotations)} if annotations else {}),
            "ownerReferences": [labels.owner(invoker)],
        },
        "spec": {
            "invoker": {"apiGroup": STASH, "kind": invoker["kind"], "name": meta["name"]},
            **({} if retry_left is None else {"retryLeft": retry_left}),
        },
    }
