"""The operator's own objects: what ``kubectl apply -k deploy/`` puts into a cluster with the kinds.

``reconciler.cli.deployment`` writes them to ``deploy/``. Data only; nothing here runs in the
operator, which never changes its own installation.
"""

from __future__ import annotations

from typing import Any

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.manifests import access, names, security, volumes

NAME = "tandem-operator"
NAMESPACE = "tandem"
CONTAINER = "operator"
"""The operator reads its own image from the container of this name (``cli.operating``)."""
IMAGE = "tandem/tandem"
REPLICAS = 2
HEALTH_PORT = 8080
BUDGETS = "policy/v1"
"""Since Kubernetes 1.21; ``overlays/kubernetes-1.20`` says ``v1beta1``."""
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"

LABELS = {"app.kubernetes.io/name": "tandem", "app.kubernetes.io/component": "operator"}
SCRAPE = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(HEALTH_PORT),
    "prometheus.io/path": "/metrics",
}
RESOURCES = {
    # measured: docs/installation.md
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}


def namespace() -> JsonObject:
    """Where Pod Security admission runs, it refuses what is less than restricted here."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    meta = {"name": NAMESPACE, "labels": level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def service_account() -> JsonObject:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()}


def catalog_binding() -> JsonObject:
    """For the kinds without a namespace."""
    return _binding(
        r.CLUSTER_ROLE_BINDINGS, names.OPERATOR_CATALOG_ROLE, names.OPERATOR_CATALOG_ROLE
    )


def cluster_binding() -> JsonObject:
    """Lets the operator look after every namespace."""
    return _binding(r.CLUSTER_ROLE_BINDINGS, NAME, names.OPERATOR_ROLE)


def namespace_binding() -> JsonObject:
    """Lets the operator look after its own namespace only, in place of ``cluster_binding``."""
    return _binding(r.ROLE_BINDINGS, NAME, names.OPERATOR_ROLE)


def own_binding() -> JsonObject:
    """For the Lease and its own Pod."""
    return _binding(
        r.ROLE_BINDINGS, names.OPERATOR_OWN_ROLE, names.OPERATOR_OWN_ROLE, role_kind=r.ROLES.kind
    )


def _binding(
    resource: r.Resource, name: str, role: str, *, role_kind: str = r.CLUSTER_ROLES.kind
) -> JsonObject:
    own = {"namespace": NAMESPACE} if resource.namespaced else {}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, **own, "labels": dict(LABELS)},
        "roleRef": {"apiGroup": access.RBAC_GROUP, "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def deployment() -> JsonObject:
    return {
        "apiVersion": r.DEPLOYMENTS.api_version,
        "kind": r.DEPLOYMENTS.kind,
        "metadata": _meta(),
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": dict(LABELS)},
            # the successor waits for the lease; the one that holds it goes last
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": _pod()},
        },
    }


def _pod() -> JsonObject:
    pod = {
        "serviceAccountName": NAME,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container()],
        "topologySpreadConstraints": [_spread(HOST), _spread(ZONE)],
    }
    return security.with_defaults(pod, IMAGE)


def _spread(key: str) -> JsonObject:
    """Apart where that is possible; a cluster of one node runs both all the same."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(LABELS)},
    }


def _container() -> JsonObject:
    return {
        "name": CONTAINER,
        "image": IMAGE,
        "command": ["tandem", "run"],
        "args": [
            "--leader-elect",
            "--operator-namespace=$(POD_NAMESPACE)",
            f"--health-port={HEALTH_PORT}",
        ],
        "env": [
            *volumes.runner_environment(),
            volumes.field("POD_NAMESPACE", "metadata.namespace"),
        ],
        "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
        # a process that answers nothing for a minute is started afresh
        "livenessProbe": _probe("/healthz", periodSeconds=20, timeoutSeconds=5),
        "readinessProbe": _probe("/readyz", periodSeconds=5, timeoutSeconds=5),
        "resources": RESOURCES,
    }


def _probe(path: str, **timing: Any) -> JsonObject:
    return {"httpGet": {"path": path, "port": "health"}, **timing}


def disruption_budget() -> JsonObject:
    """One replica stays while nodes are drained."""
    return {
        "apiVersion": BUDGETS,
        "kind": "PodDisruptionBudget",
        "metadata": _meta(),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": dict(LABELS)}},
    }


def metrics_service() -> JsonObject:
    """One address for each replica: who leads has the figures about backups."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_meta(), "name": f"{NAME}-metrics", "annotations": dict(SCRAPE)},
        "spec": {
            "clusterIP": "None",
            "selector": dict(LABELS),
            "ports": [{"name": "metrics", "port": HEALTH_PORT, "targetPort": "health"}],
        },
    }


def _meta() -> JsonObject:
    return {"name": NAME, "namespace": NAMESPACE, "labels": dict(LABELS)}
