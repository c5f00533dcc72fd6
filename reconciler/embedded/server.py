"""A Kubernetes API server in memory: a request goes in, a response comes out, no socket between.

It is a ``cluster.transport.Transport``: the engine, the simulation and the tests call it
in-process; ``embedded.http`` puts it behind HTTP for kubectl and other clients. All methods may be
called from any thread. The stories in ``tests/differential/cases`` are told to it and to a real
Kubernetes 1.20, and the answers compared.

**Limits, on purpose.** Whoever asks is admitted: no authentication, no authorisation, no quotas. Of
admission webhooks the validating ones are asked (``webhooks``), mutating ones are not served. No
protobuf, no aggregated discovery (clients fall back), no attach or port-forward, exec over
WebSockets only. CRD versions differ in ``apiVersion`` and schema only (conversion strategy None);
CEL rules (``x-kubernetes-validations``) are not evaluated. Built-in kinds are checked for the
faults that people make, not for every one. Quantities are not brought into canonical form. OpenAPI
has no descriptions of built-in kinds. Disruption budgets do not hold back evictions. Nothing is on
disk. Controllers (``embedded.controllers``) and nodes are not part of it: it leaves the finalizers
``foregroundDeletion``, ``orphan`` and a namespace's ``kubernetes`` to them.

**Differences from Kubernetes 1.20, as later versions have it**: batch/v1 CronJobs, and newer fields
of built-in kinds are known; Jobs and CronJobs have a generation; managedFields tell the status
subresource apart, know the schemas of custom resources, hold empty structs (``emptyDir: {}``) and
nothing of a status that a create may not write; faults in lists name the item's index
(``spec.parts[2].id``); values of a wrong type are worded ``cannot unmarshal string into Go struct
field ...``; fields that an apply does not know are refused for custom resources too; a JSON patch
``replace`` of what is not there is refused; namespaces have the label
``kubernetes.io/metadata.name``.

**Other differences**: Pods get no volume with a service account's token; claims and volumes are
not held by a protection finalizer; every fault is told once (1.20 tells some twice); tables have
no column descriptions, and a few rare kinds show name and age only; an unknown path is a Status
404, not a plain-text page; Jobs get the labels of 1.20 (``job-name``, ``controller-uid``) and not
the prefixed ones besides.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator

from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import Command, ExecResult, Request, Response
from reconciler.embedded import discovery, execs, logs, reading, refusals, routing, tables, verbs
from reconciler.embedded.kinds import Kind
from reconciler.embedded.reading import Pages
from reconciler.embedded.refusals import Refusal
from reconciler.embedded.routing import Route
from reconciler.embedded.store import copied
from reconciler.embedded.watching import Watch
from reconciler.embedded.world import World
from reconciler.engine.clock import Clock
from reconciler.errors import NotFound, TerminalError

Proceed = Callable[[Request], Response]
Interceptor = Callable[[Request, Proceed], Response]
LogHandler = Callable[[str, str, str, bool], Iterable[bytes]]
"""(namespace, pod, container, follow) -> the log's chunks."""

_MANY = 200
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Server:
    """The server. ``seed`` decides uids and generated names."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._world = World(clock, seed)
        self._pages = Pages()
        self._interceptors: list[Interceptor] = []
        self._logs: LogHandler | None = None
        self._execs: execs.Handler | None = None
        for name in NAMESPACES:
            self.send(Request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}}))

    def send(self, request: Request) -> Response:
        """Answer one request; what goes in and comes out is the caller's own copy."""
        response = self.handle(request)
        body = response.body
        if not isinstance(body, dict):
            return response
        many = len(body.get("items", ())) > _MANY
        return Response(
            response.status, _copied_unwatched(body) if many else copied(body), response.headers
        )

    def handle(self, request: Request) -> Response:
        """As ``send``, but the body is shared with the store: read it, never change it."""
        proceed: Proceed = self._answer
        for interceptor in self._interceptors:
            proceed = _around(interceptor, proceed)
        return proceed(request)

    def watch(self, request: Request) -> Watch:
        """Open a watch. Raises the house's typed errors."""
        try:
            return self.open_watch(request)
        except Refusal as refusal:
            raise refusal.as_error() from None

    def open_watch(self, request: Request) -> Watch:
        """As ``watch``, for ``http``: raises Refusal, which has the Status to be sent."""
        with self._world.lock:
            kind, route = self._find(request.path)
            present = tables.presenter(request, kind, self._world.clock.now)
            return reading.watch(self._world, kind, route, request.query, present)

    def open_log(self, request: Request) -> Iterator[bytes]:
        """The chunks of a container's log. Raises Refusal."""
        namespace, name = logs.subject(request.path)
        pod = self._pod(namespace, name)
        container = logs.container(pod, request.query)
        if self._logs is None or not pod["spec"].get("nodeName"):
            return iter(())
        follow = request.query.get("follow") in ("true", "1")
        return logs.shown(self._logs(namespace, name, container, follow), request.query)

    def stream(self, request: Request) -> Iterator[bytes]:
        """The chunks of a container's log. Raises the house's typed errors."""
        try:
            return self.open_log(request)
        except Refusal as refusal:
            raise refusal.as_error() from None

    def exec(self, command: Command) -> ExecResult:
        """Run a command in a container. Raises the house's typed errors."""
        call = execs.Call(command.argv, command.container)
        try:
            execution = self.open_exec(command.namespace, command.pod, call)
        except execs.NotExecutable as refusal:
            message = f"{command}: the command cannot be run: {refusal.message}"
            raise TerminalError(message) from None
        except Refusal as refusal:
            raise refusal.as_error() from None
        return execs.collect(execution, command)

    def open_exec(self, namespace: str, name: str, call: execs.Call) -> execs.Execution:
        """A command that runs. Raises Refusal."""
        pod = copied(self._pod(namespace, name))
        container = execs.container(pod, call)
        if self._execs is None:
            raise execs.not_offered()
        return self._execs(pod, container, call)

    def _pod(self, namespace: str, name: str) -> JsonObject:
        with self._world.lock:
            kind, _ = self._find(f"/api/v1/namespaces/{namespace}/pods/{name}")
            return reading.get(self._world, kind, Route("", "v1", "pods", namespace, name))

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

    def on_exec(self, handler: execs.Handler) -> None:
        """Who runs commands in containers (a node)."""
        self._execs = handler

    def load(self, objects: Iterable[JsonObject]) -> None:
        """Put a snapshot of another server in as it is: uid, resourceVersion, status and all.

        Objects of the same name are replaced. Raises NotFound for a kind that is not served.
        """
        with self._world.lock:
            served = {(kind.resource.api_version, kind.name): kind for kind in self._world.registry}
            for obj in objects:
                kind = served.get((obj["apiVersion"], obj["kind"]))
                if kind is None:
                    raise NotFound(f"{obj['apiVersion']} {obj['kind']} is not served here")
                self._world.store.load(kind.bucket, copied(obj))
            self._world.store.compact()

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
            if request.method == "GET" and logs.is_log(request.path):
                text = b"".join(self.open_log(request)).decode(errors="replace")
                return Response(200, text)
            with self._world.lock:
                if request.method == "GET":
                    page = discovery.answer(self._world.registry, request.path, request.accept)
                    if page is not None:
                        return page
                kind, route = self._find(request.path)
                return verbs.serve(self._world, self._pages, request, kind, route)
        except Refusal as refusal:
            return Response(refusal.code, refusal.body)


def _copied_unwatched(body: JsonObject) -> JsonObject:
    """A copy of a long list, made without the garbage collector: it would walk it all, often."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return copied(body)
    finally:
        if enabled:
            gc.enable()


def _around(interceptor: Interceptor, proceed: Proceed) -> Proceed:
    return lambda request: interceptor(request, proceed)
