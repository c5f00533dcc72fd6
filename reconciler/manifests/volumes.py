"""The volumes and mounts that the containers of Tandem share.

Called by ``sidecar`` and ``jobs``. Names and paths are Stash's (spec 4.2, 4.3, 7.3). Volume and
mount dicts are fresh on every call, so a caller may put them into an object of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.api.resources import JsonObject

TMP = "tmp-dir"
POD_INFO = "stash-podinfo"
SIDECAR_SECRET = "stash-secret-volume"  # noqa: S105 -- the name of a volume
JOB_SECRET = "secret-volume"  # noqa: S105 -- the name of a volume
LOCAL = "stash-local"
INTERIM = "stash-interim-volume"
INIT_TMP = "stash-init-tmp-dir"
INIT_SECRET = "stash-init-secret-volume"  # noqa: S105 -- the name of a volume
INIT_LOCAL = "stash-init-local"
"""The init container's volumes have names of their own: the restore beside a sidecar may be from
another Repository, with another Secret."""

TMP_PATH = "/tmp"  # noqa: S108 -- the mount path of the volume tmp-dir, as in Stash
POD_INFO_PATH = "/etc/stash"
SIDECAR_SECRET_PATH = "/etc/stash/repository/secret"  # noqa: S105 -- a path
JOB_SECRET_PATH = "/etc/repository/secret"  # noqa: S105 -- a path
INTERIM_PATH = f"/{INTERIM}"


def temporary(temp_dir: Mapping[str, Any], name: str = TMP) -> JsonObject:
    """restic's temporary files and cache; ``temp_dir`` is a member's ``tempDir``."""
    wanted = {key: temp_dir[key] for key in ("medium", "sizeLimit") if temp_dir.get(key)}
    return {"name": name, "emptyDir": wanted}


def pod_info() -> JsonObject:
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    return {"name": POD_INFO, "downwardAPI": {"items": [item]}}


def sidecar_secret(secret: str, name: str = SIDECAR_SECRET) -> JsonObject:
    """Optional: a backend Secret that is deleted must never keep the user's pods from starting."""
    return {"name": name, "secret": {"secretName": secret, "optional": True}}


def job_secret(secret: str) -> JsonObject:
    return {"name": JOB_SECRET, "secret": {"secretName": secret}}


def of_claim(name: str, claim: str) -> JsonObject:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def mount(name: str, path: str, **more: Any) -> JsonObject:
    return {"name": name, "mountPath": path, **more}


def local_volume(local: Mapping[str, Any] | None, name: str = LOCAL) -> list[JsonObject]:
    """The volume of a ``local`` backend, or nothing for another backend."""
    if local is None:
        return []
    source = {key: value for key, value in local.items() if key not in ("mountPath", "subPath")}
    return [{"name": name, **source}]


def local_mount(local: Mapping[str, Any] | None, name: str = LOCAL) -> list[JsonObject]:
    """The mount of a ``local`` backend, or nothing for another backend."""
    if local is None:
        return []
    more = {"subPath": local["subPath"]} if local.get("subPath") else {}
    return [mount(name, str(local["mountPath"]), **more)]


def without_paths_of(mounts: list[JsonObject], first: list[JsonObject]) -> list[JsonObject]:
    """The mounts whose path is not taken by one of ``first``.

    A pod with one mountPath twice is refused by the API server (spec 10.31).
    """
    taken = {item["mountPath"] for item in first}
    return [item for item in mounts if item["mountPath"] not in taken]


def merged(volumes: list[JsonObject], more: list[JsonObject]) -> list[JsonObject]:
    """The volumes and those of ``more`` whose name is not yet there."""
    names = {item["name"] for item in volumes}
    return volumes + [item for item in more if item["name"] not in names]


def runner_environment() -> list[JsonObject]:
    """How a pod learns the identity under which it claims a host."""
    return [
        field("POD_NAME", "metadata.name"),
        field("POD_UID", "metadata.uid"),
    ]


def field(name: str, path: str) -> JsonObject:
    """An environment variable read from a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
