"""Tandem's operator against a real control plane of the oldest Kubernetes that is supported.

The same loop as on the embedded server, as the service account that ``deploy/base/``
provides for, stepped on one thread. Kubernetes' own controllers make the Jobs, Pods and garbage
collection; see ``real_operator_world`` for what stands in for nodes and agents.
"""

from __future__ import annotations

import json
import pathlib
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from real_operator_world import (
    CLOCK,
    OPERATOR,
    ROOT,
    YEARLY,
    Cluster,
    Counting,
    World,
    batch,
    claim,
    containers,
    golden,
    listed,
    loop_of,
    made,
    managers,
    member,
    restored,
    surroundings,
    true_conditions,
    wait_for,
    workload,
)

from reconciler.api import conditions as c
from reconciler.api import crds
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cli import leading, operating
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.errors import Forbidden
from reconciler.manifests import names

pytestmark = pytest.mark.real_cluster

INSTALLED = {
    resource.kind: resource
    for resource in (
        r.NAMESPACES,
        r.SERVICE_ACCOUNTS,
        r.ROLES,
        r.ROLE_BINDINGS,
        r.CLUSTER_ROLES,
        r.CLUSTER_ROLE_BINDINGS,
    )
}


@pytest.fixture(scope="module")
def cluster(real_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Set up as the pages tell a user to: kinds, roles, and the operator's service account."""
    path = r.CONFIG_MAPS.path("default", "kube-root-ca.crt")

    def published() -> Any:
        answer = real_cluster.request("GET", path, None, {})
        return answer.body["data"]["ca.crt"] if answer.status == 200 else None

    ca = wait_for(published, "the CA's certificate")
    made = Cluster(real_cluster, tmp_path_factory.mktemp("real"), ca)
    admin = made.admin
    for definition in crds.crds():
        admin.apply(r.CUSTOM_RESOURCE_DEFINITIONS, definition, field_manager="install")
    for file in ("namespace", "roles", "account"):
        for obj in yaml.safe_load_all((ROOT / "deploy" / "base" / f"{file}.yaml").read_text()):
            admin.apply(INSTALLED[obj["kind"]], obj, field_manager="install")
    for kind in crds.KINDS:
        wait_for(lambda kind=kind: listed(admin, kind.resource), f"{kind.resource.plural} served")
    operating.install_builtins(made.as_account(*OPERATOR), Settings())
    return made


@pytest.fixture
def world(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[World]:
    """A namespace of the test's own, and the operator in it; everything is removed at the end."""
    words = "-".join(request.node.name.split("_")[1:6])
    namespace = f"op-{words}-{secrets.token_hex(3)}"
    admin = cluster.admin
    admin.create(r.NAMESPACES, {"metadata": {"name": namespace}})
    line = Counting(cluster.transport(cluster.token(*OPERATOR)))
    made = World(cluster, namespace, admin, line, loop_of(line, namespace))
    wait_for(lambda: made.find("ServiceAccount", "default"), "the namespace's service account")
    yield made
    for found in made.all("BackupBatch"):
        admin.delete(r.BACKUP_BATCHES, namespace, found["metadata"]["name"])
    # a running session is finished first
    made.until(lambda: not made.all("BackupBatch"), "no batch", made.kubelet, made.sidecars)
    admin.delete(r.NAMESPACES, "", namespace)
    made.loop.view.stop()


# -- what a user relies on ------------------------------------------------------------------------


def test_the_golden_batch_is_set_up_and_then_nothing_more_is_written(world: World) -> None:
    world.apply(*golden())
    world.until(
        lambda: world.phase("BackupBatch", "wordpress-backup") == "Scheduled", "the batch is set up"
    )
    world.rest()

    status = world.get("BackupBatch", "wordpress-backup")["status"]
    assert true_conditions(status) >= {
        c.REPOSITORY_FOUND,
        c.BACKEND_SECRET_FOUND,
        c.CRON_JOB_CREATED,
    }
    members = {e["target"]["name"]: true_conditions(e) for e in status["memberConditions"]}
    assert members["wordpress"] >= {c.BACKUP_TARGET_FOUND, c.STASH_SIDECAR_INJECTED}
    assert members["cache"] >= {c.BACKUP_TARGET_FOUND, c.STASH_SIDECAR_INJECTED}
    assert members["uploads"] >= {c.BACKUP_TARGET_FOUND}
    for kind, name in (("Deployment", "wordpress"), ("StatefulSet", "cache")):
        assert containers(world.get(kind, name)) == [name, names.SIDECAR]
        assert "tandem" in managers(world.get(kind, name))
    cron_job = world.get("CronJob", "stash-backup-wordpress-backup")
    assert cron_job["spec"]["schedule"] == YEARLY
    assert "tandem" in managers(cron_job)
    bound = {item["metadata"]["name"] for item in world.all("RoleBinding")}
    assert bound >= {"stash-cron-job", "stash-backup-job", "stash-sidecar-default"}
    (init,) = world.all("Job")
    assert init["metadata"]["name"].startswith("stash-init-repo-")

    before = list(world.line.writes())
    world.rest()
    assert world.line.writes() == before, "an idle operator wrote"
    again = Counting(world.line.inner)
    world.loop.view.stop()
    world.loop = loop_of(again, world.namespace)
    world.rest()
    assert world.loop.ready
    assert world.loop.view.problems == ()
    assert again.writes() == [], "a restarted operator wrote"


def test_a_session_runs_to_its_end_and_history_is_limited(world: World) -> None:
    world.apply(*surroundings(), workload("Deployment", "pages"), claim("files"))
    members = member("Deployment", "pages"), member("PersistentVolumeClaim", "files")
    world.apply(batch(*members, backupHistoryLimit=1))
    parts = world.kubelet, world.sidecars
    world.until(lambda: world.phase("Repository", "repo") == "Ready", "initialised", *parts)

    first = world.trigger("web")
    world.until(lambda: world.phase("BackupSession", first) == "Succeeded", "it succeeds", *parts)

    status = world.get("BackupSession", first)["status"]
    assert {entry["ref"]["name"]: entry["phase"] for entry in status["targets"]} == {
        "pages": "Succeeded",
        "files": "Succeeded",
    }
    assert all(len(entry["stats"]) == 1 for entry in status["targets"])

    def maintained() -> bool:
        found = world.get("Repository", "repo")["status"]
        return found.get("lastMaintainedSession") == first and found["phase"] == "Ready"

    world.until(maintained, "the repository is maintained", *parts)
    assert true_conditions(world.get("BackupSession", first)["status"]) >= {
        c.RETENTION_POLICY_APPLIED,
        c.REPOSITORY_INTEGRITY_VERIFIED,
    }

    second = world.trigger("web")
    world.until(lambda: world.phase("BackupSession", second) == "Succeeded", "again", *parts)
    world.until(lambda: world.find("BackupSession", first) is None, "the old one is gone", *parts)
    world.until(lambda: not _jobs_of(world, first), "its Jobs are collected", *parts)
    assert world.phase("BackupSession", second) == "Succeeded"
    told = {event["reason"] for event in world.all("Event")}
    assert "Host Backup Succeeded" in told


def _jobs_of(world: World, session: str) -> list[str]:
    found = [item["metadata"]["name"] for item in world.all("Job")]
    return [name for name in found if name.startswith(f"stash-backup-{session}")]


def test_a_deleted_batch_leaves_workloads_as_they_were(world: World) -> None:
    kinds = [resource.kind for resource in r.WORKLOADS if resource not in r.OPTIONAL]
    world.apply(*surroundings(), *(workload(kind, kind.lower()) for kind in kinds))
    before = {kind: _written(world.get(kind, kind.lower())) for kind in kinds}
    world.apply(batch(*(member(kind, kind.lower()) for kind in kinds)))

    def injected() -> bool:
        return all(names.SIDECAR in containers(world.get(kind, kind.lower())) for kind in kinds)

    world.until(injected, "every workload has the sidecar", world.kubelet)
    assert world.find("CronJob", "stash-backup-web")

    world.admin.delete(r.BACKUP_BATCHES, world.namespace, "web")
    world.until(lambda: world.find("BackupBatch", "web") is None, "it is gone", world.kubelet)
    world.rest()

    assert {kind: _written(world.get(kind, kind.lower())) for kind in kinds} == before
    for kind in kinds:
        meta = world.get(kind, kind.lower())["metadata"]
        marks = [key for key in meta.get("annotations") or {} if "appscode" in key]
        assert marks == []
    world.until(lambda: world.find("CronJob", "stash-backup-web") is None, "collected")


def _written(obj: JsonObject) -> str:
    return json.dumps(obj["spec"])


def test_a_restore_lives_beside_the_backup_and_leaves_the_workload_as_it_was(
    world: World,
) -> None:
    world.apply(*surroundings(), workload("Deployment", "pages"), claim("files"))
    before = _written(world.get("Deployment", "pages"))
    parts = world.kubelet, world.init_containers
    members = restored("Deployment", "pages"), restored("PersistentVolumeClaim", "files")
    spec = {"repository": {"name": "repo"}, "executionOrder": "Sequential"}
    world.apply(made("RestoreBatch", "back", spec={**spec, "members": list(members)}))
    world.until(lambda: world.phase("RestoreBatch", "back") == "Succeeded", "restored", *parts)

    status = world.get("RestoreBatch", "back")["status"]
    assert [entry["phase"] for entry in status["members"]] == ["Succeeded", "Succeeded"]
    assert true_conditions(status["members"][0]) >= {
        c.RESTORE_TARGET_FOUND,
        c.STASH_INIT_CONTAINER_INJECTED,
    }
    assert true_conditions(status["members"][1]) >= {c.RESTORE_JOB_CREATED}
    world.until(lambda: "activeRestores" not in world.get("Repository", "repo")["status"], "left")
    world.rest()
    assert world.get("Deployment", "pages")["metadata"]["generation"] == 2

    world.apply(batch(member("Deployment", "pages")))
    both = [names.SIDECAR, names.INIT_CONTAINER]
    world.until(lambda: _ours(world) == both, "the sidecar came beside it", *parts)
    world.admin.delete(r.RESTORE_BATCHES, world.namespace, "back")
    world.until(lambda: world.find("RestoreBatch", "back") is None, "it is gone", *parts)
    assert _ours(world) == [names.SIDECAR]
    world.admin.delete(r.BACKUP_BATCHES, world.namespace, "web")
    world.until(lambda: world.find("BackupBatch", "web") is None, "it is gone", *parts)
    assert _written(world.get("Deployment", "pages")) == before


def _ours(world: World) -> list[str]:
    pod = world.get("Deployment", "pages")["spec"]["template"]["spec"]
    found = [item["name"] for item in (*pod["containers"], *(pod.get("initContainers") or ()))]
    return [name for name in found if name.startswith("stash")]


def test_an_edit_makes_one_rollout_and_the_schedule_makes_none(world: World) -> None:
    kinds = "Deployment", "StatefulSet", "DaemonSet"
    world.apply(*surroundings(), *(workload(kind, "app") for kind in kinds))
    members = [member(kind, "app") for kind in kinds]
    world.apply(batch(*members))

    def generations() -> list[int]:
        return [world.get(kind, "app")["metadata"]["generation"] for kind in kinds]

    world.until(lambda: generations() == [2, 2, 2], "injected by one write each", world.kubelet)
    world.rest()
    assert generations() == [2, 2, 2]

    world.apply(batch(*members, schedule="30 4 1 1 *"))
    at_half_past = "30 4 1 1 *"
    world.until(
        lambda: world.get("CronJob", "stash-backup-web")["spec"]["schedule"] == at_half_past,
        "rescheduled",
    )
    world.rest()
    assert generations() == [2, 2, 2]

    for each in members:
        each["runtimeSettings"] = {"container": {"env": [{"name": "GOGC", "value": "20"}]}}
    world.apply(batch(*members, schedule=at_half_past))
    world.until(lambda: generations() == [3, 3, 3], "rolled out once each", world.kubelet)
    world.rest()
    assert generations() == [3, 3, 3]


def test_nobody_of_ours_may_do_more_than_the_roles_say(world: World) -> None:
    world.apply(
        *surroundings(), workload("Deployment", "pages"), batch(member("Deployment", "pages"))
    )
    bound = {"stash-cron-job", "stash-backup-job", "stash-sidecar-default"}

    def all_bound() -> bool:
        return {item["metadata"]["name"] for item in world.all("RoleBinding")} >= bound

    world.until(all_bound, "the accounts have their roles")
    session, place = world.trigger("web"), world.namespace
    for account in ("default", names.BACKUP_JOB_ACCOUNT, names.CRON_JOB_ACCOUNT):
        agent = world.agent(account)
        for attempt in (
            lambda agent=agent: agent.list(r.SECRETS, place),
            lambda agent=agent: agent.delete(r.BACKUP_SESSIONS, place, session),
            lambda agent=agent: agent.delete(r.BACKUP_BATCHES, place, "web"),
            lambda agent=agent: agent.list(r.BACKUP_SESSIONS),
            lambda agent=agent: agent.create(
                r.PODS, {"metadata": {"name": "p", "namespace": place}}
            ),
        ):
            _refused(attempt)
    for account in ("default", names.CRON_JOB_ACCOUNT):
        _refused(lambda account=account: world.agent(account).get(r.SECRETS, place, "backend"))
    # the login of a database is read by its name
    assert world.agent(names.BACKUP_JOB_ACCOUNT).get(r.SECRETS, place, "backend")
    operator = Client(world.line)
    admin_role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    too_much = {
        "metadata": {"name": "too-much", "namespace": place},
        "roleRef": admin_role,
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": place}],
    }
    _refused(lambda: operator.create(r.ROLE_BINDINGS, too_much))
    _refused(lambda: operator.delete(r.DEPLOYMENTS, place, "pages"))
    _refused(lambda: operator.create(r.LEASES, {"metadata": {"name": "x", "namespace": place}}))
    elector = leading.elector(operator, CLOCK, OPERATOR[0], {"POD_NAME": "me"})
    elector.run(elector.stop, lambda: None)
    assert world.admin.get(r.LEASES, OPERATOR[0], names.LEASE)
    assert world.find("BackupSession", session)


def _refused(attempt: Callable[[], Any]) -> None:
    with pytest.raises(Forbidden):
        attempt()


def test_plan_status_and_trigger_work_as_programs(world: World, tmp_path: pathlib.Path) -> None:
    wait_for(lambda: not _leaving(world), "what other tests left behind is gone", 60.0)
    objects = (
        *surroundings(),
        workload("Deployment", "pages"),
        batch(member("Deployment", "pages")),
    )
    manifests = tmp_path / "shop.yaml"
    manifests.write_text(yaml.safe_dump_all(objects))
    plan = ("plan", "-f", str(manifests), "-n", world.namespace)

    found = program(world, *plan)
    assert found.returncode == 2, found.stderr
    assert "+ create CronJob" in found.stdout
    assert world.all("BackupBatch") == []

    world.apply(*objects)
    world.until(lambda: world.phase("BackupBatch", "web") == "Scheduled", "set up", world.kubelet)
    world.until(lambda: world.phase("Repository", "repo") == "Ready", "initialised", world.kubelet)
    world.rest()
    found = program(world, *plan)
    assert (found.returncode, found.stdout) == (0, "nothing to do\n"), found.stdout + found.stderr

    shown = program(world, "status", "web", "-n", world.namespace, "-o", "json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["phase"] == "Scheduled"
    begun = program(world, "trigger", "web", "-n", world.namespace, "-o", "json")
    assert begun.returncode == 0, begun.stderr
    (session,) = world.all("BackupSession")
    assert json.loads(begun.stdout)["name"] == session["metadata"]["name"]
    absent = program(world, "status", "wib", "-n", world.namespace)
    assert (absent.returncode, "did you mean web?" in absent.stderr) == (1, True)
    assert program(world, "trigger", "-n", world.namespace).returncode == 2


def _leaving(world: World) -> list[str]:
    """A plan is for the whole cluster, so it also tells of what is being deleted."""
    found = [item["metadata"] for item in world.admin.list(r.NAMESPACES).items]
    return [meta["name"] for meta in found if "deletionTimestamp" in meta]


def program(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    kubeconfig = world.cluster.kubeconfig(world.cluster.endpoint.token)
    return subprocess.run(
        [sys.executable, "-m", "reconciler.cli.main", *arguments, "--kubeconfig", str(kubeconfig)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
