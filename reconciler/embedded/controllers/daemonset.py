"""DaemonSet: one Pod on each node (the kube controller's rule, kept to one kind of node).

Run by the embedded cluster. The embedded nodes carry no taints; ``nodeSelector`` is honoured. A
changed template replaces Pods one at a time (``RollingUpdate``) or when they are deleted
(``OnDelete``). The label ``controller-revision-hash`` says which template a Pod was made from.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.resources import DAEMON_SETS, NODES, PODS, JsonObject, Key
from reconciler.decisions.plan import Plan, Settings, View, Write
from reconciler.embedded.controllers import ownership, pods, revisions, statuses


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Pods and status of one DaemonSet."""
    del settings
    owner = view.get(DAEMON_SETS, key.namespace, key.name)
    if owner is None or ownership.deleting(owner):
        return Plan()
    children = ownership.owned(view, PODS, owner)
    active = [pod for pod in children if not ownership.deleting(pod)]
    nodes = [node["metadata"]["name"] for node in view.list(NODES) if _fits(owner, node)]
    writes = _one_per_node(owner, children, active, nodes) or _roll(owner, active, now)
    minimum = owner["spec"].get("minReadySeconds", 0)
    status = _status(owner, active, nodes, now)
    return Plan(
        writes=(
            *revisions.record(DAEMON_SETS, owner, view),
            *writes,
            *statuses.write(DAEMON_SETS, owner, status),
        ),
        events=pods.events(owner, writes, "daemonset-controller"),
        wake_at=pods.next_available(active, minimum, now),
    )


def _fits(owner: JsonObject, node: JsonObject) -> bool:
    wanted = owner["spec"]["template"].get("spec", {}).get("nodeSelector") or {}
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in wanted.items())


def _node_of(pod: JsonObject) -> str:
    return str(pod.get("spec", {}).get("nodeName", ""))


def _one_per_node(
    owner: JsonObject, children: list[JsonObject], active: list[JsonObject], nodes: list[str]
) -> tuple[Write, ...]:
    writes: list[Write] = []
    occupied: set[str] = set()
    for pod in sorted(active, key=pods.removal_order, reverse=True):
        node = _node_of(pod)
        if node not in nodes or node in occupied or pods.is_finished(pod):
            writes.append(pods.delete(pod))
        else:
            occupied.add(node)
    missing = [node for node in nodes if node not in occupied]
    return (*writes, *(_pod(owner, children, node) for node in missing))


def _pod(owner: JsonObject, children: list[JsonObject], node: str) -> Write:
    meta = owner["metadata"]
    name = pods.free_names(meta["name"], f"{meta['uid']}/{node}", children, 1)[0]
    pod = pods.from_template(
        owner["spec"]["template"],
        name=name,
        resource=DAEMON_SETS,
        owner=owner,
        labels={revisions.LABEL: revisions.current(owner)},
    )
    pod["spec"]["nodeName"] = node
    return pods.create(pod)


def _roll(owner: JsonObject, active: list[JsonObject], now: dt.datetime) -> tuple[Write, ...]:
    strategy = owner["spec"].get("updateStrategy", {}).get("type", "RollingUpdate")
    if strategy == "OnDelete":
        return ()
    minimum = owner["spec"].get("minReadySeconds", 0)
    stale = [pod for pod in active if revisions.of(pod) != revisions.current(owner)]
    unavailable = [pod for pod in active if not pods.is_available(pod, minimum, now)]
    down = [pod for pod in stale if pod in unavailable]
    if down:
        return tuple(pods.delete(pod) for pod in down)
    return () if unavailable else tuple(pods.delete(pod) for pod in stale[:1])


def _status(
    owner: JsonObject, active: list[JsonObject], nodes: list[str], now: dt.datetime
) -> JsonObject:
    minimum = owner["spec"].get("minReadySeconds", 0)
    placed = [pod for pod in active if _node_of(pod) in nodes]
    available = sum(pods.is_available(pod, minimum, now) for pod in placed)
    updated = sum(revisions.of(pod) == revisions.current(owner) for pod in placed)
    missing = len(nodes) - available
    shown = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": missing,
    }
    return {
        "currentNumberScheduled": len({_node_of(pod) for pod in placed}),
        "desiredNumberScheduled": len(nodes),
        "numberMisscheduled": len(active) - len(placed),
        "numberReady": sum(pods.is_ready(pod) for pod in placed),
        **{name: count for name, count in shown.items() if count},
        **statuses.observed(owner),
    }
