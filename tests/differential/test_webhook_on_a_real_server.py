"""The admission webhook, asked by a real API server and by the embedded one, alike.

It runs as the service account of ``deploy/webhook``, with the rights from there; the API
server calls it by a url on the loopback instead of a Service. kubectl says what a user sees.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from real_kubectl import Kubectl, kubectl_with_the_kinds
from real_operator_world import CLOCK, Cluster, wait_for

from reconciler.admission.keeper import Place
from reconciler.admission.service import Webhook
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cluster.client import Client
from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.manifests import webhook as manifests

pytestmark = pytest.mark.real_cluster

NAMESPACE = "webhook-on-a-real-server"


def made(
    kind: str, spec: JsonObject, *, group: str = r.STASH, version: str = "v1beta1"
) -> JsonObject:
    return {
        "apiVersion": f"{group}/{version}",
        "kind": kind,
        "metadata": {"name": "broken", "namespace": NAMESPACE},
        "spec": spec,
    }


BATCH: JsonObject = {
    "apiVersion": "stash.appscode.com/v1beta1",
    "kind": "BackupBatch",
    "metadata": {"name": "nightly", "namespace": NAMESPACE},
    "spec": {
        "schedule": "0 3 * * *",
        "repository": {"name": "repo"},
        "retentionPolicy": {"name": "keep", "keepLast": 5, "prune": True},
        "members": [
            {
                "task": {"name": "pvc-backup"},
                "target": {
                    "alias": "files",
                    "ref": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "files"},
                },
            }
        ],
    },
}
BROKEN: dict[str, tuple[JsonObject, str]] = {
    "BackupConfiguration": (
        made(
            "BackupConfiguration",
            {
                "schedule": "@nightly",
                "repository": {"name": "repo"},
                "retentionPolicy": BATCH["spec"]["retentionPolicy"],
                **BATCH["spec"]["members"][0],
            },
        ),
        "spec.schedule",
    ),
    "BackupSession": (
        made("BackupSession", {"invoker": {"kind": "BackupBatches", "name": "nightly"}}),
        "spec.invoker.kind",
    ),
    "RestoreSession": (made("RestoreSession", {"repository": {"name": "repo"}}), "spec.target"),
    "RestoreBatch": (made("RestoreBatch", {"repository": {"name": "repo"}}), "spec.members"),
    "Repository": (
        made("Repository", {"backend": {"storageSecretName": "s"}}, version="v1alpha1"),
        "spec.backend",
    ),
    "Function": (made("Function", {"args": ["x"]}), "spec.image"),
    "Task": (made("Task", {}), "spec.steps"),
    "AppBinding": (
        made(
            "AppBinding", {"clientConfig": {}}, group="appcatalog.appscode.com", version="v1alpha1"
        ),
        "spec.clientConfig",
    ),
}
NEVER = "0 0 30 2 *"
"""The 30th of February."""


def batch(name: str = "nightly", **spec: Any) -> JsonObject:
    obj = copy.deepcopy(BATCH)
    obj["metadata"]["name"] = name
    obj["spec"].update(spec)
    return obj


@attrs.frozen
class Real:
    """kubectl on the real server, and replicas of the webhook beside it."""

    kubectl: Kubectl
    client: Callable[[], Client]
    """As the webhook's service account."""

    @contextlib.contextmanager
    def replica(self, port: int = 0) -> Iterator[Webhook]:
        """A webhook that runs as its service account; port 0: a free one."""
        place = Place(namespace=manifests.NAMESPACE, name=manifests.NAME, names=("127.0.0.1",))
        made = Webhook(self.client(), CLOCK, place, host="127.0.0.1", listen=port, period=0.5)
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            wait_for(lambda: made.port, "the webhook listens", 30)
            yield made
        finally:
            made.stop()
            thread.join()

    @contextlib.contextmanager
    def asking(self, webhook: Webhook) -> Iterator[None]:
        """The API server asks this webhook; other ones may keep the configuration."""
        url = f"https://127.0.0.1:{webhook.port}{manifests.PATH}"
        self.apply(manifests.configuration({"url": url}))
        try:
            wait_for(self.denies, "the API server asks the webhook", 60)
            yield
        finally:
            self.kubectl("delete", "validatingwebhookconfiguration", manifests.NAME)
            wait_for(lambda: not self.denies(), "the API server asks nobody", 60)

    def denies(self) -> bool:
        probe = batch("probe", schedule="at night")
        tried = self.kubectl("create", "--dry-run=server", "-f", "-", given=probe, fails=None)
        return "is not a schedule" in tried.stderr

    def apply(self, obj: JsonObject, *, fails: bool = False) -> str:
        """What kubectl says on standard error."""
        return self.kubectl("apply", "-f", "-", given=obj, fails=fails).stderr

    def stored(self, name: str) -> JsonObject:
        found = self.kubectl("get", "backupbatch", "-n", NAMESPACE, name, "-o", "json").stdout
        return dict(json.loads(found))

    def configuration(self) -> JsonObject:
        name = manifests.NAME
        found = self.kubectl("get", "validatingwebhookconfiguration", name, "-o", "json").stdout
        return dict(json.loads(found))


@pytest.fixture(scope="module", params=["real", "embedded"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """Installed as by ``deploy/webhook``, but for the Deployment and who asks."""
    folder = tmp_path_factory.mktemp("webhook")
    server = request.getfixturevalue("real_cluster" if request.param == "real" else "embedded")
    kubectl = kubectl_with_the_kinds(server, folder)
    for name in (manifests.NAMESPACE, NAMESPACE):
        kubectl("create", "namespace", name)
    for obj in manifests.objects():
        if obj["kind"] not in ("Deployment", "Service", "ValidatingWebhookConfiguration"):
            kubectl("apply", "-f", "-", given=obj)
    for role, rules in manifests.roles():
        kubectl("apply", "-f", "-", given={**role, "rules": [rule for _, rule in rules]})
    if request.param == "embedded":
        return Real(
            kubectl, lambda: Client(KubernetesTransport.from_kubeconfig(str(folder / "kubeconfig")))
        )
    cluster = Cluster(server, folder, _published(server))
    return Real(kubectl, lambda: cluster.as_account(manifests.NAMESPACE, manifests.NAME))


def _published(server: Any) -> str:
    """The CA of a real cluster."""
    path = r.CONFIG_MAPS.path("default", "kube-root-ca.crt")
    found = wait_for(lambda: server.request("GET", path, None, {}).body.get("data"), "the CA")
    return str(found["ca.crt"])


@pytest.fixture(scope="module")
def running(real: Real) -> Iterator[Webhook]:
    with real.replica() as webhook:
        yield webhook


@pytest.fixture
def asked(real: Real, running: Webhook) -> Iterator[Real]:
    """The API server asks a running webhook."""
    with real.asking(running):
        yield real


# -- what a user sees -----------------------------------------------------------------------------


def test_a_broken_batch_is_denied_with_every_field_and_its_remedy(asked: Real) -> None:
    broken = batch(schedule="at night", repository={})
    broken["spec"]["members"][0].pop("task")

    told = asked.apply(broken, fails=True)

    assert 'The BackupBatch "nightly" is invalid' in told
    assert "* spec.schedule: is not a schedule" in told
    assert "* spec.repository.name: is missing; name a Repository of the same namespace" in told
    assert "* spec.members[0].task: is missing" in told
    assert "write task: {name: pvc-backup}" in told


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_each_kind_is_judged(asked: Real, name: str) -> None:
    obj, field = BROKEN[name]
    assert f"{field}: " in asked.apply(obj, fails=True)


def test_what_is_unwise_is_stored_and_warned_of(asked: Real) -> None:
    never = batch("warned", schedule=NEVER)

    told = asked.apply(never)

    assert f"Warning: spec.schedule: {NEVER!r} names a day that never comes" in told
    assert asked.stored("warned")["spec"]["schedule"] == NEVER


def test_another_invoker_with_the_same_host_is_warned_of(asked: Real) -> None:
    asked.apply(batch("first", repository={"name": "shared"}))

    def warned() -> bool:
        told = asked.apply(batch("second", repository={"name": "shared"}))
        asked.kubectl("delete", "backupbatch", "-n", NAMESPACE, "second")
        return f"host files is also that of BackupBatch {NAMESPACE}/first" in told

    wait_for(warned, "the webhook has heard of the first one", 30)


def test_what_was_stored_before_can_be_changed_and_deleted(real: Real) -> None:
    """As after an upgrade: the webhook comes when a broken object is there already."""
    old = batch("old", schedule="at night")
    real.apply(old)

    with real.replica() as webhook, real.asking(webhook):
        old["metadata"]["labels"] = {"team": "shop"}
        assert "Warning: spec.schedule: is not a schedule" in real.apply(old)
        old["spec"]["paused"] = True
        assert "Warning: spec.schedule: is not a schedule" in real.apply(old)
        old["spec"]["repository"] = {}
        told = real.apply(old, fails=True)
        assert "spec.repository.name: is missing" in told
        assert "spec.schedule" not in told.partition("is invalid")[2]  # no reason any more
        real.kubectl("delete", "backupbatch", "-n", NAMESPACE, "old")


# -- what an administrator relies on --------------------------------------------------------------


def test_without_the_webhook_everything_is_stored(real: Real) -> None:
    with contextlib.ExitStack() as installed:
        with real.replica() as webhook:
            installed.enter_context(real.asking(webhook))

        real.apply(batch("unchecked", schedule="at night"))

        assert real.stored("unchecked")["spec"]["schedule"] == "at night"
        assert real.configuration()["webhooks"][0]["clientConfig"]["caBundle"]


def test_two_replicas_share_their_certificates(real: Real) -> None:
    secret = ("get", "secret", "-n", manifests.NAMESPACE, manifests.NAME, "-o", "json")
    with real.replica() as one, real.replica() as other:
        stored = real.kubectl(*secret).stdout
        for webhook in (one, other):
            with real.asking(webhook):
                assert real.kubectl(*secret).stdout == stored


def test_an_apply_of_the_configuration_keeps_its_bundle(asked: Real) -> None:
    before = asked.configuration()["webhooks"][0]["clientConfig"]

    asked.apply(manifests.configuration({"url": before["url"]}))

    assert asked.configuration()["webhooks"][0]["clientConfig"] == before
    assert before["caBundle"]
