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

RBAC_GROUP = r.ROLE_BINDINGS.group
APP_CATALOG = r.APP_BINDINGS.group
LEASES = r.LEASES.group

_READ = ["get", "list", "watch"]
_APPLY = ["create", "patch"]
"""A server-side apply is a patch; one that brings an object into being needs ``create`` too."""
_INVOKERS = ["backupbatches", "backupconfigurations"]
_RESTORES = ["restorebatches", "restoresessions"]
_OWN_KINDS = (
    r.BACKUP_BATCHES,
    r.BACKUP_CONFIGURATIONS,
    r.BACKUP_SESSIONS,
    r.FUNCTIONS,
    r.REPOSITORIES,
    r.RESTORE_BATCHES,
    r.RESTORE_SESSIONS,
    r.TASKS,
)
_FOLLOWED = [*_INVOKERS, "repositories", "backupsessions", *_RESTORES]


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


def restore_job_access(namespace: str, account: str = "") -> tuple[JsonObject, ...]:
    """What a restore Job needs."""
    return _access(namespace, account, names.RESTORE_JOB_ACCOUNT, names.restore_binding)


def snapshot_access(namespace: str, account: str = "") -> tuple[JsonObject, ...]:
    """What a Job that makes VolumeSnapshots needs."""
    return _access(namespace, account, names.SNAPSHOT_JOB_ACCOUNT, names.snapshot_binding)


def snapshot_restore_access(namespace: str, account: str = "") -> tuple[JsonObject, ...]:
    """What a Job that makes a claim of a VolumeSnapshot needs."""
    own = names.SNAPSHOT_RESTORER_ACCOUNT
    return _access(namespace, account, own, names.snapshot_restorer_binding)


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


def init_container_access(namespace: str, account: str) -> JsonObject:
    """Lets the service account of a workload's pods do what the init container does."""
    name = names.init_container_binding(account)
    return role_binding(namespace, name, role=names.INIT_CONTAINER_ROLE, account=account)


def hooks_access(namespace: str, account: str) -> JsonObject:
    """Lets a service account run the hooks of members in other containers and pods."""
    name = names.hooks_binding(account)
    return role_binding(namespace, name, role=names.HOOKS_ROLE, account=account)


def _rule(
    why: str, group: str, resources: list[str], verbs: list[str], *, only: list[str] | None = None
) -> JsonObject:
    rule = {"why": why, "apiGroups": [group], "resources": resources, "verbs": verbs}
    return {**rule, "resourceNames": only} if only else rule


_REPORT = [
    _rule(
        "find the session's members and paths",
        STASH,
        _INVOKERS,
        ["get"],
    ),
    _rule("learn of new sessions", STASH, ["backupsessions"], ["get", "list", "watch"]),
    _rule("claim a host and report it", STASH, ["backupsessions/status"], ["get", "update"]),
    _rule("learn where the backups go", STASH, ["repositories"], ["get"]),
    _rule("tell whose lock is in the way", STASH, _RESTORES, ["list"]),
    _rule("tell whether another runner, or a lock's owner, is dead", "", ["pods"], ["get"]),
    _rule("tell the user what happened", "", ["events"], ["create", "patch"]),
]

_RESTORE = [
    _rule("learn of what it restores, and when its turn has come", STASH, _RESTORES, _READ),
    _rule(
        "claim a host and report it",
        STASH,
        [f"{each}/status" for each in _RESTORES],
        ["get", "update"],
    ),
    _rule("learn where the backups are", STASH, ["repositories"], ["get"]),
    _rule("tell whose lock is in the way", STASH, ["backupsessions"], ["list"]),
    _rule("tell whether another runner, or a lock's owner, is dead", "", ["pods"], ["get"]),
    _rule("tell the user what happened", "", ["events"], ["create", "patch"]),
]

_RULES: dict[str, list[JsonObject]] = {
    # the pods of users run with it, so it reads no Secret: the backend's is mounted
    names.SIDECAR_ROLE: _REPORT,
    names.BACKUP_JOB_ACCOUNT: [
        *_REPORT,
        _rule("report the repository's state", STASH, ["repositories/status"], ["get", "update"]),
        _rule("find the database", APP_CATALOG, ["appbindings"], ["get"]),
        _rule("log in to the database", "", ["secrets"], ["get"]),
    ],
    # as with the sidecar, the pods of users run with it
    names.INIT_CONTAINER_ROLE: _RESTORE,
    names.RESTORE_JOB_ACCOUNT: [
        *_RESTORE,
        _rule("find the database", APP_CATALOG, ["appbindings"], ["get"]),
        _rule("log in to the database", "", ["secrets"], ["get"]),
    ],
    names.SNAPSHOT_RESTORER_ACCOUNT: [
        *_RESTORE,
        _rule("find the snapshot", r.VOLUME_SNAPSHOTS.group, ["volumesnapshots"], ["get"]),
        _rule("make its claim", "", ["persistentvolumeclaims"], ["get", "create"]),
        _rule("learn why the claim is not bound", "", ["events"], ["list"]),
    ],
    names.SNAPSHOT_JOB_ACCOUNT: [
        *_REPORT,
        _rule(
            "make snapshots, see that they are ready, and keep as many as the policy says",
            r.VOLUME_SNAPSHOTS.group,
            ["volumesnapshots"],
            ["get", "list", "create", "delete"],
        ),
    ],
    # by itself, and bound only where a member has hooks: exec is much to ask for
    names.HOOKS_ROLE: [
        _rule("run a hook's command in a container", "", ["pods/exec"], ["create", "get"]),
        _rule("find the pods behind an AppBinding's Service", "", ["endpoints"], ["get"]),
        _rule("find those Services", APP_CATALOG, ["appbindings"], ["get"]),
    ],
    names.CRON_JOB_ACCOUNT: [
        _rule(
            "own the session by its invoker",
            STASH,
            _INVOKERS,
            ["get"],
        ),
        _rule("create the session of a slot", STASH, ["backupsessions"], ["get", "create"]),
        _rule("tell the user what happened", "", ["events"], ["create", "patch"]),
    ],
    names.OPERATOR_ROLE: [
        _rule("follow what is to be backed up and restored", STASH, _FOLLOWED, _READ),
        _rule("follow the databases", APP_CATALOG, ["appbindings"], _READ),
        _rule("set the finalizer", STASH, [*_INVOKERS, *_RESTORES, "repositories"], ["patch"]),
        _rule(
            "adopt a session, try a failed one again, and delete it by the history limit",
            STASH,
            ["backupsessions"],
            ["create", "patch", "delete"],
        ),
        _rule(
            "tell how it stands",
            STASH,
            [f"{each}/status" for each in _FOLLOWED],
            ["update"],
        ),
        _rule(
            "own Jobs and CronJobs where the server asks for it (OwnerReferencesPermission"
            "Enforcement)",
            STASH,
            [f"{each}/finalizers" for each in _FOLLOWED],
            ["update"],
        ),
        _rule("notice a mended Secret of a backend", "", ["secrets"], _READ),
        _rule(
            "find runners, and restart those with an old sidecar", "", ["pods"], [*_READ, "delete"]
        ),
        _rule(
            "put sidecars and init containers in and out",
            "",
            ["replicationcontrollers"],
            [*_READ, "patch"],
        ),
        _rule(
            "put sidecars and init containers in and out",
            "apps",
            ["deployments", "statefulsets", "daemonsets", "replicasets"],
            [*_READ, "patch"],
        ),
        _rule(
            "put sidecars and init containers in and out, on OpenShift",
            r.DEPLOYMENT_CONFIGS.group,
            [r.DEPLOYMENT_CONFIGS.plural],
            [*_READ, "patch"],
        ),
        _rule(
            "find targets, and make claims for interim data and from claim templates",
            "",
            ["persistentvolumeclaims"],
            [*_READ, "create"],
        ),
        _rule(
            "run backups, restores and maintenance", "batch", ["jobs"], [*_READ, "create", "delete"]
        ),
        _rule("keep the schedule", "batch", ["cronjobs"], [*_READ, *_APPLY]),
        _rule("give Jobs and triggers an account", "", ["serviceaccounts"], [*_READ, *_APPLY]),
        _rule("give accounts their roles", RBAC_GROUP, ["rolebindings"], [*_READ, *_APPLY]),
        *(
            _rule(
                "take them away with the last batch of a namespace",
                group,
                [resource],
                ["delete"],
                only=list(names.SHARED_ACCESS),
            )
            for group, resource in (("", "serviceaccounts"), (RBAC_GROUP, "rolebindings"))
        ),
        _rule(
            "bind these roles and no others",
            RBAC_GROUP,
            ["clusterroles"],
            ["bind"],
            only=[
                names.SIDECAR_ROLE,
                names.BACKUP_JOB_ACCOUNT,
                names.INIT_CONTAINER_ROLE,
                names.RESTORE_JOB_ACCOUNT,
                names.SNAPSHOT_RESTORER_ACCOUNT,
                names.SNAPSHOT_JOB_ACCOUNT,
                names.HOOKS_ROLE,
                names.CRON_JOB_ACCOUNT,
            ],
        ),
        _rule("tell the user what happened", "", ["events"], ["create", "patch"]),
    ],
}

_OPERATORS: dict[str, list[JsonObject]] = {
    names.OPERATOR_CATALOG_ROLE: [
        _rule("apply what is built in", STASH, ["functions", "tasks"], [*_READ, *_APPLY]),
        _rule(
            "see that the kinds are those of this Tandem before it works",
            r.CUSTOM_RESOURCE_DEFINITIONS.group,
            [r.CUSTOM_RESOURCE_DEFINITIONS.plural],
            ["get"],
            only=[f"{each.plural}.{each.group}" for each in _OWN_KINDS],
        ),
    ],
    names.OPERATOR_OWN_ROLE: [
        _rule("read the image that sidecars and Jobs are to run", "", ["pods"], ["get"]),
        # a rule with names cannot allow create: the name is not known then
        _rule("let one of several operators lead", LEASES, ["leases"], ["create"]),
        _rule(
            "let one of several operators lead",
            LEASES,
            ["leases"],
            ["get", "update"],
            only=[names.LEASE],
        ),
    ],
}
"""What the operator needs besides ``OPERATOR_ROLE``, whichever namespaces it looks after: of the
cluster, and in its own namespace."""


def reasons(role: str) -> tuple[tuple[str, str], ...]:
    """(what, why) for each rule of a role: for documentation."""
    return tuple(
        (f"{', '.join(rule['resources'])}: {', '.join(rule['verbs'])}", rule["why"])
        for rule in {**_RULES, **_OPERATORS}[role]
    )


def _cluster_role(name: str) -> JsonObject:
    return {
        "apiVersion": r.CLUSTER_ROLES.api_version,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": dict(labels.COMMON)},
        "rules": _bare({**_RULES, **_OPERATORS}[name]),
    }


def _bare(rules: list[JsonObject]) -> list[JsonObject]:
    return [{key: rule[key] for key in rule if key != "why"} for rule in rules]


CLUSTER_ROLES: tuple[JsonObject, ...] = tuple(_cluster_role(name) for name in _RULES)
"""To be installed with the operator. The last is its own: by the verb ``bind`` it may bind the
others, whose rights it need not have, and no role besides."""

OPERATOR_CATALOG_ROLE: JsonObject = _cluster_role(names.OPERATOR_CATALOG_ROLE)
"""For the kinds of ours that have no namespace."""


def own_role(namespace: str) -> JsonObject:
    """What the operator does in its own namespace, for itself."""
    return {
        "apiVersion": r.ROLES.api_version,
        "kind": r.ROLES.kind,
        "metadata": {
            "name": names.OPERATOR_OWN_ROLE,
            "namespace": namespace,
            "labels": dict(labels.COMMON),
        },
        "rules": _bare(_OPERATORS[names.OPERATOR_OWN_ROLE]),
    }
