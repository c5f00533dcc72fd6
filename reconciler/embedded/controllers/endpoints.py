"""Endpoints: the addresses of the ready Pods behind a Service (the kube controller's rule).

Run by the embedded cluster. A Service without a selector keeps the Endpoints that somebody else
made. EndpointSlices are not made.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from reconciler.api.resources import ENDPOINTS, PODS, SERVICES, JsonObject, Key
from reconciler.decisions.plan import Apply, Delete, Plan, Settings, View
from reconciler.embedded.controllers import pods


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """The key is a Service's; its Endpoints have the same name."""
    del now, settings
    service = view.get(SERVICES, key.namespace, key.name)
    present = view.get(ENDPOINTS, key.namespace, key.name)
    if service is None:
        return Plan() if present is None else _remove(present)
    if not service["spec"].get("selector"):
        return Plan()
    subsets = _subsets(service, view)
    if present is not None and present.get("subsets", []) == subsets:
        return Plan()
    wanted = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "subsets": subsets,
    }
    return Plan(writes=(Apply(ENDPOINTS, wanted),))


def services_of(pod: JsonObject, view: View) -> Iterable[Key]:
    """The Services that select this Pod: what a Pod's change enqueues."""
    labels = pod["metadata"].get("labels") or {}
    for service in view.list(SERVICES, pod["metadata"].get("namespace", "")):
        selector = service.get("spec", {}).get("selector")
        if selector and all(labels.get(name) == value for name, value in selector.items()):
            yield Key.of(service)


def _remove(present: JsonObject) -> Plan:
    meta = present["metadata"]
    place = meta.get("namespace", "")
    return Plan(writes=(Delete(ENDPOINTS, place, meta["name"], meta["uid"]),))


def _subsets(service: JsonObject, view: View) -> list[JsonObject]:
    """One subset for each list of ports: named target ports may differ from Pod to Pod."""
    namespace = service["metadata"].get("namespace", "")
    chosen = view.list(PODS, namespace, labels=service["spec"]["selector"])
    grouped: dict[str, JsonObject] = {}
    for pod in chosen:
        if pods.is_finished(pod) or not pod.get("status", {}).get("podIP"):
            continue
        ports = _ports(service, pod)
        subset = grouped.setdefault(repr(ports), {"addresses": [], "ports": ports})
        ready = pods.is_ready(pod) or service["spec"].get("publishNotReadyAddresses")
        place = "addresses" if ready else "notReadyAddresses"
        subset.setdefault(place, []).append(_address(pod))
    return [{name: value for name, value in subset.items() if value} for subset in grouped.values()]


def _address(pod: JsonObject) -> JsonObject:
    meta = pod["metadata"]
    address: JsonObject = {"ip": pod["status"]["podIP"]}
    if pod["spec"].get("subdomain"):
        address["hostname"] = pod["spec"].get("hostname", meta["name"])
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    address["targetRef"] = {
        "kind": "Pod",
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
    }
    return address


def _ports(service: JsonObject, pod: JsonObject) -> list[JsonObject]:
    made: list[JsonObject] = []
    for port in service["spec"].get("ports") or ():
        number = _number(port.get("targetPort") or port["port"], pod)
        if number is not None:
            named = {"name": port["name"]} if port.get("name") else {}
            made.append({**named, "port": number, "protocol": port.get("protocol", "TCP")})
    return made


def _number(target: int | str, pod: JsonObject) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == target:
                return int(port["containerPort"])
    return None
