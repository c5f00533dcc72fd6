"""Label and field selectors of list, watch and deletecollection.

Called by ``reading`` and ``deleting``. Pure: a selector's text becomes a predicate on objects.
Grammar and messages after Kubernetes' ``apimachinery`` (``labels``, ``fields``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded.refusals import bad_request

Predicate = Callable[[JsonObject], bool]
_Labels = Mapping[str, str]
_Requirement = Callable[[_Labels], bool]

_SET = re.compile(r"^(?P<key>[^\s!=(),]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=(),]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=(),]*)$")
_COMPARE = re.compile(r"^(?P<key>[^\s!=(),<>]+)\s*(?P<op>[<>])\s*(?P<value>-?\d+)$")
_EXISTS = re.compile(r"^(?P<op>!?)\s*(?P<key>[^\s!=(),]+)$")

_EVERYWHERE = ("metadata.name", "metadata.namespace")


def everything(obj: JsonObject) -> bool:
    del obj
    return True


def by_label(text: str) -> Predicate | None:
    """The predicate of a label selector; None when it selects everything."""
    requirements = [_requirement(part, text) for part in _split(text) if part]
    if not requirements:
        return None

    def holds(obj: JsonObject) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return holds


def _split(text: str) -> Iterable[str]:
    """At commas that are not within parentheses."""
    return (part.strip() for part in re.split(r",(?![^(]*\))", text))


def _requirement(part: str, whole: str) -> _Requirement:
    if match := _SET.match(part):
        values = {value.strip() for value in match["values"].split(",")}
        return _member(match["key"], values, wanted=match["op"] == "in")
    if match := _EQUAL.match(part):
        return _member(match["key"], {match["value"]}, wanted=match["op"] != "!=")
    if match := _COMPARE.match(part):
        return _compared(match["key"], int(match["value"]), greater=match["op"] == ">")
    if match := _EXISTS.match(part):
        return _existing(match["key"], wanted=not match["op"])
    raise bad_request(f"unable to parse requirement: found '{part}' in label selector '{whole}'")


def _member(key: str, values: set[str], *, wanted: bool) -> _Requirement:
    if wanted:
        return lambda labels: labels.get(key) in values
    return lambda labels: key not in labels or labels[key] not in values


def _existing(key: str, *, wanted: bool) -> _Requirement:
    return lambda labels: (key in labels) is wanted


def _compared(key: str, bound: int, *, greater: bool) -> _Requirement:
    def holds(labels: _Labels) -> bool:
        try:
            value = int(labels[key])
        except (KeyError, ValueError):
            return False
        return value > bound if greater else value < bound

    return holds


def by_field(text: str, known: Iterable[str]) -> Predicate | None:
    """The predicate of a field selector; ``known`` fields, name and namespace are served."""
    requirements = [_field(part, text) for part in text.split(",") if part]
    served = {*_EVERYWHERE, *known}
    for path, _, _ in requirements:
        if path not in served:
            raise bad_request(f"field label not supported: {path}")
    if not requirements:
        return None

    def holds(obj: JsonObject) -> bool:
        return all((value_at(obj, path) == value) is wanted for path, value, wanted in requirements)

    return holds


def _field(part: str, whole: str) -> tuple[str, str, bool]:
    for operator, wanted in (("!=", False), ("==", True), ("=", True)):
        path, found, value = part.partition(operator)
        if found:
            return path.strip(), value.strip(), wanted
    raise bad_request(f"invalid selector: '{whole}'; can't understand '{part}'")


def value_at(obj: JsonObject, path: str) -> str:
    """The value at a dotted path as a selector sees it: text, "" when absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def both(*predicates: Predicate | None) -> Predicate:
    """All of them; those that are None select everything."""
    wanted = [predicate for predicate in predicates if predicate is not None]
    if not wanted:
        return everything
    if len(wanted) == 1:
        return wanted[0]
    return lambda obj: all(predicate(obj) for predicate in wanted)
