"""``pods/exec`` over a WebSocket: Kubernetes' ``v4`` and ``v5.channel.k8s.io``.

Called by ``http``. The first byte of each message is the stream's number; v5 adds a message that
closes one, which is how kubectl ends the input. A command whose client has left is killed. SPDY,
which kubectl speaks before 1.31, is not spoken.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import IO, TYPE_CHECKING, Final

import orjson

from reconciler.api.resources import JsonObject
from reconciler.embedded import execs, refusals
from reconciler.embedded.execs import Execution

if TYPE_CHECKING:
    from aiohttp import web

    from reconciler.embedded.server import Server

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


async def serve(incoming: web.Request, server: Server, pool: _Pool) -> web.StreamResponse:
    """Run the command that the request describes. Raises Refusal, before the upgrade only."""
    from aiohttp import web  # noqa: PLC0415 -- imported already by the time this runs

    namespace, pod = execs.subject(incoming.path)
    call = execs.call_of(incoming.query, tuple(incoming.query.getall("command", [])))
    socket = web.WebSocketResponse(protocols=PROTOCOLS)
    possible = socket.can_prepare(incoming)
    loop = asyncio.get_running_loop()
    try:
        execution = await loop.run_in_executor(pool, server.open_exec, namespace, pod, call)
    except execs.NotExecutable as refusal:
        if not possible.ok:
            raise
        await socket.prepare(incoming)
        await _finish(socket, refusal.body)
        return socket
    if not possible.ok:
        execution.kill()
        execution.close()
        raise _no_websocket()
    await _converse(socket, incoming, execution)
    return socket


_Pool = concurrent.futures.ThreadPoolExecutor


def _no_websocket() -> refusals.Refusal:
    return refusals.bad_request(
        "commands are run over WebSockets here, not over SPDY; use kubectl 1.31 or newer, or"
        " set KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true"
    )


async def _converse(
    socket: web.WebSocketResponse, incoming: web.Request, execution: Execution
) -> None:
    loop = asyncio.get_running_loop()
    said: asyncio.Queue[bytes | int] = asyncio.Queue()
    threading.Thread(
        target=_watch, args=(execution, loop, said), daemon=True, name="exec-wait"
    ).start()
    listener = None
    try:
        await socket.prepare(incoming)
        listener = asyncio.create_task(_listen(socket, execution))
        while isinstance(item := await said.get(), bytes):
            await socket.send_bytes(item)
        await _finish(socket, execs.status_of(item))
    except ConnectionError:
        pass  # the client left
    finally:
        execution.kill()
        if listener is not None:
            listener.cancel()


def _watch(
    execution: Execution, loop: asyncio.AbstractEventLoop, said: asyncio.Queue[bytes | int]
) -> None:
    """Pass on what the command prints, then its exit code; in a thread, for reads block."""

    def put(item: bytes | int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            loop.call_soon_threadsafe(said.put_nowait, item)

    def read(channel: int, stream: IO[bytes]) -> None:
        while chunk := stream.read(execs.CHUNK):
            put(bytes([channel]) + chunk)

    readers = [threading.Thread(target=read, args=(STDOUT, execution.stdout), daemon=True)]
    if execution.stderr is not None:
        readers.append(threading.Thread(target=read, args=(STDERR, execution.stderr), daemon=True))
    for reader in readers:
        reader.start()
    code = execution.wait(None)
    execution.kill()  # what it left behind holds its streams open
    for reader in readers:
        reader.join()
    execution.close()
    put(-1 if code is None else code)


async def _listen(socket: web.WebSocketResponse, execution: Execution) -> None:
    """Take input, the terminal's size, and the client's leave."""
    loop = asyncio.get_running_loop()
    async for message in socket:
        data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
        with contextlib.suppress(OSError, ValueError):  # the command wants no more input
            await loop.run_in_executor(None, _take, execution, data)
    execution.kill()


def _take(execution: Execution, data: bytes) -> None:
    channel, rest = data[:1], data[1:]
    if channel == bytes([STDIN]) and execution.stdin is not None:
        execution.stdin.write(rest)
        execution.stdin.flush()
    elif channel == bytes([CLOSE]) and rest == bytes([STDIN]) and execution.stdin is not None:
        execution.stdin.close()
    elif channel == bytes([RESIZE]):
        size = orjson.loads(rest)
        execution.resize(int(size["Width"]), int(size["Height"]))


async def _finish(socket: web.WebSocketResponse, status: JsonObject) -> None:
    await socket.send_bytes(bytes([ERROR]) + orjson.dumps(status))
    await socket.close()
