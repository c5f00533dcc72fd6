"""CustomResourceDefinitions: what they must be, and the kinds that they make the server serve.

Called by ``admission`` when a CRD is written. Conversion strategy None only: versions differ in
``apiVersion`` and schema.
"""

from __future__ import annotations

from typing import Any

from reconciler.api.resources import JsonObject, Resource
from reconciler.embedded import schema
from reconciler.embedded.kinds import Column, Kind
from reconciler.embedded.refusals import Cause, invalid_value, required, unsupported
from reconciler.embedded.store import Bucket
from reconciler.embedded.structure import Node, compile_schema, object_meta
from reconciler.embedded.walkers import default

BUCKET = ("apiextensions.k8s.io", "customresourcedefinitions")
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_SCALAR = Node(shape="scalar", type="string")


def complete(crd: JsonObject) -> None:
    """Fill in the defaults of a CRD's spec."""
    spec = crd["spec"]
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if kind:
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})


def causes(crd: JsonObject) -> list[Cause]:
    """What is wrong with a CRD."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    found = [
        required(f"spec.{path}")
        for path, value in (
            ("group", spec.get("group")),
            ("scope", spec.get("scope")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
        )
        if not value
    ]
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if crd["metadata"]["name"] != wanted:
        detail = 'must be spec.names.plural+"."+spec.group'
        found.insert(0, invalid_value("metadata.name", crd["metadata"]["name"], detail))
    if spec.get("scope") and spec["scope"] not in ("Cluster", "Namespaced"):
        found.append(unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
    return [*found, *_version_causes(spec.get("versions") or [])]


def _version_causes(versions: list[JsonObject]) -> list[Cause]:
    found: list[Cause] = []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        found.append(invalid_value("spec.versions", versions, detail))
    for index, version in enumerate(versions):
        place = f"spec.versions[{index}].schema.openAPIV3Schema"
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        if root is None:
            found.append(required(place, "schemas are required"))
            continue
        try:
            schema.validator(root, Node())
        except ValueError as error:
            found.append(invalid_value(place, "schema", str(error)))
    return found


def bucket(crd: JsonObject) -> Bucket:
    """Where the CRD's objects are."""
    return crd["spec"]["group"], crd["spec"]["names"]["plural"]


def accept(crd: JsonObject, now: str) -> None:
    """Write the status of a CRD whose names are accepted."""
    spec = crd["spec"]
    status = crd.setdefault("status", {})
    status["acceptedNames"] = dict(spec["names"])
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    if stored not in status.setdefault("storedVersions", []):
        status["storedVersions"].append(stored)
    if not status.get("conditions"):
        status["conditions"] = [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
            _condition(
                "Established", "InitialNamesAccepted", "the initial names have been accepted", now
            ),
        ]


def _condition(kind: str, reason: str, message: str, now: str) -> JsonObject:
    return {
        "lastTransitionTime": now,
        "message": message,
        "reason": reason,
        "status": "True",
        "type": kind,
    }


def kinds(crd: JsonObject) -> list[Kind]:
    """The served versions of a CRD, and its storage version."""
    spec = crd["spec"]
    return [
        _kind(spec, version)
        for version in spec["versions"]
        if version.get("served") or version.get("storage")
    ]


def _kind(spec: JsonObject, version: JsonObject) -> Kind:
    names = spec["names"]
    root = version["schema"]["openAPIV3Schema"]
    node = structure(root)
    subresources = version.get("subresources") or {}
    return Kind(
        Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            namespaced=spec["scope"] == "Namespaced",
        ),
        singular=names["singular"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=frozenset(subresources),
        list_kind=names["listKind"],
        custom=True,
        served=bool(version.get("served")),
        storage=bool(version.get("storage")),
        columns=_columns(version),
        scale=subresources.get("scale") or {},
        structure=node,
        validate=schema.validator(root, node),
        openapi=root,
    )


def structure(root: JsonObject) -> Node:
    """The node of a CRD's root schema: what every object has is added to it."""
    node = compile_schema(root)
    if node.shape == "any":
        return node
    node.fields = {
        **node.fields,
        "apiVersion": _SCALAR,
        "kind": _SCALAR,
        "metadata": object_meta(),
    }
    return node


def _columns(version: JsonObject) -> tuple[Column, ...]:
    found = version.get("additionalPrinterColumns")
    if not found:
        return (Column("Age", "date", ".metadata.creationTimestamp"),)
    return tuple(
        Column(
            column["name"],
            column["type"],
            column["jsonPath"],
            priority=column.get("priority", 0),
            description=column.get("description", ""),
            format=column.get("format", ""),
        )
        for column in found
    )


def defaulted(kind: Kind, obj: Any) -> Any:
    """``obj`` with the defaults that its schema has now (it may be older than they are)."""
    if kind.structure is not None:
        default(kind.structure, obj)
    return obj
