"""The operator's own objects: what `kubectl apply -k deploy/` puts into a cluster beside the kinds.

``reconciler.cli.deployment`` writes them to ``deploy/``. Data only; nothing here runs in the
operator, which never changes its own installation.
"""

from __future__ import annotations

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject
from reconciler.manifests import access, names

NAME = "tandem-operator"
NAMESPACE = "tandem"
CONTAINER = "operator"
"""The operator reads its own image from the container of this name (``cli.operating``)."""
IMAGE = "tandem/tandem"
REPLICAS = 2
HEALTH_PORT = 8080

LABELS = {"app.kubernetes.io/name": "tandem", "app.kubernetes.io/component": "operator"}


def namespace() -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def service_account() -> JsonObject:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()}


def role_binding() -> JsonObject:
    return {
        "apiVersion": r.CLUSTER_ROLE_BINDINGS.api_version,
        "kind": r.CLUSTER_ROLE_BINDINGS.kind,
        "metadata": {"name": NAME, "labels": dict(LABELS)},
        "roleRef": {
            "apiGroup": access.RBAC_GROUP,
            "kind": r.CLUSTER_ROLES.kind,
            "name": names.OPERATOR_ROLE,
        },
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
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": _pod()},
        },
    }


def _pod() -> JsonObject:
    return {
        "serviceAccountName": NAME,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container()],
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
            _field("POD_NAME", "metadata.name"),
            _field("POD_UID", "metadata.uid"),
            _field("POD_NAMESPACE", "metadata.namespace"),
        ],
        "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "health"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _field(name: str, path: str) -> JsonObject:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _meta() -> JsonObject:
    return {"name": NAME, "namespace": NAMESPACE, "labels": dict(LABELS)}
