"""Objects as clients ask to see them: whole, as Tables, or as metadata only.

Called by ``verbs`` and ``reading`` with the request's Accept header. Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import Request
from reconciler.embedded import columns, printing, refusals
from reconciler.embedded.kinds import Kind
from reconciler.embedded.reading import Page, list_body

_AS = re.compile(r"as=(Table|PartialObjectMetadata(?:List)?)")
_VERSION = re.compile(r"v=(v1beta1|v1)\b")
_UNDERSTOOD = ("json", "yaml", "*/*", "application/*")


def wish(accept: str) -> str:
    """``Table``, ``PartialObjectMetadata``, or "" for the object itself. Raises Refusal 406."""
    match = _AS.search(accept)
    if match is not None:
        return match[1].removesuffix("List")
    if accept and not any(part in accept for part in _UNDERSTOOD):
        message = "only the following media types are accepted: application/json, application/yaml"
        raise refusals.Refusal(406, "NotAcceptable", message)
    return ""


def presented(request: Request, kind: Kind, obj: JsonObject, now: dt.datetime) -> JsonObject:
    """One object as it was asked for."""
    wanted = wish(request.accept)
    if wanted == "Table":
        version = obj["metadata"].get("resourceVersion", "")
        return table(request, kind, [obj], {"resourceVersion": version}, now)
    if wanted:
        return _partial(obj, _version(request.accept))
    return obj


def presented_list(request: Request, kind: Kind, page: Page, now: dt.datetime) -> JsonObject:
    """A page as it was asked for."""
    body = list_body(kind, page)
    wanted = wish(request.accept)
    if wanted == "Table":
        return table(request, kind, page.items, body["metadata"], now)
    if wanted:
        version = _version(request.accept)
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": body["metadata"],
            "items": [_partial(obj, version) for obj in page.items],
        }
    return body


def presenter(request: Request, kind: Kind, now: Callable[[], dt.datetime]) -> Any:
    """What a watch makes of each object."""
    if not wish(request.accept):
        return None
    return lambda obj: presented(request, kind, obj, now())


def _version(accept: str) -> str:
    match = _VERSION.search(accept)
    return match[1] if match else "v1"


def _partial(obj: JsonObject, version: str) -> JsonObject:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }


def table(
    request: Request, kind: Kind, items: list[JsonObject], meta: JsonObject, now: dt.datetime
) -> JsonObject:
    """A Table of objects."""
    version = _version(request.accept)
    definitions, cells = _custom(kind) if kind.custom else _builtin(kind)
    included = request.query.get("includeObject", "Metadata")
    rows = []
    for obj in items:
        row: JsonObject = {"cells": cells(obj, now)}
        if included == "Object":
            row["object"] = obj
        elif included != "None":
            row["object"] = _partial(obj, version)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _definition(name: str, kind: str, priority: int, description: str = "") -> JsonObject:
    return {
        "name": name,
        "type": kind,
        "format": "name" if name == "Name" else "",
        "description": description,
        "priority": priority,
    }


def _builtin(kind: Kind) -> tuple[list[JsonObject], columns.Cells]:
    found, cells = columns.of(kind.name)
    found = found or columns.EVENT_COLUMNS
    return [_definition(*column) for column in found], cells


def _custom(kind: Kind) -> tuple[list[JsonObject], columns.Cells]:
    definitions = [_definition("Name", "string", 0)]
    definitions += [
        _definition(column.name, column.type, column.priority, column.description)
        for column in kind.columns
    ]

    def cells(obj: JsonObject, now: dt.datetime) -> list[Any]:
        found = [obj["metadata"]["name"]]
        for column in kind.columns:
            values = printing.at_path(obj, column.json_path)
            found.append(printing.cell(column.type, values, now))
        return found

    return definitions, cells
