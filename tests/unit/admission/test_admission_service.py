"""The webhook as a whole, over real TLS on the loopback."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from reconciler.admission import certificates
from reconciler.admission.keeper import Place
from reconciler.admission.server import BIGGEST, Server
from reconciler.admission.service import AGAIN, PERIOD, Webhook
from reconciler.api.crds import crds
from reconciler.api.resources import CUSTOM_RESOURCE_DEFINITIONS, SECRETS, JsonObject
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response
from reconciler.embedded import server as embedded
from reconciler.engine.clock import SystemClock
from reconciler.errors import ApiUnavailable

CLOCK = SystemClock()
PLACE = Place(namespace="default", name="tandem-webhook", names=("127.0.0.1",))
BROKEN: JsonObject = {
    "apiVersion": "stash.appscode.com/v1beta1",
    "kind": "Task",
    "metadata": {"name": "empty"},
    "spec": {},
}


def review(obj: JsonObject) -> JsonObject:
    group, _, version = obj["apiVersion"].partition("/")
    kind = {"group": group, "version": version, "kind": obj["kind"]}
    request = {"uid": "7", "kind": kind, "operation": "CREATE", "object": obj}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@attrs.define
class World:
    """An API server, and one webhook beside it."""

    server: embedded.Server
    webhook: Webhook

    @property
    def port(self) -> Client:
        return Client(self.server)

    def ring(self) -> certificates.Keyring:
        found = certificates.read(self.port.get(SECRETS, "default", PLACE.name)["data"])
        assert found is not None
        return found

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.webhook.run)
        thread.start()
        try:
            deadline = CLOCK.monotonic() + 30
            while not self.webhook.port:
                assert CLOCK.monotonic() < deadline, "it does not listen"
                CLOCK.sleep(0.01)
            yield
        finally:
            self.webhook.stop()
            thread.join()

    def connection(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cadata=self.ring().bundle)
        return http.client.HTTPSConnection("127.0.0.1", self.webhook.port, context=context)


@pytest.fixture
def world() -> World:
    server = embedded.Server(CLOCK)
    for definition in crds():
        Client(server).create(CUSTOM_RESOURCE_DEFINITIONS, definition)
    return World(server, Webhook(Client(server), CLOCK, PLACE, host="127.0.0.1", listen=0))


def post(line: http.client.HTTPSConnection, body: bytes) -> tuple[int, Any]:
    line.request("POST", "/validate", body, {"Content-Type": "application/json"})
    with line.getresponse() as reply:
        raw = reply.read()
    return reply.status, json.loads(raw) if reply.status == 200 else raw.decode()


def get(line: http.client.HTTPSConnection, path: str) -> int:
    line.request("GET", path)
    with line.getresponse() as reply:
        reply.read()
        return reply.status


def test_a_review_is_answered_by_who_has_a_certificate_of_the_bundle(world: World) -> None:
    with world.running(), contextlib.closing(world.connection()) as line:
        status, said = post(line, json.dumps(review(BROKEN)).encode())

    assert status == 200
    assert said["response"]["uid"] == "7"
    assert said["response"]["status"]["details"]["causes"][0]["field"] == "spec.steps"


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"3", 400), (b" " * (BIGGEST + 1), 413)]
)
def test_what_is_no_review_is_refused_and_the_next_one_answered(
    world: World, body: bytes, status: int
) -> None:
    with world.running():
        with contextlib.closing(world.connection()) as line:
            assert post(line, body)[0] == status
        with contextlib.closing(world.connection()) as line:
            assert post(line, json.dumps(review(BROKEN)).encode())[0] == 200


def test_it_lives_at_once_and_is_ready_when_a_configuration_trusts_it(world: World) -> None:
    with world.running(), contextlib.closing(world.connection()) as line:
        assert get(line, "/healthz") == 200
        assert get(line, "/readyz") == 503


def test_a_new_certificate_is_served_without_a_restart(world: World) -> None:
    with world.running(), contextlib.closing(world.connection()) as old:
        assert get(old, "/healthz") == 200
        before = _shown(world)
        ring = certificates.decide(None, PLACE.names, CLOCK.now()).keyring
        secret = world.port.get(SECRETS, "default", PLACE.name)
        world.port.replace(SECRETS, {**secret, "data": certificates.written(ring)})

        world.webhook.step()

        assert _shown(world) == ring.serving.parsed.public_bytes(Encoding.DER) != before
        assert get(old, "/healthz") == 200, "an open connection is kept"


def test_without_an_api_server_it_waits_and_serves_what_it_has(world: World) -> None:
    def lost(request: Request, proceed: embedded.Proceed) -> Response:
        raise ApiUnavailable("no answer")

    back = world.server.intercept(lost)
    assert world.webhook.step() == AGAIN
    assert world.webhook.port == 0
    back()
    with world.running():
        world.server.intercept(lost)
        assert world.webhook.step() == AGAIN
        assert _shown(world)


def test_it_looks_again_soon_while_nothing_asks_it(world: World) -> None:
    with world.running():
        assert world.webhook.step() == AGAIN < PERIOD


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Server(lambda asked: asked, lambda: True, host="127.0.0.1", port=port)
        with pytest.raises(OSError, match="in use"):
            server.start()
        server.stop()


def test_a_server_that_was_never_started_stops() -> None:
    Server(lambda asked: asked, lambda: True, host="127.0.0.1", port=0).stop()


def _shown(world: World) -> bytes:
    """The certificate that a new handshake is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", world.webhook.port)) as line,
        context.wrap_socket(line) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def test_dates_are_those_of_the_clock(world: World) -> None:
    with world.running():
        end = world.ring().serving.parsed.not_valid_after_utc
    assert end - CLOCK.now() > certificates.SERVING_LIFE - dt.timedelta(minutes=5)
