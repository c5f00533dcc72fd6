"""What restic prints, read; and numbers written as Stash writes them."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent import parsing

SUMMARY = {
    "message_type": "summary",
    "files_new": 1,
    "files_changed": 2,
    "files_unmodified": 3,
    "data_added": 2048,
    "total_files_processed": 6,
    "total_bytes_processed": 5000,
    "total_duration": 61.9,
    "snapshot_id": "f837c6ed",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [*SUMMARY, "keep", "remove", "id", "short_id", "paths", "pid", "hostname", "total_size", "item"]
)
ALMOST = st.one_of(
    st.dictionaries(FIELDS, JSON).map(json.dumps),
    st.lists(st.dictionaries(FIELDS, JSON)).map(json.dumps),
    st.dictionaries(FIELDS, JSON).map(lambda d: json.dumps({**d, "message_type": "summary"})),
)
TEXT = st.text() | ALMOST | st.lists(ALMOST).map("\n".join)
PARSERS = (
    parsing.summary,
    parsing.unreadable_files,
    parsing.forgotten,
    parsing.is_sound,
    parsing.total_size,
    parsing.snapshots,
    parsing.lock,
)


@pytest.mark.parametrize("parser", PARSERS)
@given(text=TEXT)
def test_a_parser_raises_nothing_but_its_typed_error(parser, text) -> None:
    try:
        parser(text)
    except parsing.Unreadable as error:
        assert "printed" in str(error)  # noqa: PT017 -- no error at all is right too


@pytest.mark.parametrize("parser", PARSERS)
def test_deep_nesting_does_not_break_a_parser(parser) -> None:
    with_error = (parsing.unreadable_files, parsing.is_sound)
    if parser in with_error:
        assert not parser("[" * 100_000)
        return
    with pytest.raises(parsing.Unreadable):
        parser("[" * 100_000)


def test_the_summary_is_found_among_other_messages() -> None:
    text = 'progress\n{"message_type":"status"}\n' + json.dumps(SUMMARY) + "\n"
    found = parsing.summary(text)
    assert (found.snapshot, found.files_total, found.bytes_added) == ("f837c6ed", 6, 2048)
    assert (found.files_new, found.files_changed, found.files_unmodified) == (1, 2, 3)


def test_output_without_a_summary_is_an_error_and_not_an_empty_result() -> None:
    with pytest.raises(parsing.Unreadable, match="no summary"):
        parsing.summary('{"message_type":"status"}')


def test_unreadable_files_are_named() -> None:
    text = '{"message_type":"error","error":{},"during":"archival","item":"/d/b"}\nWarning: x'
    assert parsing.unreadable_files(text) == ("/d/b",)


def test_forgotten_snapshots_are_counted_over_all_groups() -> None:
    groups = [
        {"keep": [{"short_id": "a"}], "remove": [{"short_id": "b"}, {"id": "c" * 64}]},
        {"keep": None, "remove": None},
    ]
    found = parsing.forgotten(json.dumps(groups) + "\n[0:00] 100%")
    assert found == parsing.Forgotten(1, 2, ("b", "cccccccc"))


def test_no_output_of_forget_means_that_nothing_matched() -> None:
    assert parsing.forgotten("") == parsing.Forgotten(0, 0)
    assert parsing.forgotten("null\n") == parsing.Forgotten(0, 0)


def test_only_a_line_of_its_own_says_that_the_repository_is_sound() -> None:
    assert parsing.is_sound("load indexes\nno errors were found\n")
    assert not parsing.is_sound("not: no errors were found")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1024, "1024 B"),
        (1025, "1.001 KiB"),
        (1536 * 1024, "1.500 MiB"),
        (2**30, "1024.000 MiB"),
        (2**30 + 1, "1.000 GiB"),
        (3 * 2**40, "3.000 TiB"),
    ],
)
def test_a_size_is_written_like_stash_writes_it(count, text) -> None:
    assert parsing.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0:00"), (7, "0:07"), (61.9, "1:01"), (3723, "1:02:03")]
)
def test_a_processing_time_is_written_like_stash_writes_it(seconds, text) -> None:
    assert parsing.clock_time(seconds) == text


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (0, "0s"),
        (-1, "0s"),
        (0.000002, "2µs"),
        (0.0015, "1.5ms"),
        (8.531234, "8.531234s"),
        (62.5, "1m2.5s"),
        (3600, "1h0m0s"),
        (dt.timedelta(hours=25, seconds=1), "25h0m1s"),
    ],
)
def test_a_duration_is_written_like_go_writes_it(elapsed, text) -> None:
    assert parsing.go_duration(elapsed) == text


def test_a_lock_says_who_holds_it_and_since_when() -> None:
    text = '{"time":"T","exclusive":true,"hostname":"web-0","username":"r","pid":7}'
    assert str(parsing.lock(text)) == "exclusive lock of process 7 on web-0 since T"
