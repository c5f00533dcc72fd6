"""``pods/exec`` as a client: what comes over the WebSocket becomes a result or a typed error."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import yaml
from aiohttp import WSMsgType, web

from reconciler.cluster.client import Client
from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.cluster.transport import ExecResult
from reconciler.errors import ApiUnavailable, Forbidden, TerminalError, TimedOut

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]
SUCCESS = {"metadata": {}, "status": "Success"}


class ApiServer:
    """One that lets ``talk`` speak to whoever runs a command; ``asked`` remembers who."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.tokens = {"Bearer old"}
        self.refusal: tuple[int, str] | None = None
        self.talk: Talk = self.succeed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    async def _start(self) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.headers.get("Authorization") not in self.tokens:
            return web.json_response({"message": "who are you?"}, status=401)
        if self.refusal is not None:
            return web.Response(status=self.refusal[0], text=self.refusal[1])
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"], timeout=0.1)
        await socket.prepare(request)
        await self.talk(socket)
        return socket

    @staticmethod
    async def succeed(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x03" + json.dumps(SUCCESS).encode())
        await socket.close()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def api() -> Iterator[ApiServer]:
    made = ApiServer()
    yield made
    made.stop()


@pytest.fixture
def kubeconfig(api: ApiServer, tmp_path: Path) -> Path:
    path = tmp_path / "config"
    _write(path, api.url, "old")
    return path


@pytest.fixture
def port(kubeconfig: Path) -> Client:
    return Client(KubernetesTransport.from_kubeconfig(str(kubeconfig)))


def _write(path: Path, url: str, token: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config))


def run(port: Client, *argv: str, timeout: float | None = 20.0) -> ExecResult:
    return port.exec("shop", "web-0", "app", argv or ("true",), timeout=timeout)


def test_the_command_the_container_and_the_streams_stand_in_the_address(
    api: ApiServer, port: Client
) -> None:
    run(port, "sh", "-c", "echo a b&c")
    [asked] = api.asked
    assert asked.path == "/api/v1/namespaces/shop/pods/web-0/exec"
    assert asked.query.getall("command") == ["sh", "-c", "echo a b&c"]
    assert asked.query["container"] == "app"
    assert (asked.query["stdout"], asked.query["stderr"]) == ("true", "true")
    assert "stdin" not in asked.query
    assert asked.headers["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"


def test_streams_in_pieces_with_keep_alives_between_are_put_together(
    api: ApiServer, port: Client
) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        for opened in (b"\x01", b"\x02", b"\x03"):
            await socket.send_bytes(opened)  # as a real API server opens its streams
        await socket.send_bytes(b"\x01caf\xc3")
        await socket.ping()
        await socket.send_bytes(b"\x02oh")
        await socket.send_bytes(b"\x01\xa9")
        await ApiServer.succeed(socket)

    api.talk = talk
    assert run(port, timeout=None) == ExecResult(0, "café", "oh")


def test_a_failed_command_is_a_result_with_its_exit_code(api: ApiServer, port: Client) -> None:
    status = {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "42"}]},
    }

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x03" + json.dumps(status).encode())
        await socket.close()

    api.talk = talk
    assert run(port).exit_code == 42


def test_a_command_that_the_container_cannot_start_is_an_error_that_names_the_place(
    api: ApiServer, port: Client
) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b'\x03{"status":"Failure","message":"no such executable"}')
        await socket.close()

    api.talk = talk
    with pytest.raises(TerminalError, match=r"Pod shop/web-0, container app: .*no such executable"):
        run(port)


def test_an_end_without_a_status_is_a_broken_connection(api: ApiServer, port: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01half of it")
        await socket.close()

    api.talk = talk
    with pytest.raises(ApiUnavailable, match="the connection broke while the command ran"):
        run(port)


def test_a_cut_connection_is_a_broken_connection(api: ApiServer, port: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        connection = socket._req.transport
        connection.abort()

    api.talk = talk
    with pytest.raises(ApiUnavailable, match="the connection broke"):
        run(port)


def test_a_silent_command_is_given_up_in_time_and_the_connection_is_left(
    api: ApiServer, port: Client
) -> None:
    left = threading.Event()

    async def talk(socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        left.set()

    api.talk = talk
    with pytest.raises(TimedOut, match=r"did not end within 0\.1 s"):
        run(port, timeout=0.1)
    assert left.wait(20)


def test_a_talkative_command_is_given_up_in_time_too(api: ApiServer, port: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            await socket.send_bytes(b"\x01still here\n")
            await asyncio.sleep(0.001)

    api.talk = talk
    with pytest.raises(TimedOut):
        run(port, timeout=0.1)


@pytest.mark.parametrize(
    ("code", "body", "error", "words"),
    [
        (403, '{"reason":"Forbidden","message":"pods/exec is forbidden"}', Forbidden, "pods/exec"),
        (500, '{"message":"container not found"}', ApiUnavailable, "container not found"),
        (400, "a proxy's page", TerminalError, "a proxy's page"),
        (502, "", ApiUnavailable, "502"),
    ],
)
def test_a_refused_command_is_its_typed_error(  # noqa: PLR0917 -- a table's columns
    api: ApiServer, port: Client, code: int, body: str, error: type[Exception], words: str
) -> None:
    api.refusal = (code, body)
    with pytest.raises(error, match=words):
        run(port)


def test_renewed_credentials_are_read_when_the_old_ones_are_refused(
    api: ApiServer, port: Client, kubeconfig: Path
) -> None:
    api.tokens = {"Bearer new"}
    with pytest.raises(Forbidden, match="who are you"):
        run(port)
    _write(kubeconfig, api.url, "new")
    assert run(port).exit_code == 0


def test_an_unreachable_server_is_no_answer_and_nothing_of_the_command_is_told(
    api: ApiServer, port: Client
) -> None:
    api.stop()
    try:
        with pytest.raises(ApiUnavailable, match="no answer from") as found:
            run(port, "mysql", "-pcanary")
        assert "canary" not in str(found.value)
    finally:
        api.__init__()  # type: ignore[misc] -- the fixture stops it once more
