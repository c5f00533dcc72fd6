"""The differences between two states of a cluster, object by object.

Called by ``plan``; pure. What a server fills in by itself, status, and the values of Secrets are
left out: they are not what anybody decides on, or nobody should see them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs
import yaml

from reconciler.api.resources import JsonObject

Action = Literal["create", "change", "delete"]
Author = Literal["files", "operator"]
Name = tuple[str, str, str, str]
"""(apiVersion, kind, namespace, name)"""
State = Mapping[Name, JsonObject]

_SERVERS = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
)
HIDDEN = "(hidden)"


@attrs.frozen
class Change:
    """One object that would be created, changed or deleted. ``diff`` is a unified diff of YAML."""

    action: Action
    api_version: str
    kind: str
    namespace: str
    name: str
    author: Author
    diff: str

    @property
    def subject(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


def name_of(obj: JsonObject) -> Name:
    meta = obj["metadata"]
    return obj["apiVersion"], obj["kind"], meta.get("namespace", ""), meta["name"]


def by_name(objects: Iterable[JsonObject]) -> dict[Name, JsonObject]:
    return {name_of(obj): obj for obj in objects}


def compare(before: State, after: State, author: Author) -> list[Change]:
    """What ``author`` did to turn ``before`` into ``after``, by kind, namespace and name."""
    changes = [
        change
        for name in {**before, **after}
        if (change := _change(name, before.get(name), after.get(name), author)) is not None
    ]
    return sorted(changes, key=lambda c: (bool(c.namespace), c.kind, c.namespace, c.name))


def _change(
    name: Name, old: JsonObject | None, new: JsonObject | None, author: Author
) -> Change | None:
    left, right = _text(old), _text(new)
    if left == right:
        return None
    action: Action = "create" if old is None else "delete" if new is None else "change"
    lines = difflib.unified_diff(left, right, "now", "planned", lineterm="", n=4)
    return Change(action, *name, author=author, diff="\n".join(lines))


def _text(obj: JsonObject | None) -> list[str]:
    if obj is None:
        return []
    return yaml.safe_dump(shown(obj), sort_keys=True, width=100).splitlines()


def decided(obj: JsonObject) -> JsonObject:
    """What somebody decided about an object: all but status and what the server keeps about it."""
    kept: dict[str, Any] = {key: value for key, value in obj.items() if key != "status"}
    kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in _SERVERS}
    return kept


def shown(obj: JsonObject) -> JsonObject:
    """What may be shown of it: a Secret's values are hidden."""
    kept = decided(obj)
    if obj["kind"] == "Secret":
        for field in ("data", "stringData"):
            if field in kept:
                kept[field] = dict.fromkeys(kept[field], HIDDEN)
    return kept
