"""Sets of field paths, in the shape of ``fieldsV1``. Pure.

Called by ``managed_fields`` and ``apply``. A set is a trie of dicts: ``{"f:spec": {"f:replicas":
{}}}``; an empty dict is a member, ``"."`` marks a member that has members below it. Lists of type
map give ``k:{...}``, sets give ``v:...``; atomic lists and maps are members as a whole.
See structured-merge-diff's ``fieldpath`` and ``typed`` packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from reconciler.embedded.structure import ANY, Node

FieldSet = dict[str, Any]
SELF = "."


def is_leaf(node: Node, value: Any) -> bool:
    """Whether the value is owned as a whole."""
    if isinstance(value, dict):
        return node.atomic
    if isinstance(value, list):
        return node.list_type == "atomic"
    return True


def items(node: Node, value: Any) -> Iterator[tuple[str, Any, Node, bool]]:
    """The parts of a granular value: path element, value, schema, and whether it is a struct's."""
    if isinstance(value, dict):
        for key, part in value.items():
            known = node.fields.get(key)
            yield f"f:{key}", part, known or node.child(key) or ANY, known is not None
    else:
        for item in value:
            yield element(node, item), item, node.element or ANY, False


def element(node: Node, item: Any) -> str:
    """The path element of an item of a set or map list."""
    if node.list_type == "map" and isinstance(item, dict):
        keys = {key: _key(item, key) for key in node.keys}
        keys = {key: value for key, value in keys.items() if value is not None}
        return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()
    return "v:" + orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()


def _key(item: dict[str, Any], key: str) -> Any:
    """A port's protocol is TCP when it is not said; no other key has a default."""
    if key in item:
        return item[key]
    return "TCP" if key == "protocol" else None


def of(node: Node, value: Any) -> FieldSet:
    """The set of an applied configuration: its leaves, its list items, its map entries."""
    found: FieldSet = {}
    for step, part, child, named in items(node, value):
        below = {} if is_leaf(child, part) else of(child, part)
        if below and not named:
            below[SELF] = {}
        if below or part in ({}, None) or is_leaf(child, part) or not named:
            found[step] = below
    return found


def difference(node: Node, old: Any, new: Any) -> tuple[FieldSet, FieldSet]:
    """(added or modified, removed) between two states of one object."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    before = {step: (part, child) for step, part, child, _ in items(node, old)}
    for step, part, child, _ in items(node, new):
        found = before.pop(step, None)
        if found is None:
            changed[step] = _whole(child, part)
        elif found[0] != part:
            inner = _compare(child, found[0], part)
            for whole, below in zip((changed, removed), inner, strict=True):
                if below is not None:
                    whole[step] = below
    for step, (part, child) in before.items():
        removed[step] = _whole(child, part)
    return changed, removed


def _compare(node: Node, old: Any, new: Any) -> tuple[FieldSet | None, FieldSet | None]:
    """As ``difference``, for unequal values below one step; None stands for the empty set."""
    granular = isinstance(new, (dict, list)) and not is_leaf(node, new)
    if not granular or (not new and not old):
        return {}, None
    same_shape = type(old) is type(new)
    changed, removed = difference(node, old if same_shape else type(new)(), new)
    return changed or None, removed or None


def _whole(node: Node, value: Any) -> FieldSet:
    """Everything at and below a value that is there on one side only."""
    if is_leaf(node, value) or not value:
        return {}
    found: FieldSet = {SELF: {}}
    for step, part, child, _ in items(node, value):
        found[step] = _whole(child, part)
    return found


def is_member(trie: FieldSet) -> bool:
    """Whether the place that leads to ``trie`` is itself in the set."""
    return not trie or SELF in trie


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left and not right:
        return {}
    found = {**left}
    for step, below in right.items():
        if step == SELF:
            found[SELF] = {}
        elif step in found:
            found[step] = _joined(found[step], below)
        else:
            found[step] = below
    return found


def _joined(left: FieldSet, right: FieldSet) -> FieldSet:
    """The union of two tries below one step, where {} means "member, nothing below"."""
    both = union(left, right)
    if both and (is_member(left) or is_member(right)):
        both[SELF] = {}
    return both


def minus(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of ``left`` that are not members of ``right``."""
    found: FieldSet = {}
    for step, below in left.items():
        if step == SELF:
            continue
        if step not in right:
            found[step] = below
            continue
        rest = minus(below, right[step])
        stays = is_member(below) and not is_member(right[step])
        if rest and stays:
            rest[SELF] = {}
        if rest or stays:
            found[step] = rest
    return found


def both(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members that are in ``left`` and in ``right``."""
    found: FieldSet = {}
    for step in left:
        if step == SELF or step not in right:
            continue
        below = both(left[step], right[step])
        common = is_member(left[step]) and is_member(right[step])
        if below and common:
            below[SELF] = {}
        if below or common:
            found[step] = below
    return found


def paths(trie: FieldSet, prefix: str = "") -> Iterator[str]:
    """The members as printed in messages: ``.spec.containers[name="a"].image``."""
    for step in sorted(trie):
        if step == SELF:
            continue
        place = prefix + _printed(step)
        if is_member(trie[step]):
            yield place
        yield from paths(trie[step], place)


def _printed(step: str) -> str:
    kind, _, text = step.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    keys = orjson.loads(text)
    return "[" + ",".join(f"{key}={orjson.dumps(keys[key]).decode()}" for key in keys) + "]"
