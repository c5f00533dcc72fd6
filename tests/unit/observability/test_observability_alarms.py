"""What somebody is called for, computed from the objects alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    BACKUP_SESSIONS,
    REPOSITORIES,
    RESTORE_SESSIONS,
    JsonObject,
    Resource,
)
from reconciler.observability import alarms

DAILY = "0 3 * * *"
ONE = (("kind", "BackupBatch"), ("name", "b"), ("namespace", "shop"))


@attrs.frozen
class Objects:
    """A View of literal objects."""

    objects: Mapping[Resource, Sequence[JsonObject]]

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        raise NotImplementedError

    def list(
        self, resource: Resource, namespace: str | None = None, **kwargs: Any
    ) -> Sequence[JsonObject]:
        assert not kwargs
        return self.objects.get(resource, ())

    def serves(self, resource: Resource) -> bool:
        raise NotImplementedError


def figures(name: str, objects: Mapping[Resource, Sequence[JsonObject]]) -> dict[Any, float]:
    (found,) = [each for each in alarms.of_alarms(Objects(objects))() if each.name == name]
    return {tuple(sorted(labels.items())): value for labels, value in found.samples}


def overdue(spec: JsonObject, *sessions: JsonObject, **meta: Any) -> str | None:
    """The moment, as Kubernetes writes it."""
    created = {"creationTimestamp": "2026-03-01T12:00:00Z", **meta}
    batch = {"metadata": {"name": "b", "namespace": "shop", **created}, "spec": spec}
    found = figures(
        "tandem_backup_overdue_timestamp_seconds",
        {BACKUP_BATCHES: [batch], BACKUP_SESSIONS: sessions},
    )
    if ONE not in found:
        assert not found
        return None
    return dt.datetime.fromtimestamp(found[ONE], dt.UTC).isoformat()


def session(name: str, phase: str | None, created: str, **status: Any) -> JsonObject:
    return {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
        "spec": {"invoker": {"kind": "BackupBatch", "name": "b"}},
        "status": {"phase": phase, **status},
    }


def test_a_backup_is_overdue_at_the_second_slot_after_its_newest_success() -> None:
    sessions = [
        session("new", "Succeeded", "2026-03-10T03:00:04Z"),
        session("old", "Succeeded", "2026-03-09T03:00:04Z"),
        session("bad", "Failed", "2026-03-11T03:00:04Z"),
    ]
    assert overdue({"schedule": DAILY}, *sessions) == "2026-03-12T03:00:00+00:00"


def test_a_backup_that_never_succeeded_counts_from_its_creation() -> None:
    assert overdue({"schedule": DAILY}) == "2026-03-03T03:00:00+00:00"


def test_a_weekend_without_slots_makes_nothing_overdue() -> None:
    friday = session("s", "Succeeded", "2026-03-06T03:00:04Z")
    assert overdue({"schedule": "0 3 * * 1-5"}, friday) == "2026-03-10T03:00:00+00:00"


def test_what_is_paused_deleted_broken_or_never_due_is_not_overdue() -> None:
    assert overdue({"schedule": DAILY, "paused": True}) is None
    assert overdue({"schedule": DAILY}, deletionTimestamp="2026-03-02T00:00:00Z") is None
    assert overdue({"schedule": "at night"}) is None
    assert overdue({"schedule": "0 0 30 2 *"}) is None
    assert overdue({}) is None
    assert overdue({"schedule": DAILY}, creationTimestamp="once") is None


def test_a_configuration_is_not_a_batch_of_the_same_name() -> None:
    meta = {"name": "b", "namespace": "shop", "creationTimestamp": "2026-03-01T12:00:00Z"}
    found = figures(
        "tandem_backup_overdue_timestamp_seconds",
        {
            BACKUP_CONFIGURATIONS: [{"metadata": meta, "spec": {"schedule": DAILY}}],
            BACKUP_SESSIONS: [session("s", "Succeeded", "2026-03-10T03:00:04Z")],
        },
    )
    ((labels, moment),) = found.items()
    assert ("kind", "BackupConfiguration") in labels
    assert moment == dt.datetime(2026, 3, 3, 3, tzinfo=dt.UTC).timestamp()


def test_the_deadline_is_told_of_what_is_not_final_whatever_it_is() -> None:
    deadline = {"sessionDeadline": "2026-03-02T00:00:00Z"}
    restore = {"metadata": {"name": "r", "namespace": "shop"}, "status": {"phase": None}}
    restore["status"].update(deadline)
    found = figures(
        "tandem_session_deadline_timestamp_seconds",
        {
            BACKUP_SESSIONS: [
                session("runs", "Running", "", **deadline),
                session("done", "Succeeded", "", **deadline),
                session("skipped", "Skipped", "", **deadline),
                session("fresh", None, ""),
            ],
            RESTORE_SESSIONS: [restore],
        },
    )
    assert {dict(labels)["name"] for labels in found} == {"runs", "r"}
    assert set(found.values()) == {dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp()}


def test_a_lasting_fault_is_that_of_the_newest_session_that_ran() -> None:
    def told(status: str) -> JsonObject:
        return {"type": "RetentionPolicyApplied", "status": status, "reason": "Locked"}

    other = {"type": "SomethingElse", "status": "False", "reason": "Locked"}
    objects = {
        BACKUP_SESSIONS: [
            session("2", "Failed", "2026-03-02T00:00:00Z", conditions=[told("False"), other]),
            session("1", "Succeeded", "2026-03-01T00:00:00Z", conditions=[told("True")]),
            session("3", "Skipped", "2026-03-03T00:00:00Z", conditions=[told("True")]),
        ]
    }
    (labels,) = figures("tandem_backup_fault", objects)
    assert dict(labels) == {**dict(ONE), "type": "RetentionPolicyApplied", "reason": "Locked"}

    healed = session("4", "Succeeded", "2026-03-04T00:00:00Z", conditions=[told("True")])
    assert not figures(
        "tandem_backup_fault", {BACKUP_SESSIONS: [*objects[BACKUP_SESSIONS], healed]}
    )


def test_the_integrity_is_that_of_the_last_check_and_unknown_before_it() -> None:
    def repository(name: str, **status: Any) -> JsonObject:
        return {"metadata": {"name": name, "namespace": "shop"}, "status": status}

    found = figures(
        "tandem_repository_integrity",
        {
            REPOSITORIES: [
                repository("good", integrity=True),
                repository("bad", integrity=False),
                repository("new"),
            ]
        },
    )
    assert {dict(labels)["name"]: value for labels, value in found.items()} == {
        "good": 1.0,
        "bad": 0.0,
    }
