"""Conditions: their type, their names and reasons, and how one is set.

The constants are Stash v0.10's, exactly, so that tools which read them go on working; those of
Tandem stand apart at the end. Used by decisions, agent and command line. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import attrs

from reconciler.api.metadata import Int64, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


@attrs.frozen(kw_only=True)
class Condition:
    """One observed fact about an object."""

    type: str
    """The fact, one CamelCase word."""
    status: ConditionStatus
    """Whether it holds."""
    observed_generation: Int64 = 0
    """The generation of the spec that it was observed for."""
    last_transition_time: Timestamp
    """When the status last changed."""
    reason: str
    """Why, one CamelCase word for programs."""
    message: str
    """Why, one sentence for people."""


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether there is such a condition and its status is True."""
    found = find(conditions, type_)
    return found is not None and found.status == "True"


def with_condition(conditions: Sequence[Condition], new: Condition) -> tuple[Condition, ...]:
    """``conditions`` with ``new`` in the place of its type, or at the end.

    The time of the last transition is kept while the status stays the same (Kubernetes'
    convention; Stash also moved it when only the message changed).
    """
    old = find(conditions, new.type)
    if old is None:
        return (*conditions, new)
    if old.status == new.status:
        new = attrs.evolve(new, last_transition_time=old.last_transition_time)
    return tuple(new if each.type == new.type else each for each in conditions)


# -- of an invoker ------------------------------------------------------------------------------
REPOSITORY_FOUND: Final = "RepositoryFound"
REPOSITORY_AVAILABLE: Final = "RepositoryAvailable"
REPOSITORY_NOT_AVAILABLE: Final = "RepositoryNotAvailable"
UNABLE_TO_CHECK_REPOSITORY_AVAILABILITY: Final = "UnableToCheckRepositoryAvailability"

BACKEND_SECRET_FOUND: Final = "BackendSecretFound"  # noqa: S105 -- no secret
BACKEND_SECRET_AVAILABLE: Final = "BackendSecretAvailable"  # noqa: S105 -- no secret
BACKEND_SECRET_NOT_AVAILABLE: Final = "BackendSecretNotAvailable"  # noqa: S105 -- no secret
UNABLE_TO_CHECK_BACKEND_SECRET_AVAILABILITY: Final = "UnableToCheckBackendSecretAvailability"  # noqa: S105 -- no secret

CRON_JOB_CREATED: Final = "CronJobCreated"
CRON_JOB_CREATION_SUCCEEDED: Final = "CronJobCreationSucceeded"
CRON_JOB_CREATION_FAILED: Final = "CronJobCreationFailed"

# -- of a member of a backup invoker --------------------------------------------------------------
BACKUP_TARGET_FOUND: Final = "BackupTargetFound"
TARGET_AVAILABLE: Final = "TargetAvailable"
TARGET_NOT_AVAILABLE: Final = "TargetNotAvailable"
UNABLE_TO_CHECK_TARGET_AVAILABILITY: Final = "UnableToCheckTargetAvailability"

STASH_SIDECAR_INJECTED: Final = "StashSidecarInjected"
SIDECAR_INJECTION_SUCCEEDED: Final = "SidecarInjectionSucceeded"
SIDECAR_INJECTION_FAILED: Final = "SidecarInjectionFailed"

# -- of a member of a restore invoker -------------------------------------------------------------
RESTORE_TARGET_FOUND: Final = "RestoreTargetFound"

STASH_INIT_CONTAINER_INJECTED: Final = "StashInitContainerInjected"
INIT_CONTAINER_INJECTION_SUCCEEDED: Final = "InitContainerInjectionSucceeded"
INIT_CONTAINER_INJECTION_FAILED: Final = "InitContainerInjectionFailed"

RESTORE_JOB_CREATED: Final = "RestoreJobCreated"
RESTORE_JOB_CREATION_SUCCEEDED: Final = "RestoreJobCreationSucceeded"
RESTORE_JOB_CREATION_FAILED: Final = "RestoreJobCreationFailed"

# -- of a session: hooks of the whole invoker -----------------------------------------------------
GLOBAL_PRE_BACKUP_HOOK_SUCCEEDED: Final = "GlobalPreBackupHookSucceeded"
GLOBAL_PRE_BACKUP_HOOK_EXECUTED_SUCCESSFULLY: Final = "GlobalPreBackupHookExecutedSuccessfully"
GLOBAL_PRE_BACKUP_HOOK_EXECUTION_FAILED: Final = "GlobalPreBackupHookExecutionFailed"

GLOBAL_POST_BACKUP_HOOK_SUCCEEDED: Final = "GlobalPostBackupHookSucceeded"
GLOBAL_POST_BACKUP_HOOK_EXECUTED_SUCCESSFULLY: Final = "GlobalPostBackupHookExecutedSuccessfully"
GLOBAL_POST_BACKUP_HOOK_EXECUTION_FAILED: Final = "GlobalPostBackupHookExecutionFailed"

GLOBAL_PRE_RESTORE_HOOK_SUCCEEDED: Final = "GlobalPreRestoreHookSucceeded"
GLOBAL_PRE_RESTORE_HOOK_EXECUTED_SUCCESSFULLY: Final = "GlobalPreRestoreHookExecutedSuccessfully"
GLOBAL_PRE_RESTORE_HOOK_EXECUTION_FAILED: Final = "GlobalPreRestoreHookExecutionFailed"

GLOBAL_POST_RESTORE_HOOK_SUCCEEDED: Final = "GlobalPostRestoreHookSucceeded"
GLOBAL_POST_RESTORE_HOOK_EXECUTED_SUCCESSFULLY: Final = "GlobalPostRestoreHookExecutedSuccessfully"
GLOBAL_POST_RESTORE_HOOK_EXECUTION_FAILED: Final = "GlobalPostRestoreHookExecutionFailed"

# -- of a session: the repository -----------------------------------------------------------------
BACKEND_REPOSITORY_INITIALIZED: Final = "BackendRepositoryInitialized"
BACKEND_REPOSITORY_FOUND: Final = "BackendRepositoryFound"
FAILED_TO_INITIALIZE_BACKEND_REPOSITORY: Final = "FailedToInitializeBackendRepository"

RETENTION_POLICY_APPLIED: Final = "RetentionPolicyApplied"
SUCCESSFULLY_APPLIED_RETENTION_POLICY: Final = "SuccessfullyAppliedRetentionPolicy"
FAILED_TO_APPLY_RETENTION_POLICY: Final = "FailedToApplyRetentionPolicy"

REPOSITORY_INTEGRITY_VERIFIED: Final = "RepositoryIntegrityVerified"
SUCCESSFULLY_VERIFIED_REPOSITORY_INTEGRITY: Final = "SuccessfullyVerifiedRepositoryIntegrity"
FAILED_TO_VERIFY_REPOSITORY_INTEGRITY: Final = "FailedToVerifyRepositoryIntegrity"

REPOSITORY_WIPED: Final = "RepositoryWiped"
FAILED_TO_WIPE_REPOSITORY: Final = "FailedToWipeRepository"
REPOSITORY_IN_USE: Final = "RepositoryInUse"
WIPING_REPOSITORY: Final = "WipingRepository"

REPOSITORY_METRICS_PUSHED: Final = "RepositoryMetricsPushed"
SUCCESSFULLY_PUSHED_REPOSITORY_METRICS: Final = "SuccessfullyPushedRepositoryMetrics"
FAILED_TO_PUSH_REPOSITORY_METRICS: Final = "FailedToPushRepositoryMetrics"

# -- Tandem's own: why a session did not run, or ended early --------------------------------------
SKIPPED: Final = "Skipped"
PREVIOUS_SESSION_RUNNING: Final = "PreviousSessionRunning"
PAUSED: Final = "Paused"
INVOKER_TERMINATING: Final = "InvokerTerminating"
INVOKER_NOT_FOUND: Final = "InvokerNotFound"
INVALID_INVOKER: Final = "InvalidInvoker"

SLOTS_MISSED: Final = "SlotsMissed"
NO_SESSION_CREATED: Final = "NoSessionCreated"

DEADLINE_EXCEEDED: Final = "DeadlineExceeded"

VALID: Final = "Valid"
SPEC_ACCEPTED: Final = "SpecAccepted"
INVALID_SPEC: Final = "InvalidSpec"
