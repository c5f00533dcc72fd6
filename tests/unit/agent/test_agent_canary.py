"""A canary in every secret: whatever happens, nothing that is written or started shows it."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess

import pytest

from reconciler.agent import database, drivers, init_container, job, maintenance
from reconciler.agent.session import Duty, Sidecar
from reconciler.agent.turn import Target
from reconciler.api import resources as r

CANARY = "canary-7f3a"
DATABASE_CANARY = "canary-db-91c2"


@pytest.fixture
def written(application, monkeypatch, caplog):
    """Everything that was written or started, as one text; the environment is the one exception."""
    caplog.set_level(logging.DEBUG)
    argvs: list[str] = []
    real = subprocess.Popen.__init__

    def record(self, args, **more):
        argvs.append(json.dumps(list(args)))
        real(self, args, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", record)

    def everything() -> str:
        port = application.cluster.port
        stored = [
            port.list(resource, "demo").items
            for resource in (r.EVENTS, r.BACKUP_SESSIONS, r.RESTORE_SESSIONS, r.REPOSITORIES)
        ]
        assert argvs, "nothing was started, so nothing is proven"
        files = [
            file.read_text(errors="replace")
            for folder in ("output", "scratch")
            for file in (application.root / folder).rglob("*")
            if file.is_file()
        ]
        return "\n".join([json.dumps(stored), caplog.text, *argvs, *files])

    return everything


def leaked(text: str) -> list[str]:
    return [word for word in (CANARY, DATABASE_CANARY) if word in text]


def sidecar(application) -> None:
    duty = Duty("demo", "BackupBatch", "shop", Target("Deployment", "web"))
    assert Sidecar(application.cluster.port, application.tools, duty).step(0)


def use_password(application, word: str) -> None:
    (application.root / "secret" / "RESTIC_PASSWORD").write_text(word)


def make_anew(application) -> None:
    """A repository whose password is the canary."""
    for file in sorted((application.root / "repository").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    use_password(application, CANARY)
    port = application.cluster.port
    assert maintenance.init_repository(port, application.tools, "demo", "repo") == 0


def test_a_backup_and_its_maintenance_that_succeed(application, make, written) -> None:
    make_anew(application)
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    sidecar(application)
    maintenance.maintain(application.cluster.port, application.tools, "demo", "repo", "s")
    assert application.cluster.session()["targets"][0]["stats"][0]["phase"] == "Succeeded"
    assert not leaked(written())


def test_everything_that_fails_for_a_wrong_password(application, make, written) -> None:
    use_password(application, CANARY)
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    sidecar(application)
    port = application.cluster.port
    maintenance.init_repository(port, application.tools, "demo", "repo")
    maintenance.maintain(port, application.tools, "demo", "repo", "s")
    assert application.cluster.session()["targets"][0]["stats"][0]["phase"] == "Failed"
    assert not leaked(written())


def test_a_restic_that_prints_its_environment_and_dies(application, make, written, scripts) -> None:
    folder = scripts("restic", "env >&2; env; exit 1")
    use_password(application, CANARY)
    environ = make.environ(application.root, PATH=f"{folder}:{os.environ['PATH']}")
    tools = make.tools(application.root, environ, CANARY)
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    duty = Duty("demo", "BackupBatch", "shop", Target("Deployment", "web"))
    assert Sidecar(application.cluster.port, tools, duty).step(0)
    assert "RESTIC_PASSWORD=***" in written()
    assert not leaked(written())


def test_a_restore_of_a_restic_that_prints_its_environment(
    application, make, written, scripts
) -> None:
    folder = scripts("restic", "env >&2; env; exit 1")
    use_password(application, CANARY)
    environ = make.environ(application.root, PATH=f"{folder}:{os.environ['PATH']}")
    tools = make.tools(application.root, environ, CANARY)
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    application.cluster.put(r.RESTORE_SESSIONS, {
        "metadata": {"name": "back"},
        "spec": {"repository": {"name": "repo"},
                 "target": {"ref": ref, "rules": [{"snapshots": ["latest"]}]}},
        "status": {"phase": "Running", "targetPhase": "Scheduled",
                   "hosts": [{"hostname": "host-0"}]},
    })  # fmt: skip
    duty = init_container.Duty("demo", r.RESTORE_SESSIONS, "back", Target("Deployment", "web"))
    own = init_container.InitContainer(application.cluster.port, tools, duty)
    assert [own.step(), own.step()] == [None, None]
    (stat,) = application.cluster.get(r.RESTORE_SESSIONS, "back")["status"]["stats"]
    assert stat["phase"] == "Failed"
    assert "RESTIC_PASSWORD=***" in written()
    assert not leaked(written())


@pytest.mark.parametrize("ending", ["exit 0", "exit 1"])
def test_a_dump_that_prints_its_password(application, make, written, scripts, ending) -> None:
    application.cluster.put(r.SECRETS, {
        "metadata": {"name": "login"},
        "data": {k: base64.b64encode(v.encode()).decode()
                 for k, v in {"username": "root", "password": DATABASE_CANARY}.items()},
    })  # fmt: skip
    application.cluster.put(r.APP_BINDINGS, {
        "metadata": {"name": "db"},
        "spec": {"clientConfig": {"service": {"scheme": "mysql", "name": "db", "port": 1}},
                 "secret": {"name": "login"}},
    })  # fmt: skip
    scripts("mariadb-admin", "exit 0")
    folder = scripts("mariadb-dump", f"echo leaked $MYSQL_PWD >&2; echo data; {ending}")
    environ = make.environ(application.root, PATH=f"{folder}:{os.environ['PATH']}")
    tools = make.tools(application.root, environ)
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    step = job.Step("demo", "s", Target("Deployment", "web"), str(application.root / "output"))
    source = database.Source("demo", "db", tools.surroundings, 5)
    port = application.cluster.port
    job.back_up(port, tools, step, lambda p, i: database.dump(drivers.MYSQL, source, p, i))
    job.publish(port, tools, step)
    (stat,) = application.cluster.session()["targets"][0]["stats"]
    assert stat["phase"] == ("Succeeded" if ending == "exit 0" else "Failed")
    assert "leaked ***" in written()
    assert not leaked(written())
