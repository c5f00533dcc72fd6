"""Strategic merge patch: lists of objects are merged by their merge keys. Pure.

Called by ``server.Server`` for PATCH of built-in kinds; this is what ``kubectl apply``, ``edit``,
``set`` and ``label`` send. Merge keys come from the kind's ``structure``. Directives: ``$patch``
(delete, replace), ``$retainKeys``, ``$setElementOrder/x``, ``$deleteFromPrimitiveList/x``.
"""

from __future__ import annotations

from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded import refusals
from reconciler.embedded.structure import ANY, Node

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def merge(node: Node, target: JsonObject, patch: JsonObject) -> JsonObject:
    """``target`` with the patch applied; changes ``target``."""
    directive = patch.get("$patch")
    if directive == "replace":
        replaced: JsonObject = _plain(patch)
        return replaced
    if directive == "delete":
        return {}
    if "$retainKeys" in patch:
        retained = set(patch["$retainKeys"])
        target = {key: value for key, value in target.items() if key in retained}
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_key(node, target, key, value)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            target[name] = [item for item in target.get(name) or () if item not in value]
        elif key.startswith(_ORDER):
            _reorder(node, target, key.removeprefix(_ORDER), value)
    return target


def _merge_key(node: Node, target: JsonObject, key: str, value: Any) -> None:
    child = node.child(key) or ANY
    if value is None:
        target.pop(key, None)
    elif isinstance(value, dict):
        if value.get("$patch") == "delete":
            target.pop(key, None)
            return
        before = target.get(key)
        target[key] = merge(child, before if isinstance(before, dict) else {}, value)
    elif isinstance(value, list) and child.patched:
        target[key] = _merge_list(child, target.get(key) or [], value)
    else:
        target[key] = value


def _merge_list(node: Node, target: list[Any], patch: list[Any]) -> list[Any]:
    if not node.merge_key:
        return _ordered(target, target + [item for item in patch if item not in target], patch)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [_plain(item) for item in patch if item.get("$patch") != "replace"]
    before = [item.get(node.merge_key) for item in target]
    for item in patch:
        target = _merge_item(node, target, item)
    order = [item.get(node.merge_key) for item in patch]
    return _ordered(before, target, order, node.merge_key)


def _merge_item(node: Node, target: list[Any], item: JsonObject) -> list[Any]:
    key = node.merge_key
    if key not in item:
        raise refusals.Refusal(
            500,
            "InternalError",
            f"map: {refusals.printed(item)} does not contain declared merge key: {key}",
        )
    if item.get("$patch") == "delete":
        return [found for found in target if found.get(key) != item[key]]
    for index, found in enumerate(target):
        if found.get(key) == item[key]:
            target[index] = merge(node.element or ANY, found, item)
            return target
    return [*target, merge(node.element or ANY, {}, item)]


def _plain(patch: Any) -> Any:
    """A value without directives and nulls."""
    if isinstance(patch, dict):
        return {
            key: _plain(value)
            for key, value in patch.items()
            if not key.startswith("$") and value is not None
        }
    return [_plain(item) for item in patch] if isinstance(patch, list) else patch


def _reorder(node: Node, target: JsonObject, name: str, order: list[Any]) -> None:
    """Bring the items into the order that the patch gives; others keep their places among them."""
    items = target.get(name)
    key = (node.child(name) or ANY).merge_key
    if isinstance(items, list):
        wanted = [entry.get(key) if isinstance(entry, dict) else entry for entry in order]
        target[name] = _ordered([_identity(item, key) for item in items], items, wanted, key)


def _identity(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _ordered(before: list[Any], items: list[Any], order: list[Any], key: str = "") -> list[Any]:
    """Items that the patch names, in its order, merged with the others.

    ``before`` is what the list was: an item that was not there comes before the others, one that
    was there keeps its place relative to them (Kubernetes' ``normalizeElementOrder``).
    """
    place = {value: index for index, value in enumerate(before)}
    rank = {value: index for index, value in enumerate(order)}
    named = sorted(
        (item for item in items if _identity(item, key) in rank),
        key=lambda item: rank[_identity(item, key)],
    )
    others = [item for item in items if _identity(item, key) not in rank]
    found: list[Any] = []
    for item in named:
        mine = place.get(_identity(item, key), -1)
        while others and place.get(_identity(others[0], key), 0) < mine:
            found.append(others.pop(0))
        found.append(item)
    return [*found, *others]
