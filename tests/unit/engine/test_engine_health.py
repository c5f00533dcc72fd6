"""Kubernetes can ask whether we live and work, and Prometheus how."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from reconciler.engine.health import HealthServer, pages


class Operator:
    def __init__(self) -> None:
        self.problems: tuple[str, ...] = ()
        self.ready = False
        self.state = ""


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def server(operator: Operator) -> Iterator[HealthServer]:
    served = pages(
        problems=lambda: operator.problems,
        ready=lambda: operator.ready,
        metrics=lambda: "tandem_up 1\n",
        state=lambda: operator.state,
    )
    server = HealthServer(served, host="127.0.0.1")
    server.start()
    yield server
    server.stop()


def ask(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_is_alive_before_it_is_ready(server: HealthServer, operator: Operator) -> None:
    assert ask(server, "/healthz") == (200, "ok\n")
    assert ask(server, "/readyz") == (503, "not ready\n")
    operator.ready = True
    assert ask(server, "/readyz") == (200, "ok\n")


def test_what_is_wrong_is_said(server: HealthServer, operator: Operator) -> None:
    operator.ready, operator.problems = True, ("secrets: forbidden",)
    assert ask(server, "/readyz?verbose") == (503, "not ready\nsecrets: forbidden\n")


def test_why_somebody_who_is_ready_does_nothing_is_said(
    server: HealthServer, operator: Operator
) -> None:
    operator.ready, operator.state = True, "waits for its turn"
    assert ask(server, "/readyz") == (200, "ok\nwaits for its turn\n")


def test_metrics_are_served_and_nothing_else(server: HealthServer) -> None:
    assert ask(server, "/metrics") == (200, "tandem_up 1\n")
    assert ask(server, "/debug") == (404, "not found\n")
