"""Restores as they are really run: processes, a kubeconfig, HTTP, signals, and the real restic."""

from __future__ import annotations

import json
import os
import select
import shutil
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

REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "uploads"}
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
WHOSE = ("--invoker-kind=RestoreBatch", "--invoker-name=back", "--secret-dir=/etc/sec")
WEB = (*WHOSE, "--target-kind=Deployment", "--target-name=web")
UPLOADS = (*WHOSE, "--target-kind=PersistentVolumeClaim", "--target-name=uploads")


def restore(**rule: Any) -> JsonObject:
    """A RestoreBatch of a Deployment and a claim."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    members = [
        {"target": {"ref": ref, "alias": alias, "volumeMounts": mounts,
                    "rules": [rule or {"snapshots": ["latest"]}]}}
        for ref, alias in ((REF, "app"), (CLAIM, "files"))
    ]  # fmt: skip
    return {
        "apiVersion": r.RESTORE_BATCHES.api_version,
        "kind": "RestoreBatch",
        "metadata": {"name": "back", "namespace": "demo"},
        "spec": {"repository": {"name": "repo"}, "members": members},
    }


STATUS: JsonObject = {
    "phase": "Running",
    "members": [
        {"ref": ref, "totalHosts": 1, "phase": "Scheduled", "hosts": [{"hostname": host}]}
        for ref, host in ((REF, "app"), (CLAIM, "files"))
    ],
}


@attrs.frozen
class Site:
    """A cluster over HTTP, a folder for a pod, and how to start the agent there."""

    root: Path
    port: Client

    def start(self, *arguments: str, path: Path | None = None, **more: str) -> Any:
        folders = {"/repo": "repository", "/data": "data", "/etc/sec": "secret", "/tmp": "tmp"}
        table = {mount: str(self.root / folder) for mount, folder in folders.items()}
        environ = {
            **os.environ,
            "KUBECONFIG": str(self.root / "kubeconfig"),
            "KUBE_NAMESPACE": "demo",
            "POD_NAME": "web-abc",
            "POD_UID": "pod-1",
            "TANDEM_ROOT_MAP": json.dumps(table),
            **more,
        }
        if path is not None:
            environ["PATH"] = f"{path}:{environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler.agent.main", *arguments],
            env=environ, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *arguments: str, **more: Any) -> int:
        process = self.start(*arguments, **more)
        _, said = process.communicate()
        print(said)
        return int(process.returncode)

    def restic(self, *arguments: str) -> None:
        environ = {
            **os.environ,
            "RESTIC_PASSWORD": "pw-of-the-test",
            "RESTIC_REPOSITORY": str(self.root / "repository"),
        }
        subprocess.run(["restic", "-q", *arguments], env=environ, check=True, capture_output=True)

    def begin(self, obj: JsonObject | None = None) -> None:
        self.port.create(r.RESTORE_BATCHES, obj or restore())
        self.port.update_status(r.RESTORE_BATCHES, "demo", "back", lambda _: STATUS)

    def member(self, index: int = 0) -> JsonObject:
        return dict(self.port.get(r.RESTORE_BATCHES, "demo", "back")["status"]["members"][index])

    def until(self, what: Callable[[JsonObject], Any]) -> JsonObject:
        """The first member once ``what`` of it is true; the watch says when."""
        listing = self.port.list(r.RESTORE_BATCHES, "demo")
        stream = self.port.watch(
            r.RESTORE_BATCHES, "demo", resource_version=listing.resource_version
        )
        found = listing.items[0]
        while not what(found["status"]["members"][0]):
            event = stream.next(60)
            assert event is not None, "nothing happened for a minute"
            found = event.object
        stream.close()
        return dict(found["status"]["members"][0])

    @property
    def page(self) -> Path:
        return self.root / "data" / "page"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """With backups of two hosts, whose data are lost."""
    server = Server(SystemClock(seed=1))
    http = HttpServer(server)
    http.start()
    port = Client(server)
    for definition in crds.crds():
        port.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition)
    port.create(r.NAMESPACES, {"metadata": {"name": "demo"}})
    port.create(r.REPOSITORIES, REPOSITORY)
    http.write_kubeconfig(tmp_path / "kubeconfig")
    for name in ("data", "secret", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "RESTIC_PASSWORD").write_text("pw-of-the-test")
    found = Site(tmp_path, port)
    found.restic("init")
    for host in ("app", "files"):
        found.page.write_text(f"hello of {host}")
        found.restic("backup", str(tmp_path / "data"), "--host", host)
    found.page.unlink()
    yield found
    http.stop()


def test_an_init_container_restores_and_lets_the_application_start(site: Site) -> None:
    site.begin()
    assert site.run("restore", *WEB, "--metrics-enabled=true", "--backoff-max-wait=0") == 0
    assert site.page.read_text() == "hello of app"
    assert site.member()["stats"][0]["phase"] == "Succeeded"
    site.page.write_text("the application has begun")
    assert site.run("restore", *WEB) == 0
    assert site.page.read_text() == "the application has begun"


def test_the_steps_of_a_claims_job_restore_and_report(site: Site) -> None:
    site.begin()
    output = f"--output-dir={site.root / 'output'}"
    assert site.run("restore-pvc", *UPLOADS, output, "--hostname=files", "--snapshots=latest") == 0
    assert site.page.read_text() == "hello of files"
    assert site.member(1).get("stats") is None
    assert site.run("update-status", *UPLOADS, output, "--namespace=demo", "--backupsession=") == 0
    assert site.member(1)["stats"][0]["phase"] == "Succeeded"
    assert site.member(0).get("stats") is None


def test_a_job_of_one_step_restores_the_data_of_another_host(site: Site) -> None:
    site.begin(restore(sourceHost="app", paths=["/data"]))
    assert site.run("restore", *UPLOADS, "--restore-model=job") == 0
    assert site.page.read_text() == "hello of app"
    assert site.member(1)["stats"][0] == {
        **site.member(1)["stats"][0], "hostname": "files", "phase": "Succeeded"
    }  # fmt: skip


def test_a_wrong_password_fails_the_host_and_keeps_the_application_down(site: Site) -> None:
    (site.root / "secret" / "RESTIC_PASSWORD").write_text("wrong-canary")
    site.begin()
    waiting = site.start("restore", *WEB)
    stat = site.until(lambda t: t.get("stats"))["stats"][0]
    assert stat["phase"] == "Failed"
    assert "correct Secret demo/backend, key RESTIC_PASSWORD" in stat["error"]
    said = ""
    while "the application is not started" not in said:
        assert select.select([waiting.stderr], [], [], 60)[0], said
        said += os.read(waiting.stderr.fileno(), 65536).decode()
    assert waiting.poll() is None
    site.port.delete(r.RESTORE_BATCHES, "demo", "back")
    _, more = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, more
    assert "wrong-canary" not in said + more


@attrs.frozen
class SlowRestic:
    """A restic that restores a half and does not end; it says its process id."""

    folder: Path
    said: int

    def pid(self) -> int:
        ready, _, _ = select.select([self.said], [], [], 60)
        assert ready, "restic was not started within a minute"
        return int(os.read(self.said, 100))


@pytest.fixture
def slow_restic(tmp_path: Path) -> Iterator[SlowRestic]:
    folder = tmp_path / "bin"
    folder.mkdir()
    os.mkfifo(tmp_path / "pid")
    script = folder / "restic"
    real = shutil.which("restic")
    script.write_text(
        f'#!/bin/sh\nif [ "$1" != restore ]; then exec {real} "$@"; fi\n'
        f"echo half >{tmp_path}/data/page\necho $$ >{tmp_path}/pid\nexec sleep 1000\n"
    )
    script.chmod(0o755)
    said = os.open(tmp_path / "pid", os.O_RDWR)
    yield SlowRestic(folder, said)
    os.close(said)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_ended_in_the_middle_is_restored_whole_by_the_next_pod(
    site: Site, slow_restic: SlowRestic, by: signal.Signals
) -> None:
    site.begin()
    first = site.start("restore", *WEB, path=slow_restic.folder)
    orphan = slow_restic.pid()
    first.send_signal(by)
    if by is signal.SIGKILL:
        os.kill(orphan, signal.SIGKILL)  # as the end of its container would
    first.communicate()
    assert first.returncode != 0  # the application does not start on a half
    assert site.page.read_text() == "half\n"
    assert site.member().get("stats") is None
    assert site.member()["hosts"][0]["runner"] == "web-abc"
    assert site.run("restore", *WEB, POD_NAME="web-def", POD_UID="pod-2") == 0
    assert site.page.read_text() == "hello of app"
    host = site.member()["hosts"][0]
    assert (host["runner"], host["earlierRunners"]) == ("web-def", ["web-abc"])


def test_the_lock_of_a_dead_maintenance_is_removed_and_the_restore_goes_on(
    site: Site, tmp_path: Path
) -> None:
    """restic refuses, for an exclusive lock, until both kinds of removal have been tried."""
    site.begin()
    folder = tmp_path / "bin"
    folder.mkdir()
    lock = {"hostname": "stash-maintain-repo-0a1b2c3d-x", "pid": 1, "exclusive": True,
            "time": "2026-03-01T03:00:00Z", "username": "root"}  # fmt: skip
    real = shutil.which("restic")
    (folder / "restic").write_text(
        f"""#!/bin/sh
free={tmp_path}/free
case "$1 $2" in
"unlock --remove-all"*) touch $free; exit 0;;
"list locks") [ -e $free ] || echo abc; exit 0;;
"cat lock") echo '{json.dumps(lock)}'; exit 0;;
"restore "*) [ -e $free ] || {{ echo "Fatal: repository is already locked" >&2; exit 1; }};;
esac
exec {real} "$@"
"""
    )
    (folder / "restic").chmod(0o755)
    assert site.run("restore", *WEB, path=folder) == 0
    assert site.page.read_text() == "hello of app"
    assert (tmp_path / "free").exists()


def test_a_kind_that_restores_nothing_is_refused_by_name(site: Site) -> None:
    process = site.start("restore", "--invoker-kind=BackupBatch", *WEB[1:])
    _, said = process.communicate()
    assert process.returncode != 0
    assert "--invoker-kind must be RestoreBatch or RestoreSession, found 'BackupBatch'" in said
