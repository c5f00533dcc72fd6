"""The operator rehearsed on an embedded API server: what ``tandem plan`` shows.

Called by ``plan``. It only reads from a live cluster, and runs the operator as it is.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import attrs

from reconciler.api import resources, validation
from reconciler.api.crds import KINDS, crds
from reconciler.api.decoding import decode, subject
from reconciler.api.resources import (
    CRON_JOBS,
    CRON_JOBS_V1BETA1,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    STASH,
    JsonObject,
    Resource,
)
from reconciler.cli import differences
from reconciler.cli.differences import Change
from reconciler.cli.documents import Document
from reconciler.errors import Fault, InvalidObject, NotFound, TandemError

if TYPE_CHECKING:
    from reconciler.cluster.port import Port, Reader

Snapshot = list[JsonObject]
"""Objects as a cluster has them, uid, status and managed fields included."""

_KNOWN = tuple(value for value in vars(resources).values() if isinstance(value, Resource))
_UNREAD = frozenset(
    {"Event", "Lease", "Endpoints", "Node", "ControllerRevision", "CustomResourceDefinition"}
)
"""Kinds that no decision reads: they would only cost time."""
_TYPES = {(kind.resource.api_version, kind.resource.kind): kind.cls for kind in KINDS}
_WAITERS = frozenset({"BackupBatch", "BackupConfiguration", "Repository"})
_TANDEM_GROUPS = frozenset({STASH, resources.APP_BINDINGS.group})


@attrs.frozen
class Outcome:
    """The changes of a plan, and what would still keep a batch from being backed up."""

    changes: list[Change]
    waiting: list[str]
    ignored: list[str]
    """Manifests of kinds that the operator neither reads nor writes."""


def snapshot(reader: Reader) -> Snapshot:
    """What a live cluster has of everything that the operator reads."""
    return [obj for resource in _read(reader) for obj in _list(reader, resource)]


def _read(reader: Reader) -> list[Resource]:
    return [each for each in _KNOWN if each.kind not in _UNREAD and reader.serves(each)]


def _list(reader: Reader, resource: Resource) -> list[JsonObject]:
    try:
        return reader.list(resource).items
    except NotFound:
        return []


def faults(document: Document) -> list[TandemError]:
    """What is wrong with a manifest of ours, with file and field path; others are not judged."""
    obj = document.obj
    if obj["apiVersion"].partition("/")[0] not in _TANDEM_GROUPS:
        return []
    cls = _TYPES.get((obj["apiVersion"], obj["kind"]))
    if cls is None:
        return [_unknown_kind(document)]
    try:
        found = validation.validate(decode(cls, obj))
    except InvalidObject as error:
        return [InvalidObject(f"{document.source}: {error.subject}", error.faults)]
    return [InvalidObject(f"{document.source}: {subject(cls, obj)}", found)] if found else []


def _unknown_kind(document: Document) -> InvalidObject:
    version, kind = document.obj["apiVersion"], document.obj["kind"]
    known = [f"{known_version} {name}" for known_version, name in _TYPES]
    near = difflib.get_close_matches(f"{version} {kind}", known, n=1, cutoff=0)
    fault = Fault("kind", f"there is no {version} {kind}", f"did you mean {near[0]}?")
    return InvalidObject(document.source, [fault])


def rehearse(read: list[Document], namespace: str, live: Snapshot) -> Outcome:
    """Apply the manifests over the snapshot, let the operator settle, and compare."""
    from reconciler.cli import operating
    from reconciler.cluster.client import Client
    from reconciler.decisions.plan import Settings
    from reconciler.embedded import deployment_configs
    from reconciler.embedded.server import Server
    from reconciler.engine import operator
    from reconciler.engine.clock import SystemClock, VirtualClock

    clock, settings = VirtualClock(SystemClock().now()), Settings()
    server = Server(clock)
    port = Client(server)
    for definition in (*crds(), deployment_configs.definition()):
        port.create(CUSTOM_RESOURCE_DEFINITIONS, definition)
    server.load(_as_served(obj) for obj in live)
    before = differences.by_name(snapshot(port))
    for document in read:
        _apply(port, document.obj, namespace)
    applied = differences.by_name(snapshot(port))
    operating.install_builtins(port, settings)
    operator.build(port, clock, settings, workers=1).settle()
    after = differences.by_name(snapshot(port))
    return Outcome(
        changes=[
            *differences.compare(before, applied, "files"),
            *differences.compare(applied, after, "operator"),
        ],
        waiting=[line for obj in after.values() for line in _waits(obj)],
        ignored=[_told(document) for document in read if _resource(document.obj) is None],
    )


def _as_served(obj: JsonObject) -> JsonObject:
    """A CronJob of Kubernetes 1.20 as the embedded server has it; any other object as it is."""
    if (obj["apiVersion"], obj["kind"]) != (CRON_JOBS_V1BETA1.api_version, CRON_JOBS.kind):
        return obj
    managers = obj["metadata"].get("managedFields") or ()
    version = {"apiVersion": CRON_JOBS.api_version}
    meta = {**obj["metadata"], "managedFields": [{**entry, **version} for entry in managers]}
    return {**obj, **version, "metadata": meta}


def _apply(port: Port, obj: JsonObject, namespace: str) -> None:
    resource = _resource(obj)
    if resource is None:
        return
    if resource.namespaced:
        _bring_namespace(port, obj["metadata"].setdefault("namespace", namespace))
    # an apply that only notes who owns what would change the resourceVersion, on which names of
    # Jobs depend, as if somebody had changed the object
    after = port.apply(resource, obj, field_manager="kubectl", dry_run=True)
    if differences.decided(after) != differences.decided(_present(port, resource, after)):
        port.apply(resource, obj, field_manager="kubectl")


def _present(port: Port, resource: Resource, obj: JsonObject) -> JsonObject:
    """The object as it is now; only its metadata when it is not there."""
    meta = obj["metadata"]
    try:
        return port.get(resource, meta.get("namespace", ""), meta["name"])
    except NotFound:
        return {"metadata": {}}


def _resource(obj: JsonObject) -> Resource | None:
    for resource in _KNOWN:
        if (resource.api_version, resource.kind) == (obj["apiVersion"], obj["kind"]):
            return resource
    return None


def _told(document: Document) -> str:
    return f"{document.source}: {document.obj['kind']} {document.obj['metadata']['name']}"


def _waits(obj: JsonObject) -> list[str]:
    """What a batch, or its Repository, lacks."""
    if obj["kind"] not in _WAITERS:
        return []
    status, meta = obj.get("status") or {}, obj["metadata"]
    holders = [status, *(status.get("memberConditions") or ())]
    return [
        f"{obj['kind']} {meta['namespace']}/{meta['name']}: {found['type']} is False,"
        f" {found['reason']}: {found['message']}"
        for holder in holders
        for found in holder.get("conditions") or ()
        if found["status"] == "False"
    ]


def _bring_namespace(port: Port, name: str) -> None:
    """A plan is for manifests, not for their order: their namespace may come later, or be there."""
    try:
        port.get(NAMESPACES, "", name)
    except NotFound:
        home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        port.apply(NAMESPACES, home, field_manager="kubectl")
