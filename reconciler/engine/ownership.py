"""Whether a server-side apply would change anything, told from the live object alone.

Used by ``apply`` so that nothing is written that is already so. The server keeps what we applied
last in ``metadata.managedFields`` (fieldsV1: ``f:`` a field, ``k:`` an item of a keyed list,
``v:`` a member of a set; a leaf is a value that is owned as a whole). An apply is superfluous when
we own exactly the fields that we want, and their live values are the wanted ones.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from reconciler.api.resources import JsonObject

Fields = dict[str, Any]

_UNOWNED = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset({"name", "namespace", "uid", "resourceVersion"})
_QUANTITIES = frozenset({"limits", "requests", "capacity", "hard"})
_QUANTITY = frozenset({"sizeLimit", "divisor"})
_DEFAULTED = frozenset({"apiVersion", "apiGroup", "divisor", "expirationSeconds", "protocol"})
"""What the server adds inside values that are owned as a whole."""
_EMPTY: tuple[Any, ...] = ({}, [])
_NOTHING: Fields = {".": {}}
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** (i + 1) for i, unit in enumerate("kMGTPE")},
    **{unit + "i": Decimal(1024) ** (i + 1) for i, unit in enumerate("KMGTPE")},
}


def is_applied(desired: JsonObject, live: JsonObject, manager: str) -> bool:
    """True when applying ``desired`` as ``manager`` would leave ``live`` as it is."""
    owned = _owned(live, manager)
    if owned is None:
        return False
    wanted = {name: part for name, part in desired.items() if name not in _UNOWNED}
    meta = desired["metadata"]
    wanted["metadata"] = {k: v for k, v in meta.items() if k not in _UNOWNED_METADATA}
    if not wanted["metadata"]:
        del wanted["metadata"]
    return _same_fields(wanted, live, owned, quantities=False)


def footprint(desired: JsonObject, live: JsonObject, manager: str) -> Any:
    """All of ``live`` that an apply of ``desired`` looks at: its fields, and what we own."""
    return [_projection(desired, live), _owned(live, manager)]


def _projection(desired: Any, live: Any) -> Any:
    if not isinstance(desired, dict) or not isinstance(live, dict):
        return live
    return {name: _projection(part, live.get(name)) for name, part in desired.items()}


def _owned(live: JsonObject, manager: str) -> Fields | None:
    """What ``manager`` has applied; entries of subresources and of plain updates do not count."""
    for entry in live["metadata"].get("managedFields") or ():
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            fields: Fields = entry.get("fieldsV1") or {}
            return fields
    return None


def _same(desired: Any, live: Any, owned: Fields, *, quantity: bool, quantities: bool) -> bool:
    if not owned:
        return _equal(desired, live, quantity=quantity or quantities)
    if isinstance(desired, dict) and isinstance(live, dict):
        return _same_fields(desired, live, owned, quantities=quantities)
    if isinstance(desired, list) and isinstance(live, list):
        return _same_items(desired, live, owned)
    return False


def _same_fields(desired: JsonObject, live: JsonObject, owned: Fields, *, quantities: bool) -> bool:
    """Nulls count for nothing; an empty value need not be owned (1.20 does not list it)."""
    wanted = {name: part for name, part in desired.items() if part is not None}
    asked = {f"f:{name}" for name in desired}
    needed = {f"f:{name}" for name, part in wanted.items() if part not in _EMPTY}
    if not needed <= owned.keys() or not owned.keys() - {"."} <= asked:
        return False
    return all(
        name in live
        and _same(
            part,
            live[name],
            owned.get(f"f:{name}", _NOTHING),
            quantity=quantities or name in _QUANTITY,
            quantities=name in _QUANTITIES,
        )
        for name, part in wanted.items()
    )


def _same_items(desired: list[Any], live: list[Any], owned: Fields) -> bool:
    """A keyed list or a set. Order is not owned by anybody and does not count."""
    children = [name for name in owned if name != "."]
    if len(desired) != len(children):
        return False
    if all(child.startswith("v:") for child in children):
        members = [json.loads(child[2:]) for child in children]
        return all(each in members and each in live for each in desired)
    if not all(child.startswith("k:") for child in children):
        return False
    keys = {child: json.loads(child[2:]) for child in children}
    return all(_same_item(each, live, keys, owned) for each in desired)


def _same_item(item: JsonObject, live: list[Any], keys: dict[str, Any], owned: Fields) -> bool:
    """A part of the key may be a default that the server added, so keys are not compared again."""
    for child, key in keys.items():
        if any(item.get(name, part) != part for name, part in key.items()):
            continue
        there = (each for each in live if all(each.get(n) == v for n, v in key.items()))
        found = next(there, None)
        if found is None or not owned[child]:
            return found is not None and _equal(item, found, quantity=False)
        rest = {name: part for name, part in item.items() if name not in key}
        fields = {name: part for name, part in owned[child].items() if name[2:] not in key}
        return _same_fields(rest, found, fields, quantities=False)
    return False


def _equal(desired: Any, live: Any, *, quantity: bool) -> bool:
    """Values owned as a whole; the server may have added defaults inside them."""
    if isinstance(desired, dict) and isinstance(live, dict):
        wanted = {name: part for name, part in desired.items() if part is not None}
        extra = live.keys() - wanted.keys()
        return extra <= _DEFAULTED and all(
            name in live and _equal(part, live[name], quantity=quantity)
            for name, part in wanted.items()
        )
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(
            _equal(one, other, quantity=quantity) for one, other in zip(desired, live, strict=True)
        )
    return _same_scalar(desired, live) or (quantity and _same_quantity(desired, live))


def _same_scalar(desired: Any, live: Any) -> bool:
    """1 is 1.0 in JSON, but True is not 1."""
    return bool(desired == live) and isinstance(desired, bool) == isinstance(live, bool)


def _same_quantity(desired: Any, live: Any) -> bool:
    """``1000m`` is ``1``: the server writes quantities in their shortest form."""
    one, other = _quantity(desired), _quantity(live)
    return one is not None and one == other


def _quantity(value: Any) -> Decimal | None:
    text = str(value)
    number = text.rstrip("numkKMGTPEi")
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError):
        return None
