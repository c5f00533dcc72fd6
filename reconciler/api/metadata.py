"""What every Kubernetes object has in common, and how attributes are named in JSON.

Used by every module of types here, by ``decoding`` and by ``crds``. Attributes are snake_case, JSON
is camelCase; an attribute whose JSON name cannot be derived carries it in its metadata (``named``).
Types are frozen: an object read is a fact, and what shall be is built anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

import attrs

from reconciler.api.resources import JsonObject

Int32 = Annotated[int, "int32"]
"""An integer that Kubernetes stores in 32 bits; the schema says so."""

Int64 = Annotated[int, "int64"]
"""An integer that Kubernetes stores in 64 bits; the schema says so."""

Timestamp = Annotated[str, "date-time"]
"""A moment in RFC 3339, as Kubernetes writes it; "" where there is none."""

IntOrString = int | str
"""A port, a percentage or a quantity: Kubernetes' IntOrString."""


def is_int_or_string(hint: object) -> bool:
    """Whether a type is IntOrString, or IntOrString or None (the two unions are one)."""
    return set(get_args(hint)) - {type(None)} == {int, str}


SECRET_LIKE = frozenset({"addKey", "caBundle", "env", "body", "form", "value"})
"""JSON keys below which a value may be a secret: no fault ever shows one."""


def named(json_name: str) -> dict[str, str]:
    """Attribute metadata: the JSON name, where camelCase of the attribute would be wrong."""
    return {"json": json_name}


def json_name(attribute: attrs.Attribute[Any]) -> str:
    """The JSON name of an attribute: ``storage_secret_name`` is ``storageSecretName``."""
    given = attribute.metadata.get("json")
    if given is not None:
        return str(given)
    head, *tail = attribute.name.split("_")
    return head + "".join(word.capitalize() for word in tail)


@attrs.frozen(kw_only=True)
class OwnerReference:
    """Who an object belongs to; at most one owner is the controller."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


@attrs.frozen(kw_only=True)
class ObjectMeta:
    """The metadata of an object, as Kubernetes defines it."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: Int64 = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: Int64 | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    managed_fields: tuple[JsonObject, ...] = ()
    self_link: str = ""
    cluster_name: str = ""

    @property
    def terminating(self) -> bool:
        """Whether somebody asked for the deletion of the object."""
        return bool(self.deletion_timestamp)


@attrs.frozen(kw_only=True)
class LocalObjectReference:
    """The name of an object in the same namespace."""

    name: str = ""


@attrs.frozen(kw_only=True)
class TargetRef:
    """What is backed up or restored: an object in the namespace of its invoker."""

    api_version: str = ""
    kind: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
