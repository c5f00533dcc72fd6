"""The hosts of a target: which are expected, and which pod can back up which.

Called by the session decision through ``runners``. The names themselves are made by
``reconciler.api.hosts``; here they are met with the pods that are there.
"""

from __future__ import annotations

from reconciler.api import hosts
from reconciler.api.resources import (
    DAEMON_SETS,
    DEPLOYMENT_CONFIGS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    JsonObject,
    Resource,
)
from reconciler.decisions import world
from reconciler.decisions.plan import View
from reconciler.decisions.targets import Target

_BETWEEN: dict[str, Resource] = {
    DEPLOYMENTS.kind: REPLICA_SETS,
    DEPLOYMENT_CONFIGS.kind: REPLICATION_CONTROLLERS,
}
"""Who owns the pods of a workload that does not own them itself."""


def pods_of(view: View, workload: JsonObject) -> list[JsonObject]:
    """The pods of a workload that are not going, from the oldest on."""
    namespace = workload["metadata"]["namespace"]
    owners = [workload]
    between = _BETWEEN.get(workload["kind"])
    if between is not None:
        uid = workload["metadata"]["uid"]
        owners = list(view.list(between, namespace, owner_uid=uid))
    found = [
        pod
        for owner in owners
        for pod in view.list(PODS, namespace, owner_uid=owner["metadata"]["uid"])
        if not world.terminating(pod)
    ]
    return sorted(found, key=world.age_key)


def expected(view: View, target: Target, alias: str) -> tuple[str, ...]:
    """The hosts of the target as it is now; none for a StatefulSet scaled to 0."""
    kind = target.ref.kind
    if target.obj is None:
        several = kind in (STATEFUL_SETS.kind, DAEMON_SETS.kind)
        return () if several else hosts.expected_hosts(kind, alias)
    replicas = (target.obj.get("spec") or {}).get("replicas", 1)
    nodes: set[str] = set()
    if kind == DAEMON_SETS.kind:
        nodes = {node for node in map(_node, pods_of(view, target.obj)) if node}
    return hosts.expected_hosts(kind, alias, replicas=replicas, node_names=nodes)


def host_of(kind: str, alias: str, pod: JsonObject) -> str:
    """The host that a workload's pod backs up; "" for a DaemonSet's pod without a node."""
    if kind == DAEMON_SETS.kind and not _node(pod):
        return ""
    return hosts.host_name(kind, alias, pod_name=world.name_of(pod), node_name=_node(pod))


def _node(pod: JsonObject) -> str:
    return str(pod["spec"].get("nodeName") or "")
