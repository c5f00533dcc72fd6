"""BackupBatch and BackupConfiguration: what is backed up, when, and where to.

Both are invokers; code that does not care which uses ``invoker.Invoker``. Types only.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import attrs

from reconciler.api.conditions import Condition
from reconciler.api.metadata import (
    Int32,
    Int64,
    LocalObjectReference,
    ObjectMeta,
    TargetRef,
    Timestamp,
)
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    JsonObject,
    Resource,
)
from reconciler.api.runtime import BackupHooks, EmptyDirSettings, RuntimeSettings
from reconciler.api.task import TaskRef

Driver = Literal["Restic", "VolumeSnapshotter"]
VOLUME_SNAPSHOTTER: Final = "VolumeSnapshotter"
ExecutionOrder = Literal["Parallel", "Sequential"]
InvokerPhase = Literal[
    "Pending", "Injecting", "Scheduled", "Running", "Succeeded", "Failed", "Terminating"
]


@attrs.frozen(kw_only=True)
class RetentionPolicy:
    """Which snapshots are kept: restic's forget, per host."""

    name: str
    keep_last: Int64 = 0
    keep_hourly: Int64 = 0
    keep_daily: Int64 = 0
    keep_weekly: Int64 = 0
    keep_monthly: Int64 = 0
    keep_yearly: Int64 = 0
    keep_tags: tuple[str, ...] = ()
    prune: bool
    """Whether the data of forgotten snapshots is removed."""
    dry_run: bool = False
    """Whether to say only what would be forgotten."""


@attrs.frozen(kw_only=True)
class RetryConfig:
    """Whether a failed session is tried again."""

    max_retry: Int32 = 0
    """How many more sessions may be tried."""
    delay: str = ""
    """How long to wait before each, a Go duration such as 10m."""


@attrs.frozen(kw_only=True)
class BackupTarget:
    """What is backed up, and which of its files."""

    alias: str = ""
    """The name of this data in the repository: restic's host, or the beginning of it."""
    ref: TargetRef = attrs.field(factory=TargetRef)
    paths: tuple[str, ...] = ()
    """Folders to back up, as the sidecar sees them."""
    volume_mounts: tuple[JsonObject, ...] = ()
    """Volumes of the workload to mount into the sidecar."""
    replicas: Int32 | None = None
    """VolumeSnapshotter only: the replicas of a StatefulSet to take."""
    snapshot_class_name: str = ""
    """VolumeSnapshotter only."""
    exclude: tuple[str, ...] = ()
    """Patterns of files to leave out, as in restic backup --exclude."""


@attrs.frozen(kw_only=True)
class Member:
    """One target of a batch, and how it is backed up."""

    task: TaskRef | None = None
    """How a target that is not a workload is backed up."""
    target: BackupTarget | None = None
    runtime_settings: RuntimeSettings | None = None
    temp_dir: EmptyDirSettings | None = None
    interim_volume_template: JsonObject | None = None
    """A PersistentVolumeClaim for data on its way."""
    hooks: BackupHooks | None = None


@attrs.frozen(kw_only=True)
class BackupBatchSpec:
    """What is backed up together, when, and where to."""

    members: tuple[Member, ...] = ()
    schedule: str = ""
    """When, as in a Kubernetes CronJob."""
    runtime_settings: RuntimeSettings | None = None
    """How the pod that triggers a session is run; a member's own settings are with the member."""
    driver: Driver = "Restic"
    repository: LocalObjectReference = attrs.field(factory=LocalObjectReference)
    retention_policy: RetentionPolicy
    paused: bool = False
    """Whether no new session starts."""
    backup_history_limit: Int32 | None = None
    """How many finished sessions are kept; 1 where absent."""
    hooks: BackupHooks | None = None
    """Hooks before the first and after the last member."""
    execution_order: ExecutionOrder = "Parallel"
    """Whether members are backed up at once or one after another."""
    time_out: str = ""
    """How long a session may take, a Go duration such as 2h."""
    retry_config: RetryConfig | None = None


@attrs.frozen(kw_only=True)
class MemberConditions:
    """What is known about one member."""

    target: TargetRef
    conditions: tuple[Condition, ...] = ()


@attrs.frozen(kw_only=True)
class InvokerStatus:
    """What is known about a BackupConfiguration; a BackupBatch adds its members."""

    observed_generation: Int64 = 0
    phase: InvokerPhase | None = None
    conditions: tuple[Condition, ...] = ()
    last_session: str = ""
    """The name of the latest session."""
    last_session_time: Timestamp = ""
    """When the latest session began."""
    next_session_time: Timestamp = ""
    """When the next session is due."""


@attrs.frozen(kw_only=True)
class BackupBatchStatus(InvokerStatus):
    """What is known about a BackupBatch."""

    member_conditions: tuple[MemberConditions, ...] = ()


@attrs.frozen(kw_only=True)
class BackupBatch:
    """Things that are backed up together, into one repository, on one schedule."""

    RESOURCE: ClassVar[Resource] = BACKUP_BATCHES

    metadata: ObjectMeta
    spec: BackupBatchSpec
    status: BackupBatchStatus = attrs.field(factory=BackupBatchStatus)


@attrs.frozen(kw_only=True)
class BackupConfigurationSpec(Member):
    """What is backed up, when, and where to."""

    schedule: str = ""
    """When, as in a Kubernetes CronJob."""
    driver: Driver = "Restic"
    repository: LocalObjectReference = attrs.field(factory=LocalObjectReference)
    retention_policy: RetentionPolicy
    paused: bool = False
    """Whether no new session starts."""
    backup_history_limit: Int32 | None = None
    """How many finished sessions are kept; 1 where absent."""
    time_out: str = ""
    """How long a session may take, a Go duration such as 2h."""
    retry_config: RetryConfig | None = None


@attrs.frozen(kw_only=True)
class BackupConfiguration:
    """One thing that is backed up on a schedule."""

    RESOURCE: ClassVar[Resource] = BACKUP_CONFIGURATIONS

    metadata: ObjectMeta
    spec: BackupConfigurationSpec
    status: InvokerStatus = attrs.field(factory=InvokerStatus)
