"""ReplicaSets and Deployments of the embedded cluster decide as those of Kubernetes do."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world import (
    MINUTE,
    NOON,
    SELECTOR,
    TEMPLATE,
    World,
    _controllers,
    _image,
)

from reconciler.api.resources import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    JsonObject,
)
from reconciler.embedded.controllers import (
    deployment,
    ownership,
    replicaset,
)

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
