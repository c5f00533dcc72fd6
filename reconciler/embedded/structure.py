"""Structural schemas: what a kind's fields are, compiled for the walkers.

Called by ``kinds`` (built-in types, from ``data/types.json``) and ``crds`` (the schemas of a CRD).
The walkers for pruning, defaulting, decoding and field sets all go over ``Node`` trees; this module
only builds them. See Kubernetes' "structural schemas" and structured-merge-diff.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Callable
from typing import Any

import attrs
import orjson

from reconciler.api.resources import JsonObject

MISSING: Any = object()
"""No default."""


@attrs.define(eq=False)
class Node:
    """One place in a schema.

    ``shape`` is "struct" (named fields), "map" (any keys, values of one type), "list", "scalar" or
    "any" (nothing is known: everything is kept and owned as a whole).
    """

    shape: str = "any"
    type: str = ""
    format: str = ""
    fields: dict[str, Node] = attrs.field(factory=dict)
    element: Node | None = None
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    atomic: bool = False
    """A struct or map that is owned and merged as a whole."""
    merge_key: str = ""
    retain_keys: bool = False
    patched: bool = False
    """A strategic merge patch merges the list's items instead of replacing the list."""
    preserve: bool = False
    embedded: bool = False
    nullable: bool = False
    int_or_string: bool = False
    default: Any = MISSING
    required: tuple[str, ...] = ()
    defaulted: bool = False
    """Whether a default is here or somewhere below."""
    unique: bool = False
    """Whether a set or map list is here or somewhere below."""

    def child(self, key: str) -> Node | None:
        """The schema of a key of a struct or map; None when the key is unknown."""
        found = self.fields.get(key)
        if found is not None:
            return found
        return self.element if self.shape == "map" else None


ANY = Node()
Resolver = Callable[[str], Node]


def compile_schema(schema: JsonObject, resolve: Resolver | None = None) -> Node:
    """The node of an OpenAPI schema; ``resolve`` gives the node of a ``$ref``."""
    if "$ref" in schema:
        return _referred(schema, resolve)
    node = Node()
    fill(node, schema, resolve)
    return node


def _referred(schema: JsonObject, resolve: Resolver | None) -> Node:
    if resolve is None:
        return ANY
    return resolve(schema["$ref"])


def fill(node: Node, schema: JsonObject, resolve: Resolver | None = None) -> None:
    """Make ``node`` what the schema says; apart from its making, because types may be recursive."""
    node.type, node.format = schema.get("type", ""), schema.get("format", "")
    node.nullable = bool(schema.get("nullable"))
    node.int_or_string = bool(schema.get("x-kubernetes-int-or-string")) or (
        node.format == "int-or-string"
    )
    node.preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    node.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    node.default = schema.get("default", MISSING)
    node.required = tuple(schema.get("required", ()))
    node.atomic = schema.get("x-kubernetes-map-type") == "atomic"
    _shape(node, schema, resolve)
    children = [*node.fields.values(), *([node.element] if node.element else [])]
    node.defaulted = node.default is not MISSING or any(part.defaulted for part in children)
    node.unique = node.list_type != "atomic" or any(part.unique for part in children)


def _shape(node: Node, schema: JsonObject, resolve: Resolver | None) -> None:
    if "properties" in schema:
        node.shape = "struct"
        node.fields = {
            name: compile_schema(part, resolve) for name, part in schema["properties"].items()
        }
    if node.type == "array":
        node.shape = "list"
        node.element = compile_schema(schema.get("items", {}), resolve)
        _list(node, schema)
    elif isinstance(schema.get("additionalProperties"), dict):
        node.shape = "map"
        node.element = compile_schema(schema["additionalProperties"], resolve)
    elif node.type == "object" and node.shape != "struct":
        node.shape = "any" if node.preserve or schema.get("additionalProperties") else "struct"
    elif node.type or node.int_or_string:
        node.shape = node.shape if node.shape == "struct" else "scalar"


def _list(node: Node, schema: JsonObject) -> None:
    strategy = schema.get("x-kubernetes-patch-strategy", "").split(",")
    node.patched, node.retain_keys = "merge" in strategy, "retainKeys" in strategy
    node.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
    node.list_type = schema.get("x-kubernetes-list-type", "")
    node.keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    if not node.list_type and node.patched:
        node.list_type = "map" if node.merge_key else "set"
        node.keys = (node.merge_key,) if node.merge_key else ()
    node.list_type = node.list_type or "atomic"


class Types:
    """The built-in types, compiled when first asked for."""

    def __init__(self) -> None:
        self.document: JsonObject = _document()
        self._nodes: dict[str, Node] = {}

    def of_kind(self, api_version: str, kind: str) -> Node | None:
        """The schema of a built-in kind; None when nothing is known of it."""
        name = self.document["kinds"].get(f"{api_version}/{kind}")
        return self.resolve(name) if name else None

    def resolve(self, name: str) -> Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node()
            fill(node, self.document["types"][name], self.resolve)
        return node


@functools.cache
def _document() -> JsonObject:
    folder = importlib.resources.files("reconciler.embedded")
    found: JsonObject = orjson.loads((folder / "data" / "types.json").read_bytes())
    return found


@functools.cache
def builtin() -> Types:
    """The process's built-in types."""
    return Types()


@functools.cache
def object_meta() -> Node:
    """The schema of ``metadata``, for custom resources too."""
    return builtin().resolve("meta.v1.ObjectMeta")
