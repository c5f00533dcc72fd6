"""The operator on a real server whose kinds are missing, or those of Stash v0.10.

Such a server takes what the operator writes and keeps a part of it: it drops the fields that the
definition does not name.
"""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from real_operator_world import (
    CLOCK,
    STEP,
    Cluster,
    Counting,
    World,
    batch,
    listed,
    loop_of,
    made,
    member,
    surroundings,
    wait_for,
    workload,
)

from reconciler.api import crds
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cli import operating
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.errors import NotFound
from reconciler.manifests import access

pytestmark = pytest.mark.real_cluster

PORT = 18089
WHILE = 12.0
"""Seconds in which a hot loop would write hundreds of times."""
STASH_STATUS = {
    "BackupBatch": {"observedGeneration", "conditions", "memberConditions"},
    "BackupSession": {"phase", "sessionDuration", "targets", "conditions"},
    "Repository": {"observedGeneration", "lastBackupTime", "integrity", "totalSize"},
}
"""What these kinds' statuses have in Stash v0.10, as far as Tandem has it too."""
STASH_TARGET = {"ref", "totalHosts", "phase", "stats"}


def older(definition: JsonObject) -> JsonObject:
    """The definition without what Tandem has added to Stash's status."""
    (version,) = definition["spec"]["versions"]
    kept = STASH_STATUS.get(definition["spec"]["names"]["kind"])
    if kept:
        status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        _only(status, kept)
        if "targets" in status:
            _only(status["targets"]["items"]["properties"], STASH_TARGET)
    version.pop("additionalPrinterColumns", None)
    return definition


def _only(properties: JsonObject, kept: set[str]) -> None:
    for name in set(properties) - kept:
        del properties[name]


@pytest.fixture(scope="module")
def cluster(real_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    path = r.CONFIG_MAPS.path("default", "kube-root-ca.crt")

    def published() -> Any:
        answer = real_cluster.request("GET", path, None, {})
        return answer.body["data"]["ca.crt"] if answer.status == 200 else None

    ca = wait_for(published, "the CA's certificate")
    return Cluster(real_cluster, tmp_path_factory.mktemp("real"), ca)


def install(admin: Client, definitions: list[JsonObject]) -> None:
    for each in definitions:
        admin.apply(r.CUSTOM_RESOURCE_DEFINITIONS, each, field_manager="install")
    for kind in crds.KINDS:
        wait_for(lambda kind=kind: listed(admin, kind.resource), f"{kind.resource.plural} served")


def remove(admin: Client) -> None:
    for each in crds.crds():
        name = each["metadata"]["name"]
        with contextlib.suppress(NotFound):
            admin.delete(r.CUSTOM_RESOURCE_DEFINITIONS, "", name)
    for kind in crds.KINDS:
        wait_for(lambda kind=kind: not listed(admin, kind.resource), f"{kind.resource.plural} gone")


@attrs.define
class Operator:
    """``tandem run`` as a process."""

    process: subprocess.Popen[bytes]
    log: pathlib.Path

    def ready(self) -> tuple[int, str]:
        """What /readyz says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def says(self, *words: str) -> None:
        def look() -> bool:
            assert self.process.poll() is None, "it goes on waiting"
            return all(word in self.ready()[1] for word in words)

        wait_for(look, f"/readyz says {words}", 60)


@pytest.fixture
def operator(cluster: Cluster, tmp_path: pathlib.Path) -> Iterator[Operator]:
    arguments = ["run", f"--kubeconfig={cluster.kubeconfig(cluster.endpoint.token)}"]
    log = tmp_path / "operator.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler.cli.main", *arguments, f"--health-port={PORT}"],
            stderr=stream,
        )
    yield Operator(process, log)
    process.terminate()
    assert process.wait(30) == 0, log.read_text()


def test_an_operator_without_its_kinds_says_so_and_begins_when_they_come(
    cluster: Cluster, operator: Operator
) -> None:
    batches = "backupbatches.stash.appscode.com"
    operator.says("not ready", f"{batches} is not installed", "kubectl apply -k crds/")
    install(cluster.admin, [older(each) for each in crds.crds()])
    operator.says("not ready", f"{batches} is older", "status.phase", "kubectl apply -k crds/")
    assert cluster.admin.list(r.FUNCTIONS).items == [], "it has not begun"
    install(cluster.admin, crds.crds())
    wait_for(lambda: operator.ready()[0] == 200, "it is ready", 60)
    assert cluster.admin.list(r.FUNCTIONS).items, "it has begun"
    said = operator.log.read_text()
    assert said.count(f"{batches} is not installed") == 1
    remove(cluster.admin)


@pytest.fixture
def world(cluster: Cluster) -> Iterator[World]:
    """An operator at work whose kinds have become older: it asked for them when it began."""
    admin = cluster.admin
    install(admin, [older(each) for each in crds.crds()])
    operating.install_builtins(admin, Settings())
    for role in access.CLUSTER_ROLES:
        admin.apply(r.CLUSTER_ROLES, role, field_manager="install")
    namespace = f"old-{secrets.token_hex(3)}"
    admin.create(r.NAMESPACES, {"metadata": {"name": namespace}})
    line = Counting(cluster.transport(cluster.endpoint.token))
    world = World(cluster, namespace, admin, line, loop_of(line, namespace))
    wait_for(lambda: world.find("ServiceAccount", "default"), "the namespace's service account")
    yield world
    world.loop.view.stop()


def test_what_the_server_drops_is_told_and_not_written_for_ever(world: World) -> None:
    world.apply(*surroundings(), workload("Deployment", "web"), batch(member("Deployment", "web")))
    world.until(lambda: "kubectl apply -k crds/" in _told(world, "web"), "it says what is wrong")
    assert "backupbatches.stash.appscode.com" in _told(world, "web")
    world.until(lambda: "status." in _told(world, "repo"), "also of the Repository")
    _trigger(world)
    world.rest()
    before = len(world.line.writes())
    _step(world, WHILE)
    assert len(world.line.writes()) - before <= 8, world.line.writes()[before:]

    # with the right ones all is well; a restart does not wait for the pause to end
    install(world.admin, crds.crds())
    world.loop.view.stop()
    world.loop = loop_of(world.line, world.namespace)
    world.until(
        lambda: world.phase("BackupSession", "web-1") == "Succeeded",
        "the session ends well",
        world.kubelet,
        world.sidecars,
    )


def _trigger(world: World) -> None:
    labels = {"stash.appscode.com/invoker-type": "BackupBatch"}
    labels["stash.appscode.com/invoker-name"] = "web"
    invoker = {"apiGroup": r.STASH, "kind": "BackupBatch", "name": "web"}
    session = made("BackupSession", "web-1", spec={"invoker": invoker})
    session["metadata"]["labels"] = labels
    world.apply(session)


def _step(world: World, seconds: float) -> None:
    end = CLOCK.monotonic() + seconds
    while CLOCK.monotonic() < end:
        world.loop.settle()
        CLOCK.sleep(STEP)


def _told(world: World, name: str) -> str:
    """What the Events of an object say."""
    found = world.admin.list(r.EVENTS, world.namespace).items
    return "\n".join(e["message"] for e in found if e["involvedObject"]["name"] == name)
