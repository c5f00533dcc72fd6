"""The port over a transport: Kubernetes' verbs as methods, answers as values or typed errors.

Used by the engine, the agent, the embedded controllers and the command line, alike against a real
API server and the embedded one. It holds no state but a cache of discovery, and is thread-safe.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.api.resources import PODS, JsonObject, Resource
from reconciler.cluster import answers
from reconciler.cluster.port import Listing, Propagation
from reconciler.cluster.transport import (
    APPLY_PATCH,
    JSON,
    Command,
    ExecResult,
    Request,
    Transport,
    WatchStream,
)
from reconciler.errors import ApiUnavailable, Conflict, NotFound

PAGE = 500
"""Objects in a page of a list: what client-go's pager asks for."""
STATUS_ATTEMPTS = 10
"""How often ``update_status`` reads and writes again before it gives up."""


class Client:
    """``reconciler.cluster.port.Port`` over any ``Transport``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._discovered: dict[str, frozenset[str]] = {}

    # Reader

    def get(
        self, resource: Resource, namespace: str, name: str, *, subresource: str = ""
    ) -> JsonObject:
        return self._object("GET", resource.path(namespace, _named(name), subresource))

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listing:
        query = _query(limit=str(PAGE), labelSelector=label_selector, fieldSelector=field_selector)
        items: list[JsonObject] = []
        while True:
            page = self._object("GET", resource.path(namespace), query)
            items += (_typed(item, resource) for item in page.get("items") or [])
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return Listing(items, str(meta.get("resourceVersion", "")))
            query = {**query, "continue": meta["continue"]}

    def serves(self, resource: Resource) -> bool:
        """Only what is there is remembered: a CRD may be installed at any time."""
        root = (
            Resource(resource.group, resource.version, "", "", namespaced=False).path().rstrip("/")
        )
        if resource.plural not in self._discovered.get(root, ()):
            try:
                found = self._object("GET", root).get("resources") or []
            except NotFound:
                return False
            self._discovered[root] = frozenset(each["name"] for each in found)
        return resource.plural in self._discovered[root]

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        since: str = "",
        tail: int | None = None,
    ) -> Iterator[str]:
        query = _query(
            container=container,
            follow="true" if follow else "",
            sinceTime=since,
            tailLines="" if tail is None else str(tail),
        )
        path = PODS.path(namespace, _named(pod), "log")
        return _lines(self._transport.stream(Request("GET", path, query)))

    def version(self) -> JsonObject:
        return self._object("GET", "/version")

    # Watcher

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int | None = None,
    ) -> WatchStream:
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds="" if timeout_seconds is None else str(timeout_seconds),
        )
        return self._transport.watch(Request("GET", resource.path(namespace), query))

    # Writer

    def create(self, resource: Resource, obj: JsonObject) -> JsonObject:
        return self._object("POST", resource.path(_namespace(obj)), body=_typed(obj, resource))

    def replace(self, resource: Resource, obj: JsonObject, *, subresource: str = "") -> JsonObject:
        return self._object("PUT", _place(resource, obj, subresource), body=_typed(obj, resource))

    def apply(
        self,
        resource: Resource,
        obj: JsonObject,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> JsonObject:
        query = _query(
            fieldManager=field_manager,
            force="true" if force else "false",
            dryRun="All" if dry_run else "",
        )
        path = _place(resource, obj, subresource)
        body = _typed(obj, resource)
        return self._object("PATCH", path, query, body=body, content_type=APPLY_PATCH)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        *,
        content_type: str,
        subresource: str = "",
    ) -> JsonObject:
        path = resource.path(namespace, _named(name), subresource)
        return self._object("PATCH", path, body=patch, content_type=content_type)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        options: JsonObject = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        self._object("DELETE", resource.path(namespace, _named(name)), body=options)

    def update_status(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[JsonObject], JsonObject | None],
    ) -> JsonObject:
        for _ in range(STATUS_ATTEMPTS):
            current = self.get(resource, namespace, name)
            status = change(copy.deepcopy(current))
            if status is None:
                return current
            try:
                return self.replace(resource, {**current, "status": status}, subresource="status")
            except Conflict:
                continue
        raise ApiUnavailable(
            f"{resource.kind} {namespace}/{name}: the status changed under us "
            f"{STATUS_ATTEMPTS} times in a row"
        )

    # Executor

    def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        timeout: float | None,
    ) -> ExecResult:
        return self._transport.exec(
            Command(namespace, _named(pod), container, tuple(command), timeout)
        )

    def _object(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content_type: str = JSON,
    ) -> JsonObject:
        request = Request(method, path, query or {}, body, content_type)
        found = answers.value(self._transport.send(request))
        if not isinstance(found, dict):
            raise ApiUnavailable(f"{method} {path}: the answer is not a JSON object")
        return found


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")


def _query(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _namespace(obj: JsonObject) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _place(resource: Resource, obj: JsonObject, subresource: str) -> str:
    return resource.path(_namespace(obj), _named(obj["metadata"]["name"]), subresource)


def _named(name: str) -> str:
    """An empty name would turn a read of one object into a list, and a delete into a sweep."""
    if not name:
        raise ValueError("the name of an object is empty")
    return name


def _typed(obj: JsonObject, resource: Resource) -> JsonObject:
    """Items of a list come without apiVersion and kind, and callers may leave them out."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
