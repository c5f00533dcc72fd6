"""Walks over an object along its structural schema: prune, default, decode.

Called by ``admission``. They change the object in place and know nothing of requests.
Pruning and defaulting follow Kubernetes' ``apiextensions-apiserver`` (``schema/pruning``,
``schema/defaulting``); decoding follows what Go's typed JSON does to built-in kinds.
"""

from __future__ import annotations

from typing import Any

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded.store import copied
from reconciler.embedded.structure import MISSING, Node

_ENVELOPE = frozenset({"apiVersion", "kind", "metadata"})


def prune(node: Node, value: Any, unknown: list[str] | None = None, path: str = "") -> None:
    """Drop what the schema does not know or allows not to be null.

    The paths of unknown fields go to ``unknown``.
    """
    if isinstance(value, list):
        if node.element is not None and node.element.shape != "scalar":
            for index, item in enumerate(value):
                prune(node.element, item, unknown, f"{path}[{index}]")
    elif isinstance(value, dict) and node.shape != "any":
        _prune_fields(node, value, unknown, path)


def _prune_fields(node: Node, value: JsonObject, unknown: list[str] | None, path: str) -> None:
    for key, part in list(value.items()):
        child = node.child(key)
        if child is not None and part is not None and child.shape == "scalar":
            continue
        place = f"{path}.{key}" if path else key
        if child is not None and part is None and not child.nullable and node.fields:
            del value[key]  # a null that the schema does not allow counts as absent
        elif child is not None:
            prune(child, part, unknown, place)
        elif not node.preserve and not (node.embedded and key in _ENVELOPE):
            del value[key]
            if unknown is not None:
                unknown.append(place)


def default(node: Node, value: Any) -> None:
    """Fill in defaults; a null that is not allowed gives way to the default."""
    if not node.defaulted:
        return
    if isinstance(value, dict):
        _default_fields(node, value)
        if node.shape == "map" and node.element is not None:
            for item in value.values():
                default(node.element, item)
    elif isinstance(value, list) and node.element is not None:
        for item in value:
            default(node.element, item)


def _default_fields(node: Node, value: JsonObject) -> None:
    for key, child in node.fields.items():
        if child.default is not MISSING and (
            key not in value or (value[key] is None and not child.nullable)
        ):
            value[key] = copied(child.default)
        if child.defaulted and key in value:
            default(child, value[key])


@attrs.frozen
class Misfit(Exception):  # noqa: N818 -- found and turned into a Refusal at once
    """A value of the wrong type in an object of a built-in kind."""

    path: str
    found: str
    wanted: str


_KINDS_OF_JSON = {str: "string", bool: "bool", dict: "object", list: "array"}


def decode(node: Node, value: Any, path: str = "", unknown: list[str] | None = None) -> Any:
    """The value as a typed server would read and print it again.

    Unknown fields, nulls and empty lists and maps disappear (Go's ``omitempty``). Raises Misfit.
    """
    if node.shape == "any":
        return value
    if node.shape == "scalar":
        return _scalar(node, value, path)
    if node.shape == "list":
        return _items(node, value, path, unknown)
    if not isinstance(value, dict):
        raise Misfit(path, _json_kind(value), "object")
    return _members(node, value, path, unknown)


def _members(node: Node, value: JsonObject, path: str, unknown: list[str] | None) -> JsonObject:
    found: JsonObject = {}
    for key, part in value.items():
        child = node.child(key)
        place = f"{path}.{key}" if path else key
        if child is None:
            if unknown is not None:
                unknown.append(place)
        elif part is not None:
            kept = decode(child, part, place, unknown)
            if kept or not _droppable(child, kept):
                found[key] = kept
    return found


def _droppable(node: Node, value: Any) -> bool:
    """Whether an empty value is left out when printed: lists and maps are, structs are not."""
    return value == [] or (value == {} and node.shape == "map")


def _items(node: Node, value: Any, path: str, unknown: list[str] | None) -> list[Any]:
    if not isinstance(value, list):
        raise Misfit(path, _json_kind(value), "array")
    element = node.element
    if element is None or element.shape == "any":
        return value
    return [decode(element, item, f"{path}[{n}]", unknown) for n, item in enumerate(value)]


def _scalar(node: Node, value: Any, path: str) -> Any:
    kind, known = type(value), node.type
    fits = (
        (known == "string" and kind is str)
        or (known == "integer" and kind is int)
        or (known == "boolean" and kind is bool)
        or (known == "number" and kind in (int, float))
        or (node.int_or_string and kind in (int, str))
    )
    if fits:
        return value
    if known == "string" and not node.format and kind in (int, float) and _quantity(path):
        return _quantity_text(value)
    if kind is float and known == "integer" and value.is_integer():
        return int(value)
    raise Misfit(path, _json_kind(value), _go_type(node))


def _quantity(path: str) -> bool:
    """Whether the place holds a quantity, which may be a number (``cpu: 1``)."""
    parts = path.replace("[", ".").split(".")
    return any(
        part in ("limits", "requests", "capacity", "allocatable", "hard", "used", "sizeLimit",
                 "divisor", "overhead", "default", "max", "min", "averageValue")
        for part in parts
    )  # fmt: skip


def _quantity_text(value: float) -> str:
    """A number as a quantity is printed: ``1``, or ``500m`` for a half."""
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"


def _go_type(node: Node) -> str:
    if node.type == "integer":
        return node.format or "int32"
    return {"boolean": "bool", "number": "float64"}.get(node.type, node.type)


def _json_kind(value: Any) -> str:
    return _KINDS_OF_JSON.get(type(value), "number")
