"""How kubectl's tables print values: ages, JSON paths, lists of words. Pure.

Called by ``tables`` and ``columns``.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import orjson

from reconciler.api.resources import JsonObject

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
_NAMES = {1: "s", _MINUTE: "m", _HOUR: "h", _DAY: "d", _YEAR: "y"}
_UNITS = (
    (2 * _MINUTE, 1, 0),
    (10 * _MINUTE, _MINUTE, 1),
    (3 * _HOUR, _MINUTE, 0),
    (8 * _HOUR, _HOUR, _MINUTE),
    (2 * _DAY, _HOUR, 0),
    (8 * _DAY, _DAY, _HOUR),
    (2 * _YEAR, _DAY, 0),
    (8 * _YEAR, _YEAR, _DAY),
    (float("inf"), _YEAR, 0),
)
"""Below so many seconds, the unit, and the smaller unit that is shown beside it (0: none)."""
_STEP = re.compile(
    r"""\.?(?P<name>[A-Za-z0-9_\-/]+)|\[['"](?P<quoted>[^'"]+)['"]\]|\[(?P<index>-?\d+)\]"""
    r"""|(?P<all>\[\*\])|\[\?\(@\.(?P<field>[\w.]+)\s*==\s*['"](?P<equal>[^'"]*)['"]\)\]"""
)


def moment(text: str) -> dt.datetime:
    """A Kubernetes timestamp."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(text: str | None, now: dt.datetime) -> str:
    """How long ago; ``<unknown>`` without a time."""
    if not text:
        return "<unknown>"
    return duration((now - moment(text)).total_seconds())


def duration(seconds: float) -> str:
    """Seconds as kubectl prints them (``HumanDuration``)."""
    if seconds < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    _, large, small = next(unit for unit in _UNITS if whole < unit[0])
    rest = whole % large // small if small else 0
    return f"{whole // large}{_NAMES[large]}" + (f"{rest}{_NAMES[small]}" if rest else "")


def at_path(obj: Any, path: str) -> list[Any]:
    """The values at a (simple) JSON path; unknown syntax finds nothing."""
    found, rest = [obj], path.strip("{}")
    while rest not in ("", "."):
        match = _STEP.match(rest)
        if match is None:
            return []
        rest = rest[match.end() :]
        found = [part for value in found for part in _parts(value, match)]
    return found


def _parts(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return list(value.values()) if step["all"] and isinstance(value, dict) else []
    if step["all"]:
        return value
    if step["index"] is not None:
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    return [item for item in value if text(at_path(item, "." + step["field"])) == step["equal"]]


def text(values: list[Any]) -> str:
    """Values as a cell prints them."""
    return " ".join(value if isinstance(value, str) else _json(value) for value in values)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def cell(kind: str, values: list[Any], now: dt.datetime) -> Any:
    """A custom column's cell; None when there is nothing at the path."""
    if not values or values[0] is None:
        return None
    if kind == "date":
        return _date(values[0], now)
    if kind in ("integer", "number", "boolean") and not isinstance(values[0], str):
        return values[0]
    return text(values)


def _date(value: Any, now: dt.datetime) -> str:
    try:
        return age(value, now)
    except (ValueError, TypeError, AttributeError):
        return "<invalid>"


def labels(found: JsonObject | None) -> str:
    """``a=b,c=d``, or ``<none>``."""
    return ",".join(f"{key}={found[key]}" for key in sorted(found)) if found else "<none>"


def selector(found: JsonObject | None) -> str:
    """A label selector on one line."""
    if not found:
        return "<none>"
    parts = [f"{key}={value}" for key, value in sorted((found.get("matchLabels") or {}).items())]
    for term in found.get("matchExpressions") or ():
        values = ",".join(term.get("values") or ())
        words = {"In": f"{term['key']} in ({values})", "NotIn": f"{term['key']} notin ({values})",
                 "Exists": term["key"], "DoesNotExist": f"!{term['key']}"}  # fmt: skip
        parts.append(words[term["operator"]])
    return ",".join(parts) or "<none>"
