"""A real cluster for bad input: process node, operator and restic, as ``tandem up`` runs them.

One cluster serves all tests of this folder, each in a namespace of its own. The tools that pods
find first in their PATH are thin wrappers that ask the test (over loopback) before they go on: so
a test can stop a backup in its middle, without sleeping, and sees every command line that was
started. Nothing here waits for time: it waits for watch events, with a limit.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.agent.trigger import session_of
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject, Resource
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.cli import local
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes import sandbox
from reconciler.errors import NotFound

LIMIT = 90.0
"""Seconds until a wait is a failure: two cores may be shared with other tests."""
PASSWORD = "correct-horse"
NEVER = "0 0 1 1 *"
"""A schedule that does not fire: every session is triggered by hand."""

_ASK = r"""#!/bin/bash
# ask TOOL ARGS...: tell the test what is started here; print what it answers
exec 3<>/dev/tcp/127.0.0.1/@PORT@ || exit 0
printf '%s\t%s\t%s\n' "$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)" \
  "$POD_NAME" "$*" >&3
read -r answer <&3
echo "$answer"
"""
_RESTIC = r"""#!/bin/bash
answer=$("@TOOLS@/ask" restic "$@")
if [ "$answer" = babble ]; then echo "Fatal: no key fits $RESTIC_PASSWORD" >&2; exit 1; fi
exec @RESTIC@ "$@"
"""
_ADMIN = "#!/bin/bash\nexit 0\n"
_DUMP = r"""#!/bin/bash
# prints a dump; what the test answers says how it goes on
answer=$("@TOOLS@/ask" dump "$@")
echo "-- a dump"
case "$answer" in
half) head -c 5000000 /dev/urandom
      echo "mysqldump: Error 2013: Lost connection to server during query" >&2; exit 1 ;;
babble) echo "cannot log in with $MYSQL_PWD" >&2; exit 1 ;;
slow) head -c 5000000 /dev/urandom; "@TOOLS@/ask" half-way > /dev/null ;;
big) head -c 12000000 /dev/urandom ;;
esac
"""


@attrs.define
class Heard:
    """What the wrappers have told. ``answer`` decides how a tool goes on; it may block."""

    lines: list[tuple[str, str, str]] = attrs.field(factory=list)
    """(namespace, pod, tool and arguments) of everything that was started."""
    command_lines: set[str] = attrs.field(factory=set)
    """Of every process below this one, whenever a tool was started."""
    answers: dict[str, Callable[[str, str], str]] = attrs.field(factory=dict)
    """By namespace: (pod, what) → the answer."""

    def tell(self, namespace: str, pod: str, what: str) -> str:
        self.command_lines |= set(command_lines(os.getpid()).values())
        self.lines.append((namespace, pod, what))
        return self.answers.get(namespace, lambda _pod, _what: "go")(pod, what)


def command_lines(root: int) -> dict[int, str]:
    """pid → command line of every process below ``root``, as any user of the machine sees them."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(entry.name)] = (parent, line)
    found, last = {root}, 0
    while len(found) != last:
        last = len(found)
        found |= {pid for pid, (parent, _) in parents.items() if parent in found}
    return {pid: parents[pid][1] for pid in found if pid in parents and pid != root}


@pytest.fixture(scope="module")
def tools() -> Iterator[tuple[Path, Heard]]:
    """The folder of the wrappers, first in PATH, and what they tell.

    For one module at a time: the tests of others that follow shall find the real tools.
    """
    heard = Heard()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().decode(errors="replace").rstrip("\n")
            namespace, pod, what = line.split("\t", 2)
            with contextlib.suppress(OSError):  # the tool may have been killed meanwhile
                self.wfile.write(f"{heard.tell(namespace, pod, what)}\n".encode())

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    # not below /tmp: a container's own /tmp would hide it
    folder = Path(tempfile.mkdtemp(prefix="tandem-tools-", dir="/var/tmp"))
    with Listener(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        blanks = {
            "@PORT@": str(listener.server_address[1]),
            "@TOOLS@": str(folder),
            "@RESTIC@": str(shutil.which("restic")),
        }
        scripts = {"ask": _ASK, "restic": _RESTIC, "mariadb-admin": _ADMIN, "mariadb-dump": _DUMP}
        for name, script in scripts.items():
            text = script
            for blank, value in blanks.items():
                text = text.replace(blank, value)
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "only-restic").mkdir()
        shutil.copy(folder / "restic", folder / "only-restic")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(folder), prepend=os.pathsep)
            yield folder, heard
        listener.shutdown()
    shutil.rmtree(folder)


@attrs.define
class Estate:
    """The running cluster and everything that it says."""

    cluster: EmbeddedCluster
    tools: Path
    heard: Heard
    log: Path
    """The operator's log."""
    cases: int = 0

    def case(self, name: str) -> Case:
        made = Case(self, name, self.cluster.data_dir.parent / "repositories" / name)
        made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        made.root.mkdir(parents=True)
        return made


@pytest.fixture(scope="module")
def estate(tools: tuple[Path, Heard], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    if sandbox.bubblewrap() is None or shutil.which("restic") is None:
        pytest.skip("needs bubblewrap and restic")
    folder, heard = tools
    data = tmp_path_factory.mktemp("estate") / "data"
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with local.running(data, node="process", log_file="operator.log") as cluster:
        yield Estate(cluster, folder, heard, cluster.data_dir / "operator.log")
    root.handlers[:] = handlers  # the command line's logging is for a process of its own
    root.setLevel(level)


@attrs.define
class Case:
    """One namespace with its own repositories, which lie below ``root`` on this machine."""

    estate: Estate
    name: str
    root: Path
    _sessions: int = 0

    @property
    def client(self) -> Any:
        return self.estate.cluster.client()

    # -- changing the world --

    def apply(self, *objects: JsonObject) -> None:
        for obj in objects:
            self.client.apply(resource_of(obj["kind"]), obj, field_manager="kubectl")

    def create(self, obj: JsonObject) -> None:
        """As a client that asks for no validation: the server prunes what it does not know."""
        self.client.create(resource_of(obj["kind"]), obj)

    def delete(self, kind: str, name: str, **how: Any) -> None:
        resource = resource_of(kind)
        self.client.delete(resource, self.name, name, **how)

    def patch(self, kind: str, name: str, **spec: Any) -> None:
        self.client.patch(
            resource_of(kind), self.name, name, {"spec": spec},
            content_type="application/merge-patch+json",
        )  # fmt: skip

    def trigger(self, batch: str = "shop") -> str:
        """A session by hand; its name."""
        self._sessions += 1
        clock = self.estate.cluster.clock
        session = session_of(self.get("BackupBatch", batch), clock.now(), scheduled=False)
        session["metadata"]["name"] = f"{batch}-{self._sessions}"
        self.client.create(r.BACKUP_SESSIONS, session)
        return str(session["metadata"]["name"])

    def backed_up(self, batch: str = "shop") -> JsonObject:
        """The status of a new session, once that is final."""
        return self.ended(self.trigger(batch))

    def answers(self, answer: Callable[[str, str], str]) -> None:
        self.estate.heard.answers[self.name] = answer

    @staticmethod
    def command_lines() -> dict[int, str]:
        """pid → command line of every process of the cluster."""
        return command_lines(os.getpid())

    # -- looking at it --

    def get(self, kind: str, name: str) -> JsonObject:
        obj: JsonObject = self.client.get(resource_of(kind), self.name, name)
        return obj

    def all(self, kind: str, **how: Any) -> list[JsonObject]:
        found: list[JsonObject] = self.client.list(resource_of(kind), self.name, **how).items
        return found

    def wait(
        self,
        kind: str,
        name: str,
        holds: Callable[[JsonObject], bool],
        *,
        limit: float = LIMIT,
    ) -> JsonObject:
        """The object as soon as this holds for it; a deleted one does not count."""
        stream = self.client.watch(
            resource_of(kind),
            self.name,
            resource_version="0",
            field_selector=f"metadata.name={name}" if name else "",
        )
        clock = self.estate.cluster.clock
        end = clock.monotonic() + limit
        found: JsonObject = {}
        try:
            while (left := end - clock.monotonic()) > 0:
                event = stream.next(left)
                if event is None or event.type in ("DELETED", "BOOKMARK"):
                    continue
                found = event.object
                if holds(found):
                    return found
        finally:
            stream.close()
        pytest.fail(f"{kind} {self.name}/{name}: not in {limit} s; {found.get('status')}")

    def ended(self, session: str, *, limit: float = LIMIT) -> JsonObject:
        found = self.wait("BackupSession", session, is_final, limit=limit)
        status: JsonObject = found["status"]
        return status

    def is_phase(self, kind: str, name: str, phase: str) -> JsonObject:
        return self.wait(kind, name, lambda obj: (obj.get("status") or {}).get("phase") == phase)

    def condition(self, kind: str, name: str, type_: str, status: str) -> JsonObject:
        """The condition, once it has this status."""

        def find(obj: JsonObject) -> list[JsonObject]:
            found = (obj.get("status") or {}).get("conditions") or ()
            return [c for c in found if (c["type"], c["status"]) == (type_, status)]

        return find(self.wait(kind, name, lambda obj: bool(find(obj))))[0]

    def member_condition(self, batch: str, target: str, type_: str, status: str) -> JsonObject:
        """The condition of a member, once it has this status."""

        def find(obj: JsonObject) -> list[JsonObject]:
            return [
                condition
                for entry in (obj.get("status") or {}).get("memberConditions") or ()
                if entry["target"]["name"] == target
                for condition in entry["conditions"]
                if (condition["type"], condition["status"]) == (type_, status)
            ]

        return find(self.wait("BackupBatch", batch, lambda obj: bool(find(obj))))[0]

    def maintained(self, session: str) -> JsonObject:
        """The status of Repository repo, once the session's maintenance has ended."""
        found = self.wait(
            "Repository",
            "repo",
            lambda obj: (obj.get("status") or {}).get("lastMaintainedSession") == session,
        )
        status: JsonObject = found["status"]
        return status

    def place(self, repository: str = "repo") -> Path:
        """Where a repository lies on this machine."""
        return self.root / repository

    def restic(self, *arguments: str, password: str = PASSWORD, repository: str = "repo") -> str:
        """What the real restic says, called as a user would."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "RESTIC_PASSWORD": password,
            "RESTIC_REPOSITORY": str(self.place(repository)),
        }
        done = subprocess.run(
            [str(shutil.which("restic", path="/usr/bin:/usr/local/bin")), *arguments, "--no-cache"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def snapshots(self, *, password: str = PASSWORD, repository: str = "repo") -> list[str]:
        """The host of every snapshot that is in the repository, sorted."""
        listed = self.restic(
            "snapshots", "--json", "--no-lock", password=password, repository=repository
        )
        found = json.loads(listed)
        return sorted(each["hostname"] for each in found or ())

    @staticmethod
    def phases(session: JsonObject) -> dict[str, str]:
        """Target name → phase, of a session's status."""
        return {entry["ref"]["name"]: entry["phase"] for entry in session["targets"]}

    @staticmethod
    def told(session: JsonObject, target: str) -> tuple[str, str]:
        """(reason, message) of a target, of a session's status."""
        entry = next(each for each in session["targets"] if each["ref"]["name"] == target)
        return entry["reason"], entry["message"]

    def locks(self) -> int:
        """How many locks the repository has."""
        return len(self.restic("list", "locks", "--no-lock", "--quiet").split())

    # -- manifests --

    @staticmethod
    def member(target: str, **more: Any) -> JsonObject:
        """A member of a batch: deploy/NAME, pvc/NAME or app/NAME."""
        kind, _, name = target.partition("/")
        resource = {
            "deploy": r.DEPLOYMENTS,
            "pvc": r.PERSISTENT_VOLUME_CLAIMS,
            "app": r.APP_BINDINGS,
        }[kind]
        ref = {"apiVersion": resource.api_version, "kind": resource.kind, "name": name}
        if kind == "deploy":
            mounts = [{"name": "data", "mountPath": "/data"}]
            return {"target": {"ref": ref, "paths": ["/data"], "volumeMounts": mounts}, **more}
        task = "pvc-backup" if kind == "pvc" else "mariadb-backup"
        return {"target": {"ref": ref}, "task": {"name": task}, **more}

    def meta(self, name: str) -> JsonObject:
        return {"name": name, "namespace": self.name}

    def secret(self, name: str = "backend", **data: str) -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.meta(name),
            "stringData": data or {"RESTIC_PASSWORD": PASSWORD},
        }

    def repository(self, name: str = "repo", *, secret: str = "backend") -> JsonObject:
        place = {"path": str(self.place(name)), "type": "DirectoryOrCreate"}
        return {
            "apiVersion": r.REPOSITORIES.api_version,
            "kind": "Repository",
            "metadata": self.meta(name),
            "spec": {
                "backend": {
                    "local": {"mountPath": "/backups", "hostPath": place},
                    "storageSecretName": secret,
                }
            },
        }

    def claim(self, name: str = "files") -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self.meta(name),
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }

    def deployment(self, name: str = "web", *, claim: str = "") -> JsonObject:
        """A workload with a file in /data; with a claim, one there too."""
        app = {"app": name}
        script = 'echo "a page of $0" > /data/page; [ -d /files ] && echo photo > /files/photo'
        source = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
        container = {
            "name": "app",
            "image": "app",
            "command": ["sh", "-c", f"{script}; exec sleep infinity", name],
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "files", "mountPath": "/files"},
            ],
            "readinessProbe": {"exec": {"command": ["test", "-e", "/files/photo"]}},
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.meta(name),
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": app},
                "template": {
                    "metadata": {"labels": app},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [container],
                        "volumes": [
                            {"name": "data", "emptyDir": {}},
                            {"name": "files", **source},
                        ],
                    },
                },
            },
        }

    def database(self, password: str = "db-word") -> list[JsonObject]:
        """An AppBinding and its Secret; the database itself is what the wrappers say."""
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": self.meta("db-login"),
                "stringData": {"username": "root", "password": password},
            },
            {
                "apiVersion": r.APP_BINDINGS.api_version,
                "kind": "AppBinding",
                "metadata": self.meta("db"),
                "spec": {
                    "type": "mariadb",
                    "clientConfig": {"service": {"scheme": "mysql", "name": "db", "port": 3306}},
                    "secret": {"name": "db-login"},
                },
            },
        ]

    def batch(
        self, *targets: str, name: str = "shop", repository: str = "repo", **spec: Any
    ) -> JsonObject:
        """A batch of targets named ``kind/name``: deploy, pvc or app."""
        return {
            "apiVersion": r.BACKUP_BATCHES.api_version,
            "kind": "BackupBatch",
            "metadata": self.meta(name),
            "spec": {
                "schedule": NEVER,
                "repository": {"name": repository},
                "retentionPolicy": {"name": "keep-5", "keepLast": 5, "prune": True},
                "members": [self.member(each) for each in targets],
                **spec,
            },
        }

    def set_up(self, *targets: str, **spec: Any) -> None:
        """Everything that a good batch of these targets needs; ready to be triggered."""
        for target in targets:
            kind, _, name = target.partition("/")
            if kind == "app":
                self.apply(*self.database())
            elif kind == "pvc":
                self.apply(self.claim(name))
            else:
                self.apply(self.deployment(name, claim="files" if "pvc/files" in targets else ""))
        self.apply(self.secret(), self.repository(), self.batch(*targets, **spec))

    def ready(self, batch: str = "shop") -> None:
        """Once the sidecars have rolled out and the repository is there."""
        self.is_phase("Repository", "repo", "Ready")
        self.wait(
            "BackupBatch", batch, lambda obj: (obj.get("status") or {}).get("phase") in _IN_PLACE
        )


_IN_PLACE = frozenset({"Scheduled", "Running", "Succeeded", "Failed"})
_KINDS = {
    resource.kind: resource
    for resource in vars(r).values()
    if isinstance(resource, Resource) and resource != r.CRON_JOBS_V1BETA1
}


def resource_of(kind: str) -> Resource:
    return _KINDS[kind]


def is_final(session: JsonObject) -> bool:
    return (session.get("status") or {}).get("phase") in FINAL_SESSION_PHASES


@pytest.fixture
def case(estate: Estate, request: pytest.FixtureRequest) -> Iterator[Case]:
    """A namespace named after the test; everything in it is gone afterwards."""
    words = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    estate.cases += 1
    name = f"{words}-{estate.cases}"
    made = estate.case(name)
    yield made
    estate.heard.answers.pop(name, None)
    with contextlib.suppress(NotFound):
        made.client.delete(r.NAMESPACES, "", name)
