"""What a real server's strategies and admission plug-ins do to a built-in object.

Called by ``admission`` after defaults, when the writer's ownership is already noted: nobody owns
what is set here. ``create`` gives a new object what only the server can give (cluster IPs, Job
selectors, first status); ``update`` keeps what must not change hands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded.defaults import containers
from reconciler.embedded.world import World

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_UNTAINTED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def create(world: World, kind: str, obj: JsonObject) -> None:
    """Complete a new object of a built-in kind."""
    prepare = _ON_CREATE.get(kind)
    if prepare is not None:
        prepare(world, obj)


def update(kind: str, new: JsonObject, old: JsonObject) -> None:
    """Complete a changed object of a built-in kind."""
    prepare = _ON_UPDATE.get(kind)
    if prepare is not None:
        prepare(new, old)


def _pod(world: World, obj: JsonObject) -> None:
    del world
    spec = obj["spec"]
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    _tolerate(spec)
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def _tolerate(spec: JsonObject) -> None:
    """Stay five minutes on a node that is lost (``DefaultTolerationSeconds``)."""
    found = spec.get("tolerations") or []
    missing = [key for key in _UNTAINTED if not any(_tolerates(item, key) for item in found)]
    if missing:
        spec["tolerations"] = [*found, *({
            "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
        } for key in missing)]  # fmt: skip


def _tolerates(toleration: JsonObject, key: str) -> bool:
    named = toleration.get("key") in (None, "", key)
    return named and toleration.get("effect") in (None, "", "NoExecute")


def qos_class(spec: JsonObject) -> str:
    """``BestEffort``, ``Burstable`` or ``Guaranteed``."""
    every = [item.get("resources") or {} for item in containers(spec)]
    if not any(item.get("requests") or item.get("limits") for item in every):
        return "BestEffort"
    for item in every:
        limits = item.get("limits") or {}
        if {"cpu", "memory"} - set(limits) or item.get("requests", limits) != limits:
            return "Burstable"
    return "Guaranteed"


def _job(world: World, obj: JsonObject) -> None:
    del world
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    labels = {"controller-uid": meta["uid"], "job-name": meta["name"]}
    template = spec["template"].setdefault("metadata", {})
    before = template.get("labels") or {}
    template["labels"] = {**before, **labels}
    if not meta.get("labels") or meta["labels"] == before:
        meta["labels"] = dict(template["labels"])  # a Job without labels has its template's
    spec["selector"] = {"matchLabels": {"controller-uid": meta["uid"]}}


def _service(world: World, obj: JsonObject) -> None:
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return
    if not spec.get("clusterIP"):
        spec["clusterIP"] = _free_address(world)
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    if spec["type"] in ("NodePort", "LoadBalancer"):
        for port in spec.get("ports") or ():
            port.setdefault("nodePort", _free_node_port(world))


def _services(world: World) -> list[JsonObject]:
    return world.store.all(("", "services"))


def _free_address(world: World) -> str:
    used = {service["spec"].get("clusterIP") for service in _services(world)}
    while True:
        address = f"10.96.{world.new_number(0, 255)}.{world.new_number(2, 254)}"
        if address not in used:
            return address


def _free_node_port(world: World) -> int:
    used = {
        port.get("nodePort")
        for service in _services(world)
        for port in service["spec"].get("ports") or ()
    }
    while True:
        port = world.new_number(30000, 32767)
        if port not in used:
            return port


def _claim(world: World, obj: JsonObject) -> None:
    obj["status"] = {"phase": "Pending"}
    if obj["spec"].get("storageClassName") is not None:
        return
    for storage_class in world.store.all(("storage.k8s.io", "storageclasses")):
        annotations = storage_class["metadata"].get("annotations") or {}
        if annotations.get(_DEFAULT_CLASS) == "true":
            obj["spec"]["storageClassName"] = storage_class["metadata"]["name"]


def _volume(world: World, obj: JsonObject) -> None:
    del world
    obj["status"] = {"phase": "Pending"}


def _namespace(world: World, obj: JsonObject) -> None:
    del world
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj["status"] = {"phase": "Active"}
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


def _service_update(new: JsonObject, old: JsonObject) -> None:
    spec, was = new["spec"], old["spec"]
    for name in ("clusterIP", "clusterIPs"):
        if not spec.get(name) and name in was and spec["type"] != "ExternalName":
            spec[name] = was[name]
    for port, before in zip(spec.get("ports") or (), was.get("ports") or (), strict=False):
        if "nodePort" in before and spec["type"] != "ClusterIP":
            port.setdefault("nodePort", before["nodePort"])


def _job_update(new: JsonObject, old: JsonObject) -> None:
    spec, was = new["spec"], old["spec"]
    if spec.get("selector") is None and "selector" in was:
        spec["selector"] = was["selector"]
    before = (was["template"].get("metadata") or {}).get("labels") or {}
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for name in ("controller-uid", "job-name"):
        if name in before:
            labels.setdefault(name, before[name])


def _pod_update(new: JsonObject, old: JsonObject) -> None:
    was = old.get("status") or {}
    if "qosClass" in was:
        new.setdefault("status", {}).setdefault("qosClass", was["qosClass"])


_ON_CREATE: dict[str, Callable[[World, JsonObject], Any]] = {
    "Pod": _pod,
    "Job": _job,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "Namespace": _namespace,
}
_ON_UPDATE: dict[str, Callable[[JsonObject, JsonObject], Any]] = {
    "Service": _service_update,
    "Job": _job_update,
    "Pod": _pod_update,
}
