"""From JSON to the types of this package and back.

``decode`` is the border: nothing behind it meets a wrong type or a misspelt key. It says *all* that
is wrong, each with its path and, for a misspelt key or word, the nearest right one. ``encode`` goes
the other way and leaves out what is empty, as Kubernetes' own encoders do. Used by whoever reads or
writes an object; rules about the *meaning* of an object are in ``validation``.

The work is done by cattrs; this module makes it strict (cattrs alone turns ``"3"`` into 3, and a
string into a list of letters) and translates its errors.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from reconciler.api.metadata import SECRET_LIKE, is_int_or_string, json_name
from reconciler.api.resources import JsonObject, Resource
from reconciler.errors import Fault, InvalidObject

T = TypeVar("T")
Unknown = Literal["refuse", "ignore"]
Hook = Callable[[Any, Any], Any]

_RANGES = {"int32": 2**31, "int64": 2**63}


def decode(cls: type[T], obj: JsonObject, *, unknown: Unknown = "refuse") -> T:
    """The object as a ``cls``. Never coerces; null counts as absent, as in the API server.

    ``unknown="ignore"`` is for objects read back from a cluster, which may carry fields of another
    version; ``"refuse"`` is for what a user wrote. Raises InvalidObject with every fault.
    """
    faults = list(_wrong_type_meta(cls, obj, unknown))
    decoded: T | None = None
    try:
        decoded = _converter(unknown).structure(_body(cls, obj), cls)
    except (cattrs.BaseValidationError, _Wrong) as error:
        faults.extend(_faults(error, ""))
    if faults or decoded is None:
        raise InvalidObject(subject(cls, obj), faults)
    return decoded


def encode(obj: object) -> JsonObject:
    """The JSON of an attrs instance of this package; empty optional fields are left out.

    Kinds get their ``apiVersion`` and ``kind``. The result shares the Kubernetes-owned parts
    (volumes, probes) with ``obj`` and must not be changed in place.
    """
    head: JsonObject = {}
    resource = getattr(type(obj), "RESOURCE", None)
    if resource is not None:
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {**head, **_encoded(obj)}


def subject(cls: type[object], obj: object) -> str:
    """``Kind namespace/name``, as far as the object says so."""
    resource = getattr(cls, "RESOURCE", None)
    kind = resource.kind if resource else cls.__name__
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    name = meta.get("name") or meta.get("generateName") or "(without a name)"
    namespace = meta.get("namespace")
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the nearest known one, else all of them."""
    known = sorted(known)
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    close += [each for each in by_lower if len(word) > 1 and each.startswith(word.lower())]
    if close:
        return f"did you mean {by_lower[close[0]]}?"
    return f"use one of {', '.join(known)}" if known else "remove it"


# -- the top of an object ---------------------------------------------------------------------


def _wrong_type_meta(cls: type[object], obj: object, unknown: Unknown) -> Iterator[Fault]:
    resource: Resource | None = getattr(cls, "RESOURCE", None)
    if resource is None or not isinstance(obj, dict):
        return
    for key, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        found = obj.get(key)
        if found is None and unknown == "refuse":
            yield Fault(key, "is missing", f"write {key}: {wanted}")
        elif found is not None and found != wanted:
            yield Fault(key, "is another type's", f"write {key}: {wanted}", found)


def _body(cls: type[object], obj: Any) -> Any:
    if hasattr(cls, "RESOURCE") and isinstance(obj, dict):
        return {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}
    return obj


# -- strict structuring -----------------------------------------------------------------------


class _Wrong(Exception):  # noqa: N818 -- private, becomes a Fault
    """One value that does not fit; ``at`` is the path below the value being structured."""

    def __init__(self, problem: str, remedy: str = "", value: object = None, at: str = "") -> None:
        super().__init__(problem)
        self.fault = Fault(at, problem, remedy, value if _is_scalar(value) else None)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _describe(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return type(value).__name__


@functools.cache
def _converter(unknown: Unknown) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=unknown == "refuse")
    for type_, name in ((str, "a string"), (int, "an integer"), (bool, "true or false")):
        converter.register_structure_hook(type_, _exactly(type_, name))
    converter.register_structure_hook_func(is_int_or_string, _int_or_string)
    converter.register_structure_hook_func(lambda t: bool(t == JsonObject), _json_object)
    converter.register_structure_hook_func(lambda t: _made_of(t, Mapping), _mapping)
    converter.register_structure_hook_func(lambda t: _made_of(t, Literal), _word)
    converter.register_structure_hook_factory(
        lambda t: hasattr(t, "__metadata__"), lambda t: _annotated(t, converter)
    )
    converter.register_structure_hook_factory(
        lambda t: _made_of(t, tuple), lambda t: _list(t, converter)
    )
    converter.register_structure_hook_factory(attrs.has, lambda t: _object(t, converter))
    return converter


def _made_of(type_: Any, generic: object) -> bool:
    origin: object = get_origin(type_)
    return origin is generic


def _exactly(type_: type[Any], name: str) -> Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not type_:
            remedy = "put it in quotes" if type_ is str and _is_scalar(value) else ""
            raise _Wrong(f"must be {name}, not {_describe(value)}", remedy, value)
        return value

    return hook


def _int_or_string(value: Any, _: Any) -> Any:
    if type(value) not in {int, str}:
        raise _Wrong(f"must be an integer or a string, not {_describe(value)}", value=value)
    return value


def _json_object(value: Any, _: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise _Wrong(f"must be an object, not {_describe(value)}", value=value)
    return value


def _mapping(value: Any, type_: Any) -> Any:
    """Labels and the like; the values of a ``Mapping[str, JsonObject]`` were checked before."""
    _json_object(value, type_)
    wanted = get_args(type_)[1]
    for key, each in value.items():
        if wanted is str and not isinstance(each, str):
            remedy = "put it in quotes" if _is_scalar(each) else ""
            raise _Wrong(f"must be a string, not {_describe(each)}", remedy, each, str(key))
    return value


def _word(value: Any, type_: Any) -> Any:
    known = get_args(type_)
    if value not in known or isinstance(value, bool):
        remedy = nearest(str(value), known)
        if "did you mean" in remedy:
            remedy += f" It must be one of {', '.join(known)}"
        raise _Wrong("is not a known value", remedy, value)
    return value


def _annotated(type_: Any, converter: cattrs.Converter) -> Hook:
    inner = converter.get_structure_hook(type_.__origin__)
    limit = _RANGES.get(type_.__metadata__[0])
    if limit is None:
        return inner

    def hook(value: Any, _: Any) -> Any:
        inner(value, type_.__origin__)
        if not -limit <= value < limit:
            raise _Wrong(f"must be between {-limit} and {limit - 1}", value=value)
        return value

    return hook


def _list(type_: Any, converter: cattrs.Converter) -> Hook:
    inner = cattrs.cols.homogenous_tuple_structure_factory(type_, converter)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _Wrong(f"must be a list, not {_describe(value)}", "begin it with -", value)
        return inner(value, type_)

    return hook


def _object(cls: type[Any], converter: cattrs.Converter) -> Hook:
    attrs.resolve_types(cls)
    renames: dict[str, Any] = {a.name: override(rename=json_name(a)) for a in attrs.fields(cls)}
    inner = make_dict_structure_fn(cls, converter, **renames)
    inlined = [a for a in attrs.fields(cls) if "inline" in a.metadata]

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise _Wrong(f"must be an object, not {_describe(value)}", value=value)
        present = {key: each for key, each in value.items() if each is not None}
        for attribute in inlined:
            known = attribute.metadata["inline"]
            taken = {key: present.pop(key) for key in known if key in present}
            present[json_name(attribute)] = taken
        return inner(present, cls)

    return hook


# -- cattrs' errors as faults -----------------------------------------------------------------


def _faults(error: BaseException, path: str) -> Iterator[Fault]:
    if isinstance(error, cattrs.BaseValidationError):
        cls = getattr(error, "cl", None)
        for child in error.exceptions:
            yield from _faults(child, path + _step(cls, child))
    elif isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = known_keys(error.cl)
        for key in sorted(error.extra_fields, key=str):
            yield Fault(_join(path, str(key)), "is not a known key", nearest(str(key), known))
    elif isinstance(error, KeyError):
        yield Fault(path.lstrip("."), "is missing", "add it")
    elif isinstance(error, _Wrong):
        yield _placed(error.fault, path)
    else:  # pragma: no cover -- cattrs raises nothing else for these types
        raise error


def known_keys(cls: type[Any]) -> tuple[str, ...]:
    """The JSON keys that an object of that type may have."""
    keys: list[str] = []
    for attribute in attrs.fields(cls):
        keys.extend(attribute.metadata.get("inline", (json_name(attribute),)))
    return tuple(keys)


def _step(cls: Any, child: BaseException) -> str:
    """The part of the path that leads from an object or list to the child that failed."""
    for note in getattr(child, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            attribute = getattr(attrs.fields(cls), note.name)
            return "" if "inline" in attribute.metadata else f".{json_name(attribute)}"
        if isinstance(note, cattrs.IterableValidationNote):
            return f"[{note.index}]"
    return ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}".lstrip(".") if key else path.lstrip(".")


def _placed(fault: Fault, path: str) -> Fault:
    full = _join(path, fault.path)
    secret = SECRET_LIKE.intersection(re.split(r"[.\[\]]+", full))
    return attrs.evolve(fault, path=full or "object", value=None if secret else fault.value)


# -- encoding ---------------------------------------------------------------------------------


@attrs.frozen
class _Field:
    name: str
    key: str
    empty: object
    """The value that is left out; ``attrs.NOTHING`` for a field that is always written."""
    inline: bool


@functools.cache
def _plan(cls: Any) -> tuple[_Field, ...]:
    return tuple(
        _Field(a.name, json_name(a), _empty(a), "inline" in a.metadata) for a in attrs.fields(cls)
    )


def _empty(attribute: attrs.Attribute[Any]) -> object:
    default: Any = attribute.default
    if hasattr(default, "factory"):
        return default.factory()
    return attrs.NOTHING if default else default


def _encoded(obj: Any) -> Any:
    if isinstance(obj, tuple):
        return [_encoded(each) for each in obj]
    if not attrs.has(type(obj)):
        return obj
    out: JsonObject = {}
    cls: Any = type(obj)
    for field in _plan(cls):
        value = getattr(obj, field.name)
        if value == field.empty and type(value) is type(field.empty):
            continue
        out.update(value if field.inline else {field.key: _encoded(value)})
    return out
