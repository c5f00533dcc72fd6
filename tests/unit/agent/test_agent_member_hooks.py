"""The hooks of a member around the backup of a host, in sidecars and in Jobs."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.agent import executor, job, member_hooks
from reconciler.agent.handlers import HookFailed, HookRunner, Place
from reconciler.agent.session import Duty, Sidecar
from reconciler.agent.turn import Target
from reconciler.api import resources as r
from reconciler.api.decoding import decode
from reconciler.api.runtime import Handler
from reconciler.errors import TerminalError

WEB = Target("Deployment", "web")
DB = Target("AppBinding", "db")


def shell(script: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", script]}, "containerName": "stash"}


def with_hooks(application, make, pre: str = "", post: str = "", **more: Any) -> None:
    """Let the member have hooks, and the session run."""
    hooks = {}
    if pre:
        hooks["preBackup"] = shell(pre)
    if post:
        hooks["postBackup"] = {**shell(post), **more}
    member = {**make.member("Deployment", "web"), "hooks": hooks}
    batch = make.batch(members=[member])
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(r.BACKUP_BATCHES, batch)
    application.cluster.put(r.BACKUP_SESSIONS, make.session())


def run(application) -> Any:
    duty = Duty("demo", "BackupBatch", "shop", WEB)
    assert Sidecar(application.cluster.port, application.tools, duty).step(0)
    return application.cluster.session()["targets"][0]


def test_the_sidecar_backs_up_between_the_hooks(application, make) -> None:
    frozen = application.data / "frozen"
    with_hooks(application, make, f"touch {frozen}", f"rm {frozen}")

    target = run(application)

    assert target["hosts"][0]["hooks"] == {"pre": "Succeeded", "post": "Succeeded"}
    assert target["stats"][0]["phase"] == "Succeeded"
    assert target["stats"][0]["snapshots"][0]["fileStats"]["totalFiles"] == 2  # it was frozen
    assert not frozen.exists()


def test_no_data_is_taken_after_a_failed_pre_hook_and_the_post_hook_runs(application, make) -> None:
    thawed = application.root / "thawed"
    with_hooks(application, make, "echo no quorum; exit 1", f"touch {thawed}")

    target = run(application)

    (stat,) = target["stats"]
    assert stat["phase"] == "Failed"
    assert "exit code 1. Response: no quorum" in stat["error"]
    assert "Warning" not in stat["error"]
    assert application.snapshots() == []
    assert target["hosts"][0]["hooks"] == {"pre": "Failed", "post": "Succeeded"}
    assert thawed.exists()


def test_a_failed_post_hook_fails_the_host_and_its_snapshot_stays(application, make) -> None:
    with_hooks(application, make, post="exit 7")

    target = run(application)

    (stat,) = target["stats"]
    assert stat["phase"] == "Failed"
    assert stat["error"].endswith(member_hooks.WARNING)
    assert stat["snapshots"][0]["path"] == "/data"
    assert target["hosts"][0]["hooks"] == {"post": "Failed"}


def test_a_hook_for_failures_does_not_run_after_a_success(application, make) -> None:
    called = application.root / "called"
    with_hooks(application, make, post=f"touch {called}", executionPolicy="OnFailure")

    assert run(application)["hosts"][0]["hooks"] == {"post": "Skipped"}
    assert not called.exists()


def test_a_hook_for_the_last_failure_waits_while_a_retry_is_left(application, make) -> None:
    assert member_hooks.pair(None).post is None
    with_hooks(application, make, post="true", executionPolicy="OnFinalRetryFailure")
    made = application.cluster.get(r.BACKUP_SESSIONS, "s")
    invoker = job.invoker_of(application.cluster.port, made)

    found = member_hooks.pair(invoker.members[0].hooks, retry_left=True)

    assert (found.policy, found.retry_left) == ("OnFinalRetryFailure", True)


def test_a_hook_runs_though_the_repository_is_missing(application, make) -> None:
    called = application.root / "called"
    with_hooks(application, make, post=f"touch {called}")
    application.cluster.port.delete(r.REPOSITORIES, "demo", "repo")

    assert run(application)["stats"][0]["error"] == "Repository demo/repo does not exist; create it"
    assert called.exists()


def test_the_backends_secret_is_not_in_what_a_hook_leaves(application, make) -> None:
    with_hooks(application, make, f"cat {application.tools.secret_dir}/RESTIC_PASSWORD; exit 1")

    error = run(application)["stats"][0]["error"]
    assert "Response: ***" in error


def test_the_data_step_of_a_job_does_the_hooks_in_its_own_pod(application, make) -> None:
    frozen = application.data / "frozen"
    with_hooks(application, make, f"touch {frozen}", f"rm {frozen}")
    step = job.Step("demo", "s", WEB, str(application.root / "output"))
    port, tools = application.cluster.port, application.tools
    assert job.back_up(port, tools, step, job.files(WEB, "/data", "")) == 0
    assert job.publish(port, tools, step) == 0

    target = application.cluster.session()["targets"][0]
    assert target["hosts"][0]["hooks"] == {"pre": "Succeeded", "post": "Succeeded"}
    assert target["stats"][0]["snapshots"][0]["fileStats"]["totalFiles"] == 2


# -- the executor of an AppBinding ----------------------------------------------------------------


def address(pod: str, kind: str = "Pod") -> dict[str, Any]:
    return {"ip": "10.0.0.1", "targetRef": {"kind": kind, "name": pod}}


def database(cluster, service: dict[str, Any] | None, *subsets: dict[str, Any]) -> executor.Behind:
    config = {"service": service} if service else {"url": "tcp(db:3306)/"}
    cluster.put(r.APP_BINDINGS, {"metadata": {"name": "db"}, "spec": {"clientConfig": config}})
    if subsets:
        cluster.put(r.ENDPOINTS, {"metadata": {"name": "db"}, "subsets": list(subsets)})
    where = member_hooks.of_job(cluster.port, "demo", "job-pod", DB)
    assert isinstance(where, executor.Behind)
    return where


SERVICE = {"scheme": "mysql", "name": "db", "port": 3306}
PORTS = [{"port": 3306}]


def pod(cluster, name: str) -> None:
    containers = [{"name": "mysql", "image": "i"}]
    cluster.put(r.PODS, {"metadata": {"name": name}, "spec": {"containers": containers}})


def test_a_pod_that_is_ready_comes_first(cluster) -> None:
    where = database(
        cluster,
        SERVICE,
        {"notReadyAddresses": [address("db-0")], "ports": PORTS},
        {"addresses": [address("node", "Node"), address("db-1")], "ports": PORTS},
    )
    assert where.find() == Place("demo", "db-1")


def test_a_pod_that_is_not_ready_will_do(cluster) -> None:
    where = database(cluster, SERVICE, {"notReadyAddresses": [address("db-0")], "ports": PORTS})
    assert where.find() == Place("demo", "db-0")


def test_the_post_hook_goes_to_the_pod_of_the_pre_hook_while_that_lives(cluster) -> None:
    where = database(cluster, SERVICE, {"addresses": [address("db-0")], "ports": PORTS})
    pod(cluster, "db-0")
    assert where.find().pod == "db-0"
    cluster.port.delete(r.ENDPOINTS, "demo", "db")
    ready = {"addresses": [address("db-1")], "ports": PORTS}
    cluster.put(r.ENDPOINTS, {"metadata": {"name": "db"}, "subsets": [ready]})

    assert where.find().pod == "db-0"

    cluster.port.delete(r.PODS, "demo", "db-0", grace_period_seconds=0)
    assert where.find().pod == "db-1"


@pytest.mark.parametrize(
    ("service", "subsets", "why"),
    [
        (None, (), "names no Service"),
        (SERVICE, (), "endpoints"),
        (SERVICE, ({"ports": PORTS},), "has no pod"),
    ],
)
def test_no_pod_is_told_in_stashs_words(cluster, service, subsets, why) -> None:
    where = database(cluster, service, *subsets)
    with pytest.raises(HookFailed, match="no pod found for AppBinding demo/db") as caught:
        where.find()
    assert why in str(caught.value)


def test_a_database_that_cannot_be_found_fails_the_host_not_the_job(application, make) -> None:
    hooks = {"preBackup": {"exec": {"command": ["true"]}}}
    ref = {"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding", "name": "db"}
    member = {"target": {"ref": ref}, "task": {"name": "mysql-backup"}, "hooks": hooks}
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(r.BACKUP_BATCHES, make.batch(members=[member]))
    made = make.session()
    made["status"]["targets"][0]["ref"] = ref
    application.cluster.put(r.BACKUP_SESSIONS, made)
    step = job.Step("demo", "s", DB, str(application.root / "output"), report=True)
    prepare = job.files(DB, "/data", "")

    assert job.back_up(application.cluster.port, application.tools, step, prepare) == 0

    (stat,) = application.cluster.session()["targets"][0]["stats"]
    assert "no pod found for AppBinding demo/db" in stat["error"]


def test_a_fault_of_the_api_server_is_a_failed_hook(application, make) -> None:
    class Down:
        def find(self) -> Place:
            raise TerminalError("endpoints is forbidden")

    runner = HookRunner(application.cluster.port, application.tools, Down())
    with pytest.raises(HookFailed, match="cannot be found: endpoints is forbidden"):
        runner.run(decode(Handler, shell("true")))
