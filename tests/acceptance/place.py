"""One scenario's namespace: what a user does in it and sees in it.

Everything that a scenario says more than once is here, so that a scenario reads as a specification.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import attrs
from acceptance.cluster import TEST_IMAGE, Cluster, holds, wait_until

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject, Resource
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.cluster.client import Client
from reconciler.errors import NotFound

T = TypeVar("T")
MakePlace = Callable[[str], "Place"]

MANIFESTS = Path(__file__).parent / "manifests"
PASSWORD = "not-to-be-found"
"""Of the repositories, as in the manifests."""
RESOURCES = {
    resource.kind: resource
    for resource in vars(r).values()
    if isinstance(resource, Resource) and resource not in (r.CRON_JOBS, r.CRON_JOBS_V1BETA1)
}


def named(resource: Resource) -> str:
    """As kubectl wants it when several groups have a kind of this name."""
    return ".".join(
        (resource.plural, resource.version, resource.group)
        if resource.group
        else (resource.plural,)
    )


@attrs.define
class Place:
    cluster: Cluster
    namespace: str
    client: Client = attrs.field(init=False)
    _sessions: int = 0

    def __attrs_post_init__(self) -> None:
        self.client = self.cluster.client()

    @classmethod
    @contextlib.contextmanager
    def made(cls, cluster: Cluster, scenario: str) -> Iterator[Place]:
        """A namespace named after the scenario, with a storage server for its repositories."""
        words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"test_|\[.*\]", "", scenario)).strip("-")
        place = cls(cluster, f"acc-{words[:40].rstrip('-')}-{secrets.token_hex(3)}")
        cluster.kubectl("create", "namespace", place.namespace)
        try:
            place.until(lambda: place.find("ServiceAccount", "default"), "it has an account")
            place.apply("storage.yaml")
            place.ready("Deployment", "storage")
            yield place
        finally:
            gone = ("--wait=false", "--ignore-not-found")
            cluster.kubectl("delete", "namespace", place.namespace, *gone)

    # -- what a user does --

    def kubectl(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, fails=fails)

    def apply(self, *manifests: str | JsonObject) -> None:
        """Files of the folder ``manifests``, or objects."""
        for each in manifests:
            text = (MANIFESTS / each).read_text() if isinstance(each, str) else json.dumps(each)
            text = text.replace(TEST_IMAGE, self.cluster.test_image)
            self.kubectl("apply", "-f", "-", stdin=text)

    def patch(self, kind: str, name: str, patch: JsonObject) -> None:
        """A merge patch."""
        word = named(RESOURCES[kind])
        self.kubectl("patch", word, name, "--type=merge", "--patch", json.dumps(patch))

    def delete(self, kind: str, name: str, *more: str) -> None:
        self.kubectl("delete", named(RESOURCES[kind]), name, "--wait=false", *more)

    def trigger(self, batch: str = "shop", kind: str = "BackupBatch") -> str:
        """Make a session by hand, as Stash's users do; its name."""
        self._sessions += 1
        session = f"{batch}-by-hand-{self._sessions}"
        labels = {
            "stash.appscode.com/invoker-type": kind,
            "stash.appscode.com/invoker-name": batch,
        }
        self.apply(
            {
                "apiVersion": "stash.appscode.com/v1beta1",
                "kind": "BackupSession",
                "metadata": {"name": session, "labels": labels},
                "spec": {"invoker": {"apiGroup": r.STASH, "kind": kind, "name": batch}},
            }
        )
        return session

    def execute(self, pod: str, command: str, container: str = "app") -> str:
        """What a line of shell prints in a container."""
        return self.cluster.execute(self.namespace, pod, ["sh", "-ec", command], container)

    # -- what a user sees --

    def get(self, kind: str, name: str) -> JsonObject:
        return self.client.get(RESOURCES[kind], self.namespace, name)

    def find(self, kind: str, name: str) -> JsonObject | None:
        try:
            return self.get(kind, name)
        except NotFound:
            return None

    def all(self, kind: str, selector: str = "") -> list[JsonObject]:
        return self.client.list(RESOURCES[kind], self.namespace, label_selector=selector).items

    def pods(self, app: str) -> list[JsonObject]:
        """The pods of a workload that are not on their way out."""
        found = self.all("Pod", f"app={app}")
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def cron_job(self, batch: str = "shop") -> JsonObject:
        out = self.kubectl("get", "cronjob", f"stash-backup-{batch}", "-o", "json")
        found: JsonObject = json.loads(out)
        return found

    def table(self, what: str) -> dict[str, dict[str, str]]:
        """What ``kubectl get`` shows: name → column → cell."""
        head, *rows = self.kubectl("get", what).splitlines()
        starts = [match.start() for match in re.finditer(r"\S+", head)]
        ends = [*starts[1:], None]
        found = [
            [row[start:end].strip() for start, end in zip(starts, ends, strict=True)]
            for row in rows
        ]
        return {row[0]: dict(zip(head.split(), row, strict=True)) for row in found}

    # -- waiting for the world --

    def until(self, look: Callable[[], T | None], what: str, *, seconds: float = 0) -> T:
        try:
            return wait_until(look, what, seconds or self.cluster.patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def becomes(
        self, kind: str, name: str, so: Callable[[JsonObject], object], what: str, **how: float
    ) -> JsonObject:
        """The object, as soon as it is so."""

        def look() -> JsonObject | None:
            found = self.get(kind, name)
            return found if so(found) else None

        return self.until(look, f"{kind} {name} {what}", **how)

    def gone(self, kind: str, name: str) -> None:
        self.until(lambda: self.find(kind, name) is None, f"{kind} {name} is gone")

    def ready(self, kind: str, name: str) -> JsonObject:
        """The workload, once all its pods are of its present template and ready."""
        return self.becomes(kind, name, _rolled_out, "is rolled out")

    def set_up(self, *phases: str, batch: str = "shop", repository: str = "shop") -> None:
        """Once the operator has done for the batch what is done before sessions."""
        wanted = phases or ("Scheduled", "Succeeded", "Failed")
        self.becomes("BackupBatch", batch, lambda o: phase(o) in wanted, "is set up")
        if not phases:
            self.becomes("Repository", repository, lambda o: phase(o) == "Ready", "is ready")

    def ready_pod(self, app: str) -> str:
        """The name of a workload's pod, once there is one that is ready."""

        def look() -> str | None:
            found = [pod for pod in self.pods(app) if holds(pod, "Ready")]
            return str(found[0]["metadata"]["name"]) if found else None

        return self.until(look, f"a pod of {app} is ready")

    def in_phase(self, session: str, *phases: str) -> JsonObject:
        """The session, as soon as it is in one of these phases."""
        what = f"is {' or '.join(phases)}"
        return self.becomes("BackupSession", session, lambda s: phase(s) in phases, what)

    def ended(self, session: str) -> JsonObject:
        """The session, once it is final."""
        return self.in_phase(session, *FINAL_SESSION_PHASES)

    def succeeded(self, session: str) -> JsonObject:
        found = self.ended(session)
        assert phase(found) == "Succeeded", self.story()
        return found

    def maintained(self, session: str, repository: str = "shop") -> None:
        """Once retention has been applied after this session, and the repository is free again."""

        def so(found: JsonObject) -> bool:
            status = found.get("status") or {}
            return status.get("lastMaintainedSession") == session and phase(found) == "Ready"

        self.becomes("Repository", repository, so, f"is free again after {session}")

    def story(self) -> str:
        """The namespace as a person would look at it, for a failure."""
        with contextlib.suppress(Exception):
            kinds = "backupbatch,backupsession,repository,job,pod"
            found = self.kubectl("get", kinds, "-o", "wide")
            events = self.kubectl("get", "events").splitlines()
            logs = [self._last_words(pod) for pod in self.all("Pod") if _broken(pod)]
            states = [json.dumps(s.get("status")) for s in self.all("BackupSession")]
            return "\n".join((found, *events[-25:], *logs, *states[-2:]))
        return "(and the API server does not answer)"

    def _last_words(self, pod: JsonObject) -> str:
        name = pod["metadata"]["name"]
        with contextlib.suppress(AssertionError):
            return self.kubectl("logs", name, "--all-containers", "--tail=20", "--prefix")
        return f"{name} has no log"

    # -- the repository --

    def restic(self, repository: str, *arguments: str) -> str:
        """What restic prints, asked in the storage server's pod."""
        (pod,) = self.pods("storage")
        words = " ".join(f"'{word}'" for word in arguments)
        line = (
            f"export RESTIC_PASSWORD={PASSWORD} HOME=/tmp;"
            f' restic --no-cache --no-lock -q -r "rest:http://$POD_IP:8000/{repository}" {words}'
        )
        return self.execute(pod["metadata"]["name"], line, "rclone")

    def snapshots(self, repository: str = "shop") -> list[JsonObject]:
        found: list[JsonObject] = json.loads(self.restic(repository, "snapshots", "--json") or "[]")
        return found

    def hosts_and_paths(self, repository: str = "shop") -> set[tuple[str, str]]:
        """(host, path) of everything that the repository holds."""
        found = self.snapshots(repository)
        return {(each["hostname"], path) for each in found for path in each["paths"]}


def phase(obj: JsonObject) -> str:
    return str((obj.get("status") or {}).get("phase", ""))


def names(objects: list[JsonObject]) -> set[str]:
    return {obj["metadata"]["name"] for obj in objects}


def targets(session: JsonObject) -> dict[str, JsonObject]:
    """The session's targets by ``Kind/name``."""
    found = (session.get("status") or {}).get("targets") or ()
    return {f"{t['ref']['kind']}/{t['ref']['name']}": t for t in found}


def phases(session: JsonObject) -> dict[str, str]:
    return {name: target.get("phase", "") for name, target in targets(session).items()}


def hosts(session: JsonObject) -> Iterator[JsonObject]:
    """Every host of every target that has been claimed."""
    for target in targets(session).values():
        yield from (host for host in target.get("hosts") or () if host.get("runner"))


def stats(session: JsonObject) -> list[JsonObject]:
    return [stat for target in targets(session).values() for stat in target.get("stats") or ()]


def _broken(pod: JsonObject) -> bool:
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(c.get("restartCount") or not c.get("ready") for c in found)


def _rolled_out(obj: JsonObject) -> bool:
    status, spec = obj.get("status") or {}, obj["spec"]
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return False
    if obj["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        counts = status.get("updatedNumberScheduled", 0), status.get("numberReady", 0)
        return wanted > 0 and counts == (wanted, wanted)
    wanted = spec.get("replicas", 1)
    if obj["kind"] in ("ReplicaSet", "ReplicationController"):
        return bool(status.get("readyReplicas", 0) == wanted == status.get("replicas", 0))
    if obj["kind"] == "StatefulSet" and status.get("updateRevision") != status.get(
        "currentRevision", status.get("updateRevision")
    ):
        return False
    counts = status.get("readyReplicas", 0), status.get("replicas", 0)
    updated = status.get("updatedReplicas", wanted if obj["kind"] == "StatefulSet" else 0)
    return bool(counts == (wanted, wanted) and updated == wanted)
