"""Labels and owner references of the objects that Tandem creates.

Called by every builder. Nothing here changes the labels that it is given: Stash's builders share
one map and leak labels from one object into another (spec 10.45).
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.api.resources import STASH, JsonObject

COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
INVOKER_KIND = f"{STASH}/invoker-type"
INVOKER_NAME = f"{STASH}/invoker-name"
REPOSITORY = "tandem.appscode.com/repository"
TASK = "tandem.appscode.com/task"
"""What a Job of ours is for: ``backup``, ``restore``, ``init`` or ``maintain``."""
SESSION = "tandem.appscode.com/session"
"""Annotation of a maintenance Job and its pod: the session that they follow."""
SLOT = "tandem.appscode.com/slot"
"""Annotation: the moment of the schedule (RFC 3339) that a session was created for."""
SETTINGS = "tandem.appscode.com/settings"
"""Annotation of a Repository's Job: the runtimeSettings that it was made with, hashed."""
ACTIVE_SINCE = "tandem.appscode.com/active-since"
"""Annotation of a CronJob: since when it is active with its schedule; slots before do not count."""
RETRY_OF = "tandem.appscode.com/retry-of"
"""Annotation of a retry: the first session of its chain."""
RETRY = "tandem.appscode.com/retry"
"""Annotation of a retry: its number in the chain, from 1 on."""
SIDECAR_HASH = f"{STASH}/last-applied-backup-invoker-hash"
"""Pod-template annotation: what the sidecar container depends on, hashed."""
SIDECAR_INVOKER = "tandem.appscode.com/invoker"
"""Annotation of a workload and its pods: ``Kind/name`` of the invoker whose sidecar they carry."""
RESTORE_HASH = f"{STASH}/last-applied-restore-invoker-hash"
"""Pod-template annotation: what the init container of a restore depends on, hashed."""
RESTORE_INVOKER = "tandem.appscode.com/restore-invoker"
"""Annotation of a workload and its pods: ``Kind/name`` of the restore whose init container they
carry."""

RESTORE_UID = "tandem.appscode.com/restore-uid"
"""Annotation of a claim: the uid of the restore that made it from a template."""

OWN_KEYS = (COMPONENT, MANAGED_BY)

COMMON: Mapping[str, str] = {COMPONENT: "stash-backup", MANAGED_BY: STASH}
OF_RESTORE: Mapping[str, str] = {COMPONENT: "stash-restore", MANAGED_BY: STASH}


def offshoot(
    user_labels: Mapping[str, str] | None, common: Mapping[str, str] = COMMON
) -> dict[str, str]:
    """The invoker's own labels overlaid with the common ones (Stash's offshoot labels)."""
    kept = {key: value for key, value in (user_labels or {}).items() if not _of_stash(key)}
    return {**kept, **common}


def _of_stash(key: str) -> bool:
    # A user's label in our own groups would make us read our objects wrongly (spec 10.45).
    return key.startswith((f"{STASH}/", "tandem.appscode.com/"))


def of_invoker(kind: str, name: str) -> dict[str, str]:
    """The two labels by which a session names its invoker; a label value has 63 characters."""
    return {INVOKER_KIND: kind, INVOKER_NAME: name[:63].rstrip("-.")}


def owner(obj: JsonObject) -> JsonObject:
    """The owner reference of a child: controller and blocking, as Stash writes it."""
    meta = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_controlled_by(obj: JsonObject, uid: str) -> bool:
    """Whether the object's controlling owner has this uid."""
    return controller_uid(obj) == uid


def controller_uid(obj: JsonObject) -> str | None:
    """The uid of the controlling owner, if there is one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None
