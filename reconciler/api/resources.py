"""The REST resources that Tandem reads or writes, by their Kubernetes names.

Used by every room that names an object. Pure data: adding a resource here makes it known to the
port, the informer cache and the command line.
"""

from __future__ import annotations

from typing import Any

import attrs

JsonObject = dict[str, Any]
"""A Kubernetes object as JSON: what the API server sends and takes."""


@attrs.frozen
class Resource:
    """A REST resource. ``group`` is "" for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path: of the collection without ``name``; across namespaces without both."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{place}/{self.plural}{tail}"


@attrs.frozen(order=True)
class Key:
    """The name of one object of a resource: what a work queue holds. ``namespace`` may be ""."""

    namespace: str
    name: str

    @classmethod
    def of(cls, obj: JsonObject) -> Key:
        meta = obj["metadata"]
        return cls(meta.get("namespace", ""), meta["name"])

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


STASH = "stash.appscode.com"

BACKUP_BATCHES = Resource(STASH, "v1beta1", "backupbatches", "BackupBatch")
BACKUP_CONFIGURATIONS = Resource(STASH, "v1beta1", "backupconfigurations", "BackupConfiguration")
BACKUP_SESSIONS = Resource(STASH, "v1beta1", "backupsessions", "BackupSession")
RESTORE_SESSIONS = Resource(STASH, "v1beta1", "restoresessions", "RestoreSession")
RESTORE_BATCHES = Resource(STASH, "v1beta1", "restorebatches", "RestoreBatch")
FUNCTIONS = Resource(STASH, "v1beta1", "functions", "Function", namespaced=False)
TASKS = Resource(STASH, "v1beta1", "tasks", "Task", namespaced=False)
REPOSITORIES = Resource(STASH, "v1alpha1", "repositories", "Repository")
APP_BINDINGS = Resource("appcatalog.appscode.com", "v1alpha1", "appbindings", "AppBinding")

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
EVENTS = Resource("", "v1", "events", "Event")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
REPLICATION_CONTROLLERS = Resource("", "v1", "replicationcontrollers", "ReplicationController")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
DEPLOYMENT_CONFIGS = Resource("apps.openshift.io", "v1", "deploymentconfigs", "DeploymentConfig")
JOBS = Resource("batch", "v1", "jobs", "Job")
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
CRON_JOBS_V1BETA1 = Resource("batch", "v1beta1", "cronjobs", "CronJob")
VOLUME_SNAPSHOTS_V1BETA1 = Resource(
    "snapshot.storage.k8s.io", "v1beta1", "volumesnapshots", "VolumeSnapshot"
)
VOLUME_SNAPSHOTS = Resource("snapshot.storage.k8s.io", "v1", "volumesnapshots", "VolumeSnapshot")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
CLUSTER_ROLES = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False
)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)

WORKLOADS = (
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    DEPLOYMENT_CONFIGS,
)
"""The kinds that are backed up by a sidecar; every other kind is backed up by a Job."""

OPTIONAL = (DEPLOYMENT_CONFIGS,)
"""Kinds that only some clusters serve (OpenShift): where they are not, nothing asks for them."""
