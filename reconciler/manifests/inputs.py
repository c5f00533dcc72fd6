"""The variables that the operator computes for Tasks and Functions (stash-data 6.3).

Called by ``jobs`` and ``restore_jobs``. Values are plain text: nothing is escaped here, because
``functions`` puts each value into a string as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.backup import BackupTarget, Member, RetentionPolicy
from reconciler.api.invoker import Invoker
from reconciler.api.metadata import TargetRef
from reconciler.api.repository import Repository
from reconciler.api.resources import JsonObject
from reconciler.api.restore import RestoreMember, RestoreTarget, Rule
from reconciler.api.restore_invoker import RestoreInvoker, rule_for
from reconciler.manifests import volumes

DEFAULT_PATH = "/stash-data"
_INTERIM_DATA = "stash-interim-volume/data"


def variables(
    invoker: Invoker,
    member: Member,
    repository: Repository,
    *,
    session: str,
    host: str,
    image: str,
) -> dict[str, str]:
    """Every variable, overlaid on the member's own ``task.params``, as Stash does it."""
    params = {item.name: item.value for item in (member.task.params if member.task else ())}
    return {
        **params,
        **_of_repository(repository),
        **_of_target(member),
        **_of_retention(invoker.retention_policy),
        **_of_image(image),
        "NAMESPACE": invoker.namespace,
        "BACKUP_SESSION": session,
        "INVOKER_KIND": invoker.kind,
        "INVOKER_NAME": invoker.name,
        "HOSTNAME": host,
        "PROMETHEUS_JOB_NAME": invoker.name,
    }


def restore_variables(
    restore: RestoreInvoker, index: int, repository: Repository, *, host: str, image: str
) -> dict[str, str]:
    """The same of a restore. Stash looks for the rule of the alias, here it is the host's, so a
    target without an alias finds its own too (spec 10.27).
    """
    member = restore.members[index]
    target = member.target or RestoreTarget()
    rule = rule_for(target.rules, host) or Rule()
    params = {item.name: item.value for item in (member.task.params if member.task else ())}
    return {
        **params,
        **_of_repository(repository),
        **_of_place(member, restore.ref(index), target.volume_mounts),
        **_of_image(image),
        "NAMESPACE": restore.namespace,
        "RESTORE_SESSION": restore.name,
        "INVOKER_KIND": restore.kind,
        "INVOKER_NAME": restore.name,
        "HOSTNAME": host,
        "SOURCE_HOSTNAME": rule.source_host or host,
        "RESTORE_PATHS": ",".join(rule.paths),
        "RESTORE_SNAPSHOTS": ",".join(rule.snapshots),
        "INCLUDE_PATTERNS": ",".join(rule.include),
        "EXCLUDE_PATTERNS": ",".join(rule.exclude),
        "TARGET_APP_REPLICAS": str(1 if target.replicas is None else target.replicas),
        "PROMETHEUS_JOB_NAME": restore.name,
    }


def _of_repository(repository: Repository) -> dict[str, str]:
    backend = repository.spec.backend
    optional = {
        "REPOSITORY_SECRET_NAME": backend.storage_secret_name,
        "REPOSITORY_ENDPOINT": backend.endpoint,
        "REPOSITORY_REGION": backend.region,
    }
    return {
        "REPOSITORY_NAME": repository.metadata.name,
        "REPOSITORY_PROVIDER": backend.provider or "",
        "REPOSITORY_BUCKET": backend.container,
        "REPOSITORY_PREFIX": backend.prefix,
        "MAX_CONNECTIONS": str(backend.max_connections),
        **{key: value for key, value in optional.items() if value},
    }


def _of_target(member: Member) -> dict[str, str]:
    target = member.target or BackupTarget()
    found = {
        **_of_place(member, target.ref, target.volume_mounts),
        "TARGET_PATHS": ",".join(target.paths) or DEFAULT_PATH,
    }
    if target.exclude:
        found["EXCLUDE_PATTERNS"] = ",".join(target.exclude)
    return found


def _of_place(
    member: Member | RestoreMember, ref: TargetRef, mounts: Sequence[JsonObject]
) -> dict[str, str]:
    caching = not (member.temp_dir and member.temp_dir.disable_caching)
    interim = "" if member.interim_volume_template else volumes.TMP_PATH
    return {
        "TARGET_NAME": ref.name,
        "TARGET_KIND": ref.kind,
        "TARGET_MOUNT_PATH": str(mounts[0]["mountPath"]) if mounts else DEFAULT_PATH,
        "ENABLE_CACHE": str(caching).lower(),
        "INTERIM_DATA_DIR": f"{interim}/{_INTERIM_DATA}",
    }


def _of_retention(policy: RetentionPolicy) -> dict[str, str]:
    """Each only where it says something, so that a Function's default can stand."""
    counts = {
        "LAST": policy.keep_last,
        "HOURLY": policy.keep_hourly,
        "DAILY": policy.keep_daily,
        "WEEKLY": policy.keep_weekly,
        "MONTHLY": policy.keep_monthly,
        "YEARLY": policy.keep_yearly,
    }
    found = {f"RETENTION_KEEP_{name}": str(count) for name, count in counts.items() if count > 0}
    if policy.keep_tags:
        found["RETENTION_KEEP_TAGS"] = ",".join(policy.keep_tags)
    flags = {"RETENTION_PRUNE": policy.prune, "RETENTION_DRY_RUN": policy.dry_run}
    return found | {name: "true" for name, wanted in flags.items() if wanted}


def _of_image(image: str) -> dict[str, str]:
    """``registry/name:tag`` in its parts, as addon Functions of Stash want them."""
    path, _, tag = image.partition("@")[0].rpartition(":") if _has_tag(image) else (image, "", "")
    registry, _, name = path.rpartition("/")
    return {
        "STASH_DOCKER_REGISTRY": registry,
        "STASH_DOCKER_IMAGE": name,
        "STASH_IMAGE_TAG": tag or "latest",
    }


def _has_tag(image: str) -> bool:
    return ":" in image.partition("@")[0].rpartition("/")[2]
