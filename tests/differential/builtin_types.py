"""Make ``reconciler/embedded/data/types.json``: the fields of the built-in kinds.

Run by hand when newer kinds or fields are wanted::

    kubectl --kubeconfig ... get --raw /openapi/v2 > swagger.json
    python tests/differential/builtin_types.py swagger.json

Types, formats, required fields and merge keys are facts of Kubernetes' published OpenAPI document;
descriptions are left out. Fields that are newer than that server come from the models of the
``kubernetes`` package.
"""

from __future__ import annotations

import json
import pathlib
import sys
import types
import typing
from datetime import datetime
from typing import Any

from kubernetes import client
from pydantic import BaseModel

from reconciler.embedded.kinds import BUILT_IN

TARGET = pathlib.Path("reconciler/embedded/data/types.json")
KEPT = {"type", "format", "items", "properties", "additionalProperties", "required", "$ref"}
EXTENSIONS = "x-kubernetes-"
PROMOTED = {
    "batch.v1beta1": "batch.v1",
    "autoscaling.v2beta2": "autoscaling.v2",
    "policy.v1beta1": "policy.v1",
    "discovery.v1beta1": "discovery.v1",
}
"""Versions that have since become stable under another name."""
RENAMED = {
    "batch/v1beta1/CronJob": "batch/v1/CronJob",
    "autoscaling/v2beta2/HorizontalPodAutoscaler": "autoscaling/v2/HorizontalPodAutoscaler",
    "policy/v1beta1/PodDisruptionBudget": "policy/v1/PodDisruptionBudget",
    "discovery.k8s.io/v1beta1/EndpointSlice": "discovery.k8s.io/v1/EndpointSlice",
}
OPAQUE = {"JSONSchemaProps", "JSON", "FieldsV1", "RawExtension"}


def short(name: str) -> str:
    """``apps.v1.Deployment`` for ``io.k8s.api.apps.v1.Deployment``."""
    group, version, kind = name.split(".")[-3:]
    return PROMOTED.get(f"{group}.{version}", f"{group}.{version}") + f".{kind}"


def trimmed(schema: Any) -> Any:
    """A schema without descriptions, with short references."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref":
            found[key] = short(value.rpartition("/")[2])
        elif key == "properties":
            found[key] = {name: trimmed(part) for name, part in value.items()}
        elif key in ("items", "additionalProperties"):
            found[key] = trimmed(value)
        elif key in KEPT or (key.startswith(EXTENSIONS) and "group-version" not in key):
            found[key] = value
    return found


class Models:
    """The ``kubernetes`` package's models, as a source of newer fields."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions
        self.added: dict[str, type[BaseModel]] = {}

    def model(self, name: str) -> type[BaseModel] | None:
        group, version, kind = name.split(".")
        upper = version[0].upper() + version[1:]
        for candidate in (f"{group.capitalize()}{upper}{kind}", f"{upper}{kind}"):
            found = getattr(client, candidate, None)
            if found is not None:
                return found
        return None

    def extend(self, name: str) -> None:
        """Add the fields that the definition lacks."""
        model = self.model(name)
        schema = self.definitions[name]
        if model is None or "properties" not in schema:
            return
        for field, info in model.model_fields.items():
            wire = info.serialization_alias or field
            if wire not in schema["properties"]:
                schema["properties"][wire] = self.schema(info.annotation, name)

    def schema(self, annotation: Any, near: str) -> dict[str, Any]:
        """The OpenAPI schema of a field's annotation."""
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return self.schema(next(arg for arg in args if arg is not type(None)), near)
        if origin is typing.Annotated:
            return self.schema(args[0], near)
        if origin is list:
            return {"type": "array", "items": self.schema(args[0], near)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.schema(args[1], near)}
        return self._plain(annotation, near)

    def _plain(self, annotation: Any, near: str) -> dict[str, Any]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return {"$ref": self.reference(annotation, near)}
        if annotation is datetime:
            return {"type": "string", "format": "date-time"}
        plain = {str: "string", int: "integer", bool: "boolean", float: "number"}
        if annotation in plain:
            return {"type": plain[annotation]}
        return {"x-kubernetes-preserve-unknown-fields": True}

    def reference(self, model: type[BaseModel], near: str) -> str:
        for name in self.definitions:
            if self.model(name) is model:
                return name
        group, version, _ = near.split(".")
        upper = version[0].upper() + version[1:]
        name = f"{group}.{version}.{model.__name__.removeprefix(upper)}"
        self.definitions[name] = {
            "type": "object",
            "properties": {},
            "required": [
                info.serialization_alias or field
                for field, info in model.model_fields.items()
                if info.is_required()
            ],
        }
        self.extend(name)
        return name


def closure(definitions: dict[str, Any], roots: set[str]) -> dict[str, Any]:
    """The definitions that the roots need."""
    wanted, queue = set(roots), list(roots)
    while queue:
        for name in references(definitions[queue.pop()]):
            if name not in wanted:
                wanted.add(name)
                queue.append(name)
    return {name: definitions[name] for name in sorted(wanted)}


def references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(references, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(references, schema.values()))


def main() -> None:
    swagger = json.loads(pathlib.Path(sys.argv[1]).read_text())
    definitions = {short(name): trimmed(schema) for name, schema in swagger["definitions"].items()}
    for name in [name for name in definitions if name.rpartition(".")[2] in OPAQUE]:
        definitions[name] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    roots: dict[str, str] = {}
    for name, schema in swagger["definitions"].items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            text = f"{gvk['group']}/{gvk['version']}/{gvk['kind']}".lstrip("/")
            roots[RENAMED.get(text, text)] = short(name)
    models = Models(definitions)
    kinds = {f"{kind.resource.api_version}/{kind.name}": kind for kind in BUILT_IN}
    wanted = {text: roots[text] for text in kinds if text in roots}
    for name in list(closure(definitions, set(wanted.values()))):
        models.extend(name)
    found = closure(definitions, set(wanted.values()))
    document = {"kinds": wanted, "types": found}
    TARGET.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")
    missing = sorted(set(kinds) - set(wanted))
    print(f"{len(wanted)} kinds, {len(found)} types; without types: {missing}")


if __name__ == "__main__":
    main()
