"""``spec.wipeOut`` from the first backup to the last byte: operator, real Jobs, real restic."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reconciler.api import resources as r
from reconciler.decisions import catalog
from reconciler.decisions.plan import Settings
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes import sandbox
from reconciler.engine import operator
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound

LIMIT = 60.0
SETTINGS = Settings()
pytestmark = pytest.mark.skipif(
    sandbox.bubblewrap() is None, reason="bubblewrap cannot make sandboxes here"
)


class Town:
    """A cluster whose pods are processes, with the operator."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.cluster = EmbeddedCluster(self.clock, node="process", data_dir=folder)
        self.client = self.cluster.client()
        self.cluster.install_crds()
        for write in catalog.plan(SETTINGS).writes:
            self.client.apply(write.resource, write.obj, field_manager="tandem")
        self.operator = operator.build(self.client, self.clock, SETTINGS)
        self.cluster.start()
        self.operator.start()

    def stop(self) -> None:
        self.operator.stop()
        self.cluster.stop()

    def apply(self, resource: r.Resource, name: str, **fields: object) -> None:
        meta = {"name": name, "namespace": "default"}
        obj = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": meta,
            **fields,
        }
        self.client.apply(resource, obj, field_manager="user")

    def repository(self) -> dict:
        try:
            return self.client.get(r.REPOSITORIES, "default", "repo")
        except NotFound:
            return {}

    def until(self, holds) -> dict:
        """The Repository once this is true of it; {} once it is gone."""
        deadline = self.clock.monotonic() + LIMIT
        pause = threading.Condition()
        with pause:
            while not holds(found := self.repository()):
                assert self.clock.monotonic() < deadline, found
                self.clock.wait(pause, 0.05)
        return found


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path / "cluster")
    yield made
    made.stop()


def phase(obj):
    return obj.get("status", {}).get("phase")


def condition(obj, type_):
    found = obj.get("status", {}).get("conditions") or ()
    return next((c for c in found if c["type"] == type_), {})


def test_the_data_goes_with_the_repository_but_not_before_its_batch(town, tmp_path):
    store = tmp_path / "store"
    store.mkdir(mode=0o777)
    (store / "README").write_text("of somebody else")
    town.apply(r.SECRETS, "backend", stringData={"RESTIC_PASSWORD": "changeit"})
    local = {"hostPath": {"path": str(store)}, "mountPath": "/safe"}
    backend = {"storageSecretName": "backend", "local": local}
    town.apply(r.REPOSITORIES, "repo", spec={"backend": backend, "wipeOut": True})
    ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "uploads"}
    town.apply(
        r.BACKUP_BATCHES,
        "web",
        spec={
            "schedule": "0 3 * * *",
            "repository": {"name": "repo"},
            "retentionPolicy": {"name": "last", "keepLast": 1, "prune": True},
            "members": [{"target": {"ref": ref}, "task": {"name": "pvc-backup"}}],
        },
    )
    town.until(lambda obj: phase(obj) == "Ready")
    assert (store / "config").is_file()

    town.client.delete(r.REPOSITORIES, "default", "repo")
    kept = town.until(lambda obj: condition(obj, "RepositoryWiped"))
    assert condition(kept, "RepositoryWiped")["reason"] == "RepositoryInUse"
    assert "BackupBatch web" in condition(kept, "RepositoryWiped")["message"]
    assert (store / "config").is_file()

    town.client.delete(r.BACKUP_BATCHES, "default", "web")
    assert town.until(lambda obj: not obj) == {}
    assert [file.name for file in store.iterdir()] == ["README"]
