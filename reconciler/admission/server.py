"""The HTTPS server that API servers ask. Made by ``service``.

aiohttp runs in a thread of its own. ``POST /validate`` takes an AdmissionReview; ``/healthz`` and
``/readyz`` are for probes. The certificate can be changed while it serves: handshakes from then on
have the new one, and connections that are open stay so. What is asked is never logged, only about
which object and how it was answered.
"""

from __future__ import annotations

import asyncio
import logging
import pathlib
import ssl
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from reconciler.admission.certificates import Pair
from reconciler.admission.review import Verdict
from reconciler.api.resources import JsonObject
from reconciler.errors import InvalidObject

logger = logging.getLogger(__name__)

PATH = "/validate"
BIGGEST = 8 * 1024 * 1024
"""Bytes of a review: it has the old object and the new, each of at most 3 MiB."""

Answer = Callable[[Any], tuple[JsonObject, Verdict]]


class Server:
    """HTTP/1.1 over TLS on ``host:port``; port 0 takes a free one."""

    def __init__(
        self, answer: Answer, ready: Callable[[], bool], *, host: str | None, port: int
    ) -> None:
        self._answer, self._ready = answer, ready
        self._host, self._port = host, port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._served: Pair | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def port(self) -> int:
        """Known once the server is started."""
        return self._port

    def use(self, pair: Pair) -> None:
        """Serve with this certificate from now on; callable before ``start`` and at any time."""
        if pair == self._served:
            return
        self._served = pair
        if self._loop is None:
            self._load(pair)
            return
        asyncio.run_coroutine_threadsafe(self._reload(pair), self._loop).result()

    def start(self) -> None:
        """Serve until ``stop``. Raises OSError when the port is taken."""
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._main, args=(started,), name="webhook", daemon=True
        )
        self._thread.start()
        started.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Answer what was asked, and close the port; idempotent."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    async def _reload(self, pair: Pair) -> None:
        """In the loop's thread, where no handshake meets a certificate without its key."""
        self._load(pair)

    def _load(self, pair: Pair) -> None:
        """OpenSSL's binding reads files only; these are the process's own, and gone at once."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "pair.pem")
            path.touch(mode=0o600)
            path.write_text(pair.certificate + pair.key)
            self._context.load_cert_chain(path)

    def _main(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(started))
        except OSError as error:
            self._failure, self._loop = error, None  # nothing to stop
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=BIGGEST)
        app.router.add_post(PATH, self._review)
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, ssl_context=self._context)
        try:
            await site.start()
            self._port = runner.addresses[0][1]
            started.set()
            await self._stopping.wait()
        finally:
            await _close(runner)

    async def _review(self, incoming: web.Request) -> web.Response:
        try:
            answered, verdict = self._answer(orjson.loads(await incoming.read()))
        except (ValueError, InvalidObject) as error:
            return web.Response(status=400, text=str(error))
        _log(verdict)
        return web.Response(body=orjson.dumps(answered), content_type="application/json")

    async def _readyz(self, incoming: web.Request) -> web.Response:
        del incoming
        return web.Response(text="ok\n") if self._ready() else web.Response(status=503)


async def _close(runner: web.AppRunner) -> None:
    """Answer what was asked, then leave the clients that keep their connections open."""
    served = runner.server
    opened = [each.transport for each in served.connections] if served else []
    await runner.cleanup()
    for transport in opened:
        if transport is not None:
            transport.abort()  # TLS would wait for the client's good-bye


async def _healthz(incoming: web.Request) -> web.Response:
    del incoming
    return web.Response(text="ok\n")


def _log(verdict: Verdict) -> None:
    if not verdict.allowed:
        told = "; ".join(map(str, verdict.faults))
        logger.info("denied %s: %s", verdict.subject, told)
