"""Batches and their members, as a user would write them; for scenarios that vary one thing."""

from __future__ import annotations

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject

NEVER = "0 0 1 1 *"
"""A schedule that does not fire."""
EVERY_MINUTE = "* * * * *"
ROOT: JsonObject = {"container": {"securityContext": {"runAsUser": 0, "runAsGroup": 0}}}
"""Runtime settings of a member whose files belong to root."""
_GROUPS = {
    "PersistentVolumeClaim": "v1",
    "ReplicationController": "v1",
    "AppBinding": "appcatalog.appscode.com/v1alpha1",
}


def ref(kind: str, name: str) -> JsonObject:
    return {"apiVersion": _GROUPS.get(kind, "apps/v1"), "kind": kind, "name": name}


def workload(kind: str, name: str, *, path: str = "/data", **more: object) -> JsonObject:
    """A member that a sidecar backs up."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    target = {"ref": ref(kind, name), "alias": name, "volumeMounts": mounts, "paths": [path]}
    return {"target": target, **more}


def claim(name: str, **more: object) -> JsonObject:
    target = {"ref": ref("PersistentVolumeClaim", name), "alias": name}
    task = {"name": "pvc-backup"}
    return {"target": target, "task": task, "runtimeSettings": ROOT, **more}


def database(name: str, task: str, **more: object) -> JsonObject:
    target = {"ref": ref("AppBinding", name), "alias": name}
    return {"target": target, "task": {"name": task}, **more}


def batch(*members: JsonObject, name: str = "shop", **more: object) -> JsonObject:
    return {
        "apiVersion": r.BACKUP_BATCHES.api_version,
        "kind": "BackupBatch",
        "metadata": {"name": name},
        "spec": {
            "schedule": NEVER,
            "repository": {"name": "shop"},
            "retentionPolicy": {"name": "keep-last-3", "keepLast": 3, "prune": True},
            "timeOut": "5m",
            "members": list(members),
            **more,
        },
    }


def shell(line: str, container: str = "") -> JsonObject:
    """A hook that runs a line of shell."""
    where = {"containerName": container} if container else {}
    return {"exec": {"command": ["sh", "-ec", line]}, **where}


def http(method: str, path: str, host: str = "") -> JsonObject:
    """A hook that sends a request to the member's pod, or to ``host``."""
    where = {"host": host} if host else {}
    return {method: {"scheme": "HTTP", "path": path, "port": 8080, **where}}


def back(kind: str, name: str, *rules: JsonObject, **more: object) -> JsonObject:
    """A member of a restore: what was backed up by ``name`` goes back to where it came from."""
    target: JsonObject = {"alias": name, "ref": ref(kind, name), "rules": list(rules or ({},))}
    if kind == "PersistentVolumeClaim":
        return {"task": {"name": "pvc-restore"}, "target": target, **more}
    if kind == "AppBinding":
        return {"target": target, **more}
    target["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return {"target": target, **more}


def restore(*members: JsonObject, name: str = "back", **more: object) -> JsonObject:
    return {
        "apiVersion": r.RESTORE_BATCHES.api_version,
        "kind": "RestoreBatch",
        "metadata": {"name": name},
        "spec": {
            "repository": {"name": "shop"},
            "timeOut": "5m",
            "members": list(members),
            **more,
        },
    }
