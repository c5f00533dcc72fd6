"""Who is asked about what, and what becomes of the answer: both servers, the same webhooks."""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from real_operator_world import CLOCK, wait_for

from reconciler.admission import certificates
from reconciler.admission.review import Verdict
from reconciler.admission.server import Server
from reconciler.api.resources import JsonObject

pytestmark = pytest.mark.real_cluster

RING = certificates.decide(None, ("127.0.0.1",), CLOCK.now()).keyring
BUNDLE = base64.b64encode(RING.bundle.encode()).decode()
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON = {"Content-Type": "application/json"}
CONFIG_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
SEEN = ("kind", "resource", "subResource", "name", "namespace", "operation", "dryRun")


@attrs.define
class Scripted:
    """A webhook that says what it was told to, and remembers what it was asked."""

    says: JsonObject = attrs.field(factory=lambda: {"allowed": True})
    asked: list[JsonObject] = attrs.field(factory=list)
    lock: Any = attrs.field(factory=threading.Lock)

    def __call__(self, review: Any) -> tuple[JsonObject, Verdict]:
        request = review["request"]
        with self.lock:
            self.asked.append(request)
        response = {"uid": request["uid"], **self.says}
        return {**review, "request": None, "response": response}, Verdict()

    @contextlib.contextmanager
    def served(self) -> Iterator[int]:
        server = Server(self, lambda: True, host="127.0.0.1", port=0)
        server.use(RING.serving)
        server.start()
        try:
            yield server.port
        finally:
            server.stop()


def hook(name: str, port: int, **more: Any) -> JsonObject:
    url = f"https://127.0.0.1:{port}/validate"
    return {
        "name": f"{name}.example.com",
        "clientConfig": {"url": url, "caBundle": BUNDLE},
        "rules": [{**CONFIG_MAPS, "operations": ["*"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }


@attrs.frozen
class Place:
    """A namespace of one of the two servers."""

    endpoint: Any
    namespace: str

    def ask(self, method: str, tail: str, body: Any = None, headers: Any = JSON) -> JsonObject:
        path = f"/api/v1/namespaces/{self.namespace}{tail}"
        if tail.startswith("/deployments"):
            path = path.replace("/api/v1", "/apis/apps/v1")
        answer = self.endpoint.request(method, path, body, headers)
        status = answer.body if answer.status >= 300 else {}
        kept = ("message", "reason", "details", "code")
        return {"code": answer.status, **{key: status[key] for key in kept if key in status}}

    @contextlib.contextmanager
    def hooked(self, *hooks: JsonObject) -> Iterator[None]:
        """The server asks these hooks; it has learnt of them when it asks the last one, of ours."""
        ready = Scripted()
        with ready.served() as port:
            body = {
                "metadata": {"name": self.namespace},
                "webhooks": [*hooks, hook("ready", port, objectSelector=PROBES)],
            }
            self.must("POST", CONFIGURATIONS, body)
            try:
                wait_for(lambda: self.probe(ready), "the server asks the webhooks", 60)
                yield
            finally:
                self.must("DELETE", f"{CONFIGURATIONS}/{self.namespace}")

    def probe(self, ready: Scripted) -> bool:
        probe = {"metadata": {"name": "probe", "labels": {"probe": "yes"}}}
        path = "/api/v1/namespaces/kube-public/configmaps?dryRun=All"
        self.endpoint.request("POST", path, probe, JSON)
        return bool(ready.asked)

    def must(self, method: str, path: str, body: Any = None) -> JsonObject:
        answer = self.endpoint.request(method, path, body, JSON)
        assert answer.status < 300, answer.body
        return dict(answer.body)


PROBES = {"matchLabels": {"probe": "yes"}}


@pytest.fixture
def places(real_cluster: Any, embedded: Any) -> list[Place]:
    """A namespace of the same name on each server."""
    namespace = f"hooks-{secrets.token_hex(4)}"
    found = [Place(each, namespace) for each in (real_cluster, embedded)]
    for place in found:
        body = {"metadata": {"name": namespace, "labels": {"team": "shop"}}}
        place.must("POST", "/api/v1/namespaces", body)
    return found


def config_map(name: str = "c", **labels: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"a": "1"},
    }


def alike(first: Any, second: Any) -> Any:
    assert first == second
    return first


def shown(request: JsonObject) -> JsonObject:
    """What of a request must be the same on both servers."""
    found = {key: request.get(key) for key in SEEN}
    for key in ("object", "oldObject"):
        obj = request.get(key) or {}
        meta = obj.get("metadata") or {}
        found[key] = (
            {
                "data": obj.get("data"),
                "labels": meta.get("labels"),
                "replicas": (obj.get("spec") or {}).get("replicas"),
                "has": sorted({"uid", "resourceVersion"} & set(meta)),
            }
            if obj
            else None
        )
    return found


def everything(place: Place) -> list[JsonObject]:
    """Each kind of write of one object."""
    changed = {**config_map(), "data": {"a": "2"}}
    return [
        place.ask("POST", "/configmaps?dryRun=All", config_map()),
        place.ask("POST", "/configmaps", config_map()),
        place.ask("PUT", "/configmaps/c", changed),
        place.ask("PATCH", "/configmaps/c", {"data": {"a": "3"}}, MERGE),
        place.ask("PATCH", "/configmaps/c?fieldManager=me&force=true", changed, APPLY),
        place.ask("PATCH", "/configmaps/d?fieldManager=me", config_map("d"), APPLY),
        place.ask("PUT", "/configmaps/absent", {**changed, "metadata": {"name": "absent"}}),
        place.ask("DELETE", "/configmaps/c"),
        place.ask("DELETE", "/configmaps/absent"),
    ]


def test_each_write_is_asked_about_alike(places: list[Place]) -> None:
    told = []
    for place in places:
        webhook = Scripted()
        with webhook.served() as port:
            ours = {"matchLabels": {"team": "shop"}}
            with place.hooked(hook("all", port, namespaceSelector=ours)):
                answers = everything(place)
        told.append([answers, [shown(each) for each in webhook.asked]])

    answers, asked = alike(*told)
    assert [each["operation"] for each in asked] == [
        "CREATE", "CREATE", "UPDATE", "UPDATE", "UPDATE", "CREATE", "DELETE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "says",
    [
        {"allowed": False},
        {"allowed": False, "status": {"message": "not today"}},
        {"allowed": False, "status": {"reason": "Forbidden"}},
        {"allowed": False, "status": {"message": "no", "code": 403, "reason": "Forbidden"}},
        {"allowed": False, "status": {"message": "no", "code": 200}},
        {
            "allowed": False,
            "status": {
                "message": "m",
                "code": 422,
                "reason": "Invalid",
                "details": {"name": "c", "kind": "ConfigMap", "causes": [{"field": "data.a"}]},
            },
        },
        {"allowed": True, "status": {"message": "no"}},
    ],
    ids=["silent", "message", "reason", "forbidden", "ok", "causes", "allowed"],
)
def test_a_denial_reads_alike(places: list[Place], says: JsonObject) -> None:
    told = []
    for place in places:
        webhook = Scripted(says)
        with webhook.served() as port, place.hooked(hook("no", port, objectSelector=SELECTED)):
            told.append(place.ask("POST", "/configmaps", config_map(pick="me")))
    answer = alike(*told)
    assert (answer["code"] < 300) == says["allowed"]


SELECTED = {"matchLabels": {"pick": "me"}}
TEAMLESS = {"key": "team", "operator": "DoesNotExist"}


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({"objectSelector": SELECTED}, 1),
        ({"objectSelector": {"matchLabels": {"pick": "another"}}}, 0),
        ({"namespaceSelector": {"matchLabels": {"team": "shop"}}}, 1),
        ({"namespaceSelector": {"matchExpressions": [TEAMLESS]}}, 0),
        ({"rules": [{**CONFIG_MAPS, "operations": ["DELETE"]}]}, 0),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "scope": "Cluster"}]}, 0),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "scope": "Namespaced"}]}, 1),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "apiGroups": ["apps"]}]}, 0),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "apiVersions": ["*"]}]}, 1),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "resources": ["*"]}]}, 1),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "resources": ["*/*"]}]}, 1),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "resources": ["configmaps/*"]}]}, 1),
        ({"rules": [{**CONFIG_MAPS, "operations": ["CREATE"], "resources": ["*/status"]}]}, 0),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_rules_and_selectors_choose_alike(
    places: list[Place], more: JsonObject, asked: int
) -> None:
    told = []
    for place in places:
        webhook = Scripted()
        with webhook.served() as port, place.hooked(hook("some", port, **more)):
            place.ask("POST", "/configmaps", config_map("picked", pick="me"))
        told.append([each for each in webhook.asked if each["name"] == "picked"])
    assert [len(each) for each in told] == [asked, asked]


def test_a_webhook_that_does_not_answer_stops_the_write_or_is_ignored_alike(
    places: list[Place],
) -> None:
    told = []
    for place in places:
        with Scripted().served() as port:
            pass
        gone = hook("gone", port, objectSelector=SELECTED)
        ignored = {**hook("ignored", port, objectSelector=OTHER), "failurePolicy": "Ignore"}
        with place.hooked(gone, ignored):
            refused = place.ask("POST", "/configmaps", config_map(pick="me"))
            stored = place.ask("POST", "/configmaps", config_map(pick="other"))
        words = str(refused.pop("message")).partition("Post ")[0]
        refused.pop("details", None)
        told.append([refused, words, stored])
    refused, words, stored = alike(*told)
    assert refused["code"] == 500
    assert words == 'Internal error occurred: failed calling webhook "gone.example.com": '
    assert stored["code"] == 201


OTHER = {"matchLabels": {"pick": "other"}}


def test_a_configuration_is_stored_with_the_same_defaults(places: list[Place]) -> None:
    told = []
    for place in places:
        service = {"clientConfig": {"service": {"namespace": "a", "name": "b"}}}
        body = {"metadata": {"name": f"{place.namespace}-2"}, "webhooks": [hook("d", 1)]}
        body["webhooks"][0].update(service, rules=[])
        made = place.must("POST", CONFIGURATIONS, body)
        place.must("DELETE", f"{CONFIGURATIONS}/{place.namespace}-2")
        told.append([made["webhooks"], made["metadata"]["generation"]])
    alike(*told)


def test_a_scaled_deployment_is_asked_about_as_its_scale_alike(places: list[Place]) -> None:
    told = []
    for place in places:
        pod = {"containers": [{"name": "c", "image": "i"}]}
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        place.ask("POST", "/deployments", {"metadata": {"name": "web"}, "spec": spec})
        rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]}
        webhook = Scripted()
        ours = {"matchLabels": {"team": "shop"}}
        with (
            webhook.served() as port,
            place.hooked(
                hook("s", port, rules=[{**rule, "operations": ["*"]}], namespaceSelector=ours)
            ),
        ):
            answer = place.ask("PATCH", "/deployments/web/scale", {"spec": {"replicas": 3}}, MERGE)
        told.append([answer, [shown(each) for each in webhook.asked]])
    _, (asked,) = alike(*told)
    assert asked["kind"]["kind"] == "Scale"
    assert (asked["oldObject"]["replicas"], asked["object"]["replicas"]) == (1, 3)
