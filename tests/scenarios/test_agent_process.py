"""The agent as it is really run: a process, a kubeconfig, HTTP, and signals."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.api import crds
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cluster.client import Client
from reconciler.embedded.http import HttpServer
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock

LABELS = {
    "stash.appscode.com/invoker-type": "BackupBatch",
    "stash.appscode.com/invoker-name": "shop",
}
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
BATCH: JsonObject = {
    "apiVersion": r.BACKUP_BATCHES.api_version,
    "kind": "BackupBatch",
    "metadata": {"name": "shop", "namespace": "demo"},
    "spec": {
        "schedule": "0 3 * * *",
        "repository": {"name": "repo"},
        "retentionPolicy": {"name": "p", "keepLast": 2, "prune": True},
        "members": [{"target": {"ref": REF, "paths": ["/data"]}}],
    },
}
REPOSITORY: JsonObject = {
    "apiVersion": r.REPOSITORIES.api_version,
    "kind": "Repository",
    "metadata": {"name": "repo", "namespace": "demo"},
    "spec": {
        "backend": {
            "storageSecretName": "backend",
            "local": {"mountPath": "/repo", "hostPath": {"path": "/x"}},
        }
    },
}
SESSION: JsonObject = {
    "apiVersion": r.BACKUP_SESSIONS.api_version,
    "kind": "BackupSession",
    "metadata": {"name": "s", "namespace": "demo", "labels": LABELS},
    "spec": {"invoker": {"apiGroup": r.STASH, "kind": "BackupBatch", "name": "shop"}},
}
STATUS: JsonObject = {
    "phase": "Running",
    "targets": [
        {"ref": REF, "totalHosts": 1, "phase": "Scheduled", "hosts": [{"hostname": "host-0"}]}
    ],
}


@attrs.frozen
class Site:
    """A cluster over HTTP, a folder for a pod, and how to start the agent there."""

    root: Path
    port: Client

    def agent(self, *arguments: str, path: Path | None = None) -> subprocess.Popen[str]:
        folders = {"/repo": "repository", "/data": "data", "/etc/sec": "secret", "/tmp": "tmp"}
        table = {mount: str(self.root / folder) for mount, folder in folders.items()}
        environ = {
            **os.environ,
            "KUBECONFIG": str(self.root / "kubeconfig"),
            "KUBE_NAMESPACE": "demo",
            "POD_NAME": "web-abc",
            "POD_UID": "pod-1",
            "TANDEM_ROOT_MAP": json.dumps(table),
        }
        if path is not None:
            environ["PATH"] = f"{path}:{environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler.agent.main", *arguments],
            env=environ, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def sidecar(self, path: Path | None = None) -> subprocess.Popen[str]:
        return self.agent(
            *("run-backup", "--invoker-name=shop", "--invoker-kind=BackupBatch"),
            *("--target-name=web", "--target-kind=Deployment", "--secret-dir=/etc/sec"),
            path=path,
        )

    def until(self, what: Callable[[JsonObject], Any]) -> JsonObject:
        """The target's status once ``what`` of it is true; the watch says when."""
        listing = self.port.list(r.BACKUP_SESSIONS, "demo")
        stream = self.port.watch(
            r.BACKUP_SESSIONS, "demo", resource_version=listing.resource_version
        )
        found = listing.items[0]
        while not what(found["status"]["targets"][0]):
            event = stream.next(60)
            assert event is not None, "nothing happened for a minute"
            if event.type == "MODIFIED":
                found = event.object
        stream.close()
        return dict(found["status"]["targets"][0])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = Server(SystemClock(seed=1))
    http = HttpServer(server)
    http.start()
    port = Client(server)
    for definition in crds.crds():
        port.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition)
    port.create(r.NAMESPACES, {"metadata": {"name": "demo"}})
    port.create(r.BACKUP_BATCHES, BATCH)
    port.create(r.REPOSITORIES, REPOSITORY)
    http.write_kubeconfig(tmp_path / "kubeconfig")
    for name in ("data", "secret", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "RESTIC_PASSWORD").write_text("pw-of-the-test")
    (tmp_path / "data" / "page").write_text("hello")
    yield Site(tmp_path, port)
    http.stop()


def start_session(site: Site) -> None:
    site.port.create(r.BACKUP_SESSIONS, SESSION)
    site.port.update_status(r.BACKUP_SESSIONS, "demo", "s", lambda _: STATUS)


def init(site: Site) -> None:
    agent = site.agent("init-repository", "--repository=repo", "--secret-dir=/etc/sec")
    _, said = agent.communicate()
    assert agent.returncode == 0, said


def test_the_whole_life_of_a_repository_and_a_session(site: Site) -> None:
    init(site)
    sidecar = site.sidecar()
    start_session(site)
    target = site.until(lambda t: t.get("stats"))
    assert target["stats"][0]["phase"] == "Succeeded", target
    assert target["stats"][0]["snapshots"][0]["path"] == "/data"
    maintain = site.agent(
        "maintain", "--repository=repo", "--backupsession=s", "--secret-dir=/etc/sec"
    )
    _, said = maintain.communicate()
    assert maintain.returncode == 0, said
    status = site.port.get(r.REPOSITORIES, "demo", "repo")["status"]
    assert (status["integrity"], status["snapshotCount"]) == (True, 1)
    sidecar.send_signal(signal.SIGTERM)
    _, said = sidecar.communicate()
    assert sidecar.returncode == 0, said


@attrs.frozen
class SlowRestic:
    """A restic whose calls do not end by themselves, and which says its process id."""

    folder: Path
    said: int

    def pid(self) -> int:
        """Of the one that has started."""
        ready, _, _ = select.select([self.said], [], [], 60)
        assert ready, "restic was not started within a minute"
        return int(os.read(self.said, 100))


@pytest.fixture
def slow_restic(tmp_path: Path) -> Iterator[SlowRestic]:
    folder = tmp_path / "bin"
    folder.mkdir()
    os.mkfifo(tmp_path / "pid")
    script = folder / "restic"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    script.chmod(0o755)
    said = os.open(tmp_path / "pid", os.O_RDWR)
    yield SlowRestic(folder, said)
    os.close(said)


def test_sigterm_ends_the_backup_and_the_session_learns_why(
    site: Site, slow_restic: SlowRestic
) -> None:
    sidecar = site.sidecar(slow_restic.folder)
    start_session(site)
    pid = slow_restic.pid()
    sidecar.send_signal(signal.SIGTERM)
    target = site.until(lambda t: t.get("stats"))
    assert target["stats"][0]["phase"] == "Failed"
    assert "its pod is being stopped" in target["stats"][0]["error"]
    sidecar.communicate()
    assert sidecar.returncode == 0
    assert is_gone(pid)


def test_a_killed_sidecar_takes_its_own_claim_over_when_it_is_restarted(
    site: Site, slow_restic: SlowRestic
) -> None:
    init(site)
    sidecar = site.sidecar(slow_restic.folder)
    start_session(site)
    orphan = slow_restic.pid()
    sidecar.kill()
    os.kill(orphan, signal.SIGKILL)  # as the end of its container would
    sidecar.communicate()
    assert site.until(lambda t: t["hosts"][0].get("runner") == "web-abc")
    again = site.sidecar()
    target = site.until(lambda t: t.get("stats"))
    assert target["stats"][0]["phase"] == "Succeeded"
    again.terminate()
    again.communicate()
    assert again.returncode == 0


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
