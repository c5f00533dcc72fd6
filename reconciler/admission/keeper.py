"""Keeps the certificates: in a Secret, in the configuration of the API servers, and in use.

``Keeper.look`` is one level-triggered step, called every minute by ``service``: read the Secret,
let ``certificates`` decide, store what differs, and see to it that the webhook's configuration
trusts it. Replicas share the Secret: who writes first wins, by name or by resourceVersion, and the
others read what was written. It may be called at any moment, twice, and after a crash.
"""

from __future__ import annotations

import base64
import logging

import attrs

from reconciler.admission import certificates
from reconciler.admission.certificates import Keyring, Pair
from reconciler.api.resources import SECRETS, JsonObject, Resource
from reconciler.cluster.port import Port
from reconciler.engine.clock import Clock
from reconciler.errors import AlreadyExists, ApiUnavailable, Conflict, Forbidden, NotFound

logger = logging.getLogger(__name__)

CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
"""Not with the resources of ``api``: ``tandem plan`` reads all of those from a cluster."""
FIELD_MANAGER = "tandem-webhook"
ATTEMPTS = 5


@attrs.frozen(kw_only=True)
class Place:
    """Where things are, and by which names API servers call."""

    namespace: str
    name: str
    """Of the Secret and of the ValidatingWebhookConfiguration."""
    names: tuple[str, ...]


class Keeper:
    """One replica's. Not thread-safe."""

    def __init__(self, port: Port, clock: Clock, place: Place) -> None:
        self._port, self._clock, self._place = port, clock, place
        self._trusted = False

    @property
    def trusted(self) -> bool:
        """Whether the configuration was found to trust our certificates at the last look."""
        return self._trusted

    def look(self) -> Pair:
        """See that everything is as it should be; what is to be served.

        The bundle comes after the Secret, so that nothing is trusted that could get lost. Raises
        the port's errors; what was served before may be served on then.
        """
        ring = self._stored()
        self._trusted = self._trust(ring.bundle)
        return ring.serving

    # -- the Secret

    def _stored(self) -> Keyring:
        for _ in range(ATTEMPTS):
            try:
                return self._store_once()
            except (AlreadyExists, Conflict):
                continue  # another replica was first: read what it has written
        raise ApiUnavailable(f"{self._where} changes all the time; who else writes it?")

    def _store_once(self) -> Keyring:
        live = self._secret()
        found = certificates.read((live or {}).get("data") or {})
        decision = certificates.decide(found, self._place.names, self._clock.now())
        if decision.why:
            self._write(live, decision.keyring)
            logger.info("made new certificates: %s", decision.why, extra={"where": self._where})
        return decision.keyring

    def _secret(self) -> JsonObject | None:
        try:
            return self._port.get(SECRETS, self._place.namespace, self._place.name)
        except NotFound:
            return None

    def _write(self, live: JsonObject | None, ring: Keyring) -> None:
        data = certificates.written(ring)
        if live is not None:
            self._port.replace(SECRETS, {**live, "data": data})
            return
        meta = {"namespace": self._place.namespace, "name": self._place.name}
        try:
            self._port.create(SECRETS, {"metadata": meta, "type": "Opaque", "data": data})
        except Forbidden as error:
            # the role of deploy/ names this one Secret; "create" cannot be given by name
            remedy = f"create it: kubectl create secret generic -n {meta['namespace']} "
            raise Forbidden(f"{self._where} is missing; {remedy}{meta['name']}") from error

    @property
    def _where(self) -> str:
        return f"Secret {self._place.namespace}/{self._place.name}"

    # -- the configuration

    def _trust(self, bundle: str) -> bool:
        """Whether there is a configuration; it trusts ``bundle`` then."""
        name = self._place.name
        try:
            live = self._port.get(CONFIGURATIONS, "", name)
        except NotFound:
            logger.warning("ValidatingWebhookConfiguration %s is missing: nobody asks us", name)
            return False
        wanted = base64.b64encode(bundle.encode()).decode()
        hooks = live.get("webhooks") or []
        if any(hook["clientConfig"].get("caBundle") != wanted for hook in hooks):
            self._port.apply(
                CONFIGURATIONS,
                _trusting(live, wanted),
                field_manager=FIELD_MANAGER,
            )
        return True


def _trusting(live: JsonObject, bundle: str) -> JsonObject:
    """The fields that are ours. The uid: a configuration that was just deleted is not made anew."""
    meta = {"name": live["metadata"]["name"], "uid": live["metadata"]["uid"]}
    hooks = [
        {"name": hook["name"], "clientConfig": {"caBundle": bundle}}
        for hook in live.get("webhooks") or []
    ]
    return {"metadata": meta, "webhooks": hooks}
