"""``kubectl tandem`` against an embedded cluster of real processes and the real restic.

One cluster for all tests: an application with two pods that write files and a volume, backed up
once into a repository on a volume.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_SESSIONS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    REPOSITORIES,
    RESTORE_BATCHES,
    SECRETS,
    STATEFUL_SETS,
)
from reconciler.cli import local
from reconciler.cli.demo import application
from reconciler.cluster.port import Port
from reconciler.embedded.nodes import sandbox
from reconciler.engine.clock import SystemClock

CANARY = "canary-in-a-coal-mine"
LIMIT = 60.0
APPLICATION = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: store, namespace: shop}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: uploads, namespace: shop}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: web, namespace: shop}}
spec:
  serviceName: web
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: busybox
        command: [sh, -c, "[ -e /data/file ] || echo from $HOSTNAME > /data/file; sleep 3600"]
        volumeMounts: [{{name: data, mountPath: /data}}]
      volumes: [{{name: data, emptyDir: {{}}}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: backend, namespace: shop}}
stringData: {{RESTIC_PASSWORD: {CANARY}}}
---
apiVersion: stash.appscode.com/v1alpha1
kind: Repository
metadata: {{name: repo, namespace: shop}}
spec:
  backend:
    local: {{mountPath: /backups, persistentVolumeClaim: {{claimName: store}}}}
    storageSecretName: backend
---
apiVersion: stash.appscode.com/v1beta1
kind: BackupBatch
metadata: {{name: app, namespace: shop}}
spec:
  schedule: "0 3 1 1 *"
  backupHistoryLimit: 20
  repository: {{name: repo}}
  members:
  - target:
      ref: {{apiVersion: apps/v1, kind: StatefulSet, name: web}}
      paths: [/data]
      volumeMounts: [{{name: data, mountPath: /data}}]
  - target:
      ref: {{apiVersion: v1, kind: PersistentVolumeClaim, name: uploads}}
    task: {{name: pvc-backup}}
  retentionPolicy: {{name: keep, keepLast: 3, prune: true}}
"""

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None
    or shutil.which("restic") is None
    or sandbox.bubblewrap() is None,
    reason="kubectl, restic or bubblewrap is missing",
)


class Shop:
    """The cluster, and kubectl with the plugin in its PATH."""

    def __init__(self, port: Port, kubeconfig: Path, plugins: Path) -> None:
        self.port, self.kubeconfig = port, kubeconfig
        self.clock = SystemClock()
        self._plugins = plugins
        self.session: dict[str, Any] = {}

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """``kubectl tandem …`` in the namespace of the shop."""
        done = subprocess.run(
            ["kubectl", "tandem", *arguments, "-n", "shop"],
            env={
                **os.environ,
                "PATH": f"{self._plugins}:{os.environ['PATH']}",
                "KUBECONFIG": str(self.kubeconfig),
            },
            capture_output=True,
            text=True,
            timeout=LIMIT * 2,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        give_up = self.clock.monotonic() + LIMIT
        while not holds():
            assert self.clock.monotonic() < give_up, what
            self.clock.sleep(0.1)

    def ready(self) -> bool:
        web = self.port.get(STATEFUL_SETS, "shop", "web").get("status") or {}
        batch = self.port.get(BACKUP_BATCHES, "shop", "app").get("status") or {}
        return web.get("readyReplicas") == 2 and batch.get("phase") not in (None, "Pending")

    def data(self, pod: str, *command: str) -> str:
        done = self.port.exec("shop", pod, "web", command, timeout=LIMIT)
        assert done.exit_code == 0, done
        return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    plugins = tmp_path_factory.mktemp("plugins")
    plugin = plugins / "kubectl-tandem"
    plugin.write_text(f"#!{sys.executable}\nfrom reconciler.cli.main import plugin\nplugin()\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    data = tmp_path_factory.mktemp("cluster")
    with local.running(data, node="process", log_file="operator.log") as cluster:
        made = Shop(cluster.client(), cluster.kubeconfig, plugins)
        application.apply(made.port, list(yaml.safe_load_all(APPLICATION)))
        made.until(made.ready, "the application and its batch are ready")
        made.session = made.json("trigger", "app", "--wait")
        yield made


def no_errand_is_left(shop: Shop) -> bool:
    names = [job["metadata"]["name"] for job in shop.port.list(JOBS, "shop").items]
    return not any(name.startswith("tandem-") for name in names)


def test_the_plugin_goes_by_kubectls_name(shop: Shop) -> None:
    assert "Usage: kubectl tandem" in shop.run("status", "--help").stdout


def test_status_shows_what_was_backed_up(shop: Shop) -> None:
    text = shop.run("status", "app", "--plain").stdout
    assert "BackupBatch shop/app" in text
    assert "host sts-web-1  Succeeded" in text


def test_snapshots_are_asked_for_inside_the_cluster(shop: Shop) -> None:
    found = shop.json("snapshots", "app")
    assert found["repository"] == "repo"
    assert {each["host"] for each in found["snapshots"]} == {
        "sts-web-0",
        "sts-web-1",
        "pvc-uploads",
    }
    assert no_errand_is_left(shop)


def test_snapshots_are_chosen_by_host_and_path(shop: Shop) -> None:
    [one] = shop.json("snapshots", "repository/repo", "--host", "sts-web-1")["snapshots"]
    assert one["paths"] == ["/data"]
    by_path = shop.json("snapshots", "repo", "--path", "/data")["snapshots"]
    assert {each["host"] for each in by_path} == {"sts-web-0", "sts-web-1"}
    assert "no snapshot" in shop.run("snapshots", "app", "--tag", "none").stdout
    lines = shop.run("snapshots", "app").stdout.splitlines()
    assert lines[0].split() == ["ID", "TIME", "HOST", "PATHS", "SIZE", "TAGS"]
    assert len(lines) >= 4


def test_neither_batch_nor_repository_of_a_name_is_told(shop: Shop) -> None:
    said = shop.run("snapshots", "ap", code=1).stderr
    assert "did you mean app?" in said
    assert "nor is there a Repository" in said


def test_unlock_leaves_no_lock_and_no_job(shop: Shop) -> None:
    assert "has no lock" in shop.run("unlock", "app").stdout
    assert no_errand_is_left(shop)


def test_a_restore_is_printed_and_not_created_by_a_dry_run(shop: Shop) -> None:
    printed = yaml.safe_load(shop.run("restore", "app", "--dry-run").stdout)
    assert printed["kind"] == "RestoreBatch"
    assert [each["target"]["alias"] for each in printed["spec"]["members"]] == [
        "sts-web",
        "pvc-uploads",
    ]
    assert printed["spec"]["members"][1]["task"] == {"name": "pvc-restore"}
    names = [each["metadata"]["name"] for each in shop.port.list(RESTORE_BATCHES, "shop").items]
    assert printed["metadata"]["name"] not in names


def test_a_restore_brings_one_target_back_as_it_was_at_a_moment(shop: Shop) -> None:
    moment = max(each["time"] for each in shop.json("snapshots", "app")["snapshots"])
    shop.data("web-1", "sh", "-c", "echo broken > /data/file")

    made = shop.run(
        "restore", "app", "--at", moment, "--target", "sts/web", "--name", "back", "--wait"
    )

    assert "RestoreBatch back  Succeeded" in made.stdout
    shop.until(shop.ready, "the application runs again")
    assert shop.data("web-1", "cat", "/data/file") == "from web-1\n"
    assert "RestoreBatch back  Succeeded" in shop.run("status", "app").stdout


def test_a_moment_before_the_first_backup_restores_nothing(shop: Shop) -> None:
    said = shop.run("restore", "app", "--at", "2001-01-01T00:00:00Z", code=1).stderr
    assert "no snapshot until 2001-01-01T00:00:00Z; its first one is of 20" in said


def test_a_snapshot_is_restored_into_the_target_whose_it_is(shop: Shop) -> None:
    [one] = shop.json("snapshots", "app", "--host", "sts-web-0")["snapshots"]
    printed = shop.json("restore", "app", "--snapshot", one["id"][:8], "--dry-run")
    [member] = printed["spec"]["members"]
    assert member["target"]["ref"]["name"] == "web"
    assert member["target"]["rules"] == [{"targetHosts": ["sts-web-0"], "snapshots": [one["id"]]}]
    assert "no such snapshot" in shop.run("restore", "app", "--snapshot", "ffff", code=1).stderr


def test_wrong_words_of_a_restore_are_told(shop: Shop) -> None:
    assert "it has StatefulSet/web" in shop.run("restore", "app", "--target", "x", code=1).stderr
    assert "whose time?" in shop.run("restore", "app", "--at", "2026-01-01T00:00", code=1).stderr
    both = ("--at", "2026-01-01T00:00:00Z", "--snapshot", "abcd")
    shop.run("restore", "app", *both, code=2)


def test_logs_of_a_session_name_the_host_of_every_line(shop: Shop) -> None:
    text = shop.run("logs", "app", "--plain").stdout
    assert "PersistentVolumeClaim/uploads/pvc-uploads[pvc-backup-0] | " in text
    assert "StatefulSet/web/" in text or "maintenance[stash] | " in text


def test_logs_for_programs_are_a_line_of_json_each(shop: Shop) -> None:
    lines = shop.run("logs", "app", "-o", "json").stdout.splitlines()
    assert "pvc-backup-0" in {json.loads(line)["container"] for line in lines}


def test_followed_logs_end_with_their_session(shop: Shop) -> None:
    name = shop.json("trigger", "app")["name"]
    text = shop.run("logs", f"backupsession/{name}", "--follow").stdout
    assert "StatefulSet/web/sts-web-1[stash] | " in text
    phase = shop.port.get(BACKUP_SESSIONS, "shop", name)["status"]["phase"]
    assert phase == "Succeeded"


def test_a_repository_has_no_logs(shop: Shop) -> None:
    assert "sessions and restores" in shop.run("logs", "repository/repo", code=1).stderr


def test_an_object_is_explained_through_kubectl(shop: Shop) -> None:
    told = shop.json("explain", f"backupsession/{shop.session['name']}")
    assert told["phase"] == "Succeeded"
    assert told["pending"] == []


def test_a_bundle_holds_no_password(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    shop.run("debug", "--file", str(target))
    with tarfile.open(target) as archive:
        texts = [archive.extractfile(entry).read().decode() for entry in archive.getmembers()]
    assert any("starting restic" in text for text in texts)
    assert not any(CANARY in text for text in texts)


def test_what_restic_says_about_a_wrong_password_is_told_and_the_password_is_not(
    shop: Shop,
) -> None:
    meta = {"name": "wrong", "namespace": "shop"}
    secret = {"metadata": meta, "stringData": {"RESTIC_PASSWORD": f"not-{CANARY}"}}
    shop.port.create(SECRETS, secret)
    spec = shop.port.get(REPOSITORIES, "shop", "repo")["spec"]
    spec["backend"]["storageSecretName"] = "wrong"
    shop.port.create(REPOSITORIES, {"metadata": meta, "spec": spec})

    said = shop.run("snapshots", "repository/wrong", code=1).stderr
    assert "wrong password" in said
    assert CANARY not in said
    assert no_errand_is_left(shop)


def test_a_lock_of_the_living_is_named(shop: Shop) -> None:
    store = shop.port.get(PERSISTENT_VOLUME_CLAIMS, "shop", "store")["spec"]["volumeName"]
    folder = shop.kubeconfig.parent / "volumes" / store
    environment = {**os.environ, "RESTIC_PASSWORD": CANARY, "RESTIC_REPOSITORY": str(folder)}
    # a backup that reads what never comes holds its lock
    backup = subprocess.Popen(
        ["restic", "backup", "--stdin", "--no-cache", "--quiet"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        shop.until(lambda: any((folder / "locks").iterdir()), "restic holds a lock")
        assert f"process {backup.pid}" in shop.run("unlock", "app", code=1).stderr
    finally:
        backup.kill()
        backup.communicate()
