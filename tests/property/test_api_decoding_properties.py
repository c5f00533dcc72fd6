"""Laws of decoding: whatever the types can hold survives, and whatever else comes is refused."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.crds import KINDS
from reconciler.api.decoding import decode, encode
from reconciler.api.metadata import is_int_or_string, json_name
from reconciler.api.resources import JsonObject
from reconciler.api.validation import validate
from reconciler.errors import InvalidObject

CLASSES = [kind.cls for kind in KINDS]
words = st.text(alphabet="abc-/0", max_size=4)
json_objects = st.dictionaries(words, st.one_of(words, st.integers(0, 9)), max_size=2)


def values(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 -- one for each form of type
    """Anything that a field of that type may hold."""
    origin = get_origin(hint)
    if is_int_or_string(hint):
        return st.one_of(st.integers(0, 9), words)
    if hint == JsonObject:
        return json_objects
    if attrs.has(hint):
        return st.deferred(lambda: instances(hint))
    if hasattr(hint, "__metadata__"):
        return values(hint.__origin__)
    if origin is Literal:
        return st.sampled_from(get_args(hint))
    if origin is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(words, values(get_args(hint)[1]), max_size=2)
    if origin in {Union, UnionType}:
        return st.one_of(*(values(each) for each in get_args(hint)))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: words, bool: st.booleans(), int: st.integers(-3, 9), NoneType: st.none(),
    }  # fmt: skip
    return plain[hint]


def instances(cls: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    given_fields = {}
    for field in attrs.fields(cls):
        if "inline" in field.metadata:
            keys = st.sampled_from(field.metadata["inline"])
            given_fields[field.name] = st.dictionaries(keys, json_objects, max_size=2)
        elif field.default is attrs.NOTHING:
            given_fields[field.name] = values(hints[field.name])
        else:
            default = field.default
            unset = default.factory() if hasattr(default, "factory") else default
            given_fields[field.name] = st.one_of(st.just(unset), values(hints[field.name]))
    return st.builds(cls, **given_fields)


objects = st.sampled_from(CLASSES).flatmap(instances)


@given(obj=objects)
def test_what_is_encoded_decodes_to_itself(obj: Any) -> None:
    assert decode(type(obj), encode(obj)) == obj


@given(obj=objects)
def test_decoding_leaves_its_input_alone(obj: Any) -> None:
    document = encode(obj)
    before = copy.deepcopy(document)

    decode(type(obj), document)
    decode(type(obj), document, unknown="ignore")

    assert document == before


@given(obj=objects)
def test_validation_always_comes_to_an_end_with_places_and_problems(obj: Any) -> None:
    for fault in validate(obj):
        assert fault.path
        assert fault.problem


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "status", "name", "members", "target", "ref", "x"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("unknown", ["refuse", "ignore"])
@given(document=json_values)
def test_any_json_is_decoded_or_refused_with_faults(
    cls: Any, unknown: Literal["refuse", "ignore"], document: Any
) -> None:
    error = None
    try:
        decode(cls, document, unknown=unknown)
    except InvalidObject as caught:
        error = caught

    assert error is None or error.faults


def test_json_names_of_one_type_are_all_different() -> None:
    def visit(hint: Any) -> None:
        if attrs.has(hint):
            names = [json_name(field) for field in attrs.fields(hint)]
            assert len(names) == len(set(names)), hint
            for each in get_type_hints(hint).values():
                visit(each)
        for each in get_args(hint):
            visit(each)

    for cls in CLASSES:
        visit(cls)
