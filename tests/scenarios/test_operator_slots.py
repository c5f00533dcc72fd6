"""Which sessions a schedule leads to: slots, retries, pauses, outages, and what their user sees."""

from __future__ import annotations

import pytest


def web(shop, manifests, **spec):
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.batch(manifests.member("Deployment", "front"), **spec),
    )
    shop.cluster.settle()


RETRIES = {"retryConfig": {"maxRetry": 2, "delay": "5m"}}

# -- retries --------------------------------------------------------------------------------------


def test_a_failed_slot_is_tried_again_until_it_succeeds(shop, manifests):
    web(shop, manifests, **RETRIES)
    shop.data.fails = {"front"}
    shop.run_to(3, 2)
    (first,) = shop.sessions()
    assert shop.session(first)["nextRetry"].startswith("2026-03-02T03:05:")
    shop.run_to(3, 7)
    shop.data.fails = set()
    shop.run_to(3, 30)
    assert shop.sessions() == {
        first: "Failed",
        f"{first}-retry-1": "Failed",
        f"{first}-retry-2": "Succeeded",
    }
    assert shop.session(first)["retried"] is True
    assert shop.get("BackupBatch", "web")["status"]["phase"] == "Succeeded"
    assert shop.condition("BackupBatch", "web", "SpecFullySupported") is None
    shop.run(hours=12)
    assert len(shop.sessions()) == 3


def test_a_slot_that_fails_for_good_is_tried_no_more_than_allowed(shop, manifests):
    web(shop, manifests, **RETRIES)
    shop.data.fails = {"front"}
    shop.run(hours=12)
    (_, second, third) = shop.sessions()
    assert set(shop.sessions().values()) == {"Failed"}
    assert "nextRetry" not in shop.session(third)
    assert [shop.get("BackupSession", n)["spec"].get("retryLeft") for n in (second, third)] == [
        1,
        0,
    ]


def test_a_retry_never_runs_past_the_next_slot(shop, manifests):
    web(shop, manifests, schedule="*/10 * * * *", retryConfig={"maxRetry": 5, "delay": "15m"})
    shop.data.fails = {"front"}
    shop.run(hours=1)
    assert not [name for name in shop.sessions() if "retry" in name]


def test_a_retry_waits_while_the_batch_is_paused_and_comes_when_it_is_resumed(shop, manifests):
    web(shop, manifests, **RETRIES)
    shop.data.fails = {"front"}
    shop.run_to(3, 2)
    shop.change("BackupBatch", "web", {"spec": {"paused": True}})
    shop.data.fails = set()
    shop.run(hours=2)
    (first,) = shop.sessions()
    shop.change("BackupBatch", "web", {"spec": {"paused": False}})
    shop.run(minutes=2)
    assert shop.sessions() == {first: "Failed", f"{first}-retry-1": "Succeeded"}


def test_a_retry_is_dropped_when_the_batch_is_deleted(shop, manifests):
    web(shop, manifests, **RETRIES)
    shop.data.fails = {"front"}
    shop.run_to(3, 2)
    shop.delete("BackupBatch", "web")
    shop.run(hours=1)
    assert shop.sessions() == {}
    assert shop.find("BackupBatch", "web") is None


def test_a_session_by_hand_takes_the_place_of_a_retry(shop, manifests):
    web(shop, manifests, backupHistoryLimit=5, **RETRIES)
    shop.data.fails = {"front"}
    shop.run_to(3, 2)
    (first,) = shop.sessions()
    shop.data.fails = set()
    shop.trigger("by-hand")
    shop.run(hours=2)
    assert shop.sessions() == {first: "Failed", "by-hand": "Succeeded"}
    assert "nextRetry" not in shop.session(first)


def test_the_operator_that_was_away_makes_the_retry_when_it_is_back(shop, manifests):
    web(shop, manifests, **RETRIES)
    shop.data.fails = {"front"}
    shop.run_to(3, 2)
    (first,) = shop.sessions()
    shop.stop_operator()
    shop.run(hours=3)
    assert list(shop.sessions()) == [first]
    shop.start_operator()
    shop.data.fails = set()
    shop.run(minutes=2)
    assert shop.sessions() == {first: "Failed", f"{first}-retry-1": "Succeeded"}


@pytest.mark.parametrize("limit", [1, 2])
def test_a_run_and_its_retries_count_once_in_the_history(shop, manifests, limit):
    web(shop, manifests, schedule="0 * * * *", backupHistoryLimit=limit, **RETRIES)
    shop.data.fails = {"front"}
    shop.run(hours=5)
    assert len(shop.sessions()) == 3 * limit
