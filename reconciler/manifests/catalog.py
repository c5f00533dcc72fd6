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
    "--backupsession=${BACKUP_SESSION:=}",
)
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
    _OUTPUT_DIR,
)
_RESTORE_PVC_ARGS = (
    "restore-pvc",
    *_WHERE,
    "--hostname=${HOSTNAME:=}",
    "--source-hostname=${SOURCE_HOSTNAME:=}",
    "--restore-paths=${RESTORE_PATHS}",
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


def _database_restore_args(command: str, *own: str) -> tuple[str, ...]:
    return _database_args(
        command,
        *own,
        "--source-hostname=${SOURCE_HOSTNAME:=}",
        "--snapshot=${RESTORE_SNAPSHOTS:=}",
    )


_MYSQL_ARGS = _database_args("backup-mysql", "--mysql-args=${args:=--all-databases}")
_POSTGRES_ARGS = _database_args(
    "backup-postgres", "--backup-cmd=${backupCMD:=pg_dumpall}", "--pg-args=${args:=}"
)

_RESTORE_MYSQL_ARGS = _database_restore_args("restore-mysql", "--mysql-args=${args:=}")
_RESTORE_POSTGRES_ARGS = _database_restore_args("restore-postgres", "--pg-args=${args:=}")


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
        _function("update-status", image, _UPDATE_ARGS, secret),
        _function("mysql-backup", image, _MYSQL_ARGS, secret),
        _function("mariadb-backup", image, _MYSQL_ARGS, secret),
        _function("postgres-backup", image, _POSTGRES_ARGS, secret),
        _function("pvc-restore", image, _RESTORE_PVC_ARGS, (_TARGET_MOUNT, *secret)),
        _function("mysql-restore", image, _RESTORE_MYSQL_ARGS, secret),
        _function("mariadb-restore", image, _RESTORE_MYSQL_ARGS, secret),
        _function("postgres-restore", image, _RESTORE_POSTGRES_ARGS, secret),
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
    """The built-in Tasks: to back up and to restore claims, and each database."""
    databases = ("mysql", "mariadb", "postgres")
    return tuple(
        task
        for what in ("backup", "restore")
        for task in (
            _task(f"pvc-{what}", claims=True),
            *(_task(f"{name}-{what}", claims=False) for name in databases),
        )
    )
