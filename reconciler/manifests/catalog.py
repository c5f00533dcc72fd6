"""The built-in Functions and Tasks, applied by the operator at start.

Names, volumes and variables are Stash's; the database Functions are ours (Stash ships them as
separate addon images). A Function is resolved by ``functions`` and turned into a container by
``jobs``. Flags that the agent reads from the Repository object itself are not passed.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.manifests import labels, volumes

OUTPUT = "/tmp/output"  # noqa: S108 -- in the volume tmp-dir, as in Stash
TARGET_VOLUME = "stash-volume"

_RESTIC = (
    f"--secret-dir={volumes.JOB_SECRET_PATH}",
    f"--scratch-dir={volumes.TMP_PATH}",
    "--enable-cache=${ENABLE_CACHE:=true}",
)
_WHERE = (
    "--provider=${REPOSITORY_PROVIDER:=}",
    "--bucket=${REPOSITORY_BUCKET:=}",
    "--endpoint=${REPOSITORY_ENDPOINT:=}",
    "--region=${REPOSITORY_REGION:=}",
    "--path=${REPOSITORY_PREFIX:=}",
    *_RESTIC,
    "--max-connections=${MAX_CONNECTIONS:=0}",
)
_WHOSE = (
    "--invoker-kind=${INVOKER_KIND:=}",
    "--invoker-name=${INVOKER_NAME:=}",
    "--target-kind=${TARGET_KIND:=}",
    "--target-name=${TARGET_NAME:=}",
)
_SESSION = "--backupsession=${BACKUP_SESSION:=}"
_OUTPUT_DIR = "--output-dir=${outputDir:=}"
_SECRET_MOUNT = volumes.mount("${secretVolume}", volumes.JOB_SECRET_PATH)
_TARGET_MOUNT = volumes.mount("${targetVolume}", "${TARGET_MOUNT_PATH}")

_PVC_ARGS = (
    "backup-pvc",
    *_WHERE,
    "--hostname=${HOSTNAME:=}",
    "--backup-paths=${TARGET_PATHS}",
    "--exclude=${EXCLUDE_PATTERNS:=}",
    *_WHOSE,
    _SESSION,
    _OUTPUT_DIR,
)
_PVC_RESTORE_ARGS = (
    "restore-pvc",
    *_WHERE,
    "--hostname=${HOSTNAME:=}",
    "--source-hostname=${SOURCE_HOSTNAME:=}",
    "--restore-paths=${RESTORE_PATHS:=}",
    "--snapshots=${RESTORE_SNAPSHOTS:=}",
    "--include=${INCLUDE_PATTERNS:=}",
    "--exclude=${EXCLUDE_PATTERNS:=}",
    *_WHOSE,
    _OUTPUT_DIR,
)
_UPDATE_ARGS = (
    "update-status",
    *_WHERE,
    "--namespace=${NAMESPACE:=default}",
    "--repository=${REPOSITORY_NAME:=}",
    *_WHOSE,
    _SESSION,
    _OUTPUT_DIR,
)


def _database_args(command: str, *own: str) -> tuple[str, ...]:
    return (
        command,
        "--namespace=${NAMESPACE:=default}",
        "--appbinding=${TARGET_NAME}",
        *own,
        "--wait-timeout=${waitTimeout:=300}",
        "--hostname=${HOSTNAME:=}",
        *_WHERE,
        *_WHOSE,
        _OUTPUT_DIR,
    )


_OF_RULE = ("--source-hostname=${SOURCE_HOSTNAME:=}", "--snapshot=${RESTORE_SNAPSHOTS:=}")
_MYSQL_BACKUP = ("backup-mysql", "--mysql-args=${args:=--all-databases}", _SESSION)
_MYSQL_RESTORE = ("restore-mysql", "--mysql-args=${args:=}", *_OF_RULE)
_DATABASES = {
    "mysql-backup": _MYSQL_BACKUP,
    "mysql-restore": _MYSQL_RESTORE,
    "mariadb-backup": _MYSQL_BACKUP,
    "mariadb-restore": _MYSQL_RESTORE,
    "postgres-backup": (
        "backup-postgres",
        "--backup-cmd=${backupCMD:=pg_dumpall}",
        "--pg-args=${args:=}",
        _SESSION,
    ),
    "postgres-restore": ("restore-postgres", "--pg-args=${args:=}", *_OF_RULE),
    "mongodb-backup": ("backup-mongodb", "--mongodb-args=${args:=}", _SESSION),
    "mongodb-restore": ("restore-mongodb", "--mongodb-args=${args:=}", *_OF_RULE),
    "redis-backup": ("backup-redis", "--redis-args=${args:=}", _SESSION),
    "redis-restore": ("restore-redis", "--redis-args=${args:=}", *_OF_RULE),
}
"""The Functions of databases, and the command and flags that are each one's own."""


def _function(
    name: str, image: str, args: Sequence[str], mounts: Sequence[JsonObject]
) -> JsonObject:
    return {
        "apiVersion": r.FUNCTIONS.api_version,
        "kind": "Function",
        "metadata": {"name": name, "labels": dict(labels.COMMON)},
        "spec": {"image": image, "args": list(args), "volumeMounts": [dict(m) for m in mounts]},
    }


def functions(image: str) -> tuple[JsonObject, ...]:
    """The built-in Functions, run from the operator's own image."""
    secret = (_SECRET_MOUNT,)
    return (
        _function("pvc-backup", image, _PVC_ARGS, (_TARGET_MOUNT, *secret)),
        _function("pvc-restore", image, _PVC_RESTORE_ARGS, (_TARGET_MOUNT, *secret)),
        _function("update-status", image, _UPDATE_ARGS, secret),
        *(_function(name, image, _database_args(*own), secret) for name, own in _DATABASES.items()),
    )


def _task(name: str, *, claims: bool) -> JsonObject:
    own = {"targetVolume": TARGET_VOLUME} if claims else {}
    first = {"outputDir": OUTPUT, **own, "secretVolume": volumes.JOB_SECRET}
    last = {"outputDir": OUTPUT, "secretVolume": volumes.JOB_SECRET}
    data = {"name": TARGET_VOLUME, "persistentVolumeClaim": {"claimName": "${TARGET_NAME}"}}
    return {
        "apiVersion": r.TASKS.api_version,
        "kind": "Task",
        "metadata": {"name": name, "labels": dict(labels.COMMON)},
        "spec": {
            "steps": [_step(name, first), _step("update-status", last)],
            "volumes": [
                *([data] if claims else []),
                volumes.job_secret("${REPOSITORY_SECRET_NAME}"),
            ],
        },
    }


def _step(function: str, params: dict[str, str]) -> JsonObject:
    return {
        "name": function,
        "params": [{"name": name, "value": value} for name, value in params.items()],
    }


def tasks() -> tuple[JsonObject, ...]:
    """The built-in Tasks, named as the Functions of their first steps."""
    claims = (_task(name, claims=True) for name in ("pvc-backup", "pvc-restore"))
    return (*claims, *(_task(name, claims=False) for name in _DATABASES))
