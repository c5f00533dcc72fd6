"""Deployment: ReplicaSets of which the newest grows and the others shrink (the kube rule).

Run by the embedded cluster. The ReplicaSet's name and label ``pod-template-hash`` are a hash of the
Pod template, so there is exactly one per template. Rolling updates hold ``maxSurge`` and
``maxUnavailable``; ``Recreate`` starts the new Pods when the old ones are gone. Simpler than
Kubernetes: scaling in the middle of a rollout is not spread in proportion.
"""

from __future__ import annotations

import copy
import datetime as dt

from reconciler.api.resources import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions.plan import (
    Apply,
    Create,
    Delete,
    EventIntent,
    Plan,
    Settings,
    View,
    Write,
)
from reconciler.embedded.controllers import ownership, pods, replicaset, rollout, statuses

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_NOT_COPIED = frozenset({REVISION, "kubectl.kubernetes.io/last-applied-configuration"})
SOURCE = "deployment-controller"


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """ReplicaSets and status of one Deployment."""
    del settings
    owner = view.get(DEPLOYMENTS, key.namespace, key.name)
    if owner is None or ownership.deleting(owner):
        return Plan()
    adopted = replicaset.adoptions(DEPLOYMENTS, owner, view, REPLICA_SETS)
    if adopted:
        return Plan(writes=adopted)
    sets = ownership.owned(view, REPLICA_SETS, owner)
    current = next((rs for rs in sets if _hash_of(rs) == template_hash(owner)), None)
    old = [rs for rs in sets if rs is not current]
    scales = _scales(owner, current, old, view)
    status, wake_at = rollout.status(owner, current, old, now)
    writes = _writes(owner, current, old, scales)
    if not any(write.resource is DEPLOYMENTS for write in writes):
        # A numbered Deployment has a new resourceVersion: its status has to wait for that.
        writes += statuses.write(DEPLOYMENTS, owner, status)
    return Plan(
        writes=(*writes, *_forget(owner, old)),
        events=tuple(_events(owner, current, old, scales)),
        wake_at=wake_at,
    )


def _writes(
    owner: JsonObject, current: JsonObject | None, old: list[JsonObject], scales: dict[str, int]
) -> list[Write]:
    writes: list[Write] = []
    revision = _revision(current, old)
    if owner["spec"].get("paused"):  # no rollout, but the scale is followed
        revision = revision_of(current) if current else 0
    else:
        writes += _newest(owner, current, revision, scales)
    for rs in [*old, *([current] if current else [])]:
        wanted = scales.get(rs["metadata"]["name"], rollout.size(rs))
        writes += _resize(rs, wanted, revision if rs is current else revision_of(rs))
    return writes


def template_hash(owner: JsonObject) -> str:
    """The hash of the Pod template: name and label of its ReplicaSet."""
    return ownership.digest(owner["spec"]["template"], 10)


def _hash_of(rs: JsonObject) -> str:
    return str((rs["metadata"].get("labels") or {}).get(HASH, ""))


def revision_of(obj: JsonObject) -> int:
    """The revision annotation as a number; 0 without one."""
    return int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))


def _scales(
    owner: JsonObject, current: JsonObject | None, old: list[JsonObject], view: View
) -> dict[str, int]:
    """The replicas wanted of each ReplicaSet by name; "" stands for the one still to be made."""
    desired = owner["spec"].get("replicas", 1)
    if owner["spec"].get("paused"):
        newest = current or max(old, key=revision_of, default=None)
        return {newest["metadata"]["name"]: desired} if newest and _alone(newest, old) else {}
    if (owner["spec"].get("strategy") or {}).get("type") == "Recreate":
        return rollout.recreate(desired, current, old, pods_left=_pods_left(old, view))
    return rollout.roll(owner, current, old)


def _alone(newest: JsonObject, old: list[JsonObject]) -> bool:
    return not any(rollout.size(rs) for rs in old if rs is not newest)


def _pods_left(old: list[JsonObject], view: View) -> bool:
    children = (pod for rs in old for pod in ownership.owned(view, PODS, rs))
    return any(not pods.is_finished(pod) for pod in children)


def _revision(current: JsonObject | None, old: list[JsonObject]) -> int:
    """The number of the present template: a new one, also after a roll-back to an old template."""
    highest = max((revision_of(rs) for rs in old), default=0)
    kept = revision_of(current) if current else 0
    return kept if kept > highest else highest + 1


def _newest(
    owner: JsonObject, current: JsonObject | None, revision: int, scales: dict[str, int]
) -> tuple[Write, ...]:
    """Make the ReplicaSet of the present template; number the Deployment like it."""
    writes: list[Write] = []
    if current is None:
        writes.append(Create(REPLICA_SETS, _replica_set(owner, scales.get("", 0), revision)))
    if revision_of(owner) != revision:
        writes.append(Apply(DEPLOYMENTS, _numbered(DEPLOYMENTS, owner, revision), create=False))
    return tuple(writes)


def _replica_set(owner: JsonObject, replicas: int, revision: int) -> JsonObject:
    hashed = template_hash(owner)
    template = copy.deepcopy(owner["spec"]["template"])
    labels = {**(template.get("metadata", {}).get("labels") or {}), HASH: hashed}
    template.setdefault("metadata", {})["labels"] = labels
    selector = copy.deepcopy(owner["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: hashed}
    spec = {"replicas": replicas, "selector": selector, "template": template}
    if owner["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = owner["spec"]["minReadySeconds"]
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": ownership.child_name(owner["metadata"]["name"], hashed),
            "namespace": owner["metadata"].get("namespace", ""),
            "labels": labels,
            "annotations": {**_copied(owner), REVISION: str(revision)},
            "ownerReferences": [ownership.controller_reference(DEPLOYMENTS, owner)],
        },
        "spec": spec,
    }


def _copied(owner: JsonObject) -> dict[str, str]:
    """A ReplicaSet remembers the annotations of its Deployment, for a roll-back."""
    found: dict[str, str] = owner["metadata"].get("annotations") or {}
    return {key: value for key, value in found.items() if key not in _NOT_COPIED}


def _numbered(resource: Resource, obj: JsonObject, revision: int) -> JsonObject:
    meta = obj["metadata"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta["uid"],
            "annotations": {REVISION: str(revision)},
        },
    }


def _resize(rs: JsonObject, wanted: int, revision: int) -> tuple[Write, ...]:
    """Replicas and number in one apply: what this manager leaves out, it would give up."""
    if (rollout.size(rs), revision_of(rs)) == (wanted, revision):
        return ()
    obj = {**_numbered(REPLICA_SETS, rs, revision), "spec": {"replicas": wanted}}
    return (Apply(REPLICA_SETS, obj, create=False),)


def _forget(owner: JsonObject, old: list[JsonObject]) -> tuple[Write, ...]:
    """Delete the oldest empty ReplicaSets beyond ``revisionHistoryLimit``."""
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    empty = [
        rs
        for rs in old
        if not rollout.size(rs)
        and not rs.get("status", {}).get("replicas")
        and not ownership.deleting(rs)
    ]
    empty.sort(key=revision_of)
    return tuple(
        Delete(REPLICA_SETS, meta.get("namespace", ""), meta["name"], meta["uid"])
        for meta in (rs["metadata"] for rs in empty[: max(0, len(empty) - limit)])
    )


def _events(
    owner: JsonObject, current: JsonObject | None, old: list[JsonObject], scales: dict[str, int]
) -> list[EventIntent]:
    sets = [*old, *([current] if current else [])]
    before = {rs["metadata"]["name"]: rollout.size(rs) for rs in sets}
    new = ownership.child_name(owner["metadata"]["name"], template_hash(owner))
    events: list[EventIntent] = []
    for name, wanted in scales.items():
        had = before.get(name, 0)
        if wanted != had:
            way = "up" if wanted > had else "down"
            message = f"Scaled {way} replica set {name or new} from {had} to {wanted}"
            events.append(EventIntent(owner, "ScalingReplicaSet", message, source=SOURCE))
    return events
