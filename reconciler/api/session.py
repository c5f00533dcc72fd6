"""BackupSession: one run of a batch, target by target and host by host.

Created by the trigger, steered by the operator, reported by the agents. Types only; the contract
of who writes what is in the design record of the foundation.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from reconciler.api.conditions import Condition
from reconciler.api.metadata import Int32, Int64, ObjectMeta, TargetRef, Timestamp, named
from reconciler.api.resources import BACKUP_SESSIONS, Resource

SessionPhase = Literal["Pending", "Running", "Succeeded", "Failed", "Skipped", "Unknown"]
TargetPhase = Literal["Pending", "Injecting", "Scheduled", "Running", "Succeeded", "Failed"]
HostPhase = Literal["Succeeded", "Failed"]

FINAL_SESSION_PHASES: frozenset[str] = frozenset({"Succeeded", "Failed", "Skipped"})
FINAL_TARGET_PHASES: frozenset[str] = frozenset({"Succeeded", "Failed"})


@attrs.frozen(kw_only=True)
class InvokerRef:
    """The BackupBatch or BackupConfiguration that a session belongs to."""

    api_group: str = ""
    kind: str
    name: str


@attrs.frozen(kw_only=True)
class BackupSessionSpec:
    """Whose session it is."""

    invoker: InvokerRef
    retry_left: Int32 | None = None
    """How many more sessions may be tried if this one fails; unset: what the invoker allows."""


@attrs.frozen(kw_only=True)
class FileStats:
    """How many files a snapshot holds, and how they differ from the snapshot before."""

    total_files: Int64 | None = None
    new_files: Int64 | None = None
    modified_files: Int64 | None = None
    unmodified_files: Int64 | None = None


@attrs.frozen(kw_only=True)
class SnapshotStats:
    """One restic snapshot."""

    name: str = ""
    """The snapshot's short id."""
    path: str = ""
    total_size: str = ""
    uploaded: str = ""
    """How much was new."""
    processing_time: str = ""
    file_stats: FileStats | None = None


@attrs.frozen(kw_only=True)
class HostBackupStats:
    """How the backup of one host ended. Written once, never changed."""

    hostname: str = ""
    phase: HostPhase | None = None
    duration: str = ""
    """A Go duration."""
    error: str = ""
    snapshots: tuple[SnapshotStats, ...] = ()


@attrs.frozen(kw_only=True)
class HostHooks:
    """What became of the hooks around a host. Written with its report; each once."""

    pre: Literal["Succeeded", "Failed"] | None = None
    post: Literal["Succeeded", "Failed", "Skipped"] | None = None
    """Absent although the host is claimed and its member has such a hook: it is still owed."""


@attrs.frozen(kw_only=True)
class HostClaim:
    """An expected host, and the runner that has claimed it."""

    hostname: str
    runner: str = ""
    """The name of the pod that backs it up."""
    runner_uid: str = attrs.field(default="", metadata=named("runnerUID"))
    start_time: Timestamp = ""
    """When the runner claimed it."""
    earlier_runners: tuple[str, ...] = ()
    """Pods that had claimed it before and have died: their locks may be removed."""
    hooks: HostHooks | None = None


@attrs.frozen(kw_only=True)
class TargetStatus:
    """How far one target is."""

    ref: TargetRef = attrs.field(factory=TargetRef)
    total_hosts: Int32 | None = None
    phase: TargetPhase | None = None
    reason: str = ""
    """Why it is in this phase, one CamelCase word."""
    message: str = ""
    """Why it is in this phase, one sentence."""
    start_time: Timestamp = ""
    """When it left Pending."""
    hosts: tuple[HostClaim, ...] = ()
    stats: tuple[HostBackupStats, ...] = ()
    pre_backup_actions: tuple[str, ...] = ()
    post_backup_actions: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class BackupSessionStatus:
    """How far the session is."""

    phase: SessionPhase | None = None
    session_duration: str = ""
    """A Go duration, once the session has ended."""
    session_deadline: Timestamp = ""
    """When the session ends at the latest."""
    next_retry: Timestamp = ""
    """When a failed session is tried again, by another session; unset: it is not."""
    retried: bool | None = None
    """Whether that other session has been made."""
    repository: str = ""
    """The Repository that it was let into; its invoker may name another one by now."""
    conditions: tuple[Condition, ...] = ()
    targets: tuple[TargetStatus, ...] = ()


@attrs.frozen(kw_only=True)
class BackupSession:
    """One run of a BackupBatch or BackupConfiguration."""

    RESOURCE: ClassVar[Resource] = BACKUP_SESSIONS

    metadata: ObjectMeta
    spec: BackupSessionSpec
    status: BackupSessionStatus = attrs.field(factory=BackupSessionStatus)
