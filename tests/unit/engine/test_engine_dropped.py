"""A status that the API server did not keep whole is an error with the remedy."""

import pytest

from reconciler.api.resources import BACKUP_BATCHES
from reconciler.engine import dropped
from reconciler.errors import TerminalError


@pytest.mark.parametrize(
    ("written", "kept", "field"),
    [
        ({"phase": "Ready"}, {}, "status.phase"),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, "status.a.c"),
        ({"list": [{"a": 1}, {"b": 2}]}, {"list": [{"a": 1}, {}]}, "status.list[1].b"),
    ],
)
def test_a_field_that_was_not_kept_is_named_with_its_definition(written, kept, field):
    with pytest.raises(TerminalError) as caught:
        dropped.check(BACKUP_BATCHES, written, {"status": kept})
    said = str(caught.value)
    assert "backupbatches.stash.appscode.com" in said
    assert f"did not keep {field};" in said
    assert "kubectl apply -k crds/" in said


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ({}, None),
        ({"a": 1}, {"a": 2, "more": 3}),
        ({"a": None}, {}),
        ({"a": [1]}, {"a": []}),
    ],
)
def test_what_is_changed_added_or_null_is_not_lost(written, kept):
    dropped.check(BACKUP_BATCHES, written, {"status": kept} if kept is not None else {})
