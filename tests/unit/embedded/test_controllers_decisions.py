"""What the built-in controllers decide: each test is a sentence that users of Kubernetes rely on.

``World`` holds plain objects, lets a decision look at them, and makes its plan so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from reconciler.api.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    JOBS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions.plan import Apply, Create, Decide, Delete, Plan, Settings, Status
from reconciler.embedded.controllers import (
    accounts,
    claims,
    cronjob,
    daemonset,
    deployment,
    endpoints,
    job,
    ownership,
    replicaset,
    scheduler,
    statefulset,
)

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


class World:
    """A View over dictionaries, and the hand that applies plans to them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str, str], JsonObject] = {}
        self.now = NOON
        self.numbers = 0

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        return self.objects.get((resource, namespace, name))

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        return [
            obj
            for (kind, place, _), obj in sorted(self.objects.items(), key=lambda i: i[0][1:])
            if kind is resource
            and namespace in (None, place)
            and (labels or {}).items() <= obj["metadata"].get("labels", {}).items()
            and (owner_uid is None or owner_uid in _controllers(obj))
        ]

    def serves(self, resource: Resource) -> bool:
        return True

    def put(self, resource: Resource, name: str, **fields: Any) -> JsonObject:
        self.numbers += 1
        place = "default" if resource.namespaced else ""
        meta = {
            "name": name,
            "namespace": place,
            "uid": f"uid-{self.numbers}",
            "resourceVersion": "1",
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        meta |= fields.pop("metadata", {})
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, **fields}
        obj["metadata"] = {key: value for key, value in meta.items() if value != ""}
        self.objects[resource, place, name] = obj
        return obj

    def ask(self, decide: Decide, name: str, place: str = "default") -> Plan:
        return decide(Key(place, name), self, self.now, Settings())

    def run(self, decide: Decide, name: str, place: str = "default") -> Plan:
        """Ask until the decision wants nothing more; the last plan with writes."""
        plan = self.ask(decide, name, place)
        for _ in range(20):
            for write in plan.writes:
                self.make_so(write)
            following = self.ask(decide, name, place)
            if not following.writes:
                return following
            plan = following
        raise AssertionError(f"{name} does not come to rest: {plan.writes}")

    def make_so(self, write: Any) -> None:
        if isinstance(write, Create):
            meta = write.obj["metadata"]
            if (write.resource, meta.get("namespace", ""), meta["name"]) not in self.objects:
                fields = {k: v for k, v in write.obj.items() if k not in ("kind", "apiVersion")}
                self.put(write.resource, meta["name"], **fields)
        elif isinstance(write, Apply):
            meta = write.obj["metadata"]
            key = write.resource, meta.get("namespace", ""), meta["name"]
            if key not in self.objects and write.create:
                self.put(write.resource, meta["name"])
            self.objects[key] = _merged(self.objects[key], write.obj)
        elif isinstance(write, Delete):
            self.objects.pop((write.resource, write.namespace, write.name), None)
        elif isinstance(write, Status):
            key = write.resource, write.namespace, write.name
            self.objects[key] = {**self.objects[key], "status": write.status}
        else:
            key = write.resource, write.namespace, write.name
            changed = {"metadata": {"finalizers": list(write.finalizers)}}
            self.objects[key] = _merged(self.objects[key], changed)

    def names(self, resource: Resource) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.list(resource)]

    def end(self, pod: JsonObject, phase: str) -> None:
        ended = {"exitCode": 1, "finishedAt": self.now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        states = [{"name": "c", "state": {"terminated": ended}}]
        self.set_status(PODS, pod, phase=phase, containerStatuses=states)

    def set_status(self, resource: Resource, obj: JsonObject, **status: Any) -> None:
        key = resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        self.objects[key] = {**self.objects[key], "status": status}

    def make_ready(self, *pods: JsonObject) -> None:
        since = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        for pod in pods or self.list(PODS):
            number = self.names(PODS).index(pod["metadata"]["name"]) + 1
            self.set_status(
                PODS, pod, phase="Running", conditions=[ready], podIP=f"10.0.0.{number}"
            )


def _controllers(obj: JsonObject) -> list[str]:
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences", ())]


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}


@pytest.fixture
def world() -> World:
    return World()


TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "busybox"}]},
}
SELECTOR = {"matchLabels": {"app": "web"}}


def _image(name: str) -> JsonObject:
    return {**TEMPLATE, "spec": {"containers": [{"name": "c", "image": name}]}}


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


# -- ReplicaSet and Deployment ----------------------------------------------------------------


def _replica_set(world: World, replicas: int) -> JsonObject:
    spec = {"replicas": replicas, "selector": SELECTOR, "template": TEMPLATE}
    return world.put(REPLICA_SETS, "web", spec=spec)


def test_a_replica_set_has_exactly_its_replicas(world: World) -> None:
    obj = _replica_set(world, 3)
    world.run(replicaset.decide, "web")
    assert len(set(world.names(PODS))) == 3
    world.make_ready()
    world.run(replicaset.decide, "web")
    assert world.list(REPLICA_SETS)[0]["status"]["availableReplicas"] == 3
    obj["spec"]["replicas"] = 1
    world.run(replicaset.decide, "web")
    assert len(world.names(PODS)) == 1


def test_a_decision_from_a_stale_view_creates_nothing_twice(world: World) -> None:
    _replica_set(world, 3)
    stale = world.ask(replicaset.decide, "web")
    for plan in (stale, stale):
        for write in plan.writes:
            world.make_so(write)
    assert len(world.names(PODS)) == 3


def test_the_pod_that_is_not_ready_is_given_up_first(world: World) -> None:
    obj = _replica_set(world, 2)
    world.run(replicaset.decide, "web")
    ready = world.list(PODS)[1]
    world.make_ready(ready)
    obj["spec"]["replicas"] = 1
    world.run(replicaset.decide, "web")
    assert world.names(PODS) == [ready["metadata"]["name"]]


def test_a_finished_pod_is_replaced(world: World) -> None:
    _replica_set(world, 1)
    world.run(replicaset.decide, "web")
    world.end(world.list(PODS)[0], "Failed")
    world.run(replicaset.decide, "web")
    assert len(world.names(PODS)) == 2


def test_orphans_that_match_are_adopted_instead_of_replaced(world: World) -> None:
    world.put(PODS, "lonely", metadata={"labels": {"app": "web"}}, spec={})
    obj = _replica_set(world, 1)
    world.run(replicaset.decide, "web")
    (pod,) = world.list(PODS)
    assert _controllers(pod) == [obj["metadata"]["uid"]]


@pytest.mark.parametrize(
    ("rule", "selected"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "db"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
        ({"key": "tier", "operator": "In", "values": ["x"]}, False),
    ],
)
def test_selectors_may_be_expressions(rule: JsonObject, selected: bool) -> None:
    assert ownership.matches({"app": "web"}, {"matchExpressions": [rule]}) == selected


def test_a_replication_controller_selects_by_its_template(world: World) -> None:
    world.put(PODS, "lonely", metadata={"labels": {"app": "web"}}, spec={})
    world.put(REPLICATION_CONTROLLERS, "old", spec={"replicas": 2, "template": TEMPLATE})
    world.run(replicaset.decide_replication_controller, "old")
    assert len(world.names(PODS)) == 2
    assert "lonely" in world.names(PODS)


def _deployment(world: World, **spec: Any) -> JsonObject:
    common = {"replicas": 4, "selector": SELECTOR, "template": TEMPLATE}
    return world.put(DEPLOYMENTS, "web", spec={**common, **spec})


def _step(world: World) -> dict[str, int]:
    """Let Deployment and ReplicaSets react once; the replicas of each revision."""
    world.run(deployment.decide, "web")
    for name in world.names(REPLICA_SETS):
        world.run(replicaset.decide, name)
    world.run(deployment.decide, "web")
    return {
        obj["metadata"]["annotations"][deployment.REVISION]: obj["spec"]["replicas"]
        for obj in world.list(REPLICA_SETS)
    }


def test_a_new_deployment_starts_all_replicas_at_once(world: World) -> None:
    _deployment(world)
    assert _step(world) == {"1": 4}
    world.make_ready()
    _step(world)
    status = world.list(DEPLOYMENTS)[0]["status"]
    assert status["availableReplicas"] == status["updatedReplicas"] == 4
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Available": "True",
        "Progressing": "True",
    }


def test_a_rolling_update_never_leaves_its_bounds(world: World) -> None:
    obj = _deployment(world)
    _step(world)
    world.make_ready()
    _step(world)
    obj = world.list(DEPLOYMENTS)[0]
    obj["spec"]["template"] = _image("busybox:2")
    for _ in range(12):
        sizes = _step(world)
        pods = world.list(PODS)
        available = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        assert len(pods) <= 5
        assert len(available) >= 3
        world.make_ready()
    assert sizes == {"1": 0, "2": 4}
    images = {pod["spec"]["containers"][0]["image"] for pod in world.list(PODS)}
    assert images == {"busybox:2"}


def test_recreate_starts_new_pods_only_when_the_old_are_gone(world: World) -> None:
    obj = _deployment(world, strategy={"type": "Recreate"})
    _step(world)
    obj = world.list(DEPLOYMENTS)[0]
    obj["spec"]["template"] = _image("busybox:2")
    world.run(deployment.decide, "web")
    sizes = [rs["spec"]["replicas"] for rs in world.list(REPLICA_SETS)]
    assert sizes == [0, 0]
    assert _step(world) == {"1": 0, "2": 4}


def test_a_roll_back_reuses_the_old_replica_set_as_the_newest_revision(world: World) -> None:
    obj = _deployment(world, replicas=1)
    _step(world)
    for template in (_image("busybox:2"), TEMPLATE):
        obj = world.list(DEPLOYMENTS)[0]
        obj["spec"]["template"] = template
        for _ in range(4):
            world.make_ready()
            sizes = _step(world)
    assert sizes == {"2": 0, "3": 1}
    annotations = world.list(DEPLOYMENTS)[0]["metadata"]["annotations"]
    assert annotations[deployment.REVISION] == "3"


def test_a_replica_set_remembers_the_annotations_of_its_deployment(world: World) -> None:
    mark, applied = "example.com/mark", "kubectl.kubernetes.io/last-applied-configuration"
    obj = _deployment(world)
    obj["metadata"]["annotations"] = {mark: "x", applied: "{}"}
    _step(world)
    (made,) = world.list(REPLICA_SETS)
    assert made["metadata"]["annotations"] == {mark: "x", deployment.REVISION: "1"}


def test_a_paused_deployment_does_not_roll_but_scales(world: World) -> None:
    _deployment(world)
    _step(world)
    obj = world.list(DEPLOYMENTS)[0]
    obj["spec"] |= {"paused": True, "template": _image("busybox:2"), "replicas": 2}
    assert _step(world) == {"1": 2}


def test_a_rollout_without_progress_is_told_after_its_deadline(world: World) -> None:
    _deployment(world, progressDeadlineSeconds=60)
    _step(world)
    plan = world.ask(deployment.decide, "web")
    assert plan.wake_at == NOON + MINUTE
    world.now += MINUTE
    _step(world)
    conditions = world.list(DEPLOYMENTS)[0]["status"]["conditions"]
    reasons = {found["type"]: found["reason"] for found in conditions}
    assert reasons["Progressing"] == "ProgressDeadlineExceeded"


def test_only_the_newest_old_replica_sets_are_kept(world: World) -> None:
    _deployment(world, replicas=1, revisionHistoryLimit=1)
    for number in range(4):
        obj = world.list(DEPLOYMENTS)[0]
        obj["spec"]["template"] = _image(f"busybox:{number}")
        for _ in range(4):
            world.make_ready()
            sizes = _step(world)
    assert sizes == {"3": 0, "4": 1}


# -- StatefulSet and DaemonSet ----------------------------------------------------------------


def _stateful_set(world: World, **spec: Any) -> JsonObject:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    common = {
        "replicas": 3,
        "serviceName": "db",
        "selector": SELECTOR,
        "template": TEMPLATE,
        "volumeClaimTemplates": [claim],
    }
    return world.put(STATEFUL_SETS, "db", spec={**common, **spec})


def test_a_stateful_set_starts_in_order_each_after_the_one_before_is_ready(world: World) -> None:
    _stateful_set(world)
    seen = []
    for _ in range(3):
        world.run(statefulset.decide, "db")
        seen.append(world.names(PODS))
        world.make_ready()
    assert seen == [["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"]]
    assert world.names(PERSISTENT_VOLUME_CLAIMS) == ["data-db-0", "data-db-1", "data-db-2"]
    volumes = world.list(PODS)[1]["spec"]["volumes"]
    assert volumes == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]


def test_parallel_management_starts_all_at_once(world: World) -> None:
    _stateful_set(world, podManagementPolicy="Parallel")
    world.run(statefulset.decide, "db")
    assert world.names(PODS) == ["db-0", "db-1", "db-2"]


def test_scaling_down_removes_the_highest_ordinal_and_keeps_its_claim(world: World) -> None:
    obj = _stateful_set(world, podManagementPolicy="Parallel")
    world.run(statefulset.decide, "db")
    world.make_ready()
    obj = world.list(STATEFUL_SETS)[0]
    obj["spec"]["replicas"] = 2
    world.run(statefulset.decide, "db")
    assert world.names(PODS) == ["db-0", "db-1"]
    assert "data-db-2" in world.names(PERSISTENT_VOLUME_CLAIMS)


def test_an_update_goes_from_the_highest_ordinal_down_to_the_partition(world: World) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    _stateful_set(world, podManagementPolicy="Parallel", updateStrategy=strategy)
    world.run(statefulset.decide, "db")
    world.make_ready()
    world.list(STATEFUL_SETS)[0]["spec"]["template"] = _image("busybox:2")
    order = []
    for _ in range(3):
        removed = [w for w in world.ask(statefulset.decide, "db").writes if isinstance(w, Delete)]
        order += [write.name for write in removed]
        world.run(statefulset.decide, "db")
        world.make_ready()
    assert order == ["db-2", "db-1"]
    images = [pod["spec"]["containers"][0]["image"] for pod in world.list(PODS)]
    assert images == ["busybox", "busybox:2", "busybox:2"]


def test_a_daemon_set_has_one_pod_on_each_node_that_fits(world: World) -> None:
    for name in ("one", "two"):
        world.put(NODES, name, metadata={"labels": {"kind": name}}, spec={})
    spec = {"selector": SELECTOR, "template": TEMPLATE}
    obj = world.put(DAEMON_SETS, "agent", spec=spec)
    world.run(daemonset.decide, "agent")
    assert sorted(pod["spec"]["nodeName"] for pod in world.list(PODS)) == ["one", "two"]
    obj["spec"]["template"] = {
        **TEMPLATE,
        "spec": {**TEMPLATE["spec"], "nodeSelector": {"kind": "two"}},
    }
    world.run(daemonset.decide, "agent")
    assert [pod["spec"]["nodeName"] for pod in world.list(PODS)] == ["two"]


def test_a_changed_daemon_set_replaces_its_pods(world: World) -> None:
    world.put(NODES, "one", spec={})
    world.put(DAEMON_SETS, "agent", spec={"selector": SELECTOR, "template": TEMPLATE})
    world.run(daemonset.decide, "agent")
    world.make_ready()
    world.list(DAEMON_SETS)[0]["spec"]["template"] = _image("busybox:2")
    world.run(daemonset.decide, "agent")
    assert [pod["spec"]["containers"][0]["image"] for pod in world.list(PODS)] == ["busybox:2"]


# -- Claims, nodes, Services, accounts --------------------------------------------------------


def _claim(world: World) -> JsonObject:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    return world.put(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)


def test_a_claim_is_bound_to_a_volume_made_for_it(world: World) -> None:
    claim = _claim(world)
    world.run(claims.decide, "data")
    name = f"pvc-{claim['metadata']['uid']}"
    world.run(claims.decide_volume, name, "")
    bound = world.list(PERSISTENT_VOLUME_CLAIMS)[0]
    assert bound["spec"]["volumeName"] == name
    assert bound["status"]["phase"] == "Bound"
    assert world.list(PERSISTENT_VOLUMES)[0]["status"] == {"phase": "Bound"}


def test_a_volume_goes_with_its_claim(world: World) -> None:
    claim = _claim(world)
    world.run(claims.decide, "data")
    name = f"pvc-{claim['metadata']['uid']}"
    world.run(claims.decide_volume, name, "")
    del world.objects[PERSISTENT_VOLUME_CLAIMS, "default", "data"]
    world.run(claims.decide_volume, name, "")
    assert world.names(PERSISTENT_VOLUMES) == []


def test_a_claim_in_use_waits_for_its_pod(world: World) -> None:
    _claim(world)
    world.run(claims.decide, "data")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    pod = world.put(PODS, "user", spec={"volumes": volumes})
    world.list(PERSISTENT_VOLUME_CLAIMS)[0]["metadata"]["deletionTimestamp"] = "now"
    assert world.ask(claims.decide, "data").writes == ()
    world.end(pod, "Succeeded")
    world.run(claims.decide, "data")
    assert world.list(PERSISTENT_VOLUME_CLAIMS)[0]["metadata"]["finalizers"] == []


def test_a_pod_gets_a_node_when_its_claim_is_bound(world: World) -> None:
    world.put(NODES, "one", spec={})
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    world.put(PODS, "user", spec={"volumes": volumes})
    world.run(scheduler.decide, "user")
    (condition,) = world.list(PODS)[0]["status"]["conditions"]
    assert condition["message"] == 'persistentvolumeclaim "data" not found'
    _claim(world)
    world.run(claims.decide, "data")
    world.run(scheduler.decide, "user")
    assert world.list(PODS)[0]["spec"]["nodeName"] == "one"


def test_endpoints_hold_the_ready_pods_behind_a_service(world: World) -> None:
    port = {"name": "db", "containerPort": 3306}
    spec = {"containers": [{"name": "c", "ports": [port]}], "nodeName": "one"}
    for name in ("db-a", "db-b"):
        pod = world.put(PODS, name, metadata={"labels": {"app": "db"}}, spec=spec)
        world.set_status(PODS, pod, phase="Running", podIP="10.0.0.9")
    world.make_ready(world.list(PODS)[0])
    ports = [{"port": 3306, "targetPort": "db"}]
    service = world.put(SERVICES, "db", spec={"selector": {"app": "db"}, "ports": ports})
    world.run(endpoints.decide, "db")
    (subset,) = world.list(ENDPOINTS)[0]["subsets"]
    assert [entry["ip"] for entry in subset["addresses"]] == ["10.0.0.1"]
    assert [entry["ip"] for entry in subset["notReadyAddresses"]] == ["10.0.0.9"]
    assert subset["ports"] == [{"port": 3306, "protocol": "TCP"}]
    del world.objects[SERVICES, "default", service["metadata"]["name"]]
    world.run(endpoints.decide, "db")
    assert world.names(ENDPOINTS) == []


def test_every_namespace_has_a_default_service_account(world: World) -> None:
    world.put(NAMESPACES, "default")
    world.run(accounts.decide, "default", "")
    assert world.names(SERVICE_ACCOUNTS) == ["default"]
