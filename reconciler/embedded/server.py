"""A Kubernetes API server in memory: a request goes in, a response comes out, no socket between.

It is a ``cluster.transport.Transport``: the engine, the simulation and the tests call it
in-process; ``embedded.http`` puts it behind HTTP for kubectl and other clients. All methods may be
called from any thread.

Limits, on purpose: no authentication or authorisation (whoever asks is admitted), no admission
webhooks, no protobuf, no conversion between versions of a kind beyond ``apiVersion``, no exec,
attach or port-forward. Nothing is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.cluster import transport
from reconciler.cluster.transport import Request, Response
from reconciler.embedded import deleting, patches, reading, refusals, routing, writing
from reconciler.embedded.kinds import Kind
from reconciler.embedded.reading import Pages
from reconciler.embedded.refusals import Refusal
from reconciler.embedded.routing import Route
from reconciler.embedded.store import copied
from reconciler.embedded.watching import Watch
from reconciler.embedded.world import Options, World
from reconciler.engine.clock import Clock

Proceed = Callable[[Request], Response]
Interceptor = Callable[[Request, Proceed], Response]
LogHandler = Callable[[str, str, str, bool], Iterable[bytes]]
"""(namespace, pod, container, follow) -> the log's chunks."""

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Server:
    """The server. ``seed`` decides uids and generated names."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._world = World(clock, seed)
        self._pages = Pages()
        self._interceptors: list[Interceptor] = []
        self._logs: LogHandler | None = None
        for name in NAMESPACES:
            self.send(Request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}}))

    def send(self, request: Request) -> Response:
        """Answer one request; what goes in and comes out is the caller's own copy."""
        response = self.handle(request)
        if not isinstance(response.body, (dict, list)):
            return response
        return Response(response.status, copied(response.body), response.headers)

    def handle(self, request: Request) -> Response:
        """As ``send``, but the body is shared with the store: read it, never change it."""
        proceed: Proceed = self._answer
        for interceptor in self._interceptors:
            proceed = _around(interceptor, proceed)
        return proceed(request)

    def watch(self, request: Request) -> Watch:
        """Open a watch. Raises the house's typed errors."""
        try:
            with self._world.lock:
                kind, route = self._find(request.path)
                return reading.watch(self._world, kind, route, request.query)
        except Refusal as refusal:
            raise refusal.as_error() from None

    def intercept(self, interceptor: Interceptor) -> Callable[[], None]:
        """Let ``interceptor(request, proceed)`` answer from now on; the result takes it out again.

        It may raise ApiUnavailable (a lost request, or after ``proceed`` a lost reply), answer by
        itself, or change what ``proceed`` says. Watches are not intercepted.
        """
        self._interceptors.append(interceptor)
        return lambda: self._interceptors.remove(interceptor)

    def on_logs(self, handler: LogHandler) -> None:
        """Who knows the containers' logs (a node)."""
        self._logs = handler

    def compact(self) -> None:
        """Forget past changes: watches from an older resourceVersion get 410 Gone."""
        with self._world.lock:
            self._world.store.compact()

    def dependents(self, uid: str) -> list[JsonObject]:
        """Copies of the objects with an owner reference to ``uid``."""
        with self._world.lock:
            return [copied(obj) for _, obj in self._world.store.dependents(uid)]

    def _find(self, path: str) -> tuple[Kind, Route]:
        route = routing.parse(path)
        if route is None:
            raise refusals.no_such_resource()
        kind = self._world.registry.find(route.group, route.version, route.plural)
        if kind is None:
            raise refusals.no_such_resource()
        return kind, route

    def _answer(self, request: Request) -> Response:
        try:
            with self._world.lock:
                kind, route = self._find(request.path)
                return self._serve(request, kind, route)
        except Refusal as refusal:
            return Response(refusal.code, refusal.body)

    def _serve(self, request: Request, kind: Kind, route: Route) -> Response:
        verb = {
            "GET": self._get if route.name else self._list,
            "POST": self._create,
            "PUT": self._replace,
            "PATCH": self._patch,
            "DELETE": self._delete if route.name else self._delete_collection,
        }.get(request.method)
        if verb is None:
            raise refusals.method_not_allowed()
        return verb(request, kind, route)

    def _get(self, request: Request, kind: Kind, route: Route) -> Response:
        del request
        return Response(200, reading.get(self._world, kind, route))

    def _list(self, request: Request, kind: Kind, route: Route) -> Response:
        page = reading.listed(self._world, kind, route, self._pages, request.query)
        return Response(200, reading.list_body(kind, page))

    def _create(self, request: Request, kind: Kind, route: Route) -> Response:
        body = _own(request.body)
        return Response(201, writing.create(self._world, kind, route, body, _options(request)))

    def _replace(self, request: Request, kind: Kind, route: Route) -> Response:
        body = _own(request.body)
        return Response(200, writing.replace(self._world, kind, route, body, _options(request)))

    def _patch(self, request: Request, kind: Kind, route: Route) -> Response:
        patch = _own(request.body)
        makers: dict[str, writing.Change] = {
            transport.MERGE_PATCH: lambda old: patches.merge(old, patch),
            transport.JSON_PATCH: lambda old: patches.json_patch(old, patch),
        }
        make = makers.get(request.content_type)
        if make is None:
            raise refusals.unsupported_media_type(makers)
        return Response(200, writing.change(self._world, kind, route, make, _options(request)))

    def _delete(self, request: Request, kind: Kind, route: Route) -> Response:
        obj = reading.get(self._world, kind, route)
        options = deleting.DeleteOptions.of(request.query, request.body)
        return Response(200, deleting.delete(self._world, kind, obj, options))

    def _delete_collection(self, request: Request, kind: Kind, route: Route) -> Response:
        page = reading.listed(self._world, kind, route, self._pages, request.query)
        options = deleting.DeleteOptions.of(request.query, request.body)
        for obj in page.items:
            deleting.delete(self._world, kind, obj, options)
        return Response(200, reading.list_body(kind, page))


def _around(interceptor: Interceptor, proceed: Proceed) -> Proceed:
    return lambda request: interceptor(request, proceed)


def _own(body: Any) -> Any:
    return copied(body) if isinstance(body, (dict, list)) else body


def _options(request: Request) -> Options:
    query = request.query
    return Options(
        manager=query.get("fieldManager") or "unknown",
        dry_run="All" in query.get("dryRun", ""),
        force=query.get("force", "").lower() in ("true", "1"),
        field_validation=query.get("fieldValidation", ""),
    )
