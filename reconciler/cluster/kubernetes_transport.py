"""The transport to a real API server: raw JSON over the ``kubernetes`` package's connection pool.

The package's typed models cost ten times the parsing and refuse what they do not know, so only its
configuration and authentication are used (``connection``). No request or answer is ever logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import urllib3

from reconciler.cluster import answers, exec_stream
from reconciler.cluster.connection import Connection, connect
from reconciler.cluster.line_stream import LineStream
from reconciler.cluster.transport import Command, ExecResult, Request, Response, WatchStream
from reconciler.errors import ApiUnavailable

USER_AGENT = "tandem/0.1"
"""Also the field manager of updates: API servers take the part before the slash."""
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
WATCH_SLACK = 30.0
"""How much longer than asked for a watch may be silent before it counts as broken (seconds)."""


class KubernetesTransport:
    """``reconciler.cluster.transport.Transport``; thread-safe."""

    def __init__(
        self,
        connection: Connection,
        reconnect: Callable[[], Connection],
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """``reconnect`` reads the credentials anew: a 401 may mean that they have been renewed."""
        self._connection = connection
        self._reconnect = reconnect
        self._read_seconds = read_seconds
        self._lock = threading.Lock()

    @classmethod
    def from_kubeconfig(
        cls,
        path: str | None = None,
        *,
        context: str | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> KubernetesTransport:
        """See ``connection.connect``. Raises TerminalError.

        ``read_seconds`` bounds the wait for an answer; leader election needs a short one.
        """
        first = connect(path, context)
        return cls(first, lambda: connect(path, context), read_seconds=read_seconds)

    @property
    def host(self) -> str:
        """The server's URL, for people."""
        return self._connection.host

    def send(self, request: Request) -> Response:
        answer = self._open(request, _timeout(self._read_seconds))
        try:
            body = _decode(answer.read(), answer.headers)
        except urllib3.exceptions.HTTPError as error:
            raise _unavailable(self.host, error) from error
        return Response(answer.status, body, dict(answer.headers))

    def watch(self, request: Request) -> WatchStream:
        life = float(request.query.get("timeoutSeconds") or READ_SECONDS * 10)
        answer = self._open(request, _timeout(life + WATCH_SLACK))
        if answer.status != 200:
            body = _decode(answer.read(), answer.headers)
            raise answers.error(answer.status, body)
        return LineStream(answer)

    def stream(self, request: Request) -> Iterator[bytes]:
        # what is followed may be silent for as long as it likes
        answer = self._open(
            request, _timeout(None if request.query.get("follow") else self._read_seconds)
        )
        if answer.status != 200:
            raise answers.error(answer.status, _decode(answer.read(), answer.headers))
        return self._chunks(answer)

    def _chunks(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from answer.stream()
        except urllib3.exceptions.HTTPError as error:
            raise _unavailable(self.host, error) from error
        finally:
            answer.close()

    def exec(self, command: Command) -> ExecResult:
        connection = self._connection
        try:
            return exec_stream.run(connection, command)
        except exec_stream.Unauthorized:
            return exec_stream.run(self._renewed(connection), command)

    def _open(self, request: Request, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        connection = self._connection
        answer = _exchange(connection, request, timeout)
        if answer.status != 401:
            return answer
        answer.release_conn()
        return _exchange(self._renewed(connection), request, timeout)

    def _renewed(self, refused: Connection) -> Connection:
        """Another connection than the refused one, made by whoever comes first."""
        with self._lock:
            if self._connection is refused:
                self._connection = self._reconnect()
            return self._connection


def _exchange(
    connection: Connection, request: Request, timeout: urllib3.Timeout
) -> urllib3.BaseHTTPResponse:
    headers = {"Accept": request.accept, "User-Agent": USER_AGENT, **connection.headers()}
    body = None
    if request.body is not None:
        body = orjson.dumps(request.body)
        headers["Content-Type"] = request.content_type
    try:
        return connection.pool.request(
            request.method,
            _url(connection.host, request),
            body=body,
            headers=headers,
            timeout=timeout,
            retries=_retries(request.method),
            preload_content=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise _unavailable(connection.host, error) from error


def _retries(method: str) -> urllib3.Retry:
    """A kept connection may have been closed meanwhile: one more try, of reads only."""
    reads = 1 if method == "GET" else 0
    return urllib3.Retry(connect=1, read=reads, redirect=0, status=0, other=0, backoff_factor=0)


def _timeout(read: float | None) -> urllib3.Timeout:
    """Who does not want to wait for an answer does not want to wait for a connection either."""
    return urllib3.Timeout(connect=min(CONNECT_SECONDS, read or CONNECT_SECONDS), read=read)


def _url(host: str, request: Request) -> str:
    query = f"?{urlencode(request.query)}" if request.query else ""
    return f"{host}{quote(request.path, safe='/:')}{query}"


def _decode(body: bytes, headers: Mapping[str, str]) -> Any:
    """JSON where the server says so; anything else is text (logs, an intermediate's error page)."""
    if "json" not in headers.get("Content-Type", ""):
        return body.decode("utf-8", "replace")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiUnavailable("the API server's answer is not valid JSON") from error


def _unavailable(host: str, error: Exception) -> ApiUnavailable:
    """Names the kind of fault; the error's text may hold headers of proxies, so it stays out."""
    reason = getattr(error, "reason", None) or error
    return ApiUnavailable(f"no answer from {host}: {type(reason).__name__}")
