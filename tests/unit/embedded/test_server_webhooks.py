"""Validating webhooks of the embedded server: whose answer counts, and how one is reached."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from reconciler.admission import certificates
from reconciler.admission.review import Verdict
from reconciler.admission.server import Server as HttpsServer
from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import APPLY_PATCH, MERGE_PATCH, Request, Response
from reconciler.embedded.server import Server
from reconciler.embedded.webhook_calls import Call, Failed, call
from reconciler.embedded.webhooks import Webhooks
from reconciler.engine.clock import SystemClock, VirtualClock

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
    "operations": ["*"],
}


@attrs.define
class World:
    """A server, and what its webhook says."""

    server: Server
    says: Any = attrs.field(factory=lambda: {"allowed": True})
    asked: list[Call] = attrs.field(factory=list)

    def answer(self, asked: Call) -> JsonObject:
        self.asked.append(asked)
        if isinstance(self.says, Exception):
            raise self.says
        return dict(self.says)

    def configure(self, name: str = "w", **hook: Any) -> None:
        whole = {
            "name": f"{name}.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/check"},
            "rules": [RULE],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **hook,
        }
        made = self.send("POST", CONFIGURATIONS, {"metadata": {"name": name}, "webhooks": [whole]})
        assert made.status == 201, made.body

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> Response:
        return self.server.send(Request(method, path, body=body, **more))

    def create(self, name: str = "c") -> Response:
        return self.send("POST", MAPS, {"metadata": {"name": name}})

    def requests(self) -> list[JsonObject]:
        return [each.review["request"] for each in self.asked]


@pytest.fixture
def world() -> World:
    server = Server(VirtualClock(dt.datetime(2026, 3, 2, tzinfo=dt.UTC)))
    made = World(server)
    server.intercept(Webhooks(made.answer))
    return made


def test_a_denied_object_is_not_stored(world: World) -> None:
    world.configure()
    world.says = {"allowed": False, "status": {"message": "no", "code": 403}}

    denied = world.create()

    assert denied.status == 403
    assert denied.body["message"] == ('admission webhook "w.example.com" denied the request: no')
    assert world.send("GET", f"{MAPS}/c").status == 404


def test_an_allowed_object_is_stored_once_with_all_warnings(world: World) -> None:
    world.configure("a")
    world.configure("b")
    world.says = {"allowed": True, "warnings": ['say "please"']}

    made = world.create()

    assert made.status == 201
    assert made.headers["Warning"] == r'299 - "say \"please\""'
    assert [each["operation"] for each in world.requests()] == ["CREATE", "CREATE"]
    assert len(world.send("GET", MAPS).body["items"]) == 1


def test_what_the_server_refuses_itself_is_not_asked_about(world: World) -> None:
    world.configure()
    assert world.send("POST", MAPS, {"metadata": {"name": "Not A Name"}}).status == 422
    assert world.asked == []


def test_a_silent_webhook_stops_the_write_unless_it_is_to_be_ignored(world: World) -> None:
    world.says = Failed("no answer")
    world.configure("lax", failurePolicy="Ignore")
    assert world.create("a").status == 201
    world.configure("strict")
    assert world.create("b").status == 500


def test_a_webhook_never_hinders_its_own_removal(world: World) -> None:
    world.says = Failed("no answer")
    world.configure(rules=[{**RULE, "apiGroups": ["*"], "resources": ["*"]}])
    assert world.send("DELETE", f"{CONFIGURATIONS}/w").status == 200
    assert world.create().status == 201


def test_reading_and_deleting_many_at_once_are_not_asked_about(world: World) -> None:
    world.create()
    world.configure()
    world.send("GET", f"{MAPS}/c")
    world.send("DELETE", MAPS)
    assert world.asked == []


def test_an_update_shows_both_states_and_a_deletion_the_old_one(world: World) -> None:
    world.create()
    world.configure()
    world.send("PATCH", f"{MAPS}/c", {"data": {"a": "1"}}, content_type=MERGE_PATCH)
    world.send("DELETE", f"{MAPS}/c")

    update, deletion = world.requests()
    assert update["object"]["data"] == {"a": "1"}
    assert "data" not in update["oldObject"]
    assert "object" not in deletion
    assert deletion["oldObject"]["data"] == {"a": "1"}


def test_a_namespace_is_selected_by_its_own_labels_and_what_is_in_none_always(world: World) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    rules = [{**everything, "operations": ["CREATE"]}]
    world.configure(rules=rules, namespaceSelector={"matchLabels": {"team": "shop"}})
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"

    world.create()
    world.send("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    world.send(
        "POST", "/api/v1/namespaces", {"metadata": {"name": "s", "labels": {"team": "shop"}}}
    )
    world.send("POST", roles, {"metadata": {"name": "r"}, "rules": []})

    assert [each["name"] for each in world.requests()] == ["s", "r"]


def test_an_apply_to_what_is_there_is_no_creation(world: World) -> None:
    world.create()
    world.configure(rules=[{**RULE, "operations": ["CREATE"]}])
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    query = {"fieldManager": "me"}

    made = world.send("PATCH", f"{MAPS}/c", body, content_type=APPLY_PATCH, query=query)

    assert made.status == 200
    assert world.asked == []


# -- the call -------------------------------------------------------------------------------------

RING = certificates.decide(None, ("w.default.svc", "127.0.0.1"), SystemClock().now()).keyring


@contextlib.contextmanager
def webhook(**said: Any) -> Iterator[int]:
    """An HTTPS server that answers so."""

    def answer(review: Any) -> tuple[JsonObject, Verdict]:
        response = {"uid": review["request"]["uid"], "allowed": True, **said}
        return {"response": response}, Verdict()

    server = HttpsServer(answer, lambda: True, host="127.0.0.1", port=0)
    server.use(RING.serving)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def asked(port: int, **more: Any) -> Call:
    defaults = {
        "review": {
            "apiVersion": "admission.k8s.io/v1",
            "request": {"uid": "7"},
        },
        "name": "127.0.0.1",
        "address": ("127.0.0.1", port),
        "path": "/validate",
        "trusted": RING.bundle,
        "seconds": 10,
    }
    return Call(**{**defaults, **more})


def test_the_answer_of_a_trusted_server_counts() -> None:
    with webhook(allowed=False) as port:
        assert call(asked(port)) == {"uid": "7", "allowed": False}


@pytest.mark.parametrize(
    "more",
    [
        {"trusted": certificates.decide(None, ("x",), SystemClock().now()).keyring.bundle},
        {"name": "another.default.svc"},
        {"path": "/elsewhere"},
        {"review": {"request": {}}},
    ],
    ids=["another CA", "another name", "not found", "bad request"],
)
def test_no_other_answer_counts(more: JsonObject) -> None:
    with webhook() as port, pytest.raises(Failed, match=r'^Post "https://127.0.0.1:'):
        call(asked(port, **more))


def test_an_answer_to_another_question_does_not_count() -> None:
    with webhook(uid="8") as port, pytest.raises(Failed, match="uid"):
        call(asked(port))


def test_a_server_that_says_nothing_is_waited_for_as_long_as_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Failed, match="timed out"):
            call(asked(port, seconds=0.1))


def test_a_service_is_reached_by_its_endpoints_under_its_name(world: World) -> None:
    with webhook(allowed=False) as port:
        service = {"name": "w", "namespace": "default", "path": "/validate"}
        bundle = base64.b64encode(RING.bundle.encode()).decode()
        world.server.intercept(Webhooks())
        world.configure(clientConfig={"service": service, "caBundle": bundle})
        assert "no endpoints available" in world.create().body["message"]
        subset = {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": port}]}
        endpoints = {"metadata": {"name": "w"}, "subsets": [subset]}
        world.send("POST", "/api/v1/namespaces/default/endpoints", endpoints)

        assert world.create().status == 400
