"""Restores on the embedded cluster, with local processes and the real restic.

What a user does is applied as manifests; what is compared is files on disk and rows in a database.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.agent.trigger import session_of
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.cli import local
from reconciler.cli.demo import application
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes import sandbox
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound

LIMIT = 90.0
"""Seconds until a wait is a failure: two cores may be shared with other tests."""
RESOURCES = {
    value.kind: value
    for value in vars(r).values()
    if isinstance(value, r.Resource) and value != r.CRON_JOBS_V1BETA1
}
FINAL = ("Succeeded", "Failed", "Skipped")


@attrs.define
class Place:
    """One namespace of the running cluster."""

    cluster: EmbeddedCluster
    name: str
    sessions: int = 0

    def apply(self, *objects: JsonObject) -> None:
        for obj in objects:
            if RESOURCES[obj["kind"]].namespaced:
                obj["metadata"]["namespace"] = self.name
            self.cluster.client().apply(RESOURCES[obj["kind"]], obj, field_manager="kubectl")

    def get(self, kind: str, name: str) -> JsonObject:
        return self.cluster.client().get(RESOURCES[kind], self.name, name)

    def status(self, kind: str, name: str) -> JsonObject:
        return self.get(kind, name).get("status") or {}

    def delete(self, kind: str, name: str) -> None:
        self.cluster.client().delete(RESOURCES[kind], self.name, name)

    def gone(self, kind: str, name: str) -> bool:
        try:
            self.get(kind, name)
        except NotFound:
            return True
        return False

    def until(self, look: Callable[[], Any], what: str) -> Any:
        clock = SystemClock()
        end = clock.monotonic() + LIMIT
        while not (found := look()):
            if clock.monotonic() > end:
                raise AssertionError(f"{what}: not within {LIMIT:.0f} s\n{self.diagnosis()}")
            clock.sleep(0.1)
        return found

    def final(self, kind: str, name: str) -> JsonObject:
        self.until(lambda: self.status(kind, name).get("phase") in FINAL, f"{kind} {name} ends")
        return self.status(kind, name)

    def back_up(self, batch: str, kind: str = "BackupBatch") -> JsonObject:
        """A session by hand, to its end and that of its maintenance."""
        self.sessions += 1
        self.until(lambda: self.status(kind, batch), f"{kind} {batch} is known to the operator")
        owner = self.get(kind, batch)
        obj = session_of(owner, self.cluster.clock.now(), scheduled=False)
        obj["metadata"]["name"] = f"{batch}-{self.sessions}"
        self.cluster.client().create(r.BACKUP_SESSIONS, obj)
        return self.final("BackupSession", obj["metadata"]["name"])

    def volume(self, claim: str) -> Path:
        """The folder of a claim on this machine."""
        name = self.get("PersistentVolumeClaim", claim)["spec"]["volumeName"]
        volume = self.cluster.client().get(r.PERSISTENT_VOLUMES, "", name)
        handle = Path(volume["spec"]["csi"]["volumeHandle"]).name
        return self.cluster.data_dir / "volumes" / handle

    def diagnosis(self) -> str:
        found = []
        for kind in ("RestoreBatch", "RestoreSession", "BackupSession", "Repository", "Pod"):
            objects = self.cluster.client().list(RESOURCES[kind], self.name).items
            found += [f"{kind} {o['metadata']['name']}: {o.get('status')}" for o in objects]
        return "\n".join(found)


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, with what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    if sandbox.bubblewrap() is None or shutil.which("restic") is None:
        pytest.skip("needs bubblewrap and restic")
    data = tmp_path_factory.mktemp("restores") / "data"
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with local.running(data, node="process", log_file="operator.log") as running:
        yield running
    root.handlers[:] = handlers  # the command line's logging is for a process of its own
    root.setLevel(level)


@pytest.fixture
def place(cluster: EmbeddedCluster, request: pytest.FixtureRequest) -> Place:
    name = "r-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    found = Place(cluster, name)
    found.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return found


# -- manifests ------------------------------------------------------------------------------------


def ref(kind: str, name: str) -> dict[str, str]:
    return {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "name": name}


def restore(kind: str, name: str, **spec: Any) -> JsonObject:
    return {
        "apiVersion": r.RESTORE_BATCHES.api_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"repository": {"name": "repo"}, **spec},
    }


def claim(name: str) -> JsonObject:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteMany"], "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def repository() -> tuple[JsonObject, ...]:
    local_ = {"mountPath": "/backups", "persistentVolumeClaim": {"claimName": "backups"}}
    return (
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "backend"},
            "stringData": {"RESTIC_PASSWORD": "changeit"},
        },
        claim("backups"),
        {
            "apiVersion": r.REPOSITORIES.api_version,
            "kind": "Repository",
            "metadata": {"name": "repo"},
            "spec": {"backend": {"local": local_, "storageSecretName": "backend"}},
        },
    )


def containers(*mounts: JsonObject) -> list[JsonObject]:
    command = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done"]
    return [{"name": "app", "image": "app", "command": command, "volumeMounts": list(mounts)}]


MOUNT = {"name": "data", "mountPath": "/data"}


def deployment(name: str, of: str) -> JsonObject:
    pod = {
        "terminationGracePeriodSeconds": 1,
        "containers": containers(MOUNT),
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": of}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def stateful_set(name: str, replicas: int) -> JsonObject:
    template = claim("data")
    pod = {"terminationGracePeriodSeconds": 1, "containers": containers(MOUNT)}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": template["spec"]}],
        },
    }


def configuration(name: str, target: JsonObject, **more: Any) -> JsonObject:
    return {
        "apiVersion": r.BACKUP_CONFIGURATIONS.api_version,
        "kind": "BackupConfiguration",
        "metadata": {"name": name},
        "spec": {
            "repository": {"name": "repo"},
            "schedule": "0 0 1 1 *",
            "retentionPolicy": {"name": "keep", "keepLast": 5, "prune": False},
            "target": target,
            **more,
        },
    }


# -- a batch --------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("mariadbd") is None, reason="needs MariaDB")
def test_an_application_is_restored_part_by_part_from_the_batch_that_backed_it_up(
    cluster: EmbeddedCluster,
) -> None:
    place = Place(cluster, application.NAMESPACE)
    blanks = application.Blanks.made_up()
    place.apply(*application.manifests(application.APPLICATION, blanks))
    backup = application.manifests(application.BACKUP, blanks)
    batch = backup[-1]
    batch["spec"]["schedule"] = "0 0 1 1 *"
    aliases = ("app", "uploads", "db")
    for member, alias in zip(batch["spec"]["members"], aliases, strict=True):
        member["target"]["alias"] = alias

    def query(sql: str) -> str:
        pod = place.get("Pod", "wordpress-db-0")["status"]["podIP"]
        where = ["-h", pod, "-P", str(blanks.port), "-u", "wordpress"]
        done = subprocess.run(
            ["/usr/bin/mysql", "--no-defaults", *where, "-N", "-e", sql],
            env={"MYSQL_PWD": blanks.password},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    posts = "SELECT COUNT(*), SUM(CRC32(body)) FROM wordpress.wp_posts"
    place.until(lambda: place.status("StatefulSet", "wordpress-db").get("readyReplicas"), "the db")
    place.until(lambda: place.status("Deployment", "wordpress").get("readyReplicas"), "the app")
    place.apply(*backup)
    assert place.back_up("wordpress")["phase"] == "Succeeded"
    before = {name: tree(place.volume(name)) for name in ("html", "uploads")}
    rows = query(posts)
    assert rows.startswith("500\t")

    (place.volume("html") / "wp-config.php").unlink()
    (place.volume("html") / "index.php").write_text("defaced")
    empty(place.volume("uploads"))
    query("DROP TABLE wordpress.wp_posts")
    assert query(posts) == ""

    mounts = [{"name": "html", "mountPath": "/var/www/html"}]
    members = [
        {
            "target": {
                "alias": "db",
                "ref": ref("AppBinding", "wordpress-db"),
                "rules": [{"snapshots": ["latest"]}],
            },
            "task": {"name": "mariadb-restore", "params": [{"name": "args", "value": "wordpress"}]},
        },
        {
            "target": {
                "alias": "app",
                "ref": ref("Deployment", "wordpress"),
                "volumeMounts": mounts,
                "rules": [{"targetHosts": ["app"], "paths": ["/var/www/html"]}],
            }
        },
        {
            "target": {
                "alias": "uploads",
                "ref": ref("PersistentVolumeClaim", "uploads"),
                "rules": [{}],
            },
            "task": {"name": "pvc-restore"},
        },
    ]
    place.apply(
        restore(
            "RestoreBatch",
            "back",
            repository={"name": "wordpress"},
            members=members,
            executionOrder="Sequential",
        )
    )
    status = place.final("RestoreBatch", "back")

    assert status["phase"] == "Succeeded", place.diagnosis()
    stats = [[stat["hostname"] for stat in member["stats"]] for member in status["members"]]
    assert stats == [["db"], ["app"], ["uploads"]]
    assert query(posts) == rows
    place.until(lambda: place.status("Deployment", "wordpress").get("readyReplicas"), "the app")
    assert {name: tree(place.volume(name)) for name in before} == before
    starts = [member["startTime"] for member in status["members"]]
    assert starts == sorted(starts)

    place.delete("RestoreBatch", "back")
    place.until(lambda: place.gone("RestoreBatch", "back"), "the restore is gone")
    pod = place.get("Deployment", "wordpress")["spec"]["template"]["spec"]
    assert not pod.get("initContainers")
    assert [c["name"] for c in pod["containers"]] == ["wordpress", "stash"]


# -- one target -----------------------------------------------------------------------------------


def fill(folder: Path, what: str) -> dict[str, str]:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text(f"{what} a\n")
    (folder / "deep" / "er" / "b.txt").write_text(f"{what} b\n" * 1000)
    return tree(folder)


def ready(place: Place, kind: str, name: str, replicas: int = 1) -> None:
    def look() -> bool:
        found = place.get(kind, name)
        status = found.get("status") or {}
        return (
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("updatedReplicas", 0) >= replicas
            and status.get("readyReplicas", 0) >= replicas
        )

    place.until(look, f"{kind} {name} is ready")


def files_of_set(place: Place, name: str, replicas: int) -> list[dict[str, str]]:
    return [tree(place.volume(f"data-{name}-{each}")) for each in range(replicas)]


def test_a_stateful_set_that_was_scaled_up_is_restored_by_rules(place: Place) -> None:
    place.apply(*repository(), stateful_set("db", 3))
    ready(place, "StatefulSet", "db", 3)
    before = [fill(place.volume(f"data-db-{each}"), f"host {each}") for each in range(3)]
    target = {
        "alias": "shop",
        "ref": ref("StatefulSet", "db"),
        "paths": ["/data"],
        "volumeMounts": [MOUNT],
    }
    place.apply(configuration("db", target))
    assert place.back_up("db", "BackupConfiguration")["phase"] == "Succeeded"

    place.apply(stateful_set("db", 5))
    ready(place, "StatefulSet", "db", 5)
    for each in range(3):
        empty(place.volume(f"data-db-{each}"))
    rules = [
        {"targetHosts": ["shop-3", "shop-4"], "sourceHost": "shop-0", "paths": ["/data"]},
        {"paths": ["/data"]},
    ]
    del target["paths"]
    place.apply(restore("RestoreSession", "back", target={**target, "rules": rules}))
    status = place.final("RestoreSession", "back")

    assert status["phase"] == "Succeeded", place.diagnosis()
    assert status["totalHosts"] == 5
    assert sorted(s["hostname"] for s in status["stats"]) == [f"shop-{n}" for n in range(5)]
    ready(place, "StatefulSet", "db", 5)
    assert files_of_set(place, "db", 5) == [*before, before[0], before[0]]


def test_volumes_are_cloned_into_claims_that_the_restore_makes(place: Place) -> None:
    place.apply(*repository(), stateful_set("db", 2))
    ready(place, "StatefulSet", "db", 2)
    before = [fill(place.volume(f"data-db-{each}"), f"host {each}") for each in range(2)]
    target = {"ref": ref("StatefulSet", "db"), "paths": ["/data"], "volumeMounts": [MOUNT]}
    place.apply(configuration("db", target))
    assert place.back_up("db", "BackupConfiguration")["phase"] == "Succeeded"

    template = claim("data-copy-${POD_ORDINAL}")
    clone = {
        "replicas": 2,
        "volumeMounts": [{"name": "data-copy", "mountPath": "/data"}],
        "volumeClaimTemplates": [template],
        "rules": [{"paths": ["/data"]}],
    }
    place.apply(restore("RestoreSession", "clone", target=clone))
    status = place.final("RestoreSession", "clone")

    assert status["phase"] == "Succeeded", place.diagnosis()
    assert files_of_set(place, "copy", 2) == before
    place.delete("RestoreSession", "clone")
    place.until(lambda: place.gone("RestoreSession", "clone"), "the restore is gone")
    assert files_of_set(place, "copy", 2) == before

    # claims that are there are somebody's data
    place.apply(restore("RestoreSession", "again", target=clone))
    status = place.final("RestoreSession", "again")
    assert status["phase"] == "Failed"
    assert "data-copy-0 is there already" in status["message"]


def test_a_restore_made_before_its_target_begins_when_that_is_there(place: Place) -> None:
    place.apply(*repository(), claim("files"), deployment("web", "files"))
    ready(place, "Deployment", "web")
    before = fill(place.volume("files"), "web")
    target = {"ref": ref("Deployment", "web"), "paths": ["/data"], "volumeMounts": [MOUNT]}
    place.apply(configuration("web", target))
    assert place.back_up("web", "BackupConfiguration")["phase"] == "Succeeded"

    other = {**target, "ref": ref("Deployment", "other"), "rules": [{"snapshots": ["latest"]}]}
    del other["paths"]
    place.apply(restore("RestoreSession", "early", target=other))

    def condition(type_: str) -> JsonObject | None:
        found = place.status("RestoreSession", "early").get("conditions") or ()
        return next((c for c in found if c["type"] == type_), None)

    place.until(lambda: condition("RestoreTargetFound"), "the operator has looked")
    assert condition("RestoreTargetFound")["status"] == "False"
    place.apply(claim("others"), deployment("other", "others"))
    status = place.final("RestoreSession", "early")

    assert status["phase"] == "Succeeded", place.diagnosis()
    assert condition("RestoreTargetFound")["status"] == "True"
    assert condition("StashInitContainerInjected")["status"] == "True"
    assert tree(place.volume("others")) == before
    ready(place, "Deployment", "other")
    # the sidecar of a backup that comes later and the init container live beside each other
    place.apply(configuration("other", {**target, "ref": ref("Deployment", "other")}))
    assert place.back_up("other", "BackupConfiguration")["phase"] == "Succeeded"
    pod = place.get("Deployment", "other")["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["initContainers"]] == ["stash-init"]
    assert [c["name"] for c in pod["containers"]] == ["app", "stash"]


def test_a_restore_of_what_was_never_backed_up_has_failed(place: Place) -> None:
    place.apply(*repository(), claim("files"))
    target = {"ref": ref("PersistentVolumeClaim", "files"), "rules": [{}]}
    place.apply(restore("RestoreSession", "nothing", target=target, task={"name": "pvc-restore"}))
    status = place.final("RestoreSession", "nothing")
    assert status["phase"] == "Failed", place.diagnosis()
    assert "snapshot" in status["stats"][0]["error"]
