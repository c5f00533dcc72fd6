"""StatefulSets, DaemonSets, claims and Services decide as those of Kubernetes do."""

from __future__ import annotations

from typing import Any

from controllers_world import (
    SELECTOR,
    TEMPLATE,
    World,
    _image,
)

from reconciler.api.resources import (
    DAEMON_SETS,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    JsonObject,
)
from reconciler.decisions.plan import Delete
from reconciler.embedded.controllers import (
    accounts,
    claims,
    daemonset,
    endpoints,
    scheduler,
    statefulset,
)

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
