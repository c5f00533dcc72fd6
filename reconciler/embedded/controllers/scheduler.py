"""The scheduler: a Pod without a node gets one (after kube-scheduler, for nodes without limits).

Run by the embedded cluster. ``nodeSelector`` and missing claims are honoured, and told in the
condition ``PodScheduled``; resources, taints and affinity are not looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from reconciler.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PODS, JsonObject, Key
from reconciler.decisions.plan import Apply, EventIntent, Plan, Settings, View
from reconciler.embedded.controllers import ownership, pods, statuses


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Bind one Pod to the first node that fits, in order of name."""
    del settings
    pod = view.get(PODS, key.namespace, key.name)
    if pod is None or not is_waiting(pod):
        return Plan()
    problem = _missing_claim(pod, view)
    fitting = [node for node in view.list(NODES) if _fits(pod, node)]
    if not problem and not fitting:
        problem = "0 nodes are available that match the Pod's node selector."
    if problem:
        return _unschedulable(pod, problem, now)
    return _bind(pod, fitting[0]["metadata"]["name"])


def is_waiting(pod: JsonObject) -> bool:
    """Whether the Pod still needs a node."""
    placed = pod.get("spec", {}).get("nodeName")
    return not placed and not pods.is_finished(pod) and not ownership.deleting(pod)


def claims_of(pod: JsonObject) -> list[str]:
    """The names of the claims that the Pod mounts."""
    return [
        str(volume["persistentVolumeClaim"]["claimName"])
        for volume in pod.get("spec", {}).get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    ]


def waiting_for_claim(claim: JsonObject, view: View) -> Iterable[Key]:
    """The Pods without a node that mount this claim: what a claim's change enqueues."""
    meta = claim["metadata"]
    for pod in view.list(PODS, meta.get("namespace", "")):
        if is_waiting(pod) and meta["name"] in claims_of(pod):
            yield Key.of(pod)


def waiting_for_node(node: JsonObject, view: View) -> Iterable[Key]:
    """All Pods without a node."""
    del node
    return [Key.of(pod) for pod in view.list(PODS) if is_waiting(pod)]


def _missing_claim(pod: JsonObject, view: View) -> str:
    namespace = pod["metadata"].get("namespace", "")
    for name in claims_of(pod):
        claim = view.get(PERSISTENT_VOLUME_CLAIMS, namespace, name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if claim.get("status", {}).get("phase") != "Bound":
            return f'persistentvolumeclaim "{name}" is not bound'
    return ""


def _fits(pod: JsonObject, node: JsonObject) -> bool:
    wanted = pod.get("spec", {}).get("nodeSelector") or {}
    labels = node["metadata"].get("labels") or {}
    return not node.get("spec", {}).get("unschedulable") and all(
        labels.get(name) == value for name, value in wanted.items()
    )


def _bind(pod: JsonObject, node: str) -> Plan:
    meta = pod["metadata"]
    place = meta.get("namespace", "")
    binding = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": meta["name"], "namespace": place, "uid": meta["uid"]},
        "spec": {"nodeName": node},
    }
    message = f"Successfully assigned {place}/{meta['name']} to {node}"
    event = EventIntent(pod, "Scheduled", message, source="default-scheduler")
    return Plan(writes=(Apply(PODS, binding, create=False),), events=(event,))


def _unschedulable(pod: JsonObject, problem: str, now: dt.datetime) -> Plan:
    status = dict(pod.get("status", {}))
    made = statuses.condition(
        pod, "PodScheduled", now, value=False, reason="Unschedulable", message=problem
    )
    status = {**status, "phase": "Pending", "conditions": [made]}
    writes = statuses.write(PODS, pod, status)
    event = EventIntent(pod, "FailedScheduling", problem, "Warning", "default-scheduler")
    return Plan(writes=writes, events=(event,) if writes else ())
