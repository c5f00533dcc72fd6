"""What is known about one invoker and its sessions, gathered for people and programs.

Called by ``status``, ``trigger`` and the demo. It reads objects and re-arranges what they say; it
judges nothing. Missing fields are "" or empty: an object may be young, or of another version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from reconciler.api.resources import BACKUP_SESSIONS, REPOSITORIES, JsonObject, Resource
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.cluster.port import Reader
from reconciler.errors import NotFound
from reconciler.manifests import labels


@attrs.frozen
class ConditionLine:
    """A condition, and what it is about ("" for the object itself)."""

    about: str
    type: str
    status: str
    reason: str
    message: str


@attrs.frozen
class SnapshotLine:
    """One restic snapshot."""

    id: str
    path: str
    size: str
    uploaded: str
    files: int | None


@attrs.frozen
class HostLine:
    """One expected host of a target, and how its backup goes."""

    name: str
    phase: str
    runner: str
    duration: str
    error: str
    snapshots: tuple[SnapshotLine, ...]


@attrs.frozen
class TargetLine:
    """One target of a session."""

    kind: str
    name: str
    phase: str
    reason: str
    message: str
    hosts: tuple[HostLine, ...]


@attrs.frozen
class SessionLine:
    """One session. ``slot`` is the moment of the schedule, "" for a manual one."""

    name: str
    phase: str
    created: str
    slot: str
    duration: str
    deadline: str
    conditions: tuple[ConditionLine, ...]
    targets: tuple[TargetLine, ...]

    @property
    def final(self) -> bool:
        return self.phase in FINAL_SESSION_PHASES


@attrs.frozen
class RepositoryLine:
    """The repository that an invoker writes to."""

    name: str
    phase: str
    snapshots: int | None
    size: str
    intact: bool | None
    conditions: tuple[ConditionLine, ...]


@attrs.frozen
class Summary:
    """One invoker; ``sessions`` newest first."""

    kind: str
    namespace: str
    name: str
    phase: str
    schedule: str
    paused: bool
    last: str
    next: str
    conditions: tuple[ConditionLine, ...]
    repository: RepositoryLine
    sessions: tuple[SessionLine, ...]


def gather(reader: Reader, resource: Resource, obj: JsonObject) -> Summary:
    """Everything that ``tandem status`` shows. Reads the sessions and the Repository."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    namespace = meta.get("namespace", "")
    return Summary(
        kind=resource.kind,
        namespace=namespace,
        name=meta["name"],
        phase=status.get("phase", ""),
        schedule=spec.get("schedule", ""),
        paused=bool(spec.get("paused")),
        last=status.get("lastSessionTime", ""),
        next=status.get("nextSessionTime", ""),
        conditions=tuple(_invoker_conditions(status)),
        repository=_repository(reader, namespace, (spec.get("repository") or {}).get("name", "")),
        sessions=tuple(_sessions(reader, resource, obj)),
    )


def session_line(obj: JsonObject) -> SessionLine:
    """One BackupSession."""
    meta, status = obj["metadata"], obj.get("status") or {}
    return SessionLine(
        name=meta["name"],
        phase=status.get("phase") or "Pending",
        created=meta.get("creationTimestamp", ""),
        slot=(meta.get("annotations") or {}).get(labels.SLOT, ""),
        duration=status.get("sessionDuration", ""),
        deadline=status.get("sessionDeadline", ""),
        conditions=tuple(_conditions("", status)),
        targets=tuple(_target(target) for target in status.get("targets") or ()),
    )


def _sessions(reader: Reader, resource: Resource, obj: JsonObject) -> list[SessionLine]:
    meta = obj["metadata"]
    wanted = labels.of_invoker(resource.kind, meta["name"])
    selector = ",".join(f"{key}={value}" for key, value in wanted.items())
    items = reader.list(BACKUP_SESSIONS, meta.get("namespace"), label_selector=selector).items
    # a label holds 63 characters of the name; the spec has all of it
    own = [item for item in items if item["spec"]["invoker"]["name"] == meta["name"]]
    own.sort(key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))
    return [session_line(item) for item in reversed(own)]


def _target(target: JsonObject) -> TargetLine:
    ref = target.get("ref") or {}
    stats = {stat.get("hostname", ""): stat for stat in target.get("stats") or ()}
    claims = {claim["hostname"]: claim for claim in target.get("hosts") or ()}
    phase = target.get("phase") or "Pending"
    return TargetLine(
        kind=ref.get("kind", ""),
        name=ref.get("name", ""),
        phase=phase,
        reason=target.get("reason", ""),
        message=target.get("message", ""),
        hosts=tuple(
            _host(name, phase, claims.get(name, {}), stats.get(name, {}))
            for name in dict.fromkeys((*claims, *stats))
        ),
    )


def _host(name: str, target_phase: str, claim: JsonObject, stat: JsonObject) -> HostLine:
    claimed = "Running" if claim.get("runner") else target_phase
    return HostLine(
        name=name,
        phase=stat.get("phase") or claimed,
        runner=claim.get("runner", ""),
        duration=stat.get("duration", ""),
        error=stat.get("error", ""),
        snapshots=tuple(_snapshot(snapshot) for snapshot in stat.get("snapshots") or ()),
    )


def _snapshot(snapshot: JsonObject) -> SnapshotLine:
    return SnapshotLine(
        id=snapshot.get("name", ""),
        path=snapshot.get("path", ""),
        size=snapshot.get("totalSize", ""),
        uploaded=snapshot.get("uploaded", ""),
        files=(snapshot.get("fileStats") or {}).get("totalFiles"),
    )


def _repository(reader: Reader, namespace: str, name: str) -> RepositoryLine:
    try:
        status: dict[str, Any] = reader.get(REPOSITORIES, namespace, name).get("status") or {}
    except NotFound:
        return RepositoryLine(name, "NotFound", None, "", None, ())
    return RepositoryLine(
        name=name,
        phase=status.get("phase", ""),
        snapshots=status.get("snapshotCount"),
        size=status.get("totalSize", ""),
        intact=status.get("integrity"),
        conditions=tuple(_conditions("", status)),
    )


def _invoker_conditions(status: JsonObject) -> Iterable[ConditionLine]:
    yield from _conditions("", status)
    for member in status.get("memberConditions") or ():
        target = member.get("target") or {}
        yield from _conditions(f"{target.get('kind', '')} {target.get('name', '')}", member)


def _conditions(about: str, holder: JsonObject) -> Iterable[ConditionLine]:
    for condition in holder.get("conditions") or ():
        yield ConditionLine(
            about=about,
            type=condition.get("type", ""),
            status=condition.get("status", ""),
            reason=condition.get("reason", ""),
            message=condition.get("message", ""),
        )
