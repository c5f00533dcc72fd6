"""A BackupConfiguration behaves as a batch of one."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.conditions import Condition, find, is_true, with_condition
from reconciler.api.decoding import encode
from reconciler.api.invoker import decode_invoker
from reconciler.api.repository import Backend, RestBackend, S3Backend
from reconciler.errors import InvalidObject

MEMBER = {
    "target": {"ref": {"kind": "PersistentVolumeClaim", "name": "files"}},
    "task": {"name": "pvc-backup"},
    "hooks": {"preBackup": {"exec": {"command": ["true"]}}},
}
COMMON = {
    "schedule": "@daily",
    "repository": {"name": "repo"},
    "retentionPolicy": {"name": "k", "keepLast": 3, "prune": True},
}


def obj(kind: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": kind,
        "metadata": {"name": "x", "namespace": "demo", "uid": "u-1"},
        "spec": {**COMMON, **spec},
    }


def test_both_kinds_look_alike() -> None:
    batch = decode_invoker(obj("BackupBatch", members=[MEMBER]))
    configuration = decode_invoker(obj("BackupConfiguration", **MEMBER))

    assert batch.members == configuration.members
    assert batch.schedule == configuration.schedule == "@daily"
    assert batch.repository == configuration.repository == "repo"
    assert batch.retention_policy == configuration.retention_policy


def test_hooks_of_a_configuration_are_its_targets_hooks() -> None:
    configuration = decode_invoker(obj("BackupConfiguration", **MEMBER))

    assert configuration.hooks is None
    assert configuration.members[0].hooks is not None


def test_fields_are_where_the_user_wrote_them() -> None:
    assert decode_invoker(obj("BackupBatch")).member_path(2) == "spec.members[2]"
    assert decode_invoker(obj("BackupConfiguration")).member_path(0) == "spec"


@pytest.mark.parametrize(("given", "limit"), [({}, 1), ({"backupHistoryLimit": 0}, 0)])
def test_one_finished_session_is_kept_unless_said_otherwise(
    given: dict[str, int], limit: int
) -> None:
    assert decode_invoker(obj("BackupBatch", **given)).backup_history_limit == limit


def test_children_name_their_invoker_as_controller() -> None:
    assert encode(decode_invoker(obj("BackupBatch")).owner_reference()) == {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "name": "x",
        "uid": "u-1",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_an_object_that_is_no_invoker_is_refused() -> None:
    with pytest.raises(InvalidObject, match="kind: is another type's"):
        decode_invoker(obj("Repository"))


# -- conditions -------------------------------------------------------------------------------


def condition(status: Any, time: str, message: str = "m") -> Condition:
    return Condition(
        type="T", status=status, last_transition_time=time, reason="R", message=message
    )


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = with_condition((), condition("False", "1"))
    again = with_condition(first, condition("False", "2", "other words"))
    turned = with_condition(again, condition("True", "3"))

    assert [each.last_transition_time for each in (*first, *again, *turned)] == ["1", "1", "3"]
    assert again[0].message == "other words"


def test_other_conditions_stay_where_they_are() -> None:
    other = Condition(type="O", status="True", last_transition_time="0", reason="R", message="m")

    both = with_condition((condition("False", "1"), other), condition("True", "2"))

    assert [each.type for each in both] == ["T", "O"]
    assert is_true(both, "T")
    assert not is_true(both, "absent")
    assert find(both, "O") == other


# -- backends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "values"),
    [
        (Backend(), (None, "", "", "", "", 0)),
        (
            Backend(s3=S3Backend(endpoint="http://minio", bucket="b", prefix="/p", region="r")),
            ("s3", "b", "/p", "http://minio", "r", 0),
        ),
        (
            Backend(rest=RestBackend(url="https://backup:8000/demo/shop")),
            ("rest", "backup:8000", "/demo/shop", "https://backup:8000/demo/shop", "", 0),
        ),
    ],
)
def test_the_values_of_a_backend_are_stashs(backend: Backend, values: tuple[object, ...]) -> None:
    assert values == (
        backend.provider,
        backend.container,
        backend.prefix,
        backend.endpoint,
        backend.region,
        backend.max_connections,
    )
