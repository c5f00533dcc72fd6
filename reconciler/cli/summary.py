"""What is known about one invoker and its sessions, gathered for people and programs.

Called by ``status``, ``trigger`` and the demo. It reads objects and re-arranges what they say; it
judges nothing. Missing fields are "" or empty: an object may be young, or of another version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from reconciler.api import restore_invoker
from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import BACKUP_SESSIONS, REPOSITORIES, JsonObject, Resource
from reconciler.api.restore_invoker import RESTORE_INVOKERS
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
class RestoreLine:
    """One RestoreBatch or RestoreSession."""

    kind: str
    namespace: str
    name: str
    phase: str
    created: str
    duration: str
    deadline: str
    repository: str
    conditions: tuple[ConditionLine, ...]
    targets: tuple[TargetLine, ...]

    @property
    def final(self) -> bool:
        return self.phase in FINAL_SESSION_PHASES


@attrs.frozen
class Overview:
    """One line a batch, and the restores."""

    batches: tuple[OverviewLine, ...]
    restores: tuple[RestoreLine, ...]


@attrs.frozen
class OverviewLine:
    """One invoker in a list of them; ``last_session`` is the newest one with its phase."""

    kind: str
    namespace: str
    name: str
    phase: str
    paused: bool
    last_session: str
    last: str
    next: str


@attrs.frozen
class Summary:
    """One invoker; ``sessions`` and ``restores`` newest first."""

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
    restores: tuple[RestoreLine, ...] = ()


def overview(reader: Reader, namespace: str | None) -> Overview:
    """Every invoker and every restore of a namespace, or of all (None).

    Raises NotFound, with the remedy, where Tandem's kinds are not served.
    """
    found = [
        _overview_line(resource, obj)
        for resource in INVOKERS
        for obj in listed(reader, resource, namespace)
    ]
    restores = _restores(reader, namespace)
    return Overview(tuple(found), tuple(restores))


def listed(reader: Reader, resource: Resource, namespace: str | None) -> list[JsonObject]:
    """All objects. Raises NotFound, saying how to install what is not served."""
    try:
        return reader.list(resource, namespace).items
    except NotFound as error:
        raise NotFound(
            f"the cluster does not serve {resource.plural}.{resource.group}; install Tandem's"
            " CRDs: tandem crds | kubectl apply -f -"
        ) from error


def _overview_line(resource: Resource, obj: JsonObject) -> OverviewLine:
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    return OverviewLine(
        kind=resource.kind,
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        phase=status.get("phase", ""),
        paused=bool(spec.get("paused")),
        last_session=status.get("lastSession", ""),
        last=status.get("lastSessionTime", ""),
        next=status.get("nextSessionTime", ""),
    )


def _restores(reader: Reader, namespace: str | None) -> list[RestoreLine]:
    found: list[JsonObject] = []
    for resource in RESTORE_INVOKERS:
        try:
            found += reader.list(resource, namespace).items
        except NotFound:
            continue  # older CRDs have no restores
    found.sort(key=lambda obj: (obj["metadata"]["creationTimestamp"], obj["metadata"]["name"]))
    return [restore_line(obj) for obj in reversed(found)]


def restore_line(obj: JsonObject) -> RestoreLine:
    """One RestoreBatch or RestoreSession."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    return RestoreLine(
        kind=obj["kind"],
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        phase=status.get("phase") or "Pending",
        created=meta.get("creationTimestamp", ""),
        duration=status.get("sessionDuration", ""),
        deadline=status.get("sessionDeadline", ""),
        repository=(spec.get("repository") or {}).get("name", ""),
        conditions=tuple(_conditions("", status)),
        targets=tuple(_target(entry) for entry in restore_invoker.entries(obj)),
    )


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
        restores=tuple(_restores_of(reader, obj)),
    )


def _restores_of(reader: Reader, obj: JsonObject) -> list[RestoreLine]:
    """Those that read the same Repository: what the batch has saved comes back from there."""
    name = ((obj.get("spec") or {}).get("repository") or {}).get("name", "")
    found = _restores(reader, obj["metadata"].get("namespace", ""))
    return [line for line in found if line.repository == name]


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
