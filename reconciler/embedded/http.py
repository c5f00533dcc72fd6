"""The embedded server over HTTP, for kubectl, the ``kubernetes`` package and other clients.

Made by ``embedded.cluster`` and the command line. aiohttp (imported when first started) runs in a
thread of its own; requests are answered by the server in a small pool of threads. Any bearer token
is accepted: bind it to the loopback only.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import pathlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from reconciler import errors
from reconciler.cluster.transport import Request, Response, StreamEnded
from reconciler.embedded import execs, http_exec, logs, refusals
from reconciler.embedded.server import Server
from reconciler.embedded.watching import Watch

if TYPE_CHECKING:
    from aiohttp import web

_WORKERS = 8
_BIGGEST = 16 * 1024 * 1024
_PULSE = 5.0
"""Seconds between looks at a quiet watch, for bookmarks and timeouts."""


class HttpServer:
    """HTTP/1.1 on ``host:port``; port 0 takes a free one."""

    def __init__(self, server: Server, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server, self._host, self._port = server, host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._pool = concurrent.futures.ThreadPoolExecutor(_WORKERS, "embedded-http")

    @property
    def url(self) -> str:
        """``http://127.0.0.1:6443``; the port is known once the server is started."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Serve until ``stop``. Raises OSError when the port is taken."""
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._main, args=(started,), name="embedded-http", daemon=True
        )
        self._thread.start()
        started.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End all watches and close the port; idempotent."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None
        self._pool.shutdown(wait=False)

    def write_kubeconfig(self, path: pathlib.Path | str) -> None:
        """Write a kubeconfig (mode 600) whose only context is this server."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tandem",
            "clusters": [{"name": "tandem", "cluster": {"server": self.url}}],
            "users": [{"name": "tandem", "user": {"token": "tandem"}}],
            "contexts": [{"name": "tandem", "context": {"cluster": "tandem", "user": "tandem"}}],
        }
        target = pathlib.Path(path)
        target.touch(mode=0o600)
        target.write_text(yaml.safe_dump(config, sort_keys=False))

    def _main(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(started))
        except OSError as error:
            self._failure = error
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        from aiohttp import web  # noqa: PLC0415 -- 0.2 s of import that only HTTP needs

        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=_BIGGEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port)
        try:
            await site.start()
            self._port = runner.addresses[0][1]
            started.set()
            await self._stopping.wait()
        finally:
            await runner.cleanup()

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        try:
            if execs.is_exec(incoming.path):
                return await http_exec.serve(incoming, self._server, self._pool)
            return await self._handled(incoming, await _request(incoming))
        except refusals.Refusal as refusal:
            return _answer(_refused(refusal))

    async def _handled(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        if request.method == "GET" and logs.is_log(request.path):
            return await self._log(incoming, request)
        if request.query.get("watch") in ("true", "1"):
            return await self._watch(incoming, request)
        try:
            return _answer(await self._in_pool(self._server.handle, request))
        except errors.ApiUnavailable as error:
            if incoming.transport is not None:
                incoming.transport.abort()  # the interceptor lost the request: so does the client
            return _answer(Response(503, str(error)))

    def _in_pool(self, function: Any, *args: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def _watch(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        stream = self._server.open_watch(request)
        response = await _chunked(incoming, "application/json")
        try:
            await self._pump(stream, response)
        except (StreamEnded, ConnectionError):
            pass  # the watch's time is over, or the client left
        finally:
            stream.close()
        return response

    async def _pump(self, stream: Watch, response: web.StreamResponse) -> None:
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(ready.set)

        stream.on_ready = wake
        while self._stopping is not None and not self._stopping.is_set():
            ready.clear()
            lines = _lines(stream)
            if lines:
                await response.write(lines)
                continue
            await _either(ready, self._stopping, min(_PULSE, stream.remaining(_PULSE)))

    async def _log(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        chunks = await self._in_pool(self._server.open_log, request)
        response = await _chunked(incoming, "text/plain")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        feeder = _Feeder(chunks, asyncio.get_running_loop(), queue)
        feeder.start()
        try:
            while (chunk := await queue.get()) is not None:
                await response.write(chunk)
        except ConnectionError:
            pass  # the client left
        finally:
            feeder.wanted = False
        return response


class _Feeder(threading.Thread):
    """Reads one log, which may block for as long as a container is silent, into a queue."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        loop: asyncio.AbstractEventLoop,
        queue: asyncio.Queue[bytes | None],
    ) -> None:
        super().__init__(name="embedded-log", daemon=True)
        self._chunks, self._loop, self._queue = chunks, loop, queue
        self.wanted = True

    def run(self) -> None:
        for chunk in self._chunks:
            if not self.wanted:
                return
            self._put(chunk)
        self._put(None)

    def _put(self, chunk: bytes | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, chunk)


async def _request(incoming: web.Request) -> Request:
    """The request without HTTP. Raises Refusal when the body cannot be read."""
    content_type = incoming.content_type if incoming.body_exists else "application/json"
    if content_type == "application/octet-stream":
        content_type = "application/json"  # aiohttp's word for "no Content-Type"
    raw = await incoming.read()
    query = dict(incoming.query)
    if incoming.method in ("POST", "PUT", "PATCH") and not content_type.startswith(_APPLY):
        query.setdefault("fieldManager", _agent(incoming))
    return Request(
        incoming.method,
        incoming.path,
        query,
        _body(raw, content_type),
        content_type=content_type,
        accept=incoming.headers.get("Accept", "application/json"),
    )


_APPLY = "application/apply-patch"


def _agent(incoming: web.Request) -> str:
    """The default field manager: the first word of the User-Agent."""
    return incoming.headers.get("User-Agent", "unknown").partition("/")[0][:128]


def _body(raw: bytes, content_type: str) -> Any:
    if not raw:
        return None
    if "protobuf" in content_type:
        raise _no_protobuf()
    if "yaml" in content_type:
        try:
            return yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise refusals.bad_request(f"error converting YAML to JSON: {error}") from error
    try:
        return orjson.loads(raw)
    except ValueError as error:
        raise refusals.bad_request(str(error)) from error


def _no_protobuf() -> refusals.Refusal:
    """What ``kubectl create secret`` and its like send since 1.32, without a way back to JSON."""
    return refusals.Refusal(
        415,
        "UnsupportedMediaType",
        "this server takes JSON and YAML, no protobuf; use kubectl apply -f, or kubectl 1.31",
    )


def _refused(refusal: refusals.Refusal) -> Response:
    return Response(refusal.code, refusal.body)


def _answer(response: Response) -> web.Response:
    from aiohttp import web  # noqa: PLC0415 -- imported already by the time this runs

    if isinstance(response.body, str):
        return web.Response(status=response.status, text=response.body)
    return web.Response(
        status=response.status,
        body=b"" if response.body is None else orjson.dumps(response.body) + b"\n",
        content_type="application/json",
        headers=dict(response.headers),
    )


async def _chunked(incoming: web.Request, content_type: str) -> web.StreamResponse:
    from aiohttp import web  # noqa: PLC0415 -- imported already by the time this runs

    response = web.StreamResponse()
    response.content_type = content_type
    response.enable_chunked_encoding()
    await response.prepare(incoming)
    return response


def _lines(stream: Watch) -> bytes:
    """All events that are there, as one piece."""
    found = []
    while (event := stream.next_shared(0)) is not None:
        found.append(orjson.dumps({"type": event[0], "object": event[1]}) + b"\n")
    return b"".join(found)


async def _either(ready: asyncio.Event, stopping: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (ready, stopping)]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        task.cancel()
