"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902). Pure.

Called by ``server.Server`` for PATCH requests of these content types.
"""

from __future__ import annotations

import copy
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded import refusals


def merge(target: Any, patch: Any) -> Any:
    """The target with a merge patch applied; the target is changed in place where it can be."""
    if not isinstance(patch, dict):
        return patch
    result: JsonObject = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: JsonObject, operations: Any) -> JsonObject:
    """The target with the operations applied. Raises Refusal 400 and 422."""
    if not isinstance(operations, list):
        raise refusals.bad_request(
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    document: Any = {"": target}
    for operation in operations:
        if not isinstance(operation, dict):
            raise refusals.bad_request("json: cannot unmarshal into Go value of type Operation")
        _operate(document, operation)
    result: JsonObject = document[""]
    return result


def _unprocessable() -> refusals.Refusal:
    """What a real server says, which is not much, of an operation that does not apply."""
    message = "the server rejected our request due to an error in our request"
    return refusals.Refusal(422, "Invalid", message, {})


def _operate(document: Any, operation: JsonObject) -> None:
    kind, path = operation.get("op"), _pointer(operation, "path")
    if kind == "add":
        _add(document, path, operation.get("value"))
    elif kind == "remove":
        _remove(document, path)
    elif kind == "replace":
        _find(document, path)
        _set(document, path, operation.get("value"))
    elif kind == "move":
        _add(document, path, _remove(document, _pointer(operation, "from")))
    elif kind == "copy":
        _add(document, path, copy.deepcopy(_find(document, _pointer(operation, "from"))))
    elif kind == "test":
        if _find(document, path) != operation.get("value"):
            raise _unprocessable()
    else:
        raise _unprocessable()


def _pointer(operation: JsonObject, key: str) -> str:
    path = operation.get(key)
    if not isinstance(path, str) or not path.startswith("/"):
        raise _unprocessable()  # the whole document is never replaced or moved
    return path


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]


def _parent(document: Any, path: str) -> tuple[Any, str]:
    *way, last = _steps(path)
    place = document
    for step in way:
        place = _child(place, step)
    return place, last


def _child(place: Any, step: str) -> Any:
    if isinstance(place, dict) and step in place:
        return place[step]
    if isinstance(place, list) and step.isdecimal() and int(step) < len(place):
        return place[int(step)]
    raise _unprocessable()


def _find(document: Any, path: str) -> Any:
    place, last = _parent(document, path)
    return _child(place, last)


def _add(document: Any, path: str, value: Any) -> None:
    place, last = _parent(document, path)
    if isinstance(place, list):
        if last != "-" and not (last.isdecimal() and int(last) <= len(place)):
            raise _unprocessable()
        place.insert(len(place) if last == "-" else int(last), value)
    else:
        _set(document, path, value)


def _set(document: Any, path: str, value: Any) -> None:
    place, last = _parent(document, path)
    if isinstance(place, list):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise _unprocessable()


def _remove(document: Any, path: str) -> Any:
    place, last = _parent(document, path)
    found = _child(place, last)
    del place[int(last) if isinstance(place, list) else last]
    return found
