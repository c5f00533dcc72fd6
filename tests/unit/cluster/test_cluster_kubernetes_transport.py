"""The transport speaks HTTP as Kubernetes does: raw JSON, watches as lines, credentials renewed."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.cluster.transport import APPLY_PATCH, Request, StreamEnded
from reconciler.errors import ApiUnavailable, Gone, TerminalError

Handle = Callable[[http.server.BaseHTTPRequestHandler], None]


class ApiServer:
    """A little HTTP server; ``handle`` answers, ``asked`` remembers method, path, headers, body."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.handle: Handle = lambda handler: reply(handler, 200, {})
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.asked.append((self.command, self.path, dict(self.headers), body))
                api.handle(self)

            do_GET = do_PATCH = answer  # noqa: N815 -- the standard library's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as inherited
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def reply(
    handler: http.server.BaseHTTPRequestHandler,
    status: int,
    body: Any,
    content_type: str = "application/json",
) -> None:
    encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(encoded)))
    handler.end_headers()
    handler.wfile.write(encoded)


def stream(handler: http.server.BaseHTTPRequestHandler, *chunks: str, end: bool = True) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for chunk in chunks:
        handler.wfile.write(f"{len(chunk):x}\r\n{chunk}\r\n".encode())
        handler.wfile.flush()
    if end:
        handler.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.stop()


@pytest.fixture
def kubeconfig(api: ApiServer, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "config", api.url, {"token": "first"})


@pytest.fixture
def transport(kubeconfig: Path) -> KubernetesTransport:
    return KubernetesTransport.from_kubeconfig(str(kubeconfig))


def write_kubeconfig(path: Path, url: str, user: dict[str, Any]) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(config))
    return path


WATCH = Request("GET", "/api/v1/pods", {"watch": "true", "timeoutSeconds": "5"})


def event(name: str) -> str:
    return json.dumps({"type": "ADDED", "object": {"metadata": {"name": name}}}) + "\n"


def test_a_request_is_sent_as_it_is_with_our_credentials(
    api: ApiServer, transport: KubernetesTransport
) -> None:
    body = {"metadata": {"name": "a"}}
    query = {"fieldManager": "tandem", "labelSelector": "a=b,c in (d)"}
    answer = transport.send(Request("PATCH", "/api/v1/pods/a", query, body, APPLY_PATCH))
    assert answer.status == 200
    ((method, path, headers, sent),) = api.asked
    assert (method, json.loads(sent)) == ("PATCH", body)
    assert path == "/api/v1/pods/a?fieldManager=tandem&labelSelector=a%3Db%2Cc+in+%28d%29"
    assert headers["Content-Type"] == APPLY_PATCH
    assert headers["authorization"] == "Bearer first"


def test_an_http_error_is_an_answer(api: ApiServer, transport: KubernetesTransport) -> None:
    api.handle = lambda handler: reply(handler, 409, {"reason": "Conflict"})
    answer = transport.send(Request("GET", "/api/v1/pods/a"))
    assert (answer.status, answer.body) == (409, {"reason": "Conflict"})


def test_logs_come_as_text(api: ApiServer, transport: KubernetesTransport) -> None:
    api.handle = lambda handler: reply(handler, 200, "one\ntwo\n", "text/plain")
    assert transport.send(Request("GET", "/api/v1/pods/a/log")).body == "one\ntwo\n"


def test_a_broken_answer_is_no_answer(api: ApiServer, transport: KubernetesTransport) -> None:
    api.handle = lambda handler: reply(handler, 200, '{"cut":', "application/json")
    with pytest.raises(ApiUnavailable):
        transport.send(Request("GET", "/api/v1/pods"))


def test_a_refused_connection_is_no_answer_and_names_the_server_but_no_credentials(
    api: ApiServer, transport: KubernetesTransport
) -> None:
    api.stop()
    with pytest.raises(ApiUnavailable, match=api.url) as raised:
        transport.send(Request("GET", "/api/v1/pods"))
    assert "first" not in str(raised.value)
    with pytest.raises(ApiUnavailable):
        transport.watch(WATCH)
    api.__init__()  # type: ignore[misc]  # the fixture stops it once more


def test_renewed_credentials_are_read_when_the_old_ones_are_refused(
    api: ApiServer, kubeconfig: Path, transport: KubernetesTransport
) -> None:
    def handle(handler: http.server.BaseHTTPRequestHandler) -> None:
        known = handler.headers["authorization"] == "Bearer second"
        reply(handler, 200 if known else 401, {})

    api.handle = handle
    write_kubeconfig(kubeconfig, api.url, {"token": "second"})
    assert transport.send(Request("GET", "/api/v1/pods")).status == 200
    write_kubeconfig(kubeconfig, api.url, {"token": "revoked"})
    assert transport.send(Request("GET", "/api/v1/pods")).status == 200


def test_credentials_of_an_exec_plugin_are_used(api: ApiServer, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": credential["apiVersion"], "command": str(plugin)}}
    path = write_kubeconfig(tmp_path / "exec", api.url, user)
    KubernetesTransport.from_kubeconfig(str(path)).send(Request("GET", "/api"))
    assert api.asked[0][2]["authorization"] == "Bearer from-plugin"


def test_a_watch_gives_the_events_of_its_lines_however_they_are_cut(
    api: ApiServer, transport: KubernetesTransport
) -> None:
    lines = event("a") + event("b")
    api.handle = lambda handler: stream(handler, lines[:10], lines[10:70], lines[70:])
    watch = transport.watch(WATCH)
    names = []
    for _ in range(2):
        found = watch.next(10)
        assert found is not None
        names.append(found.object["metadata"]["name"])
    assert names == ["a", "b"]
    with pytest.raises(StreamEnded):
        watch.next(10)
    with pytest.raises(StreamEnded):
        watch.next(10)


def test_a_watch_that_is_cut_within_a_line_is_broken(
    api: ApiServer, transport: KubernetesTransport
) -> None:
    api.handle = lambda handler: stream(handler, event("a"), '{"type": "ADD')
    watch = transport.watch(WATCH)
    assert watch.next(10) is not None
    with pytest.raises(ApiUnavailable):
        watch.next(10)


def test_a_refused_watch_is_its_typed_error(api: ApiServer, transport: KubernetesTransport) -> None:
    api.handle = lambda handler: reply(handler, 410, {"reason": "Expired", "message": "too old"})
    with pytest.raises(Gone, match="too old"):
        transport.watch(WATCH)


def test_a_quiet_watch_does_not_block_and_can_be_closed_from_another_thread(
    api: ApiServer, transport: KubernetesTransport
) -> None:
    release = threading.Event()

    def handle(handler: http.server.BaseHTTPRequestHandler) -> None:
        stream(handler, event("a"), end=False)
        release.wait(10)

    api.handle = handle
    watch = transport.watch(WATCH)
    assert watch.next(10) is not None
    assert watch.next(0) is None
    closer = threading.Timer(0.05, watch.close)
    closer.start()
    with pytest.raises((StreamEnded, ApiUnavailable)):
        watch.next(10)
    closer.join()
    watch.close()
    release.set()


@pytest.mark.parametrize("content", [None, "", "not: [yaml", "{}", "[]", "text"])
def test_an_unusable_kubeconfig_is_named_with_a_remedy(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "broken"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TerminalError, match=r"broken.*--kubeconfig"):
        KubernetesTransport.from_kubeconfig(str(path))
