"""DeploymentConfigs: backed up where the cluster serves them; elsewhere nobody asks for them."""

from __future__ import annotations

import datetime as dt
import json

import attrs
import pytest

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cli.debug import Bundle
from reconciler.cli.live_view import LiveView
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.embedded import deployment_configs
from reconciler.engine import operator
from reconciler.manifests import labels

GROUP = r.DEPLOYMENT_CONFIGS.group


@attrs.define
class DeploymentConfigController:
    """OpenShift's rule: a ReplicationController a template, and only the latest has pods."""

    client: Client

    def settle(self) -> int:
        return sum(map(self._roll_out, self.client.list(r.DEPLOYMENT_CONFIGS).items))

    def next_due(self) -> dt.datetime | None:
        return None

    def _roll_out(self, config: JsonObject) -> int:
        meta, template = config["metadata"], config["spec"]["template"]
        mine = [
            each
            for each in self.client.list(r.REPLICATION_CONTROLLERS, meta["namespace"]).items
            if labels.is_controlled_by(each, meta["uid"])
        ]
        wanted = json.dumps(template, sort_keys=True)
        now = [each for each in mine if each["metadata"]["annotations"]["template"] == wanted]
        if not now:
            return self._new(config, wanted, len(mine) + 1)
        done = sum(self._scale_down(each) for each in mine if each not in now)
        return done + self._tell(config, now[0].get("status") or {})

    def _new(self, config: JsonObject, wanted: str, number: int) -> int:
        meta, spec = config["metadata"], config["spec"]
        own = {"deploymentconfig": meta["name"], "deployment": f"{meta['name']}-{number}"}
        template = spec["template"]
        pod_meta = template.get("metadata") or {}
        pod_meta = {**pod_meta, "labels": {**(pod_meta.get("labels") or {}), **own}}
        controller = {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {
                "name": f"{meta['name']}-{number}",
                "namespace": meta["namespace"],
                # OpenShift copies them, and so our mark
                "annotations": {**(meta.get("annotations") or {}), "template": wanted},
                "ownerReferences": [labels.owner(config)],
            },
            "spec": {
                "replicas": spec["replicas"],
                "selector": own,
                "template": {**template, "metadata": pod_meta},
            },
        }
        self.client.create(r.REPLICATION_CONTROLLERS, controller)
        return 1

    def _scale_down(self, controller: JsonObject) -> int:
        if controller["spec"]["replicas"] == 0:
            return 0
        meta, merge = controller["metadata"], "application/merge-patch+json"
        patch = {"spec": {"replicas": 0}}
        self.client.patch(
            r.REPLICATION_CONTROLLERS, meta["namespace"], meta["name"], patch, content_type=merge
        )
        return 1

    def _tell(self, config: JsonObject, counts: JsonObject) -> int:
        meta = config["metadata"]
        status = {
            "observedGeneration": meta["generation"],
            "updatedReplicas": counts.get("replicas", 0),
            "readyReplicas": counts.get("readyReplicas", 0),
        }
        if config.get("status") == status:
            return 0
        self.client.update_status(
            r.DEPLOYMENT_CONFIGS, meta["namespace"], meta["name"], lambda _: status
        )
        return 1


@pytest.fixture
def openshift(shop):
    """The world of a cluster that serves DeploymentConfigs, and rolls them out."""
    shop.apply(deployment_configs.definition())
    shop.stop_operator()
    shop.start_operator()
    shop.cluster.add_loop(DeploymentConfigController(shop.client))
    shop.cluster.settle()
    return shop


def containers(shop) -> list[str]:
    spec = shop.get("DeploymentConfig", "front")["spec"]["template"]["spec"]
    return [each["name"] for each in spec["containers"]]


def test_a_deployment_config_is_backed_up_by_a_pod_of_its_replication_controller(
    openshift, manifests
):
    openshift.apply(manifests.workload("DeploymentConfig", "front"))
    openshift.cluster.settle()
    openshift.apply(
        manifests.batch(
            manifests.member("DeploymentConfig", "front"),
            manifests.member("DeploymentConfig", "front-of-nobody"),
        )
    )
    openshift.run_to(3, 5)
    assert containers(openshift) == ["app", "stash"]
    (name,) = openshift.sessions()
    target = openshift.target(name, "front")
    assert target["phase"] == "Succeeded", target
    assert [stat["hostname"] for stat in target["stats"]] == ["dc-front"]
    pod = openshift.get("Pod", target["hosts"][0]["runner"])
    assert pod["metadata"]["labels"]["deploymentconfig"] == "front"
    found = openshift.member_condition("web", "front", "StashSidecarInjected")
    assert found["status"] == "True"
    missing = openshift.member_condition("web", "front-of-nobody", "BackupTargetFound")
    assert "create it" in missing["message"]


def test_a_deployment_config_without_its_batch_is_as_it_was(openshift, manifests):
    openshift.apply(manifests.workload("DeploymentConfig", "front"))
    openshift.cluster.settle()
    before = openshift.get("DeploymentConfig", "front")["spec"]
    openshift.apply(manifests.batch(manifests.member("DeploymentConfig", "front")))
    openshift.run(minutes=1)
    assert containers(openshift) == ["app", "stash"]
    openshift.delete("BackupBatch", "web")
    openshift.run(minutes=1)
    assert openshift.find("BackupBatch", "web") is None
    assert openshift.get("DeploymentConfig", "front")["spec"] == before


def test_a_restore_comes_by_an_init_container_of_the_deployment_config(openshift, manifests):
    openshift.apply(manifests.workload("DeploymentConfig", "front"))
    openshift.cluster.settle()
    openshift.apply(manifests.restore_batch(manifests.restored("DeploymentConfig", "front")))
    openshift.run(minutes=5)
    status = openshift.get("RestoreBatch", "back")["status"]
    assert status["phase"] == "Succeeded", status


@attrs.define
class Recorded:
    """A transport that remembers what was asked for."""

    inner: object
    paths: list[str] = attrs.field(factory=list)

    def send(self, request: Request) -> Response:
        self.paths.append(request.path)
        return self.inner.send(request)

    def watch(self, request: Request) -> WatchStream:
        self.paths.append(request.path)
        return self.inner.watch(request)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_where_nobody_serves_them_one_question_at_the_start_is_all_that_is_asked(shop, manifests):
    line = Recorded(shop.cluster.server)
    shop.stop_operator()
    shop.loop = operator.build(Client(line), shop.clock, shop.settings)
    shop.cluster.add_loop(shop.loop)
    shop.apply(
        manifests.workload("Deployment", "back"),
        manifests.batch(
            manifests.member("DeploymentConfig", "front"), manifests.member("Deployment", "back")
        ),
    )
    shop.run(days=1)
    shop.apply(
        manifests.restore_batch(manifests.restored("DeploymentConfig", "front"), name="never")
    )
    shop.run(minutes=10)
    shop.delete("RestoreBatch", "never")
    shop.delete("BackupBatch", "web")
    shop.run(minutes=10)
    assert shop.find("BackupBatch", "web") is None
    assert "/apis/apps/v1/deployments" in line.paths
    assert [path for path in line.paths if GROUP in path] == [f"/apis/{GROUP}/v1"]


def test_where_nobody_serves_them_a_user_without_rights_to_them_is_told_of_no_refusal(
    shop, manifests
):
    shop.apply(manifests.batch(manifests.member("DeploymentConfig", "front")))
    shop.run(minutes=1)

    def refuse(request, proceed):
        if request.path.endswith(f"/{r.DEPLOYMENT_CONFIGS.plural}"):
            return Response(403, {"message": "deploymentconfigs is forbidden"})
        return proceed(request)

    shop.cluster.server.intercept(refuse)
    view = LiveView(shop.client, shop.settings.field_manager)
    assert view.list(r.DEPLOYMENT_CONFIGS, "shop") == []
    assert view.unread == {}
    files = Bundle(shop.client, shop.clock, "shop", "tandem").files()
    assert "deploymentconfigs" not in files["missing.txt"]


def test_where_nobody_serves_them_a_target_of_the_kind_does_not_exist_and_says_why(shop, manifests):
    shop.apply(
        manifests.workload("Deployment", "back"),
        manifests.batch(
            manifests.member("DeploymentConfig", "front"), manifests.member("Deployment", "back")
        ),
        manifests.restore_batch(manifests.restored("DeploymentConfig", "front")),
    )
    shop.run(minutes=1)
    why = "apps.openshift.io/v1 DeploymentConfig is not served here"
    found = shop.member_condition("web", "front", "BackupTargetFound")
    assert (found["status"], found["reason"]) == ("False", "TargetNotAvailable")
    assert why in found["message"]
    assert why in json.dumps(shop.get("RestoreBatch", "back")["status"])
    shop.delete("RestoreBatch", "back")
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Failed", "back": "Succeeded"}
    assert why in json.dumps(shop.target(name, "front"))
