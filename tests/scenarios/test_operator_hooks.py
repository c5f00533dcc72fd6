"""Hooks on a whole cluster: operator, real agents and restic as processes, exec, and HTTP.

The batches are those of Stash's own end-to-end tests (release candidate 6), by their names. A
database that can be made read-only stands for MySQL: a container with a file.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cli import local, operating
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes import sandbox
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound

pytestmark = pytest.mark.skipif(
    sandbox.bubblewrap() is None, reason="bubblewrap cannot make sandboxes here"
)
LIMIT = 90.0
IMAGE = Settings().image
NAMESPACE = "shop"
FREEZE = {
    "exec": {"command": ["touch", "/state/read-only"]},
    "containerName": "mysql",
}
THAW = {
    "exec": {"command": ["rm", "/state/read-only"]},
    "containerName": "mysql",
}
IN_OPERATOR = "operator"


def in_operator(script: str) -> JsonObject:
    """A hook of the batch as Stash's manifests write it."""
    return {"exec": {"command": ["sh", "-c", script]}, "containerName": IN_OPERATOR}


class Receiver:
    """Takes the requests of hooks, and remembers them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        receiver = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.seen.append(f"{self.command} {self.path}")
                self.send_response(200)
                self.end_headers()

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def get(self, path: str) -> JsonObject:
        return {"httpGet": self._action(path)}

    def post(self, path: str) -> JsonObject:
        return {"httpPost": {**self._action(path), "body": '{"from": "tandem"}'}}

    def _action(self, path: str) -> JsonObject:
        port = self._server.server_port
        return {"host": "127.0.0.1", "port": port, "path": path, "scheme": "HTTP"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@attrs.define
class Shop:
    """A running cluster with a repository, two StatefulSets and a database."""

    cluster: EmbeddedCluster
    client: Client
    clock: SystemClock

    def create(self, resource: r.Resource, name: str, **fields: Any) -> JsonObject:
        meta = {"name": name, "namespace": NAMESPACE, **fields.pop("metadata", {})}
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        return self.client.create(resource, {**kind, "metadata": meta, **fields})

    def wait(self, holds: Callable[[], Any], what: str) -> Any:
        """What it answers, as soon as that is true."""
        end = self.clock.monotonic() + LIMIT
        pause = threading.Condition()
        with pause:
            while self.clock.monotonic() < end:
                with contextlib.suppress(NotFound):
                    if found := holds():
                        return found
                self.clock.wait(pause, 0.05)
        status = self.client.get(r.BACKUP_SESSIONS, NAMESPACE, "instant").get("status")
        raise AssertionError(f"in {LIMIT} s it did not come about that {what}: {status}")

    def batch(self, *members: JsonObject, **spec: Any) -> None:
        self.create(
            r.BACKUP_BATCHES,
            "batch",
            spec={
                "schedule": "59 * * * *",
                "repository": {"name": "repo"},
                "retentionPolicy": {"name": "keep", "keepLast": 5, "prune": True},
                "members": list(members),
                **spec,
            },
        )

    def instant(self, name: str = "instant") -> None:
        """An instant backup: a session made by hand."""
        self.wait(self._injected, "the workloads have their sidecars")
        self.create(
            r.BACKUP_SESSIONS,
            name,
            spec={"invoker": {"apiGroup": r.STASH, "kind": "BackupBatch", "name": "batch"}},
        )

    def _injected(self) -> bool:
        batch = self.client.get(r.BACKUP_BATCHES, NAMESPACE, "batch")
        return (batch.get("status") or {}).get("phase") in ("Scheduled", "Succeeded", "Failed")

    def status(self, name: str = "instant") -> JsonObject:
        found: JsonObject = self.client.get(r.BACKUP_SESSIONS, NAMESPACE, name).get("status") or {}
        return found

    def ended(self, name: str = "instant") -> JsonObject:
        final = ("Succeeded", "Failed", "Skipped")
        self.wait(lambda: self.status(name).get("phase") in final, "the session is final")
        return self.status(name)

    def condition(self, type_: str) -> JsonObject | None:
        found = self.status().get("conditions") or ()
        return next((item for item in found if item["type"] == type_), None)

    def is_read_only(self) -> bool:
        return self.database("test -e /state/read-only") == 0

    def database(self, script: str) -> int:
        command = ("sh", "-c", script)
        return self.client.exec(NAMESPACE, "db", "mysql", command, timeout=30).exit_code

    def snapshots(self) -> list[str]:
        """The repository's snapshots, as files of the backend."""
        found = self.cluster.data_dir.rglob("snapshots/**/*")
        return sorted({file.name for file in found if len(file.name) == 64})


def member(name: str, kind: str = "StatefulSet", **more: Any) -> JsonObject:
    target: JsonObject = {
        "ref": {"apiVersion": "apps/v1", "kind": kind, "name": name},
        "alias": name,
        "paths": ["/data"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    target.update(more.pop("target", {}))
    return {"target": target, **more}


def database(**hooks: JsonObject) -> JsonObject:
    ref = {"apiVersion": r.APP_BINDINGS.api_version, "kind": "AppBinding", "name": "db"}
    mounts = [{"name": "unused", "mountPath": "/state"}]  # where the Task mounts its volume
    target = {"ref": ref, "alias": "db", "paths": ["/state"], "volumeMounts": mounts}
    return {"target": target, "task": {"name": "files-of-database"}, "hooks": hooks}


def build(shop: Shop) -> None:
    client = shop.client
    client.create(r.NAMESPACES, {"metadata": {"name": NAMESPACE}})
    shop.create(r.SECRETS, "backend", stringData={"RESTIC_PASSWORD": "hunter2hunter2"})
    for name in ("backups", "state"):
        size = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteMany"], "resources": size}
        shop.create(r.PERSISTENT_VOLUME_CLAIMS, name, spec=spec)
    local_backend = {"mountPath": "/backups", "persistentVolumeClaim": {"claimName": "backups"}}
    shop.create(
        r.REPOSITORIES,
        "repo",
        spec={"backend": {"storageSecretName": "backend", "local": local_backend}},
    )
    for name in ("front", "back"):
        shop.create(r.STATEFUL_SETS, name, spec=stateful_set(name))
    shop.create(r.PODS, "db", metadata={"labels": {"app": "db"}}, spec=database_pod())
    selector = {"selector": {"app": "db"}, "ports": [{"port": 3306}], "clusterIP": "None"}
    shop.create(r.SERVICES, "db", spec=selector)
    service = {"scheme": "mysql", "name": "db", "port": 3306}
    shop.create(r.APP_BINDINGS, "db", spec={"clientConfig": {"service": service}})
    install_task(shop)


def stateful_set(name: str) -> JsonObject:
    container = {
        "name": "app",
        "image": "busybox",
        "command": ["sh", "-c", "echo hello > /data/page; trap 'exit 0' TERM; sleep 1000 & wait"],
        "env": [{"name": "EXIT_CODE_SUCCESS", "value": "0"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return {
        "replicas": 1,
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
    }


def database_pod() -> JsonObject:
    container = {
        "name": "mysql",
        "image": "busybox",
        "command": ["sh", "-c", "echo rows > /state/rows; trap 'exit 0' TERM; sleep 1000 & wait"],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }
    volumes = [{"name": "state", "persistentVolumeClaim": {"claimName": "state"}}]
    return {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}


def install_task(shop: Shop) -> None:
    """A Task that backs up the database's files: the agent as it is, without a dump."""
    builtin = shop.client.get(r.FUNCTIONS, "", "pvc-backup")["spec"]
    meta = {"name": "files-of-database"}
    shop.client.create(r.FUNCTIONS, {"metadata": meta, "spec": builtin})
    task = shop.client.get(r.TASKS, "", "pvc-backup")["spec"]
    first, *rest = task["steps"]
    volumes = [
        {**each, "persistentVolumeClaim": {"claimName": "state"}}
        if "persistentVolumeClaim" in each
        else each
        for each in task["volumes"]
    ]
    steps = [{**first, "name": "files-of-database"}, *rest]
    shop.client.create(r.TASKS, {"metadata": meta, "spec": {"steps": steps, "volumes": volumes}})


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with local.running(tmp_path / "data", node="process", log_file="operator.log") as cluster:
        found = Shop(cluster, cluster.client(), SystemClock())
        build(found)
        yield found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


# -- Stash's batches ------------------------------------------------------------------------------


def test_pre_backup_hooks_over_http(shop: Shop, receiver: Receiver) -> None:
    """Case 4: two StatefulSets with httpGet and httpPost, and a global httpGet."""
    shop.batch(
        member("front", hooks={"preBackup": receiver.get("/front")}),
        member("back", hooks={"preBackup": receiver.post("/back")}),
        hooks={"preBackup": receiver.get("/all")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert receiver.seen[0] == "GET /all"
    assert sorted(receiver.seen[1:]) == ["GET /front", "POST /back"]
    assert shop.condition("GlobalPreBackupHookSucceeded")["message"] == (  # type: ignore[index]
        "Global PreBackup hook has been executed successfully"
    )


def test_pre_backup_hooks_by_commands(shop: Shop) -> None:
    """Case 5: a StatefulSet's own variable, a database made read-only, and a global command."""
    succeed = {"exec": {"command": ["sh", "-c", "exit $EXIT_CODE_SUCCESS"]}}
    shop.batch(
        member("front", hooks={"preBackup": {**succeed, "containerName": "app"}}),
        database(preBackup=FREEZE),
        hooks={"preBackup": in_operator("exit 0")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert shop.is_read_only()


def test_a_global_pre_backup_hook_that_fails(shop: Shop) -> None:
    """Case 6: the session fails, no member hook has run, and nothing is in the backend."""
    shop.batch(
        member("front"),
        database(preBackup=FREEZE),
        hooks={"preBackup": in_operator("exit 1")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Failed"
    assert {entry["reason"] for entry in status["targets"]} == {"GlobalPreBackupHookFailed"}
    found = shop.condition("GlobalPreBackupHookSucceeded")
    assert found is not None
    assert found["reason"] == "GlobalPreBackupHookExecutionFailed"
    assert 'failed to execute "exec" probe' in found["message"]
    assert not shop.is_read_only()
    assert shop.snapshots() == []


def test_post_backup_hooks_over_http(shop: Shop, receiver: Receiver) -> None:
    """Case 7: two StatefulSets with httpGet and httpPost, and a global httpGet."""
    shop.batch(
        member("front", hooks={"postBackup": receiver.get("/front")}),
        member("back", hooks={"postBackup": receiver.post("/back")}),
        hooks={"postBackup": receiver.get("/all")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert sorted(receiver.seen[:2]) == ["GET /front", "POST /back"]
    assert receiver.seen[2:] == ["GET /all"]


def test_post_backup_hooks_by_commands(shop: Shop) -> None:
    """Case 8: the database is read-only while it is backed up, and writable again after it."""
    shop.batch(
        database(preBackup=FREEZE, postBackup=THAW),
        hooks={"postBackup": in_operator("exit 0")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    (target,) = status["targets"]
    assert target["hosts"][0]["hooks"] == {"pre": "Succeeded", "post": "Succeeded"}
    assert target["stats"][0]["snapshots"][0]["fileStats"]["totalFiles"] == 2  # it was frozen
    assert not shop.is_read_only()


def test_a_global_post_backup_hook_that_fails(shop: Shop) -> None:
    """Case 9: the session fails though every target succeeded, and the data is there."""
    shop.batch(
        database(preBackup=FREEZE),
        hooks={"postBackup": in_operator("exit 1")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Failed"
    assert [entry["phase"] for entry in status["targets"]] == ["Succeeded"]
    assert len(shop.snapshots()) == 1
    assert shop.is_read_only()
    found = shop.condition("GlobalPostBackupHookSucceeded")
    assert found is not None
    assert found["reason"] == "GlobalPostBackupHookExecutionFailed"


def test_a_member_fails_and_so_does_the_global_post_backup_hook(shop: Shop) -> None:
    """Case 10: the global post hook runs although a member failed, and its failure is told."""
    shop.batch(
        member("front", target={"paths": ["/data/invalid/path"]}),
        hooks={"postBackup": in_operator("exit 1")},
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Failed"
    assert status["targets"][0]["phase"] == "Failed"
    found = shop.condition("GlobalPostBackupHookSucceeded")
    assert found is not None
    assert 'failed to execute "exec" probe' in found["message"]


# -- what goes wrong in between -------------------------------------------------------------------


def test_a_runner_that_dies_frozen_is_thawed_by_another(shop: Shop) -> None:
    """The sidecar's pod dies between its hooks: a Job runs the post hook in the next pod."""
    marker = "/data/frozen"
    # the agent hangs after its pre hook, so that its pod is killed before it can say a word
    pre = {"exec": {"command": ["sh", "-c", f"touch {marker}; kill -STOP $PPID; sleep 600"]}}
    post = {"exec": {"command": ["rm", marker]}, "containerName": "app"}
    shop.create(r.PERSISTENT_VOLUME_CLAIMS, "kept", spec=claim())
    keep(shop, "front")
    hooks = {"preBackup": {**pre, "containerName": "stash"}, "postBackup": post}
    shop.batch(member("front", hooks=hooks))
    shop.instant()
    shop.wait(lambda: exists(shop, marker), "the workload is frozen")

    shop.client.delete(r.PODS, NAMESPACE, "front-0", grace_period_seconds=0)

    status = shop.ended()
    assert status["phase"] == "Failed"
    (target,) = status["targets"]
    assert "RunnerDied" in target["stats"][0]["error"]
    assert target["hosts"][0]["hooks"] == {"post": "Succeeded"}
    assert not exists(shop, marker)
    assert shop.condition("PostBackupHookExecuted") is None


def claim() -> JsonObject:
    return {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}


def keep(shop: Shop, name: str) -> None:
    """Give the workload a volume that outlives its pods."""
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "kept"}}]
    patch = {"spec": {"template": {"spec": {"volumes": volumes}}}}
    shop.client.patch(
        r.STATEFUL_SETS,
        NAMESPACE,
        name,
        patch,
        content_type="application/merge-patch+json",
    )

    def kept() -> bool:
        pod = shop.client.get(r.PODS, NAMESPACE, f"{name}-0")
        mounted = any("persistentVolumeClaim" in each for each in pod["spec"]["volumes"])
        return mounted and (pod.get("status") or {}).get("phase") == "Running"

    shop.wait(kept, "the pod has the volume")


def exists(shop: Shop, path: str) -> bool:
    command = ("test", "-e", path)
    return shop.client.exec(NAMESPACE, "front-0", "app", command, timeout=30).exit_code == 0


def test_two_operators_at_once_run_each_hook_of_a_batch_once(
    shop: Shop, receiver: Receiver
) -> None:
    """The name of a hook's Job is a lock, whoever looks after the session."""
    hooks = {"preBackup": receiver.get("/pre"), "postBackup": receiver.get("/post")}
    pre = {"exec": {"command": ["sh", "-c", "sleep 3"]}, "containerName": "app"}
    shop.batch(member("front", hooks={"preBackup": pre}), hooks=hooks)
    shop.instant()
    shop.wait(lambda: "GET /pre" in receiver.seen, "the pre hook has run")

    with second_operator(shop):
        assert shop.ended()["phase"] == "Succeeded"

    assert receiver.seen == ["GET /pre", "GET /post"]


@contextlib.contextmanager
def second_operator(shop: Shop) -> Iterator[None]:
    """One more that does the same at the same time: what a crash and a stale leader leave."""
    loop = operating.build(shop.client, shop.clock, shop.cluster.settings, workers=2)
    loop.start()
    try:
        yield
    finally:
        loop.stop()


def test_a_hook_that_hangs_ends_with_the_deadline(shop: Shop, receiver: Receiver) -> None:
    hang = {"exec": {"command": ["sh", "-c", "sleep 600"]}, "containerName": "app"}
    shop.batch(
        member("front", hooks={"preBackup": hang, "postBackup": receiver.get("/thaw")}),
        timeOut="15s",
    )
    shop.instant()

    status = shop.ended()
    assert status["phase"] == "Failed"
    (target,) = status["targets"]
    assert "had not ended after" in target["stats"][0]["error"]
    assert target["hosts"][0]["hooks"] == {"pre": "Failed", "post": "Succeeded"}
    assert receiver.seen == ["GET /thaw"]
