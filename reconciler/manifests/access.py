"""Service accounts, role bindings and cluster roles: who of ours may do what, and why.

The bindings are shared per namespace, so a batch costs no write for them once they are there. The
cluster roles are part of the installation (``deploy/`` is generated from ``CLUSTER_ROLES``); the
operator never writes them. Stash grants ``*`` on its whole API group and lets whichever session
ran last rewrite the roles (spec 10.46).
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.api import resources as r
from reconciler.api.resources import STASH, JsonObject
from reconciler.manifests import labels, names

RBAC_GROUP = "rbac.authorization.k8s.io"


def service_account(namespace: str, name: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels.COMMON)},
    }


def role_binding(namespace: str, name: str, *, role: str, account: str) -> JsonObject:
    """Binds a service account of the namespace to a ClusterRole, within the namespace."""
    return {
        "apiVersion": r.ROLE_BINDINGS.api_version,
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels.COMMON)},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def cron_job_access(namespace: str, account: str = "") -> tuple[JsonObject, ...]:
    """What the trigger of an invoker needs. ``account``: the one that the user named, if any."""
    return _access(namespace, account, names.CRON_JOB_ACCOUNT, names.cron_binding)


def job_access(namespace: str, account: str = "") -> tuple[JsonObject, ...]:
    """What a backup Job or a repository Job needs."""
    return _access(namespace, account, names.BACKUP_JOB_ACCOUNT, names.job_binding)


def _access(
    namespace: str, account: str, own: str, binding: Callable[[str], str]
) -> tuple[JsonObject, ...]:
    chosen = account or own
    bound = role_binding(namespace, binding(chosen), role=own, account=chosen)
    # A service account that the user names is the user's to create.
    return (bound,) if account else (service_account(namespace, own), bound)


def sidecar_access(namespace: str, account: str) -> JsonObject:
    """Lets the service account of a workload's pods do what the sidecar does."""
    name = names.sidecar_binding(account)
    return role_binding(namespace, name, role=names.SIDECAR_ROLE, account=account)


def _rule(why: str, group: str, resources: list[str], verbs: list[str]) -> JsonObject:
    return {"why": why, "apiGroups": [group], "resources": resources, "verbs": verbs}


_REPORT = [
    _rule(
        "find the session's members and paths",
        STASH,
        ["backupbatches", "backupconfigurations"],
        ["get"],
    ),
    _rule("learn of new sessions", STASH, ["backupsessions"], ["get", "list", "watch"]),
    _rule("claim a host and report it", STASH, ["backupsessions/status"], ["get", "update"]),
    _rule("learn where the backups go", STASH, ["repositories"], ["get"]),
    _rule("read the backend's credentials", "", ["secrets"], ["get"]),
    _rule("tell the user what happened", "", ["events"], ["create", "patch"]),
]

_RULES: dict[str, list[JsonObject]] = {
    names.SIDECAR_ROLE: [
        *_REPORT,
        _rule("run the hooks of the pod's own containers", "", ["pods"], ["get"]),
        _rule("run the hooks of the pod's own containers", "", ["pods/exec"], ["get", "create"]),
    ],
    names.BACKUP_JOB_ACCOUNT: [
        *_REPORT,
        _rule("report the repository's state", STASH, ["repositories/status"], ["get", "update"]),
        _rule("find the database", "appcatalog.appscode.com", ["appbindings"], ["get"]),
        _rule("find a pod of the database for hooks", "", ["endpoints", "pods"], ["get"]),
        _rule("run the hooks of a database", "", ["pods/exec"], ["get", "create"]),
    ],
    names.CRON_JOB_ACCOUNT: [
        _rule(
            "own the session by its invoker",
            STASH,
            ["backupbatches", "backupconfigurations"],
            ["get"],
        ),
        _rule("create the session of a slot", STASH, ["backupsessions"], ["get", "create"]),
        _rule("tell the user what happened", "", ["events"], ["create", "patch"]),
    ],
}


def reasons(role: str) -> tuple[tuple[str, str], ...]:
    """(what, why) for each rule of a cluster role: for documentation."""
    return tuple(
        (f"{'/'.join(rule['resources'])}: {', '.join(rule['verbs'])}", rule["why"])
        for rule in _RULES[role]
    )


def _cluster_role(name: str) -> JsonObject:
    rules = [{k: v for k, v in rule.items() if k != "why"} for rule in _RULES[name]]
    return {
        "apiVersion": r.CLUSTER_ROLES.api_version,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": dict(labels.COMMON)},
        "rules": rules,
    }


CLUSTER_ROLES: tuple[JsonObject, ...] = tuple(_cluster_role(name) for name in _RULES)
"""To be installed with the operator; the operator needs every right in them to bind them."""
