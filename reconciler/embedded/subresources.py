"""The subresources besides status: scale, binding, eviction, and a namespace's finalize.

Called by ``server.Server`` with the lock held.
"""

from __future__ import annotations

from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded import deleting, reading, refusals, writing
from reconciler.embedded.kinds import Kind
from reconciler.embedded.routing import Route
from reconciler.embedded.world import Options, World

_DEFAULT_PATHS = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": "",
}


def scale(kind: Kind, obj: JsonObject) -> JsonObject:
    """The Scale of an object."""
    meta = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: JsonObject = {"replicas": _at(obj, _paths(kind)["statusReplicasPath"]) or 0}
    selector = _selector(kind, obj)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": _at(obj, _paths(kind)["specReplicasPath"]) or 0},
        "status": status,
    }


def _paths(kind: Kind) -> JsonObject:
    return {**_DEFAULT_PATHS, **kind.scale}


def _at(obj: JsonObject, path: str) -> Any:
    place: Any = obj
    for step in path.strip(".").split("."):
        place = place.get(step) if isinstance(place, dict) else None
    return place


def _selector(kind: Kind, obj: JsonObject) -> str:
    if kind.custom:
        path = _paths(kind)["labelSelectorPath"]
        return str(_at(obj, path) or "") if path else ""
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector if kind.name == "ReplicationController" else selector.get("matchLabels") or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def rescale(
    world: World, kind: Kind, route: Route, make: writing.Change, options: Options
) -> JsonObject:
    """Write the replicas that ``make`` makes of the present Scale."""
    old = reading.get(world, kind, route)
    new = make(scale(kind, old))
    replicas = (new.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        cause = refusals.invalid_value(
            "spec.replicas", replicas, "must be greater than or equal to 0"
        )
        raise refusals.invalid("Scale", "autoscaling", route.name, [cause])

    def with_replicas(obj: JsonObject) -> JsonObject:
        *way, last = _paths(kind)["specReplicasPath"].strip(".").split(".")
        place = obj
        for step in way:
            place = place.setdefault(step, {})
        place[last] = replicas
        version = (new.get("metadata") or {}).get("resourceVersion")
        if version:
            obj["metadata"]["resourceVersion"] = version
        return obj

    bare = Route(route.group, route.version, route.plural, route.namespace, route.name)
    return scale(kind, writing.change(world, kind, bare, with_replicas, options))


def bind(world: World, kind: Kind, route: Route, body: JsonObject, options: Options) -> JsonObject:
    """Put a Pod on a node: what a scheduler does."""
    target = (body.get("target") or {}).get("name")
    if not target:
        raise refusals.invalid("Binding", "", route.name, [refusals.required("target.name")])

    def bound(pod: JsonObject) -> JsonObject:
        if pod["spec"].get("nodeName"):
            why = f'pod {route.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise refusals.conflict("pods/binding", "", route.name, why)
        pod["spec"]["nodeName"] = target
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        now = world.now()
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": now})
        return pod

    writing.change(world, kind, route, bound, options, applied=True)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def evict(world: World, kind: Kind, route: Route, body: JsonObject) -> JsonObject:
    """Delete a Pod politely; disruption budgets are not consulted."""
    pod = reading.get(world, kind, route)
    deleting.delete(
        world, kind, pod, deleting.DeleteOptions.of({}, body.get("deleteOptions") or {})
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def finalize(
    world: World, kind: Kind, route: Route, body: JsonObject, options: Options
) -> JsonObject:
    """Replace a Namespace's ``spec.finalizers``; without any, a deleted Namespace disappears."""
    wanted = (body.get("spec") or {}).get("finalizers") or []

    def freed(namespace: JsonObject) -> JsonObject:
        namespace["spec"] = {"finalizers": wanted} if wanted else {}
        return namespace

    bare = Route(route.group, route.version, route.plural, "", route.name)
    return writing.change(world, kind, bare, freed, options)
