"""One view of what starts backups: a BackupBatch, or a BackupConfiguration as a batch of one.

Everything that acts on invokers (decisions, manifests, agent) uses this view, so that both kinds
behave alike. Pure.
"""

from __future__ import annotations

from typing import Final

import attrs

from reconciler.api.backup import (
    VOLUME_SNAPSHOTTER,
    BackupBatch,
    BackupConfiguration,
    Driver,
    ExecutionOrder,
    InvokerStatus,
    Member,
    RetentionPolicy,
    RetryConfig,
)
from reconciler.api.decoding import Unknown, decode
from reconciler.api.metadata import ObjectMeta, OwnerReference
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    JsonObject,
    Resource,
)
from reconciler.api.runtime import BackupHooks, RuntimeSettings

INVOKERS: Final = (BACKUP_BATCHES, BACKUP_CONFIGURATIONS)
"""The resources that start backups."""

DEFAULT_HISTORY_LIMIT: Final = 1
"""How many finished sessions are kept where the spec does not say (Stash's default)."""


@attrs.frozen(kw_only=True)
class Invoker:
    """What is backed up, when and where to, whatever kind says so."""

    resource: Resource
    metadata: ObjectMeta
    members: tuple[Member, ...]
    """In order. Members without a target have nothing to back up."""
    schedule: str
    paused: bool
    driver: Driver
    execution_order: ExecutionOrder
    repository: str
    """The name of the Repository, in the same namespace."""
    retention_policy: RetentionPolicy
    backup_history_limit: int
    hooks: BackupHooks | None
    """Hooks around the whole session; a member's own hooks are with the member."""
    runtime_settings: RuntimeSettings | None
    """How the trigger's pod is run."""
    time_out: str
    """A Go duration, or ""."""
    retry_config: RetryConfig | None
    status: InvokerStatus

    @classmethod
    def of(cls, obj: BackupBatch | BackupConfiguration) -> Invoker:
        """The view of a typed object."""
        spec = obj.spec
        batch = isinstance(obj, BackupBatch)
        return cls(
            resource=obj.RESOURCE,
            metadata=obj.metadata,
            members=obj.spec.members if isinstance(obj, BackupBatch) else (_only_member(obj),),
            schedule=spec.schedule,
            paused=spec.paused,
            driver=spec.driver,
            execution_order=obj.spec.execution_order
            if isinstance(obj, BackupBatch)
            else "Parallel",
            repository=spec.repository.name,
            retention_policy=spec.retention_policy,
            backup_history_limit=(
                DEFAULT_HISTORY_LIMIT
                if spec.backup_history_limit is None
                else spec.backup_history_limit
            ),
            hooks=spec.hooks if batch else None,
            runtime_settings=spec.runtime_settings,
            time_out=spec.time_out,
            retry_config=spec.retry_config,
            status=obj.status,
        )

    @property
    def takes_snapshots(self) -> bool:
        """Whether claims are snapshotted by the cluster, and no Repository is involved."""
        return self.driver == VOLUME_SNAPSHOTTER

    @property
    def kind(self) -> str:
        return self.resource.kind

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    def member_path(self, index: int) -> str:
        """The field path of a member, for faults."""
        return f"spec.members[{index}]" if self.kind == BACKUP_BATCHES.kind else "spec"

    def owner_reference(self) -> OwnerReference:
        """For objects that live and die with the invoker."""
        return OwnerReference(
            api_version=self.resource.api_version,
            kind=self.kind,
            name=self.name,
            uid=self.metadata.uid,
            controller=True,
            block_owner_deletion=True,
        )


def decode_invoker(obj: JsonObject, *, unknown: Unknown = "refuse") -> Invoker:
    """The view of a BackupBatch or BackupConfiguration in JSON. Raises InvalidObject."""
    if obj.get("kind") == BACKUP_CONFIGURATIONS.kind:
        return Invoker.of(decode(BackupConfiguration, obj, unknown=unknown))
    return Invoker.of(decode(BackupBatch, obj, unknown=unknown))


def _only_member(obj: BackupConfiguration) -> Member:
    """The Member that a BackupConfiguration's spec contains among other fields."""
    return Member(**{field.name: getattr(obj.spec, field.name) for field in attrs.fields(Member)})
