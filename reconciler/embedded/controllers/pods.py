"""Pods as a controller sees them: made from a template, active, ready, available.

Called by every controller that owns Pods; pure. The words are Kubernetes': *active* means neither
finished nor being deleted, *available* means ready for ``minReadySeconds``.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Iterable, Mapping

from reconciler.api.resources import PODS, JsonObject, Resource
from reconciler.decisions.plan import Create, Delete, EventIntent, Write
from reconciler.embedded.controllers import ownership

FINISHED = ("Succeeded", "Failed")


def phase(pod: JsonObject) -> str:
    """The pod's phase; one that no node has reported on yet is ``Pending``."""
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_finished(pod: JsonObject) -> bool:
    return phase(pod) in FINISHED


def is_active(pod: JsonObject) -> bool:
    return not is_finished(pod) and not ownership.deleting(pod)


def condition(obj: JsonObject, kind: str) -> JsonObject | None:
    """The condition of this type in the object's status, or None."""
    for entry in obj.get("status", {}).get("conditions", ()):
        if entry["type"] == kind:
            return dict(entry)
    return None


def is_ready(pod: JsonObject) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def available_at(pod: JsonObject, min_ready_seconds: int) -> dt.datetime | None:
    """When the pod is, or will be, available; None while it is not ready."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    return moment(found["lastTransitionTime"]) + dt.timedelta(seconds=min_ready_seconds)


def is_available(pod: JsonObject, min_ready_seconds: int, now: dt.datetime) -> bool:
    since = available_at(pod, min_ready_seconds)
    return since is not None and (min_ready_seconds == 0 or since <= now)


def next_available(
    pods: Iterable[JsonObject], min_ready_seconds: int, now: dt.datetime
) -> dt.datetime | None:
    """The next moment at which a ready pod becomes available, if one is still to come."""
    moments = [available_at(pod, min_ready_seconds) for pod in pods]
    return min((at for at in moments if at is not None and at > now), default=None)


def from_template(
    template: JsonObject,
    *,
    name: str,
    resource: Resource,
    owner: JsonObject,
    labels: Mapping[str, str] | None = None,
) -> JsonObject:
    """A Pod of this name, controlled by ``owner``, with extra labels."""
    meta = template.get("metadata", {})
    metadata: JsonObject = {
        "name": name,
        "namespace": owner["metadata"].get("namespace", ""),
        "labels": {**(meta.get("labels") or {}), **(labels or {})},
        "ownerReferences": [ownership.controller_reference(resource, owner)],
    }
    if meta.get("annotations"):
        metadata["annotations"] = dict(meta["annotations"])
    if meta.get("finalizers"):
        metadata["finalizers"] = list(meta["finalizers"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": copy.deepcopy(template.get("spec", {})),
    }


def create(pod: JsonObject) -> Create:
    return Create(PODS, pod)


def delete(pod: JsonObject) -> Delete:
    meta = pod["metadata"]
    return Delete(PODS, meta.get("namespace", ""), meta["name"], meta["uid"])


def events(owner: JsonObject, writes: Iterable[Write], source: str) -> tuple[EventIntent, ...]:
    """What ``kubectl describe`` shows of the Pods that these writes create and delete."""
    made: list[EventIntent] = []
    for write in writes:
        if write.resource is PODS and isinstance(write, Create):
            message = f"Created pod: {write.obj['metadata']['name']}"
            made.append(EventIntent(owner, "SuccessfulCreate", message, source=source))
        elif write.resource is PODS and isinstance(write, Delete):
            message = f"Deleted pod: {write.name}"
            made.append(EventIntent(owner, "SuccessfulDelete", message, source=source))
    return tuple(made)


def free_names(base: str, uid: str, taken: Iterable[JsonObject], count: int) -> list[str]:
    """``count`` names ``<base>-<hash>`` that no pod of ``taken`` has, always in the same order.

    A name is a function of the owner's uid and a running number, and the smallest free numbers are
    used: a decision from a stale view asks for names that exist, and creates nothing twice.
    """
    used = {pod["metadata"]["name"] for pod in taken}
    names: list[str] = []
    number = 0
    while len(names) < count:
        name = ownership.child_name(base, ownership.digest([uid, number]))
        if name not in used:
            names.append(name)
        number += 1
    return names


def removal_order(pod: JsonObject) -> tuple[bool, bool, bool, float, str]:
    """Sort key: the pods to give up first (unscheduled, not running, not ready, youngest).

    After Kubernetes' ActivePods ranking.
    """
    created = pod["metadata"].get("creationTimestamp")
    age = -moment(created).timestamp() if created else 0.0
    return (
        bool(pod.get("spec", {}).get("nodeName")),
        phase(pod) == "Running",
        is_ready(pod),
        age,
        pod["metadata"]["name"],
    )


def moment(text: str) -> dt.datetime:
    """A Kubernetes timestamp (RFC 3339, UTC) as an aware datetime."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def timestamp(at: dt.datetime) -> str:
    """An aware datetime as a Kubernetes timestamp: whole seconds, UTC."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
