"""The trigger: one session a slot, however often its pod is tried."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.agent.trigger import Order, create_backupsession, session_of, slot_of
from reconciler.api import resources as r
from reconciler.engine.clock import VirtualClock
from reconciler.errors import NotFound, TerminalError

SLOT = dt.datetime(2026, 3, 1, 3, 0, tzinfo=dt.UTC)
NOW = SLOT + dt.timedelta(seconds=7)
SECONDS = int(SLOT.timestamp())
JOB = f"stash-backup-shop-{SECONDS // 60}"


@pytest.mark.parametrize(
    ("job", "slot"),
    [
        (JOB, SLOT),
        (f"stash-backup-shop-{SECONDS}", SLOT),  # Kubernetes 1.20
        ("", None),
        ("manual-1", None),
        ("stash-backup-shop-1", None),
        ("stash-backup-shop-x", None),
        ("stash-backup-shop-99999999999999999999", None),
        (f"stash-backup-other-{SECONDS}", None),
    ],
)
def test_the_slot_is_read_from_the_name_of_the_cronjobs_job(job, slot) -> None:
    assert slot_of(job, "shop", NOW) == slot


def test_a_slot_makes_one_session_however_often_it_is_tried(application) -> None:
    port, clock = application.cluster.port, VirtualClock(NOW)
    order = Order("demo", "BackupBatch", "shop", JOB)
    assert create_backupsession(port, order, clock) == 0
    clock.advance(60)
    assert create_backupsession(port, order, clock) == 0
    (made,) = port.list(r.BACKUP_SESSIONS, "demo").items
    meta = made["metadata"]
    assert meta["name"] == f"shop-{SECONDS}"
    assert meta["annotations"] == {"tandem.appscode.com/slot": "2026-03-01T03:00:00Z"}
    assert meta["labels"]["stash.appscode.com/invoker-type"] == "BackupBatch"
    assert meta["labels"]["stash.appscode.com/invoker-name"] == "shop"
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("BackupBatch", "shop", True)
    assert made["spec"]["invoker"] == {
        "apiGroup": "stash.appscode.com",
        "kind": "BackupBatch",
        "name": "shop",
    }


def test_a_run_by_hand_is_a_session_of_its_own_without_a_slot(application) -> None:
    port, clock = application.cluster.port, VirtualClock(NOW)
    order = Order("demo", "BackupBatch", "shop", "by-hand-1")
    create_backupsession(port, order, clock)
    (made,) = port.list(r.BACKUP_SESSIONS, "demo").items
    assert made["metadata"]["name"] == f"shop-{SECONDS + 7}"
    assert "annotations" not in made["metadata"]


def test_long_names_are_cut_but_stay_apart() -> None:
    names = [
        session_of(
            {"apiVersion": "v", "kind": "BackupBatch",
             "metadata": {"name": "x" * 60 + end, "namespace": "demo", "uid": "u"}},
            SLOT, scheduled=True,
        )["metadata"]["name"]
        for end in "ab"
    ]  # fmt: skip
    assert len(set(names)) == 2
    assert all(len(name) <= 63 and name.endswith(f"-{SECONDS}") for name in names)


def test_a_missing_invoker_is_named(application) -> None:
    order = Order("demo", "BackupBatch", "none")
    with pytest.raises(NotFound, match="BackupBatch demo/none does not exist"):
        create_backupsession(application.cluster.port, order, VirtualClock(NOW))


def test_an_unknown_kind_is_named(application) -> None:
    order = Order("demo", "Deployment", "web")
    with pytest.raises(TerminalError, match="found 'Deployment'"):
        create_backupsession(application.cluster.port, order, VirtualClock(NOW))
