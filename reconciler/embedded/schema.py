"""Validation of custom resources against their CRD's schema, with a real server's words.

Called by ``crds`` to compile a validator for each version of a CRD. jsonschema-rs finds the faults;
this module says beforehand what Kubernetes means by its schema extensions (``transformed``) and
afterwards words each fault as ``kube-openapi`` does. Unlike Kubernetes 1.20, and like later ones,
the path of a fault in a list names the item's index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import orjson

from reconciler.api.resources import JsonObject
from reconciler.embedded.refusals import Cause, duplicate, invalid_value, required, unsupported
from reconciler.embedded.structure import Node

Validator = Callable[[JsonObject], list[Cause]]

_PLAIN = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems",
          "maxItems", "minProperties", "maxProperties", "multipleOf", "required",
          "uniqueItems")  # fmt: skip
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_FORMATS = frozenset({"date-time", "date", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"})
_JSON_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object",
               list: "array", type(None): "null"}  # fmt: skip


def validator(schema: JsonObject, node: Node) -> Validator:
    """A function from an object to its faults. Raises ValueError for an unusable schema."""
    compiled = jsonschema_rs.Draft4Validator(transformed(schema), validate_formats=True)

    def causes(obj: JsonObject) -> list[Cause]:
        if compiled.is_valid(obj):
            return list(_duplicates(node, obj, ""))
        found: list[Cause] = []
        for error in _first_of_texts(list(compiled.iter_errors(obj))):
            found.extend(_causes(error, schema))
        return [*found, *_duplicates(node, obj, "")]

    return causes


def transformed(schema: JsonObject) -> JsonObject:
    """The schema in plain JSON Schema: nullable, int-or-string and integer formats spelt out."""
    found: JsonObject = {key: schema[key] for key in _PLAIN if key in schema}
    if schema.get("exclusiveMinimum"):
        found["exclusiveMinimum"] = True
    if schema.get("exclusiveMaximum"):
        found["exclusiveMaximum"] = True
    if schema.get("format") in _FORMATS:
        found["format"] = schema["format"]
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    if schema.get("nullable"):
        _allow_null(found)
    _integer_range(found, schema)
    _nested(found, schema)
    return found


def _allow_null(found: JsonObject) -> None:
    if "type" in found:
        kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*kinds, "null"]
    if "enum" in found:
        found["enum"] = [*found["enum"], None]


def _integer_range(found: JsonObject, schema: JsonObject) -> None:
    if schema.get("type") != "integer" or schema.get("format") not in _RANGES:
        return
    low, high = _RANGES[schema["format"]]
    found["minimum"] = max(low, found.get("minimum", low))
    found["maximum"] = min(high, found.get("maximum", high))


def _nested(found: JsonObject, schema: JsonObject) -> None:
    if "properties" in schema:
        found["properties"] = {key: transformed(part) for key, part in schema["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            found[key] = transformed(schema[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            found[key] = [transformed(part) for part in schema[key]]


_OF_TEXTS = ("maxLength", "minLength", "pattern")


def _first_of_texts(
    errors: list[jsonschema_rs.ValidationError],
) -> Iterator[jsonschema_rs.ValidationError]:
    """Of several faults of one text, a real server tells the first."""
    seen: dict[str, int] = {}
    ranked = {id(error): str(error.schema_path[-1]) for error in errors}
    for error in errors:
        if ranked[id(error)] in _OF_TEXTS:
            rank = _OF_TEXTS.index(ranked[id(error)])
            path = str(error.instance_path)
            seen[path] = min(rank, seen.get(path, rank))
    for error in errors:
        name = ranked[id(error)]
        if name not in _OF_TEXTS or seen[str(error.instance_path)] == _OF_TEXTS.index(name):
            yield error


def _causes(error: jsonschema_rs.ValidationError, schema: JsonObject) -> Iterator[Cause]:
    """What a real server says about one fault."""
    path = dotted(error.instance_path)
    keyword = str(error.schema_path[-1])
    told = _WORDS.get(keyword)
    if keyword in ("anyOf", "oneOf"):
        yield _none_valid(path, keyword)
    elif keyword == "required":
        missing = str(error.message).split('"')[1]
        yield required(f"{path}.{missing}" if path else missing)
    elif told is not None:
        yield told(path, error.instance, _limits(schema, error.schema_path))
    else:
        yield invalid_value(path, error.instance, error.message)


def dotted(steps: list[str | int]) -> str:
    """``spec.members[0].alias``."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")


def _limits(schema: JsonObject, way: list[str | int]) -> JsonObject:
    """The (original) schema that a fault's schema path leads to."""
    place: Any = schema
    for step in way[:-1]:
        place = place[step]
    found: JsonObject = place
    return found


def _none_valid(path: str, keyword: str) -> Cause:
    wish = (
        "at least one schema (anyOf)" if keyword == "anyOf" else "one and only one schema (oneOf)"
    )
    tail = "" if keyword == "anyOf" else ". Found none valid"
    return Cause("<nil>", "Invalid value", f'"{path}" must validate {wish}{tail}', '""')


def _type(path: str, value: Any, limits: JsonObject) -> Cause:
    wanted = "integer,string" if limits.get("x-kubernetes-int-or-string") else limits["type"]
    found = _JSON_NAMES[type(value)]
    return invalid_value(path, found, f'{path} in body must be of type {wanted}: "{found}"')


def _enum(path: str, value: Any, limits: JsonObject) -> Cause:
    return unsupported(path, value, limits["enum"])


def _worded(pattern: str, key: str, *, counted: bool = False) -> Callable[..., Cause]:
    def cause(path: str, value: Any, limits: JsonObject) -> Cause:
        shown = len(value) if counted else value
        text = pattern.format(
            path=path, value=value, limit=limits.get(key, limits.get("format", ""))
        )
        return invalid_value(path, shown, text)

    return cause


_WORDS: dict[str, Callable[[str, Any, JsonObject], Cause]] = {
    "type": _type,
    "enum": _enum,
    "minimum": _worded("{path} in body should be greater than or equal to {limit}", "minimum"),
    "maximum": _worded("{path} in body should be less than or equal to {limit}", "maximum"),
    "minLength": _worded("{path} in body should be at least {limit} chars long", "minLength"),
    "maxLength": _worded("{path} in body should be at most {limit} chars long", "maxLength"),
    "pattern": _worded("{path} in body should match '{limit}'", "pattern"),
    "format": _worded('{path} in body must be of type {limit}: "{value}"', "format"),
    "minItems": _worded(
        "{path} in body should have at least {limit} items", "minItems", counted=True
    ),
    "maxItems": _worded(
        "{path} in body should have at most {limit} items", "maxItems", counted=True
    ),
    "multipleOf": _worded("{path} in body should be a multiple of {limit}", "multipleOf"),
}


def _duplicates(node: Node, value: Any, path: str) -> Iterator[Cause]:
    """Items of sets and map lists that are there twice."""
    if not node.unique:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            child = node.child(key)
            if child is not None:
                yield from _duplicates(child, part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        seen: set[bytes] = set()
        for index, item in enumerate(value):
            identity = _identity(node, item)
            if identity is not None:
                text = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
                if text in seen:
                    yield duplicate(f"{path}[{index}]", identity)
                seen.add(text)
            if node.element is not None:
                yield from _duplicates(node.element, item, f"{path}[{index}]")


def _identity(node: Node, item: Any) -> Any:
    if node.list_type == "map" and isinstance(item, dict):
        return {key: item.get(key) for key in node.keys}
    return item if node.list_type == "set" else None
