"""``pods/exec`` over a WebSocket, as the ``kubernetes`` package opens it.

Used by ``kubernetes_transport``. Kubernetes' protocol ``v4.channel.k8s.io``: the first byte of each
message says which stream it belongs to, and a last ``Status`` tells how the command ended. Neither
the command nor its output is logged or put into an error.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

import attrs
import orjson
import websocket

from reconciler.cluster import answers
from reconciler.cluster.connection import Connection
from reconciler.cluster.transport import OUTPUT_LIMIT, Command, ExecResult
from reconciler.engine.clock import SystemClock
from reconciler.errors import ApiUnavailable, Forbidden, TerminalError, TimedOut

PROTOCOL: Final = "v4.channel.k8s.io"
STDOUT, STDERR, ERROR = 1, 2, 3
CONNECT_SECONDS: Final = 10.0
_NOTHING: Final = bytes(1)
_CONTROL = frozenset({websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_PONG})


class Unauthorized(Forbidden):
    """401: the credentials may have been renewed meanwhile, so it is worth a second try."""


@attrs.define
class _Output:
    """The last bytes of one stream."""

    kept: bytearray = attrs.field(factory=bytearray)

    def take(self, data: bytes) -> None:
        self.kept += data
        del self.kept[:-OUTPUT_LIMIT]

    def text(self) -> str:
        return self.kept.decode("utf-8", "replace")


def run(connection: Connection, command: Command) -> ExecResult:
    """Run it and wait for its end. See ``port.Executor.exec`` for what it raises."""
    clock = SystemClock()
    ends = None if command.timeout is None else clock.monotonic() + command.timeout
    stream = _open(connection, command)
    outputs = {STDOUT: _Output(), STDERR: _Output(), ERROR: _Output()}
    try:
        while True:
            left = None if ends is None else ends - clock.monotonic()
            message = _next(stream, left, command)
            if not message:
                return _result(outputs, command)
            if message[0] in outputs:
                outputs[message[0]].take(message[1:])
    finally:
        stream.shutdown()


def _open(connection: Connection, command: Command) -> Any:
    import kubernetes.stream.ws_client  # noqa: PLC0415 -- 0.3 s that most commands save

    package: Any = kubernetes.stream.ws_client
    headers = {name.lower(): value for name, value in connection.headers().items()}
    headers["sec-websocket-protocol"] = PROTOCOL
    websocket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        url = package.get_websocket_url(_url(connection.host, command))
        return package.create_websocket(connection.configuration, url, headers)
    except websocket.WebSocketBadStatusException as refusal:
        raise _refused(refusal) from None
    except (websocket.WebSocketException, OSError) as error:
        raise ApiUnavailable(f"no answer from {connection.host}: {type(error).__name__}") from error


def _url(host: str, command: Command) -> str:
    query = [("container", command.container), ("stdout", "true"), ("stderr", "true")]
    query += [("command", part) for part in command.argv]
    path = f"/api/v1/namespaces/{command.namespace}/pods/{command.pod}/exec"
    return f"{host}{quote(path)}?{urlencode(query)}"


def _refused(refusal: websocket.WebSocketBadStatusException) -> Exception:
    """The typed error of a handshake that was answered by a Status."""
    body = _status(refusal.resp_body or b"")
    if refusal.status_code == 401:
        return Unauthorized(str(body.get("message") or "the API server does not know who asks"))
    return answers.error(refusal.status_code, body)


def _next(stream: Any, left: float | None, command: Command) -> bytes:
    """The next message; b"" at the end. Raises TimedOut, ApiUnavailable."""
    if left is not None and left <= 0:
        raise _late(command)
    try:
        stream.settimeout(left)
        opcode, frame = stream.recv_data_frame(control_frame=True)
    except websocket.WebSocketTimeoutException:
        raise _late(command) from None
    except (websocket.WebSocketException, OSError) as error:
        raise _broken(command) from error
    if opcode == websocket.ABNF.OPCODE_CLOSE:
        return b""
    # a stream without data tells that it is open, as a keep-alive does
    return bytes(frame.data) if opcode not in _CONTROL and frame.data else _NOTHING


def _result(outputs: dict[int, _Output], command: Command) -> ExecResult:
    status = _status(bytes(outputs[ERROR].kept))
    if status.get("status") == "Success":
        return _ended(0, outputs)
    if status.get("reason") == "NonZeroExitCode":
        causes = (status.get("details") or {}).get("causes") or ()
        codes = [each["message"] for each in causes if each.get("reason") == "ExitCode"]
        return _ended(int(codes[0]), outputs)
    if not status:
        raise _broken(command)
    raise TerminalError(f"{command}: the command cannot be run: {status.get('message')}")


def _ended(code: int, outputs: dict[int, _Output]) -> ExecResult:
    return ExecResult(code, outputs[STDOUT].text(), outputs[STDERR].text())


def _late(command: Command) -> TimedOut:
    return TimedOut(f"{command}: the command did not end within {command.timeout:g} s")


def _broken(command: Command) -> ApiUnavailable:
    return ApiUnavailable(f"{command}: the connection broke while the command ran")


def _status(body: bytes) -> dict[str, Any]:
    """A ``Status``; what is none is given as its message."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": body.decode("utf-8", "replace").strip()} if body.strip() else {}
    return found if isinstance(found, dict) else {}
