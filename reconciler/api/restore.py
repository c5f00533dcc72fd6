"""RestoreSession and RestoreBatch: which data goes back where.

Types only.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from reconciler.api.backup import Driver, ExecutionOrder
from reconciler.api.conditions import Condition
from reconciler.api.metadata import (
    Int32,
    LocalObjectReference,
    ObjectMeta,
    TargetRef,
    Timestamp,
)
from reconciler.api.resources import RESTORE_BATCHES, RESTORE_SESSIONS, JsonObject, Resource
from reconciler.api.runtime import EmptyDirSettings, RestoreHooks, RuntimeSettings
from reconciler.api.session import HostClaim
from reconciler.api.task import TaskRef

RestorePhase = Literal["Pending", "Running", "Succeeded", "Failed", "Skipped", "Unknown"]
RestoreTargetPhase = Literal[
    "Pending", "Injecting", "Scheduled", "Running", "Succeeded", "Failed", "Unknown"
]
HostRestorePhase = Literal["Succeeded", "Failed", "Unknown"]


@attrs.frozen(kw_only=True)
class Rule:
    """What some hosts restore. The first rule that names a host counts, else the one for all."""

    target_hosts: tuple[str, ...] = ()
    """The hosts that restore by this rule; empty: every host that no other rule names."""
    source_host: str = ""
    """Whose data they restore; empty: each its own."""
    snapshots: tuple[str, ...] = ()
    """Snapshots to restore, in whole; excludes paths."""
    paths: tuple[str, ...] = ()
    """Folders to restore from the latest snapshot; excludes snapshots. Neither: what the latest
    snapshots of the source host hold."""
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RestoreTarget:
    """Where the data goes."""

    alias: str = ""
    """The name of this data in the repository, as given when it was backed up."""
    ref: TargetRef = attrs.field(factory=TargetRef)
    volume_mounts: tuple[JsonObject, ...] = ()
    replicas: Int32 | None = None
    """How many sets of volumes are made from volumeClaimTemplates."""
    volume_claim_templates: tuple[JsonObject, ...] = ()
    """Volumes to make and to restore into."""
    rules: tuple[Rule, ...] = ()


@attrs.frozen(kw_only=True)
class RestoreMember:
    """One target, and how it is restored."""

    task: TaskRef | None = None
    target: RestoreTarget | None = None
    runtime_settings: RuntimeSettings | None = None
    temp_dir: EmptyDirSettings | None = None
    interim_volume_template: JsonObject | None = None
    hooks: RestoreHooks | None = None


@attrs.frozen(kw_only=True)
class HostRestoreStats:
    """How the restore of one host ended."""

    hostname: str = ""
    phase: HostRestorePhase | None = None
    duration: str = ""
    error: str = ""


@attrs.frozen(kw_only=True)
class RestoreSessionSpec(RestoreMember):
    """Which data goes back where."""

    driver: Driver = "Restic"
    repository: LocalObjectReference = attrs.field(factory=LocalObjectReference)
    rules: tuple[Rule, ...] = ()
    """Deprecated: use target.rules."""
    time_out: str = ""
    """How long the restore may take, a Go duration such as 2h."""


@attrs.frozen(kw_only=True)
class RestoreSessionStatus:
    """How far the restore is."""

    phase: RestorePhase | None = None
    target_phase: RestoreTargetPhase | None = None
    """How far its target is; the restore as a whole may have more to do."""
    reason: str = ""
    """Why the target is in its phase, one CamelCase word."""
    message: str = ""
    """Why the target is in its phase, one sentence."""
    start_time: Timestamp = ""
    """When the target left Pending."""
    total_hosts: Int32 | None = None
    session_duration: str = ""
    """A Go duration, once the restore has ended."""
    session_deadline: Timestamp = ""
    """When the restore ends at the latest."""
    hosts: tuple[HostClaim, ...] = ()
    stats: tuple[HostRestoreStats, ...] = ()
    conditions: tuple[Condition, ...] = ()


@attrs.frozen(kw_only=True)
class RestoreSession:
    """One restore of one target."""

    RESOURCE: ClassVar[Resource] = RESTORE_SESSIONS

    metadata: ObjectMeta
    spec: RestoreSessionSpec
    status: RestoreSessionStatus = attrs.field(factory=RestoreSessionStatus)


@attrs.frozen(kw_only=True)
class RestoreBatchSpec:
    """Which data goes back where, together."""

    driver: Driver = "Restic"
    repository: LocalObjectReference = attrs.field(factory=LocalObjectReference)
    members: tuple[RestoreMember, ...] = ()
    execution_order: ExecutionOrder = "Parallel"
    """Whether members are restored at once or one after another."""
    hooks: RestoreHooks | None = None
    """Hooks before the first and after the last member."""
    time_out: str = ""
    """How long the restore may take, a Go duration such as 2h."""


@attrs.frozen(kw_only=True)
class RestoreMemberStatus:
    """How far one member is."""

    ref: TargetRef
    conditions: tuple[Condition, ...] = ()
    total_hosts: Int32 | None = None
    phase: RestoreTargetPhase | None = None
    reason: str = ""
    """Why it is in this phase, one CamelCase word."""
    message: str = ""
    """Why it is in this phase, one sentence."""
    start_time: Timestamp = ""
    """When it left Pending."""
    hosts: tuple[HostClaim, ...] = ()
    stats: tuple[HostRestoreStats, ...] = ()


@attrs.frozen(kw_only=True)
class RestoreBatchStatus:
    """How far the restore is."""

    phase: RestorePhase | None = None
    session_duration: str = ""
    """A Go duration, once the restore has ended."""
    session_deadline: Timestamp = ""
    """When the restore ends at the latest."""
    conditions: tuple[Condition, ...] = ()
    members: tuple[RestoreMemberStatus, ...] = ()


@attrs.frozen(kw_only=True)
class RestoreBatch:
    """One restore of things that were backed up together."""

    RESOURCE: ClassVar[Resource] = RESTORE_BATCHES

    metadata: ObjectMeta
    spec: RestoreBatchSpec
    status: RestoreBatchStatus = attrs.field(factory=RestoreBatchStatus)
