"""What the tests of the built-in controllers share: a store that takes what a plan writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.resources import (
    PODS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions.plan import Apply, Create, Decide, Delete, Plan, Settings, Status

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


class World:
    """A View over dictionaries, and the hand that applies plans to them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str, str], JsonObject] = {}
        self.now = NOON
        self.numbers = 0

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        return self.objects.get((resource, namespace, name))

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        return [
            obj
            for (kind, place, _), obj in sorted(self.objects.items(), key=lambda i: i[0][1:])
            if kind is resource
            and namespace in (None, place)
            and (labels or {}).items() <= obj["metadata"].get("labels", {}).items()
            and (owner_uid is None or owner_uid in _controllers(obj))
        ]

    def serves(self, resource: Resource) -> bool:
        return True

    def put(self, resource: Resource, name: str, **fields: Any) -> JsonObject:
        self.numbers += 1
        place = "default" if resource.namespaced else ""
        meta = {
            "name": name,
            "namespace": place,
            "uid": f"uid-{self.numbers}",
            "resourceVersion": "1",
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        meta |= fields.pop("metadata", {})
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, **fields}
        obj["metadata"] = {key: value for key, value in meta.items() if value != ""}
        self.objects[resource, place, name] = obj
        return obj

    def ask(self, decide: Decide, name: str, place: str = "default") -> Plan:
        return decide(Key(place, name), self, self.now, Settings())

    def run(self, decide: Decide, name: str, place: str = "default") -> Plan:
        """Ask until the decision wants nothing more; the last plan with writes."""
        plan = self.ask(decide, name, place)
        for _ in range(20):
            for write in plan.writes:
                self.make_so(write)
            following = self.ask(decide, name, place)
            if not following.writes:
                return following
            plan = following
        raise AssertionError(f"{name} does not come to rest: {plan.writes}")

    def make_so(self, write: Any) -> None:
        if isinstance(write, Create):
            meta = write.obj["metadata"]
            if (write.resource, meta.get("namespace", ""), meta["name"]) not in self.objects:
                fields = {k: v for k, v in write.obj.items() if k not in ("kind", "apiVersion")}
                self.put(write.resource, meta["name"], **fields)
        elif isinstance(write, Apply):
            meta = write.obj["metadata"]
            key = write.resource, meta.get("namespace", ""), meta["name"]
            if key not in self.objects and write.create:
                self.put(write.resource, meta["name"])
            self.objects[key] = _merged(self.objects[key], write.obj)
        elif isinstance(write, Delete):
            self.objects.pop((write.resource, write.namespace, write.name), None)
        elif isinstance(write, Status):
            key = write.resource, write.namespace, write.name
            self.objects[key] = {**self.objects[key], "status": write.status}
        else:
            key = write.resource, write.namespace, write.name
            changed = {"metadata": {"finalizers": list(write.finalizers)}}
            self.objects[key] = _merged(self.objects[key], changed)

    def names(self, resource: Resource) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.list(resource)]

    def end(self, pod: JsonObject, phase: str) -> None:
        ended = {"exitCode": 1, "finishedAt": self.now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        states = [{"name": "c", "state": {"terminated": ended}}]
        self.set_status(PODS, pod, phase=phase, containerStatuses=states)

    def set_status(self, resource: Resource, obj: JsonObject, **status: Any) -> None:
        key = resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        self.objects[key] = {**self.objects[key], "status": status}

    def make_ready(self, *pods: JsonObject) -> None:
        since = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        for pod in pods or self.list(PODS):
            number = self.names(PODS).index(pod["metadata"]["name"]) + 1
            self.set_status(
                PODS, pod, phase="Running", conditions=[ready], podIP=f"10.0.0.{number}"
            )


def _controllers(obj: JsonObject) -> list[str]:
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences", ())]


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}


TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "busybox"}]},
}
SELECTOR = {"matchLabels": {"app": "web"}}


def _image(name: str) -> JsonObject:
    return {**TEMPLATE, "spec": {"containers": [{"name": "c", "image": name}]}}
