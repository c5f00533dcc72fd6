"""Owner references, computed names and hashes that all built-in controllers share.

Called by the controllers of this package; pure. The conventions are Kubernetes': a controller
reference has ``controller`` and ``blockOwnerDeletion``, and an object has at most one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from reconciler.api.resources import JsonObject, Resource
from reconciler.decisions.controller import controller_of
from reconciler.decisions.plan import View

__all__ = [
    "child_name",
    "controller_of",
    "controller_reference",
    "deleting",
    "digest",
    "matches",
    "owned",
]

NAME_LIMIT = 63
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' safe alphabet: no vowels, no look-alikes


def controller_reference(resource: Resource, owner: JsonObject) -> JsonObject:
    """The owner reference by which ``owner`` controls what it creates."""
    meta = owner["metadata"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned(view: View, resource: Resource, owner: JsonObject) -> list[JsonObject]:
    """What ``owner`` controls, by its uid, in its namespace."""
    meta = owner["metadata"]
    return list(view.list(resource, meta.get("namespace", ""), owner_uid=meta["uid"]))


def digest(value: object, length: int = 5) -> str:
    """A short stable hash of a JSON value, in Kubernetes' safe alphabet."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def child_name(owner: str, suffix: str) -> str:
    """``<owner>-<suffix>``, the owner's part cut so that the name stays a DNS label."""
    return f"{owner[: NAME_LIMIT - 1 - len(suffix)].rstrip('-.')}-{suffix}"


def deleting(obj: JsonObject) -> bool:
    """Whether the object is being deleted (it may still be held by finalizers)."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def matches(labels: Mapping[str, str] | None, selector: Mapping[str, Any] | None) -> bool:
    """Whether a label selector (matchLabels and matchExpressions) selects these labels.

    An absent selector selects nothing, an empty one everything (Kubernetes API convention).
    """
    if selector is None:
        return False
    found = labels or {}
    wanted = selector.get("matchLabels") or {}
    if any(found.get(name) != value for name, value in wanted.items()):
        return False
    return all(_holds(found, rule) for rule in selector.get("matchExpressions") or ())


def _holds(labels: Mapping[str, str], rule: Mapping[str, Any]) -> bool:
    name, values = rule["key"], rule.get("values") or []
    match rule["operator"]:
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case _:  # DoesNotExist, the only other operator that the API admits
            return name not in labels
