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


# -- outages --------------------------------------------------------------------------------------


def slots_missed(shop):
    return shop.condition("BackupBatch", "web", "SlotsMissed")


def test_a_cluster_that_was_away_for_days_makes_up_for_one_slot_and_tells_the_others(
    shop, manifests
):
    web(shop, manifests, schedule="0 * * * *")
    shop.run_to(3, 5)
    shop.outage(days=3, minutes=-3)  # back two minutes after a slot
    shop.data.seconds = {"front": 60}
    shop.run(seconds=40)
    found = slots_missed(shop)
    assert (found["status"], found["reason"]) == ("True", "NoSessionCreated")
    assert "71 slots of the schedule since 2026-03-02T04:00:00Z" in found["message"]
    assert len(shop.sessions()) == 2, "one catch-up beside the session before the outage"
    shop.run(minutes=30)
    assert list(shop.sessions().values()) == ["Succeeded"]
    assert slots_missed(shop) is None


def test_a_cluster_that_comes_back_between_slots_starts_nothing_old(shop, manifests):
    web(shop, manifests, schedule="0 * * * *")
    shop.run_to(3, 5)
    before = shop.sessions()
    shop.outage(days=3, minutes=25)
    shop.run(minutes=20)
    assert shop.sessions() == before
    assert "72 slots" in slots_missed(shop)["message"]
    shop.run_to(4, 5)
    assert slots_missed(shop) is None, "the slot of four o'clock was good"


def test_missed_slots_are_told_until_a_session_succeeds(shop, manifests):
    web(shop, manifests, schedule="0 * * * *")
    shop.run_to(3, 5)
    shop.outage(days=1, minutes=25)
    shop.data.fails = {"front"}
    shop.run(hours=2)
    assert "24 slots" in slots_missed(shop)["message"]
    shop.data.fails = set()
    shop.run(hours=1)
    assert slots_missed(shop) is None


def test_an_operator_that_was_away_for_days_runs_the_last_slot_and_says_why_not_the_others(
    shop, manifests
):
    web(shop, manifests, backupHistoryLimit=10)
    shop.run_to(3, 5)
    shop.stop_operator()
    shop.run(days=3)
    assert list(shop.sessions().values()) == ["Succeeded", "", "", ""]
    shop.start_operator()
    shop.run(minutes=10)
    assert list(shop.sessions().values()) == ["Succeeded", "Failed", "Failed", "Succeeded"]
    for name in list(shop.sessions())[1:3]:
        assert shop.target(name, "front")["reason"] == "DeadlineExceeded"
    assert slots_missed(shop) is None, "every slot had its session"
    shop.run(days=1)
    assert list(shop.sessions().values())[-1] == "Succeeded"


def test_a_paused_month_is_not_missed_and_starts_nothing_old(shop, manifests):
    web(shop, manifests, schedule="0 * * * *")
    shop.run_to(3, 5)
    shop.change("BackupBatch", "web", {"spec": {"paused": True}})
    shop.run(days=31)
    before = shop.sessions()
    shop.change("BackupBatch", "web", {"spec": {"paused": False}})
    shop.run(minutes=50)
    assert slots_missed(shop) is None
    assert shop.sessions() == before
    shop.run_to(4, 5)
    assert len(shop.sessions()) == 1
    assert shop.sessions() != before


def test_another_schedule_makes_no_missed_slots_of_the_past(shop, manifests):
    web(shop, manifests)
    shop.run_to(3, 5)
    shop.run(hours=10)
    shop.change("BackupBatch", "web", {"spec": {"schedule": "*/10 * * * *"}})
    shop.run(minutes=40)
    assert slots_missed(shop) is None


def test_a_trigger_that_cannot_make_its_session_is_a_missed_slot(shop, manifests):
    web(shop, manifests, schedule="0 * * * *")
    shop.data.trigger_fails = True
    shop.run_to(4, 14)
    assert "1 slot of the schedule since 2026-03-02T03:00:00Z" in slots_missed(shop)["message"]
    shop.run_to(5, 16)
    assert "3 slots" in slots_missed(shop)["message"]
    shop.data.trigger_fails = False
    shop.run_to(6, 5)
    assert list(shop.sessions().values()) == ["Succeeded"]
    assert slots_missed(shop) is None


def test_more_than_a_hundred_missed_slots_are_told_and_the_next_one_is_good(shop, manifests):
    web(shop, manifests, schedule="*/5 * * * *")
    shop.run_to(3, 1)
    shop.outage(days=30, minutes=1)
    shop.run(seconds=5)
    assert "100 or more slots" in slots_missed(shop)["message"]
    shop.run(minutes=10)
    assert list(shop.sessions().values()) == ["Succeeded"]
    assert slots_missed(shop) is None


def test_a_skipped_slot_is_explained_in_the_batch_until_the_next_one(shop, manifests):
    web(shop, manifests, schedule="*/10 * * * *")
    shop.data.seconds = {"front": 900}
    shop.run_to(2, 52)
    first, second = shop.sessions()
    found = shop.condition("BackupBatch", "web", "Skipped")
    assert (found["status"], found["reason"]) == ("True", "PreviousSessionRunning")
    assert found["message"] == (
        f"BackupSession {second} was skipped: BackupSession {first} has not finished yet."
    )
    shop.data.seconds = {}
    shop.run_to(3, 5)
    assert shop.condition("BackupBatch", "web", "Skipped") is None


def test_paused_a_running_session_is_finished_and_the_cron_job_suspended(shop, manifests):
    web(shop, manifests)
    shop.data.seconds = {"front": 300}
    shop.run_to(3, 1)
    shop.change("BackupBatch", "web", {"spec": {"paused": True}})
    shop.cluster.settle()
    assert shop.get("CronJob", "stash-backup-web")["spec"]["suspend"] is True
    assert list(shop.sessions().values()) == ["Running"]
    shop.run_to(3, 20)
    assert list(shop.sessions().values()) == ["Succeeded"]
