"""CronJobs and Jobs of the embedded cluster decide as those of Kubernetes do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from controllers_world import (
    MINUTE,
    NOON,
    TEMPLATE,
    World,
)

from reconciler.api.resources import (
    CRON_JOBS,
    JOBS,
    PODS,
    JsonObject,
)
from reconciler.decisions.plan import Plan
from reconciler.embedded.controllers import (
    cronjob,
    job,
)

# -- CronJob ----------------------------------------------------------------------------------


def _cron_job(world: World, **spec: Any) -> JsonObject:
    every_hour = {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}
    return world.put(CRON_JOBS, "backup", spec={**every_hour, **spec})


def test_a_slot_makes_one_job_named_by_its_minute(world: World) -> None:
    _cron_job(world)
    world.now += dt.timedelta(hours=1)
    plan = world.run(cronjob.decide, "backup")
    slot = NOON + dt.timedelta(hours=1)
    assert world.names(JOBS) == [f"backup-{int(slot.timestamp()) // 60}"]
    assert plan.wake_at == slot + dt.timedelta(hours=1)
    status = world.list(CRON_JOBS)[0]["status"]
    assert status["lastScheduleTime"] == "2026-03-01T13:00:00Z"
    assert [entry["name"] for entry in status["active"]] == world.names(JOBS)


def test_nothing_starts_before_the_first_slot(world: World) -> None:
    _cron_job(world)
    world.now += 30 * MINUTE
    assert world.ask(cronjob.decide, "backup").writes == ()


def test_of_many_missed_slots_only_the_latest_starts(world: World) -> None:
    _cron_job(world, schedule="*/5 * * * *")
    world.now += dt.timedelta(days=90, minutes=2)
    world.run(cronjob.decide, "backup")
    latest = NOON + dt.timedelta(days=90)
    assert world.names(JOBS) == [f"backup-{int(latest.timestamp()) // 60}"]


def test_an_interval_counts_from_the_last_start(world: World) -> None:
    _cron_job(world, schedule="@every 7m")
    world.now += 20 * MINUTE
    plan = world.run(cronjob.decide, "backup")
    assert world.names(JOBS) == [f"backup-{int((NOON + 14 * MINUTE).timestamp()) // 60}"]
    assert plan.wake_at == NOON + 21 * MINUTE


def test_a_slot_is_dropped_after_its_starting_deadline(world: World) -> None:
    _cron_job(world, startingDeadlineSeconds=60)
    world.now += dt.timedelta(hours=1, minutes=2)
    world.run(cronjob.decide, "backup")
    assert world.names(JOBS) == []


def test_a_suspended_cronjob_starts_nothing_and_sleeps(world: World) -> None:
    _cron_job(world, suspend=True)
    world.now += dt.timedelta(hours=2)
    assert world.ask(cronjob.decide, "backup") == Plan()


@pytest.mark.parametrize(("policy", "jobs"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
def test_the_concurrency_policy_decides_about_an_overlap(
    world: World, policy: str, jobs: int
) -> None:
    _cron_job(world, concurrencyPolicy=policy)
    world.now += dt.timedelta(hours=1)
    world.run(cronjob.decide, "backup")
    first = world.names(JOBS)
    world.now += dt.timedelta(hours=1)
    world.run(cronjob.decide, "backup")
    assert len(world.names(JOBS)) == jobs
    assert (first[0] in world.names(JOBS)) == (policy != "Replace")


def test_a_forbidden_slot_starts_when_the_job_before_it_ends(world: World) -> None:
    _cron_job(world, concurrencyPolicy="Forbid")
    world.now += dt.timedelta(hours=1)
    world.run(cronjob.decide, "backup")
    world.now += dt.timedelta(hours=1)
    world.run(cronjob.decide, "backup")
    _complete(world, world.list(JOBS)[0])
    world.now += MINUTE
    world.run(cronjob.decide, "backup")
    assert len(world.names(JOBS)) == 2


def _complete(world: World, obj: JsonObject) -> None:
    at = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    done = {"type": "Complete", "status": "True", "lastTransitionTime": at}
    world.set_status(JOBS, obj, startTime=at, completionTime=at, conditions=[done])


def test_old_finished_jobs_are_removed_beyond_the_history_limit(world: World) -> None:
    _cron_job(world, successfulJobsHistoryLimit=2)
    for _ in range(4):
        world.now += dt.timedelta(hours=1)
        world.run(cronjob.decide, "backup")
        for obj in world.list(JOBS):
            if not obj.get("status"):
                _complete(world, obj)
    world.run(cronjob.decide, "backup")
    last = [NOON + dt.timedelta(hours=hours) for hours in (3, 4)]
    assert world.names(JOBS) == [f"backup-{int(at.timestamp()) // 60}" for at in last]


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
def test_a_job_whose_start_was_not_recorded_is_not_started_twice(world: World, policy: str) -> None:
    owner = _cron_job(world, concurrencyPolicy=policy)
    world.now += dt.timedelta(hours=1)
    world.run(cronjob.decide, "backup")
    world.set_status(CRON_JOBS, owner)
    before = world.names(JOBS)
    world.run(cronjob.decide, "backup")
    assert world.names(JOBS) == before
    assert world.list(CRON_JOBS)[0]["status"]["lastScheduleTime"] == "2026-03-01T13:00:00Z"


def test_a_schedule_is_read_in_its_time_zone(world: World) -> None:
    _cron_job(world, schedule="30 14 * * *", timeZone="Europe/Berlin")
    plan = world.ask(cronjob.decide, "backup")
    assert plan.wake_at == dt.datetime(2026, 3, 1, 13, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("spec", [{"schedule": "0 25 * * *"}, {"timeZone": "Mars/Base"}])
def test_an_invalid_schedule_is_told_and_starts_nothing(world: World, spec: JsonObject) -> None:
    _cron_job(world, **spec)
    world.now += dt.timedelta(days=2)
    plan = world.ask(cronjob.decide, "backup")
    assert plan.writes == ()
    assert [event.reason for event in plan.events] == ["InvalidSchedule"]


# -- Job --------------------------------------------------------------------------------------


def _job(world: World, **spec: Any) -> JsonObject:
    return world.put(JOBS, "once", spec={"template": TEMPLATE, **spec})


def _outcome(world: World) -> tuple[str, str]:
    found = world.list(JOBS)[0]["status"]["conditions"][0]
    return found["type"], found.get("reason", "")


def test_a_job_runs_one_pod_to_completion(world: World) -> None:
    _job(world)
    world.run(job.decide, "once")
    (pod,) = world.list(PODS)
    assert pod["metadata"]["name"].startswith("once-0-")
    assert pod["metadata"]["labels"]["job-name"] == "once"
    world.end(pod, "Succeeded")
    world.now += MINUTE
    world.run(job.decide, "once")
    status = world.list(JOBS)[0]["status"]
    assert (status["succeeded"], status.get("active")) == (1, None)
    assert status["completionTime"] == "2026-03-01T12:01:00Z"
    assert _outcome(world) == ("Complete", "")


def test_a_failed_pod_is_retried_after_a_growing_delay(world: World) -> None:
    _job(world)
    world.run(job.decide, "once")
    world.end(world.list(PODS)[0], "Failed")
    plan = world.run(job.decide, "once")
    assert len(world.names(PODS)) == 1
    assert plan.wake_at == NOON + dt.timedelta(seconds=10)
    world.now += dt.timedelta(seconds=10)
    world.run(job.decide, "once")
    assert len(world.names(PODS)) == 2
    world.end(world.list(PODS)[1], "Failed")
    assert world.run(job.decide, "once").wake_at == world.now + dt.timedelta(seconds=20)


def test_a_job_fails_when_its_back_off_limit_is_exceeded(world: World) -> None:
    _job(world, backoffLimit=1)
    for _ in range(2):
        world.run(job.decide, "once")
        world.end(world.list(PODS)[-1], "Failed")
        world.now += 10 * MINUTE
    world.run(job.decide, "once")
    assert len(world.names(PODS)) == 2
    assert _outcome(world) == ("Failed", "BackoffLimitExceeded")


def test_restarts_in_place_count_against_the_back_off_limit(world: World) -> None:
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "OnFailure"}}
    _job(world, backoffLimit=2, template=template)
    world.run(job.decide, "once")
    restarted = [{"name": "c", "restartCount": 2, "state": {"running": {}}}]
    world.set_status(PODS, world.list(PODS)[0], phase="Running", containerStatuses=restarted)
    world.run(job.decide, "once")
    assert _outcome(world) == ("Failed", "BackoffLimitExceeded")
    assert world.names(PODS) == []


def test_a_job_ends_at_its_deadline_and_takes_its_pods_along(world: World) -> None:
    _job(world, activeDeadlineSeconds=90)
    assert world.run(job.decide, "once").wake_at == NOON + dt.timedelta(seconds=90)
    world.now += dt.timedelta(seconds=90)
    world.run(job.decide, "once")
    assert world.names(PODS) == []
    assert _outcome(world) == ("Failed", "DeadlineExceeded")


def test_parallelism_and_completions_bound_what_runs(world: World) -> None:
    _job(world, completions=3, parallelism=2)
    world.run(job.decide, "once")
    assert len(world.names(PODS)) == 2
    for pod in world.list(PODS):
        world.end(pod, "Succeeded")
    world.run(job.decide, "once")
    assert len(world.names(PODS)) == 3
    for pod in world.list(PODS):
        world.end(pod, "Succeeded")
    world.run(job.decide, "once")
    assert _outcome(world) == ("Complete", "")


def test_a_suspended_job_runs_nothing_until_it_is_resumed(world: World) -> None:
    obj = _job(world)
    world.run(job.decide, "once")
    obj["spec"]["suspend"] = True
    world.run(job.decide, "once")
    assert world.names(PODS) == []
    assert _outcome(world) == ("Suspended", "JobSuspended")
    obj["spec"]["suspend"] = False
    world.run(job.decide, "once")
    assert len(world.names(PODS)) == 1


def test_a_finished_job_goes_when_its_time_to_live_is_over(world: World) -> None:
    obj = _job(world, ttlSecondsAfterFinished=60)
    _complete(world, obj)
    assert world.ask(job.decide, "once").wake_at == NOON + MINUTE
    world.now += MINUTE
    world.run(job.decide, "once")
    assert world.names(JOBS) == []
