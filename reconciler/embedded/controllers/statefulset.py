"""StatefulSet: Pods with names, an order and their own claims (the kube controller's rule).

Run by the embedded cluster. ``OrderedReady`` starts ``<name>-0`` first and the next when it is
available; updates go from the highest ordinal down to ``partition``. Differs from Kubernetes in one
point: a Pod of an old revision that is not ready is replaced at once, where Kubernetes waits for it
for ever. Claims outlive the set (``persistentVolumeClaimRetentionPolicy`` is not read).
"""

from __future__ import annotations

import copy
import datetime as dt

from reconciler.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
    JsonObject,
    Key,
)
from reconciler.decisions.plan import Create, Plan, Settings, View, Write
from reconciler.embedded.controllers import ownership, pods, replicaset, revisions, statuses


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Claims, Pods and status of one StatefulSet."""
    del settings
    owner = view.get(STATEFUL_SETS, key.namespace, key.name)
    if owner is None or ownership.deleting(owner):
        return Plan()
    children = {pod["metadata"]["name"]: pod for pod in ownership.owned(view, PODS, owner)}
    minimum = owner["spec"].get("minReadySeconds", 0)
    writes = replicaset.adoptions(STATEFUL_SETS, owner, view, PODS) or _steps(
        owner, children, view, now
    )
    return Plan(
        writes=(
            *revisions.record(STATEFUL_SETS, owner, view),
            *writes,
            *statuses.write(STATEFUL_SETS, owner, _status(owner, list(children.values()), now)),
        ),
        events=pods.events(owner, writes, "statefulset-controller"),
        wake_at=pods.next_available(children.values(), minimum, now),
    )


def ordinal(owner: JsonObject, name: str) -> int:
    """The number at the end of a Pod's name; -1 when the name is not one of this set's."""
    prefix = owner["metadata"]["name"] + "-"
    tail = name.removeprefix(prefix)
    return int(tail) if name.startswith(prefix) and tail.isdigit() else -1


def _steps(
    owner: JsonObject, children: dict[str, JsonObject], view: View, now: dt.datetime
) -> tuple[Write, ...]:
    parallel = owner["spec"].get("podManagementPolicy") == "Parallel"
    minimum = owner["spec"].get("minReadySeconds", 0)
    replicas = owner["spec"].get("replicas", 1)
    writes: list[Write] = []
    waiting = False
    for index in range(replicas):
        pod = children.get(f"{owner['metadata']['name']}-{index}")
        writes += _step(owner, pod, index, view)
        waiting = waiting or pod is None or not pods.is_available(pod, minimum, now)
        if (writes or waiting) and not parallel:
            return tuple(writes)
    surplus = [pod for name, pod in children.items() if ordinal(owner, name) >= replicas]
    writes += _shrink(owner, surplus, all_at_once=parallel)
    if not writes and not surplus and not waiting:
        writes += _roll(owner, children, replicas)
    return tuple(writes)


def _step(owner: JsonObject, pod: JsonObject | None, index: int, view: View) -> list[Write]:
    if pod is None:
        return [*_claims(owner, index, view), pods.create(_pod(owner, index))]
    if ownership.deleting(pod):
        return []
    outdated = _rolls(owner, index) and revisions.of(pod) != revisions.name(owner)
    if pods.is_finished(pod) or (outdated and not pods.is_ready(pod)):
        return [pods.delete(pod)]
    return []


def _rolls(owner: JsonObject, index: int) -> bool:
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return False
    return bool(index >= (strategy.get("rollingUpdate") or {}).get("partition", 0))


def _shrink(owner: JsonObject, surplus: list[JsonObject], *, all_at_once: bool) -> list[Write]:
    surplus = sorted(surplus, key=lambda pod: ordinal(owner, pod["metadata"]["name"]), reverse=True)
    alive = [pod for pod in surplus if not ownership.deleting(pod)]
    if all_at_once:
        return [pods.delete(pod) for pod in alive]
    return [pods.delete(alive[0])] if alive and len(alive) == len(surplus) else []


def _roll(owner: JsonObject, children: dict[str, JsonObject], replicas: int) -> list[Write]:
    for index in reversed(range(replicas)):
        pod = children[f"{owner['metadata']['name']}-{index}"]
        if _rolls(owner, index) and revisions.of(pod) != revisions.name(owner):
            return [] if ownership.deleting(pod) else [pods.delete(pod)]
    return []


def _claims(owner: JsonObject, index: int, view: View) -> list[Write]:
    namespace = owner["metadata"].get("namespace", "")
    made: list[Write] = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        name = claim_name(owner, template, index)
        if view.get(PERSISTENT_VOLUME_CLAIMS, namespace, name) is None:
            made.append(Create(PERSISTENT_VOLUME_CLAIMS, _claim(owner, template, name)))
    return made


def claim_name(owner: JsonObject, template: JsonObject, index: int) -> str:
    """``<template>-<set>-<ordinal>``: how a Pod finds its claim again."""
    return f"{template['metadata']['name']}-{owner['metadata']['name']}-{index}"


def _claim(owner: JsonObject, template: JsonObject, name: str) -> JsonObject:
    meta = template["metadata"]
    labels = owner["spec"].get("selector", {}).get("matchLabels") or {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"].get("namespace", ""),
            "labels": {**(meta.get("labels") or {}), **labels},
            **({"annotations": meta["annotations"]} if meta.get("annotations") else {}),
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def _pod(owner: JsonObject, index: int) -> JsonObject:
    name = f"{owner['metadata']['name']}-{index}"
    labels = {
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(index),
        revisions.LABEL: revisions.name(owner),
    }
    template = owner["spec"]["template"]
    pod = pods.from_template(
        template, name=name, resource=STATEFUL_SETS, owner=owner, labels=labels
    )
    pod["spec"]["hostname"] = name
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    claims = [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(owner, template, index)},
        }
        for template in owner["spec"].get("volumeClaimTemplates") or ()
    ]
    own = {claim["name"] for claim in claims}
    others = [volume for volume in pod["spec"].get("volumes") or () if volume["name"] not in own]
    if claims or others:
        pod["spec"]["volumes"] = [*others, *claims]
    return pod


def _status(owner: JsonObject, children: list[JsonObject], now: dt.datetime) -> JsonObject:
    minimum = owner["spec"].get("minReadySeconds", 0)
    wanted = revisions.name(owner)
    updated = [pod for pod in children if revisions.of(pod) == wanted]
    before = owner.get("status", {})
    old = before.get("currentRevision", wanted)
    done = len(updated) == len(children) and all(pods.is_ready(pod) for pod in children)
    current = wanted if done else old
    counts = {
        "readyReplicas": sum(pods.is_ready(pod) for pod in children),
        "currentReplicas": sum(revisions.of(pod) == current for pod in children),
        "updatedReplicas": len(updated),
    }
    return {
        "replicas": len(children),
        **{name: count for name, count in counts.items() if count},
        "availableReplicas": sum(pods.is_available(pod, minimum, now) for pod in children),
        "currentRevision": current,
        "updateRevision": wanted,
        "collisionCount": 0,
        **statuses.observed(owner),
    }
