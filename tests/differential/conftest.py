"""Two servers to compare: a real Kubernetes, and the embedded one behind HTTP.

The real one is started by the ``cluster`` script of the control-plane kit beside the repository, or
is the one that the kubeconfig named in ``TANDEM_TEST_KUBECONFIG`` points to.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NoReturn

import attrs
import pytest
import yaml

from reconciler.embedded.http import HttpServer
from reconciler.embedded.server import Server
from reconciler.embedded.webhooks import Webhooks
from reconciler.engine.clock import SystemClock

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT.parent / "shared" / "control-plane" / "cluster"
PORTS = 5
"""The cluster takes so many ports from the one that it is given."""


@attrs.frozen
class Answer:
    status: int
    body: Any


@attrs.frozen
class Endpoint:
    """A server's URL and how to speak to it."""

    url: str
    token: str
    context: ssl.SSLContext | None = None
    old: bool = False
    """Kubernetes 1.20: its CronJob is v1beta1."""

    def request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("User-Agent", "differ/1")
        for name, value in headers.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=30) as reply:
                return Answer(reply.status, _parsed(reply.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _parsed(error.read()))


def _parsed(raw: bytes) -> Any:
    """JSON, the list of a watch's events, or text."""
    for attempt in (raw, b"[" + b",".join(line for line in raw.splitlines() if line) + b"]"):
        try:
            return json.loads(attempt)
        except ValueError:
            continue
    return raw.decode()


@pytest.fixture(scope="module")
def real_cluster() -> Iterator[Endpoint]:
    """A real API server; without one, the tests that need it are skipped with the reason.

    One a module: what one leaves behind would be in the next one's plans.
    """
    named = os.environ.get("TANDEM_TEST_KUBECONFIG")
    if named:
        yield _endpoint(pathlib.Path(named))
        return
    if not SCRIPT.exists():
        _absent(f"neither TANDEM_TEST_KUBECONFIG nor the script {SCRIPT.name}")
    name = ["--name", f"diff-{os.getpid()}"]
    try:
        started = subprocess.run(
            [str(SCRIPT), "up", *name, "--port", str(_free_port())],
            capture_output=True,
            text=True,
            check=True,
            timeout=180,
        )
    except (OSError, subprocess.SubprocessError) as error:
        _absent(f"it did not start: {error}")
    try:
        yield _endpoint(pathlib.Path(started.stdout.split()[-1]))
    finally:
        subprocess.run([str(SCRIPT), "down", *name], capture_output=True, check=False)


def _free_port() -> int:
    """The first of a row of free ports, another one for each process that runs tests."""
    first = 20000 + os.getpid() % 1000 * 10
    return next(
        port for port in range(first, 32000, 10) if all(map(_is_free, range(port, port + PORTS)))
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _absent(why: str) -> NoReturn:
    """Skip; where a real server is required (as in CI), fail."""
    if os.environ.get("TANDEM_REQUIRE_REAL_CLUSTER"):
        pytest.fail(f"no real Kubernetes: {why}")
    pytest.skip(f"no real Kubernetes: {why}")


def _endpoint(kubeconfig: pathlib.Path) -> Endpoint:
    config = yaml.safe_load(kubeconfig.read_text())
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    server = config["clusters"][0]["cluster"]["server"]
    endpoint = Endpoint(server, config["users"][0]["user"].get("token", ""), context)
    version = endpoint.request("GET", "/version", None, {}).body
    return attrs.evolve(endpoint, old=int(str(version["minor"]).rstrip("+")) < 21)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Endpoint]:
    """The embedded server behind HTTP, which asks webhooks, as ``tandem up`` has it."""
    server = Server(SystemClock())
    server.intercept(Webhooks())
    http = HttpServer(server)
    http.start()
    try:
        yield Endpoint(http.url, "any")
    finally:
        http.stop()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many requests were compared: skipped ones are not."""
    alike = [each for each in terminalreporter.stats.get("passed", ()) if "alike" in each.nodeid]
    if alike:
        terminalreporter.write_line(f"{len(alike)} requests answered alike by both servers")
