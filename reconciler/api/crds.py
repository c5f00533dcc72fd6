"""CustomResourceDefinitions, generated from the types of this package.

``python -m reconciler.api.crds`` writes ``crds/*.yaml``; a test fails when they are stale.
``crds()`` is for those who install them: the embedded server and ``tandem crds``.

The schemas are structural and keep to what Kubernetes 1.20 knows, so that one file serves every
version. Descriptions (``kubectl explain``) are the docstrings of classes and attributes. Objects
that Kubernetes owns are kept as they are given.
"""

from __future__ import annotations

import ast
import functools
import inspect
import pathlib
import sys
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import yaml

from reconciler.api.app_binding import AppBinding
from reconciler.api.backup import BackupBatch, BackupConfiguration
from reconciler.api.metadata import ObjectMeta, is_int_or_string, json_name
from reconciler.api.repository import Repository
from reconciler.api.resources import CUSTOM_RESOURCE_DEFINITIONS, JsonObject, Resource
from reconciler.api.restore import RestoreBatch, RestoreSession
from reconciler.api.session import BackupSession
from reconciler.api.task import Function, Task

_HEADER: Final = "# Generated from the types in reconciler/api by: python -m reconciler.api.crds\n"
_SCALARS: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}
_ANY_OBJECT: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@attrs.frozen
class Column:
    """One column of ``kubectl get``. A date column shows an age, so it is for the past only."""

    name: str
    path: str
    type: str = "string"
    format: str = ""

    def to_json(self) -> JsonObject:
        optional = {"format": self.format} if self.format else {}
        return {"name": self.name, "type": self.type, **optional, "jsonPath": self.path}


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
_STASH: Final = ("stash", "appscode", "all")
_SCHEDULED: Final = (
    Column("Schedule", ".spec.schedule"),
    Column("Paused", ".spec.paused", "boolean"),
    Column("Phase", ".status.phase"),
    Column("Last", ".status.lastSessionTime", "date"),
    Column("Next", ".status.nextSessionTime"),
    _AGE,
)
_RESTORE: Final = (
    Column("Repository", ".spec.repository.name"),
    Column("Phase", ".status.phase"),
    Column("Duration", ".status.sessionDuration"),
    _AGE,
)


@attrs.frozen
class Kind:
    """What a definition says beside the schema."""

    cls: type[Any]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = _STASH
    columns: tuple[Column, ...] = (_AGE,)

    @property
    def resource(self) -> Resource:
        resource: Resource = self.cls.RESOURCE
        return resource


KINDS: Final = (
    Kind(BackupBatch, columns=_SCHEDULED),
    Kind(
        BackupConfiguration,
        ("bc",),
        columns=(Column("Task", ".spec.task.name"), *_SCHEDULED),
    ),
    Kind(
        BackupSession,
        columns=(
            Column("Invoker-Type", ".spec.invoker.kind"),
            Column("Invoker-Name", ".spec.invoker.name"),
            Column("Phase", ".status.phase"),
            _AGE,
        ),
    ),
    Kind(RestoreSession, ("restore",), columns=_RESTORE),
    Kind(RestoreBatch, columns=_RESTORE),
    Kind(
        Repository,
        ("repo",),
        ("stash", "appscode"),
        columns=(
            Column("Integrity", ".status.integrity", "boolean"),
            Column("Size", ".status.totalSize"),
            Column("Snapshot-Count", ".status.snapshotCount", "integer"),
            Column("Last-Successful-Backup", ".status.lastBackupTime", "date", "date-time"),
            _AGE,
        ),
    ),
    Kind(Function, ("fn",), ("stash", "appscode")),
    Kind(Task, ("task",), ("stash", "appscode")),
    Kind(
        AppBinding,
        (),
        ("catalog", "appscode", "all"),
        columns=(Column("Type", ".spec.type"), Column("Version", ".spec.version"), _AGE),
    ),
)
"""Every kind of the API, with its names and columns: Stash's, and what Tandem adds."""


def crds() -> list[JsonObject]:
    """The definitions, in the order of ``KINDS``; fresh objects that may be changed."""
    return [_definition(kind) for kind in KINDS]


def render() -> dict[str, str]:
    """The files: name to YAML."""
    return {
        f"{crd['spec']['group']}_{crd['spec']['names']['plural']}.yaml": _HEADER
        + yaml.safe_dump(crd, sort_keys=False, width=100)
        for crd in crds()
    }


def main(folder: pathlib.Path) -> None:
    """Write the files into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")


def _definition(kind: Kind) -> JsonObject:
    resource = kind.resource
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {
            "name": f"{resource.plural}.{resource.group}",
            "labels": {"app.kubernetes.io/name": "stash"},
        },
        "spec": {
            "group": resource.group,
            "names": _names(kind),
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [_version(kind)],
        },
    }


def _names(kind: Kind) -> JsonObject:
    resource = kind.resource
    short = {"shortNames": list(kind.short_names)} if kind.short_names else {}
    return {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        **short,
        "categories": list(kind.categories),
    }


def _version(kind: Kind) -> JsonObject:
    has_status = any(field.name == "status" for field in attrs.fields(kind.cls))
    return {
        "name": kind.resource.version,
        "served": True,
        "storage": True,
        **({"subresources": {"status": {}}} if has_status else {}),
        "additionalPrinterColumns": [column.to_json() for column in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind.cls)},
    }


def _root(cls: type[Any]) -> JsonObject:
    schema = _object(cls)
    properties = schema["properties"]
    properties["metadata"] = {"type": "object"}
    schema["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        **properties,
    }
    schema["required"] = [name for name in schema["required"] if name != "metadata"]
    return schema


# -- schemas ----------------------------------------------------------------------------------


def _object(cls: type[Any]) -> JsonObject:
    hints = get_type_hints(cls, include_extras=True)
    docs = _attribute_docs(cls)
    properties: JsonObject = {}
    for field in attrs.fields(cls):
        described = {"description": docs[field.name]} if field.name in docs else {}
        if "inline" in field.metadata:
            properties.update({key: dict(_ANY_OBJECT) for key in field.metadata["inline"]})
        else:
            properties[json_name(field)] = _schema(hints[field.name]) | described | _default(field)
    required = [json_name(f) for f in attrs.fields(cls) if f.default is attrs.NOTHING]
    return {
        "description": _one_line(cls.__doc__ or ""),
        "type": "object",
        **({"required": required} if required else {}),
        "properties": properties,
    }


def _default(field: attrs.Attribute[Any]) -> JsonObject:
    """A default for the server to fill in; an empty one says nothing that absence does not."""
    if isinstance(field.default, str) and field.default:
        return {"default": field.default}
    return {}


def _schema(hint: Any) -> JsonObject:
    if is_int_or_string(hint):
        return {"x-kubernetes-int-or-string": True}
    if hint == JsonObject:
        return dict(_ANY_OBJECT)
    if hint is ObjectMeta:
        return {"type": "object"}
    if attrs.has(hint):
        return _object(hint)
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    return _generic_schema(hint)


def _generic_schema(hint: Any) -> JsonObject:
    origin: Any = get_origin(hint)
    args = get_args(hint)
    if hasattr(hint, "__metadata__"):
        return _schema(hint.__origin__) | {"format": hint.__metadata__[0]}
    if origin is Literal:
        return {"type": "string", "enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(args[1])}
    if origin in {Union, types.UnionType}:
        return _schema(next(arg for arg in args if arg is not type(None)))
    raise TypeError(f"no schema for {hint!r}")


def _attribute_docs(cls: type[Any]) -> Mapping[str, str]:
    """The string that follows an attribute in the source of its class or a base."""
    docs: dict[str, str] = {}
    for base in reversed([each for each in cls.__mro__ if attrs.has(each)]):
        docs |= _docs_in(_module_classes(base.__module__)[base.__name__])
    return docs


@functools.cache
def _module_classes(module: str) -> Mapping[str, ast.ClassDef]:
    """The source of every class of a module, parsed once."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_in(body: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(doc))
            ):
                docs[name] = _one_line(doc)
    return docs


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main(pathlib.Path(*sys.argv[1:2] or ["crds"]))
