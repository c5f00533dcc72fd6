"""The rules for BackupBatch and BackupConfiguration. For ``validation`` only. Pure.

Stash has none of these: a fault shows there as a session that never ends, or as a backup that holds
nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final, get_args

from reconciler.api.backup import (
    VOLUME_SNAPSHOTTER,
    BackupTarget,
    Driver,
    ExecutionOrder,
    Member,
    RetentionPolicy,
)
from reconciler.api.hosts import alias_of
from reconciler.api.invoker import Invoker
from reconciler.api.rules import (
    WORKLOAD_KINDS,
    name_faults,
    not_negative,
    one_of,
    positive_duration,
    ref_faults,
)
from reconciler.api.runtime import BackupHooks, Handler
from reconciler.api.schedule import Schedule
from reconciler.errors import Fault

TAKEN_MOUNT_PATHS: Final = ("/tmp", "/etc/stash", "/etc/stash/repository/secret")  # noqa: S108 -- the sidecar's own mounts
"""Where the sidecar's own volumes are mounted."""

_KEEPS: Final = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def invoker_faults(invoker: Invoker) -> Iterator[Fault]:
    """Every fault of an invoker by itself."""
    yield from name_faults(invoker.metadata)
    yield from _schedule(invoker.schedule)
    yield from one_of("spec.driver", invoker.driver, get_args(Driver))
    yield from one_of("spec.executionOrder", invoker.execution_order, get_args(ExecutionOrder))
    if invoker.driver == "Restic" and not invoker.repository:
        yield Fault("spec.repository.name", "is missing", "name a Repository of the same namespace")
    yield from retention_faults(invoker.retention_policy)
    yield from not_negative("spec.backupHistoryLimit", invoker.backup_history_limit)
    yield from positive_duration("spec.timeOut", invoker.time_out)
    if invoker.retry_config is not None:
        yield from not_negative("spec.retryConfig.maxRetry", invoker.retry_config.max_retry)
        yield from positive_duration("spec.retryConfig.delay", invoker.retry_config.delay)
    yield from _hooks("spec.hooks", invoker.hooks)
    yield from _members(invoker)


def retention_faults(policy: RetentionPolicy) -> Iterator[Fault]:
    """A policy that counts below zero, or that keeps nothing (restic then refuses to forget)."""
    counts = {name: getattr(policy, f"keep_{name}") for name in _KEEPS}
    for name, count in counts.items():
        yield from not_negative(f"spec.retentionPolicy.keep{name.capitalize()}", count)
    if not any(counts.values()) and not policy.keep_tags:
        yield Fault(
            "spec.retentionPolicy", "keeps nothing", "say what to keep, for example keepLast: 5"
        )


def _schedule(text: str) -> Iterator[Fault]:
    if not text:
        yield Fault("spec.schedule", "is missing", 'write for example "0 3 * * *"')
        return
    try:
        Schedule.parse(text)
    except ValueError as error:
        problem, _, remedy = str(error).rpartition("; ")
        yield Fault("spec.schedule", f"is not a schedule: {problem}", remedy, text)


def _members(invoker: Invoker) -> Iterator[Fault]:
    if not invoker.members:
        yield Fault("spec.members", "is empty", "add a member with a target")
    for index, member in enumerate(invoker.members):
        yield from _member(invoker.member_path(index), member, invoker.driver)
    yield from _collisions(invoker)


def _member(path: str, member: Member, driver: str) -> Iterator[Fault]:
    yield from _hooks(f"{path}.hooks", member.hooks)
    target = member.target
    if target is None:
        yield Fault(f"{path}.target", "is missing", "say what is backed up")
        return
    yield from ref_faults(f"{path}.target.ref", target.ref)
    if driver == VOLUME_SNAPSHOTTER:
        yield from _snapshot_target(f"{path}.target", target)
    if target.ref.kind in WORKLOAD_KINDS and driver == "Restic":
        yield from _sidecar_target(f"{path}.target", target)
    elif driver == "Restic" and member.task is None and target.ref.kind:
        known = {"PersistentVolumeClaim": "task: {name: pvc-backup}"}
        example = known.get(target.ref.kind, "for example task: {name: mysql-backup}")
        yield Fault(
            f"{path}.task",
            f"is missing: a {target.ref.kind} is backed up by a Job, which runs a Task",
            f"write {example}",
        )


def _snapshot_target(path: str, target: BackupTarget) -> Iterator[Fault]:
    if target.ref.kind and target.ref.kind not in (*WORKLOAD_KINDS, "PersistentVolumeClaim"):
        yield Fault(
            f"{path}.ref.kind",
            "has no claims that could be snapshotted",
            "name a workload or a PersistentVolumeClaim, or write driver: Restic",
            target.ref.kind,
        )
    if target.replicas is not None:
        yield from not_negative(f"{path}.replicas", target.replicas)


def _sidecar_target(path: str, target: BackupTarget) -> Iterator[Fault]:
    if not target.paths:
        yield Fault(f"{path}.paths", "is empty", "name the folders to back up")
    mounts = list(_mount_paths(target))
    for index, mount in enumerate(mounts):
        at = f"{path}.volumeMounts[{index}].mountPath"
        if not mount:
            yield Fault(at, "is missing", "say where the sidecar sees the volume")
        elif mount.rstrip("/") in TAKEN_MOUNT_PATHS:
            yield Fault(at, "is a folder of the sidecar's own", "mount it elsewhere", mount)
    for index, text in enumerate(target.paths):
        yield from _backup_path(f"{path}.paths[{index}]", text, mounts)


def _mount_paths(target: BackupTarget) -> Iterator[str]:
    for mount in target.volume_mounts:
        found = mount.get("mountPath")
        yield found if isinstance(found, str) else ""


def _backup_path(at: str, text: str, mounts: list[str]) -> Iterator[Fault]:
    path = PurePosixPath(text)
    if not path.is_absolute():
        yield Fault(at, "is not an absolute path", "begin it with /", text)
    elif not any(
        path.is_relative_to(mount) or PurePosixPath(mount).is_relative_to(path)
        for mount in mounts
        if mount
    ):
        yield Fault(
            at,
            "is in no mounted volume: the sidecar would not see the workload's files",
            "add the volume that holds it to volumeMounts",
            text,
        )


# -- members against each other ---------------------------------------------------------------


def _collisions(invoker: Invoker) -> Iterator[Fault]:
    present = [(i, m.target) for i, m in enumerate(invoker.members) if m.target is not None]
    for (first, one), (second, other) in itertools.combinations(present, 2):
        path, earlier = invoker.member_path(second), invoker.member_path(first)
        if (one.ref.kind, one.ref.name) == (other.ref.kind, other.ref.name):
            yield Fault(
                f"{path}.target.ref",
                f"is the target of {earlier} too",
                "name each target once, with all its paths",
                str(other.ref),
            )
        elif _share_a_host(one, alias_of(invoker, first), other, alias_of(invoker, second)):
            yield Fault(
                f"{path}.target.alias",
                f"leads to a host name of {earlier} too: both would be one in the repository",
                "give it an alias of its own",
                alias_of(invoker, second),
            )


def _share_a_host(one: BackupTarget, alias: str, other: BackupTarget, other_alias: str) -> bool:
    """Equal aliases, or the alias of one reads like a replica of the other."""
    return (
        alias == other_alias
        or _is_replica_of(alias, other, other_alias)
        or _is_replica_of(other_alias, one, alias)
    )


def _is_replica_of(alias: str, target: BackupTarget, target_alias: str) -> bool:
    """Hosts of a StatefulSet are ``<alias>-<ordinal>``."""
    if target.ref.kind != "StatefulSet":
        return False
    return re.fullmatch(rf"{re.escape(target_alias)}-\d+", alias) is not None


# -- hooks ------------------------------------------------------------------------------------


def _hooks(path: str, hooks: BackupHooks | None) -> Iterator[Fault]:
    if hooks is not None:
        yield from handler_faults(f"{path}.preBackup", hooks.pre_backup)
        yield from handler_faults(f"{path}.postBackup", hooks.post_backup)


def handler_faults(path: str, handler: Handler | None) -> Iterator[Fault]:
    """A hook that does nothing, or runs no command."""
    if handler is None:
        return
    if not any((handler.exec, handler.http_get, handler.http_post, handler.tcp_socket)):
        yield Fault(path, "does nothing", "write exec, httpGet, httpPost or tcpSocket")
    if handler.exec is not None and not handler.exec.command:
        yield Fault(f"{path}.exec.command", "is empty", "name the command and its arguments")
    for field, action in (("httpGet", handler.http_get), ("httpPost", handler.http_post)):
        if action is not None and action.scheme.upper() not in ("", "HTTP", "HTTPS"):
            remedy = "write HTTP or HTTPS"
            yield Fault(f"{path}.{field}.scheme", "is not known", remedy, action.scheme)
    yield from _named_ports(path, handler)


def _named_ports(path: str, handler: Handler) -> Iterator[Fault]:
    """The name of a port belongs to a container."""
    actions = (
        ("httpGet", handler.http_get),
        ("httpPost", handler.http_post),
        ("tcpSocket", handler.tcp_socket),
    )
    for field, action in actions:
        port = action.port if action is not None else 0
        if isinstance(port, str) and not port.isdecimal() and not handler.container_name:
            remedy = "write containerName, or the port's number"
            yield Fault(f"{path}.{field}.port", "is a name of no container's", remedy, port)
