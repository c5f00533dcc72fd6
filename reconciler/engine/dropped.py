"""What an API server has dropped of a status that it took: fields that its definition has not.

Asked by ``apply`` of every answer, at no request's cost. A status that is not kept cannot be built
on: the writer must hear of it, and must not write it again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.api.resources import JsonObject, Resource
from reconciler.errors import TerminalError


def check(resource: Resource, written: JsonObject, answer: JsonObject) -> None:
    """Raise TerminalError, with the definition and the remedy, when the answer lacks a field."""
    field = next(_lost(written, answer.get("status") or {}, "status"), "")
    if field:
        raise TerminalError(
            f"CustomResourceDefinition {resource.plural}.{resource.group} is older than this"
            f" Tandem: the API server did not keep {field}; run: kubectl apply -k crds/"
        )


def _lost(written: Any, kept: Any, path: str) -> Iterator[str]:
    """Paths of what was written and is not there; a value that was changed is not lost."""
    if isinstance(written, dict) and isinstance(kept, dict):
        for name, value in written.items():
            if name in kept:
                yield from _lost(value, kept[name], f"{path}.{name}")
            elif value is not None:
                yield f"{path}.{name}"
    elif isinstance(written, list) and isinstance(kept, list):
        for index, (value, found) in enumerate(zip(written, kept, strict=False)):
            yield from _lost(value, found, f"{path}[{index}]")
