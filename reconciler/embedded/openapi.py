"""The OpenAPI documents, as far as kubectl needs them: the schemas of the served kinds.

Called by ``discovery``. ``/openapi/v3`` lists a document for each group and version; the documents
have the schemas and the patch operations (kubectl looks there whether the server validates
fields). ``/openapi/v2`` has definitions only. Descriptions of built-in kinds are left out.
"""

from __future__ import annotations

from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import Response
from reconciler.embedded.kinds import Kind, Registry
from reconciler.embedded.structure import builtin

_INFO = {"title": "Tandem's embedded Kubernetes", "version": "v1.31.0+tandem"}
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")


def answer(registry: Registry, path: str, accept: str) -> Response | None:
    """The response of an ``/openapi`` path; None when there is no such document."""
    if path == "/openapi/v2":
        if "protobuf" in accept and "json" not in accept:
            return Response(406, None)
        return Response(200, _version2(registry))
    if path == "/openapi/v3":
        return Response(200, {"paths": _documents(registry)})
    wanted = path.removeprefix("/openapi/v3/")
    if wanted not in _documents(registry):
        return None
    return Response(200, _version3(registry, wanted))


def _documents(registry: Registry) -> JsonObject:
    places = {kind.resource.path().lstrip("/").rpartition("/")[0] for kind in registry}
    return {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in sorted(places)}


def _version2(registry: Registry) -> JsonObject:
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {},
        "definitions": _schemas(list(registry), "#/definitions/"),
    }


def _version3(registry: Registry, place: str) -> JsonObject:
    kinds = [
        kind for kind in registry if kind.resource.path().lstrip("/").rpartition("/")[0] == place
    ]
    paths: JsonObject = {}
    for kind in kinds:
        paths.update(_operations(kind))
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": paths,
        "components": {"schemas": _schemas(kinds, "#/components/schemas/")},
    }


def _operations(kind: Kind) -> JsonObject:
    path = kind.resource.path("{namespace}", "{name}")
    operation = {
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _gvk(kind),
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in _PARAMETERS
        ],
        "responses": {"200": {"description": "OK"}},
    }
    return {path: {"patch": operation}}


def _gvk(kind: Kind) -> JsonObject:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schemas(kinds: list[Kind], prefix: str) -> JsonObject:
    document = builtin().document
    found: JsonObject = {}
    for kind in kinds:
        marks = {"x-kubernetes-group-version-kind": [_gvk(kind)]}
        name = document["kinds"].get(f"{kind.resource.api_version}/{kind.name}")
        if name is not None:
            _collect(name, document["types"], prefix, found)
            found[name] = {**found[name], **marks}
        else:
            own = f"{kind.group}.{kind.resource.version}.{kind.name}"
            found[own] = {**_custom(kind, prefix), **marks}
            _collect("meta.v1.ObjectMeta", document["types"], prefix, found)
    return found


def _custom(kind: Kind, prefix: str) -> JsonObject:
    schema = kind.openapi or {"type": "object"}
    meta = {"$ref": f"{prefix}meta.v1.ObjectMeta"}
    return {**schema, "properties": {**schema.get("properties", {}), "metadata": meta}}


def _collect(name: str, types: JsonObject, prefix: str, found: JsonObject) -> None:
    """Add a built-in type and those that it refers to."""
    if name in found:
        return
    found[name] = {}
    found[name] = _referring(types[name], types, prefix, found)


def _referring(schema: Any, types: JsonObject, prefix: str, found: JsonObject) -> Any:
    if isinstance(schema, list):
        return [_referring(part, types, prefix, found) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        _collect(schema["$ref"], types, prefix, found)
        return {"$ref": prefix + schema["$ref"]}
    return {key: _referring(part, types, prefix, found) for key, part in schema.items()}
