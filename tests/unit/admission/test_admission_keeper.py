"""Where the certificates are kept, who wins, and that API servers trust what is served."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from reconciler.admission import certificates
from reconciler.admission.keeper import CONFIGURATIONS, Keeper, Place
from reconciler.api.resources import CUSTOM_RESOURCE_DEFINITIONS, SECRETS, JsonObject
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response
from reconciler.embedded.server import Proceed, Server
from reconciler.engine.clock import VirtualClock
from reconciler.errors import ApiUnavailable, Forbidden
from reconciler.manifests import webhook as manifests

START = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)
PLACE = Place(namespace="default", name="tandem-webhook", names=("tandem-webhook.default.svc",))

# the embedded server has no webhooks; their configurations are stored and merged alike
_HOOKS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "clientConfig": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
        "x-kubernetes-preserve-unknown-fields": True,
    },
}
KIND: JsonObject = {
    "metadata": {"name": f"{CONFIGURATIONS.plural}.{CONFIGURATIONS.group}"},
    "spec": {
        "group": CONFIGURATIONS.group,
        "scope": "Cluster",
        "names": {"plural": CONFIGURATIONS.plural, "kind": CONFIGURATIONS.kind},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "properties": {"webhooks": _HOOKS}}
                },
            }
        ],
    },
}


@attrs.define
class World:
    """An API server, its clock, and what was asked of it."""

    clock: VirtualClock
    server: Server
    requests: list[str] = attrs.field(factory=list)

    @property
    def port(self) -> Client:
        return Client(self.server)

    def keeper(self, **place: Any) -> Keeper:
        return Keeper(self.port, self.clock, attrs.evolve(PLACE, **place))

    def configure(self) -> None:
        service = {"service": {"name": "tandem-webhook", "namespace": "default"}}
        configuration = manifests.configuration(service)
        self.port.apply(CONFIGURATIONS, configuration, field_manager="kubectl")

    def secret(self) -> JsonObject:
        return self.port.get(SECRETS, PLACE.namespace, PLACE.name)

    def ring(self) -> certificates.Keyring:
        found = certificates.read(self.secret()["data"])
        assert found is not None
        return found

    def hook(self) -> JsonObject:
        (hook,) = self.port.get(CONFIGURATIONS, "", PLACE.name)["webhooks"]
        return dict(hook)

    def bundle(self) -> str:
        return base64.b64decode(self.hook()["clientConfig"]["caBundle"]).decode()

    def before(self, method: str, path: str, act: Callable[[], Response | None]) -> None:
        """Once, before such a request is answered: do that, or answer so."""
        done: list[bool] = []

        def intercept(request: Request, proceed: Proceed) -> Response:
            if not done and request.method == method and path in request.path:
                done.append(True)
                answer = act()
                if answer is not None:
                    return answer
            return proceed(request)

        self.server.intercept(intercept)


@pytest.fixture
def world() -> World:
    clock = VirtualClock(START)
    made = World(clock, Server(clock))
    made.port.create(CUSTOM_RESOURCE_DEFINITIONS, KIND)
    return made


def test_the_first_look_makes_certificates_and_lets_api_servers_trust_them(world: World) -> None:
    world.configure()
    keeper = world.keeper()

    served = keeper.look()

    assert served == world.ring().serving
    assert world.bundle() == world.ring().ca.certificate
    assert keeper.trusted


def test_an_empty_secret_of_the_installation_is_filled(world: World) -> None:
    meta = {"name": PLACE.name, "namespace": PLACE.namespace, "labels": {"a": "b"}}
    world.port.create(SECRETS, {"metadata": meta})

    world.keeper().look()

    assert world.ring()
    assert world.secret()["metadata"]["labels"] == {"a": "b"}


def test_what_the_user_applied_of_the_configuration_stays(world: World) -> None:
    world.configure()
    before = world.hook()

    world.keeper().look()

    after = world.hook()
    assert after["clientConfig"].pop("caBundle")
    assert after == before


def test_a_second_look_writes_nothing(world: World) -> None:
    world.configure()
    world.keeper().look()
    versions = [world.secret()["metadata"], world.port.get(CONFIGURATIONS, "", PLACE.name)]

    world.keeper().look()

    assert [
        world.secret()["metadata"],
        world.port.get(CONFIGURATIONS, "", PLACE.name),
    ] == versions


@pytest.mark.parametrize("there", [True, False])
def test_of_two_replicas_the_first_to_write_wins(world: World, there: bool) -> None:
    if there:
        meta = {"name": PLACE.name, "namespace": PLACE.namespace}
        world.port.create(SECRETS, {"metadata": meta})
    method, path = ("PUT", PLACE.name) if there else ("POST", "secrets")
    others = []
    world.before(method, path, lambda: others.append(world.keeper().look()))

    mine = world.keeper().look()

    assert [mine] == others
    assert mine == world.ring().serving


def test_a_secret_that_never_rests_is_told(world: World) -> None:
    world.keeper().look()
    world.clock.advance(certificates.SERVING_LIFE.total_seconds())
    conflict = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "changed"}

    def refuse(request: Request, proceed: Proceed) -> Response:
        return Response(409, conflict) if request.method == "PUT" else proceed(request)

    world.server.intercept(refuse)

    with pytest.raises(ApiUnavailable, match="default/tandem-webhook changes all the time"):
        world.keeper().look()


def test_who_may_not_create_the_secret_is_told_how_to(world: World) -> None:
    refusal = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}
    world.before("POST", "secrets", lambda: Response(403, refusal))

    with pytest.raises(Forbidden, match="kubectl create secret generic -n default tandem-webhook"):
        world.keeper().look()


def test_without_a_configuration_it_is_ready_for_one(world: World) -> None:
    keeper = world.keeper()

    keeper.look()

    assert not keeper.trusted
    world.configure()
    keeper.look()
    assert keeper.trusted
    assert world.bundle() == world.ring().ca.certificate


def test_an_overwritten_bundle_is_mended(world: World) -> None:
    world.configure()
    world.keeper().look()
    hook = {"name": manifests.HOOK, "clientConfig": {"caBundle": "AAAA"}}
    configuration = {"metadata": {"name": PLACE.name}, "webhooks": [hook]}
    world.port.apply(CONFIGURATIONS, configuration, field_manager="somebody")
    assert world.hook()["clientConfig"]["caBundle"] == "AAAA"

    world.keeper().look()

    assert world.bundle() == world.ring().bundle


def test_during_a_change_of_the_ca_both_are_trusted(world: World) -> None:
    world.configure()
    world.keeper().look()
    first = world.ring().ca
    world.clock.advance(0.7 * certificates.CA_LIFE.total_seconds())

    world.keeper().look()

    assert world.bundle().startswith(first.certificate)
    assert world.bundle().count("BEGIN CERTIFICATE") == 2
    world.clock.advance(certificates.SETTLING.total_seconds())
    world.keeper().look()
    assert world.ring().ca != first
    assert first.certificate in world.bundle()


def test_new_names_lead_to_a_new_certificate_of_the_same_ca(world: World) -> None:
    world.keeper().look()
    before = world.ring()

    world.keeper(names=("10.0.0.1",)).look()

    assert world.ring().ca == before.ca
    assert world.ring().serving != before.serving


def test_no_key_is_in_the_log_or_in_the_configuration(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.configure()
    with caplog.at_level("DEBUG"):
        world.keeper().look()

    shown = caplog.text + "".join(str(vars(record)) for record in caplog.records) + world.bundle()
    assert "made new certificates" in shown
    assert "PRIVATE" not in shown
    key = world.secret()["data"]["tls.key"]
    assert key not in shown
