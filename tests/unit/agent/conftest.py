"""What the tests of the agent share: real restic repositories, and a cluster in memory."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.agent.redaction import Redactor
from reconciler.agent.restic import Access, Restic
from reconciler.agent.runner import Runner, Stop
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import Tools, Workshop
from reconciler.api import crds
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster.client import Client
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock

PASSWORD = "correct-horse-battery"


@attrs.frozen
class Place:
    """A restic repository on disk, and the means to work on it."""

    root: Path
    shop: Workshop
    clock: SystemClock

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    def restic(self, *arguments: str) -> str:
        """What the real restic prints, called as a user would call it."""
        from reconciler.agent.restic import Command  # noqa: PLC0415 -- used by few tests

        outcome = self.shop.runner.run(
            Command(("restic", *arguments), self.shop.restic.probe().env)
        )
        assert outcome.ok, outcome.stderr
        return outcome.stdout

    def with_password(self, password: str) -> Place:
        access = attrs.evolve(self.shop.restic.access, env={"RESTIC_PASSWORD": password})
        restic = attrs.evolve(self.shop.restic, access=access)
        return attrs.evolve(self, shop=attrs.evolve(self.shop, restic=restic))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised repository, to be copied: making one costs most of a second."""
    place = make_place(tmp_path_factory.mktemp("template"))
    outcome = place.shop.runner.run(place.shop.restic.init())
    assert outcome.ok, outcome.stderr
    return place.repository


def make_place(root: Path, **environ: str) -> Place:
    (root / "scratch" / "restic-tmp").mkdir(parents=True)
    location = str(root / "repository")
    access = Access(location, location, {"RESTIC_PASSWORD": PASSWORD})
    restic = Restic(access, str(root / "scratch"), enable_cache=False)
    clock = SystemClock(seed=1)
    runner = Runner({**os.environ, **environ}, clock, redact=Redactor.of([PASSWORD]))
    return Place(root, Workshop(restic, runner, clock), clock)


@pytest.fixture
def place(tmp_path: Path, template: Path) -> Place:
    """An initialised, empty repository."""
    found = make_place(tmp_path)
    shutil.copytree(template, found.repository)
    return found


@pytest.fixture
def empty_place(tmp_path: Path) -> Place:
    """A place where no repository is."""
    return make_place(tmp_path)


@pytest.fixture
def scripts(tmp_path: Path) -> Callable[[str, str], Path]:
    """Puts a shell script of a name into a folder, which it returns: a PATH of fakes."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(name: str, body: str) -> Path:
        file = folder / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
        return folder

    return write


class Cluster:
    """An API server in memory with our CRDs, and short ways to fill and read it."""

    def __init__(self) -> None:
        self.clock = SystemClock(seed=1)
        self.server = Server(self.clock)
        self.port = Client(self.server)
        for definition in crds.crds():
            self.port.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition)
        self.port.create(r.NAMESPACES, {"metadata": {"name": "demo"}})

    def put(self, resource: Resource, obj: JsonObject) -> JsonObject:
        """Create an object in the namespace demo, with its status if it has one."""
        whole = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            **obj,
            "metadata": {"namespace": "demo", **obj["metadata"]},
        }
        made = self.port.create(resource, whole)
        if "status" not in obj:
            return made
        name = made["metadata"]["name"]
        return self.port.update_status(resource, "demo", name, lambda _: obj["status"])

    def get(self, resource: Resource, name: str) -> JsonObject:
        return self.port.get(resource, "demo", name)

    def session(self, name: str = "s") -> Any:
        """The status of a session."""
        return self.get(r.BACKUP_SESSIONS, name)["status"]

    def events(self) -> list[tuple[str, str]]:
        return [(e["reason"], e["message"]) for e in self.port.list(r.EVENTS, "demo").items]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@attrs.frozen
class Application:
    """A batch of one Deployment with data on disk, a repository, and a session that may run."""

    cluster: Cluster
    root: Path
    data: Path
    tools: Tools
    environ: dict[str, str]

    def snapshots(self) -> list[JsonObject]:
        import json  # noqa: PLC0415 -- used by few tests

        place = make_place(self.root / os.urandom(4).hex())
        access = attrs.evolve(place.shop.restic.access, location=str(self.root / "repository"))
        shop = attrs.evolve(place.shop, restic=attrs.evolve(place.shop.restic, access=access))
        outcome = shop.runner.run(shop.restic.snapshots())
        assert outcome.ok, outcome.stderr
        return list(json.loads(outcome.stdout) or [])


def tools_for(root: Path, environ: dict[str, str], password: str = PASSWORD) -> Tools:
    (root / "secret").mkdir(parents=True, exist_ok=True)
    (root / "secret" / "RESTIC_PASSWORD").write_text(password)
    (root / "scratch").mkdir(exist_ok=True)
    return Tools(
        Surroundings.of(environ),
        SystemClock(seed=1),
        Stop(),
        str(root / "secret"),
        str(root / "scratch"),
        enable_cache=False,
    )


def pod_environ(
    root: Path, name: str = "web-abc", uid: str = "pod-1", **more: str
) -> dict[str, str]:
    translation = f'{{"/repo": "{root / "repository"}", "/data": "{root / "data"}"}}'
    own = {"POD_NAME": name, "POD_UID": uid, "KUBE_NAMESPACE": "demo"}
    return {**os.environ, "TANDEM_ROOT_MAP": translation, **own, **more}


def batch(**more: Any) -> JsonObject:
    """A BackupBatch of one Deployment ``web`` at /data."""
    return {
        "metadata": {"name": "shop"},
        "spec": {
            "schedule": "0 3 * * *",
            "repository": {"name": "repo"},
            "retentionPolicy": {"name": "p", "keepLast": 2, "prune": True},
            "members": [member("Deployment", "web")],
            **more,
        },
    }


def member(kind: str, name: str, **more: Any) -> JsonObject:
    target = {"ref": {"apiVersion": "apps/v1", "kind": kind, "name": name}, "paths": ["/data"]}
    return {"target": {**target, **more}}


def session(
    phase: str = "Scheduled", hosts: list[JsonObject] | None = None, **more: Any
) -> JsonObject:
    """A session ``s`` of that batch, as the operator leaves it when runners may go."""
    expected = [{"hostname": "host-0"}] if hosts is None else hosts
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "metadata": {
            "name": "s",
            "labels": {
                "stash.appscode.com/invoker-type": "BackupBatch",
                "stash.appscode.com/invoker-name": "shop",
            },
        },
        "spec": {"invoker": {"apiGroup": r.STASH, "kind": "BackupBatch", "name": "shop"}},
        "status": {
            "phase": "Running",
            "targets": [
                {"ref": ref, "totalHosts": len(expected), "phase": phase, "hosts": expected}
            ],
            **more,
        },
    }


def repository() -> JsonObject:
    backend = {"local": {"mountPath": "/repo", "hostPath": {"path": "/x"}}}
    return {
        "metadata": {"name": "repo"},
        "spec": {"backend": {"storageSecretName": "backend", **backend}},
    }


@pytest.fixture
def application(cluster: Cluster, tmp_path: Path, template: Path) -> Application:
    data = tmp_path / "data"
    data.mkdir()
    (data / "index.html").write_text("hello")
    shutil.copytree(template, tmp_path / "repository")
    cluster.put(r.REPOSITORIES, repository())
    cluster.put(r.BACKUP_BATCHES, batch())
    environ = pod_environ(tmp_path)
    return Application(cluster, tmp_path, data, tools_for(tmp_path, environ), environ)


def in_hours(hours: float) -> str:
    moment = SystemClock().now() + dt.timedelta(hours=hours)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def make() -> Any:
    """The builders above, for tests: modules of tests cannot import a conftest."""

    class Make:
        session = staticmethod(session)
        batch = staticmethod(batch)
        member = staticmethod(member)
        repository = staticmethod(repository)
        tools = staticmethod(tools_for)
        environ = staticmethod(pod_environ)
        place = staticmethod(make_place)
        in_hours = staticmethod(in_hours)

    return Make
