"""The names of everything that Tandem creates, computed from what it belongs to.

A name is a lock (architecture section 5): a second creator gets AlreadyExists. So every name is a
pure function of its owner. Called by the builders in this package and by the decisions, which look
objects up by the same names; it must not know what the objects contain.
"""

from __future__ import annotations

import hashlib

CRON_JOB_LIMIT = 52
"""Kubernetes adds up to 11 characters to a CronJob's name for its Jobs (batch/v1 validation)."""
LABEL_LIMIT = 63
"""Names that end up in a label (a Job's, a host's) may have no more characters (RFC 1123)."""
SUBDOMAIN_LIMIT = 253
"""Names that end up in no label may have no more characters (RFC 1123)."""
_SECONDS_DIGITS = 10

SIDECAR = "stash"
INIT_CONTAINER = "stash-init"
CRON_JOB_ACCOUNT = "stash-cron-job"
BACKUP_JOB_ACCOUNT = "stash-backup-job"
SNAPSHOT_RESTORER_ACCOUNT = "stash-vs-restorer-job"
SNAPSHOT_JOB_ACCOUNT = "stash-vs-job"
SIDECAR_ROLE = "stash-sidecar"
RESTORE_JOB_ACCOUNT = "stash-restore-job"
INIT_CONTAINER_ROLE = "stash-restore-init-container"
HOOKS_ROLE = "stash-hooks"
HOOK_CONTAINER = "operator"
"""The container of a hook of the whole: Stash runs it in its operator's, and manifests say so."""
SHARED_ACCESS = (
    CRON_JOB_ACCOUNT,
    BACKUP_JOB_ACCOUNT,
    RESTORE_JOB_ACCOUNT,
    SNAPSHOT_JOB_ACCOUNT,
    SNAPSHOT_RESTORER_ACCOUNT,
    f"{SIDECAR_ROLE}-default",
)
"""The names of the shared accounts and bindings of a namespace that are known beforehand."""
OPERATOR_ROLE = "tandem-operator"
OPERATOR_CATALOG_ROLE = "tandem-operator-catalog"
OPERATOR_OWN_ROLE = "tandem-operator-own"
LEASE = "tandem-operator"
FINALIZER = "stash.appscode.com"


def digest(*parts: str) -> str:
    """Eight hexadecimal digits that stand for the parts; it decides names, never secrets."""
    joined = "\0".join(parts).encode()
    return hashlib.sha256(joined).hexdigest()[:8]


def limited(name: str, limit: int = LABEL_LIMIT) -> str:
    """The name with dots as dashes; a longer one is cut and gets a hash of the whole.

    Stash cuts without a hash, so two long names could meet in one object (spec 10.8).
    """
    flat = name.replace(".", "-")
    if len(flat) <= limit:
        return flat
    return f"{flat[: limit - 9].rstrip('-')}-{digest(name)}"


def cron_job(invoker: str) -> str:
    return limited(f"stash-backup-{invoker}", CRON_JOB_LIMIT)


def backup_job(session: str, index: int) -> str:
    return limited(f"stash-backup-{session}-{index}")


def snapshot_job(session: str, index: int) -> str:
    return limited(f"stash-vs-{session}-{index}")


def snapshot_restore_job(restore: str, index: int, claim: str) -> str:
    return limited(f"stash-vs-{restore}-{index}-{digest(claim)}")


def volume_snapshot(claim: str, session: str, session_uid: str) -> str:
    """``<claim>-<unix seconds of the slot>``, as in Stash; other sessions are told by a hash."""
    tail = session.rpartition("-")[2]
    is_slot = len(tail) == _SECONDS_DIGITS and tail.isascii() and tail.isdecimal()
    suffix = tail if is_slot else digest(session, session_uid)
    return f"{limited(claim, SUBDOMAIN_LIMIT - 1 - len(suffix))}-{suffix}"


def retry_session(first: str, number: int) -> str:
    """The session that tries again what the first of its chain failed to do."""
    return limited(f"{first}-retry-{number}")


def restore_job(restore: str, index: int, ordinal: str | None) -> str:
    """One a target; of claim templates, one an ordinal."""
    tail = "" if ordinal is None else f"-{ordinal}"
    return limited(f"stash-restore-{restore}-{index}{tail}")


def init_job(repository: str, *facts: str) -> str:
    return limited(f"stash-init-{repository}-{digest(*facts)}")


def maintain_job(repository: str, session_uid: str) -> str:
    return limited(f"stash-maintain-{repository}-{digest(session_uid)}")


def hook_job(session: str, which: str) -> str:
    """The Job of a hook of the whole: ``which`` is pre or post."""
    return limited(f"stash-hook-{session}-{which}")


def owed_hook_job(session: str, index: int, host: str) -> str:
    """The Job of the post hook that a dead runner owes for its host."""
    return limited(f"stash-hook-{session}-{index}-{digest(host)}")


def hooks_binding(service_account: str) -> str:
    return limited(f"{HOOKS_ROLE}-{service_account}")


def errand_job(task: str, repository: str, token: str) -> str:
    """A Job that somebody asked for. ``token`` tells this time from every other."""
    return limited(f"tandem-{task}-{repository}-{digest(token)}")


def wipe_job(repository: str, *facts: str) -> str:
    return limited(f"stash-wipe-{repository}-{digest(*facts)}")


def sidecar_binding(service_account: str) -> str:
    return limited(f"{SIDECAR_ROLE}-{service_account}")


def init_container_binding(service_account: str) -> str:
    return limited(f"{INIT_CONTAINER_ROLE}-{service_account}")


def snapshot_restorer_binding(service_account: str) -> str:
    """The binding of a service account that a user named for Jobs that make claims of snapshots."""
    if service_account == SNAPSHOT_RESTORER_ACCOUNT:
        return SNAPSHOT_RESTORER_ACCOUNT
    return limited(f"{SNAPSHOT_RESTORER_ACCOUNT}-{service_account}")


def restore_binding(service_account: str) -> str:
    """The binding of a service account that a user named for the restore Jobs of a member."""
    if service_account == RESTORE_JOB_ACCOUNT:
        return RESTORE_JOB_ACCOUNT
    return limited(f"{RESTORE_JOB_ACCOUNT}-{service_account}")


def job_binding(service_account: str) -> str:
    """The binding of a service account that a user named for the Jobs of a member."""
    if service_account == BACKUP_JOB_ACCOUNT:
        return BACKUP_JOB_ACCOUNT
    return limited(f"{BACKUP_JOB_ACCOUNT}-{service_account}")


def snapshot_binding(service_account: str) -> str:
    """The binding of a service account that a user named for the Jobs that make snapshots."""
    if service_account == SNAPSHOT_JOB_ACCOUNT:
        return SNAPSHOT_JOB_ACCOUNT
    return limited(f"{SNAPSHOT_JOB_ACCOUNT}-{service_account}")


def cron_binding(service_account: str) -> str:
    """The binding of a service account that a user named for the trigger."""
    if service_account == CRON_JOB_ACCOUNT:
        return CRON_JOB_ACCOUNT
    return limited(f"{CRON_JOB_ACCOUNT}-{service_account}")


def interim_claim(owner: str, index: int, template: str, ordinal: str | None = None) -> str:
    """The claim for interim data. The member's index keeps two members apart (spec 10.50)."""
    tail = "" if ordinal is None else f"-{ordinal}"
    return limited(f"{owner}-{index}-{template}{tail}")


def container(function: str, index: int) -> str:
    return limited(f"{function}-{index}")
