"""ReplicaSet and ReplicationController: so many Pods of one template (the kube controller's rule).

Run by the embedded cluster for both kinds. Finished and terminating Pods do not count. Pods that
lost their controller and match the selector are adopted.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.resources import (
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions.plan import Apply, Plan, Settings, View, Write
from reconciler.embedded.controllers import ownership, pods, statuses


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Pods and status of one ReplicaSet."""
    del settings
    return _decide(REPLICA_SETS, key, view, now)


def decide_replication_controller(
    key: Key, view: View, now: dt.datetime, settings: Settings
) -> Plan:
    """Pods and status of one ReplicationController."""
    del settings
    return _decide(REPLICATION_CONTROLLERS, key, view, now)


def _decide(resource: Resource, key: Key, view: View, now: dt.datetime) -> Plan:
    owner = view.get(resource, key.namespace, key.name)
    if owner is None or ownership.deleting(owner):
        return Plan()
    children = ownership.owned(view, PODS, owner)
    active = [pod for pod in children if pods.is_active(pod)]
    minimum = owner["spec"].get("minReadySeconds", 0)
    writes = adoptions(resource, owner, view, PODS) or _scale(resource, owner, children, active)
    status = _status(owner, active, minimum, now)
    return Plan(
        writes=(*writes, *statuses.write(resource, owner, status)),
        events=pods.events(owner, writes, f"{resource.kind.lower()}-controller"),
        wake_at=pods.next_available(active, minimum, now),
    )


def selector_of(owner: JsonObject) -> JsonObject:
    """The label selector; a ReplicationController's is a plain map, or its template's labels."""
    spec = owner["spec"]
    selector = spec.get("selector")
    if owner.get("kind") == "ReplicationController":
        labels = selector or spec.get("template", {}).get("metadata", {}).get("labels") or {}
        return {"matchLabels": labels}
    return dict(selector or {})


def adoptions(
    resource: Resource, owner: JsonObject, view: View, child: Resource
) -> tuple[Write, ...]:
    """Make ``owner`` the controller of matching objects that have none (``--cascade=orphan``)."""
    selector = selector_of(owner)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return ()
    namespace = owner["metadata"].get("namespace", "")
    orphans = [
        obj
        for obj in view.list(child, namespace, labels=selector.get("matchLabels"))
        if ownership.controller_of(obj) is None
        and not ownership.deleting(obj)
        and not (child is PODS and pods.is_finished(obj))
        and ownership.matches(obj["metadata"].get("labels"), selector)
    ]
    return tuple(
        Apply(child, _adopted(resource, owner, child, obj), create=False) for obj in orphans
    )


def _adopted(resource: Resource, owner: JsonObject, child: Resource, obj: JsonObject) -> JsonObject:
    meta = obj["metadata"]
    return {
        "apiVersion": child.api_version,
        "kind": child.kind,
        "metadata": {
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta["uid"],
            "ownerReferences": [ownership.controller_reference(resource, owner)],
        },
    }


def _scale(
    resource: Resource, owner: JsonObject, children: list[JsonObject], active: list[JsonObject]
) -> tuple[Write, ...]:
    wanted = owner["spec"].get("replicas", 1)
    if len(active) > wanted:
        spare = sorted(active, key=pods.removal_order)[: len(active) - wanted]
        return tuple(pods.delete(pod) for pod in spare)
    meta = owner["metadata"]
    names = pods.free_names(meta["name"], meta["uid"], children, wanted - len(active))
    template = owner["spec"]["template"]
    return tuple(
        pods.create(pods.from_template(template, name=name, resource=resource, owner=owner))
        for name in names
    )


def _status(
    owner: JsonObject, active: list[JsonObject], minimum: int, now: dt.datetime
) -> JsonObject:
    labels = owner["spec"]["template"].get("metadata", {}).get("labels") or {}
    labelled = [pod for pod in active if _has(pod, labels)]
    counts = {
        "fullyLabeledReplicas": len(labelled),
        "readyReplicas": sum(pods.is_ready(pod) for pod in active),
        "availableReplicas": sum(pods.is_available(pod, minimum, now) for pod in active),
    }
    shown = {name: count for name, count in counts.items() if count}  # omitempty, as Kubernetes
    return {"replicas": len(active), **shown, **statuses.observed(owner)}


def _has(pod: JsonObject, labels: JsonObject) -> bool:
    found = pod["metadata"].get("labels") or {}
    return all(found.get(name) == value for name, value in labels.items())
