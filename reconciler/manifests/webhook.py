"""The optional admission webhook as it is installed: what it runs as, and what may call it.

Data for ``deploy/webhook/`` (``cli.deployment`` writes it) and for tests; no part of
Tandem creates these. It fails open: without an answer within five seconds an API server stores
what it was given, for the operator tells the same faults in conditions.
"""

from __future__ import annotations

from typing import Final

from reconciler.api import resources as r
from reconciler.api.crds import KINDS
from reconciler.api.resources import JsonObject
from reconciler.manifests import access, security, volumes
from reconciler.manifests.installation import IMAGE, NAMESPACE

NAME: Final = "tandem-webhook"
"""Of everything here: roles, bindings, Service, Deployment, Secret, configuration."""
REPLICAS: Final = 2
PORT: Final = 9443
PATH: Final = "/validate"
HOOK: Final = "validate.tandem.appscode.com"
TIMEOUT_SECONDS: Final = 5
LABELS: Final = {"app.kubernetes.io/name": "tandem", "app.kubernetes.io/component": "webhook"}

Rules = list[tuple[str, JsonObject]]
"""Each with its reason."""

OWN_RULES: Final[Rules] = [
    (
        "keep its certificates (who may create Secrets here can get the operator's token)",
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [NAME],
            "verbs": ["get", "update"],
        },
    ),
]
"""Within its namespace."""

CLUSTER_RULES: Final[Rules] = [
    (
        "make API servers trust its certificate",
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations"],
            "resourceNames": [NAME],
            "verbs": ["get", "patch"],
        },
    ),
    (
        "warn of a host name that another invoker has",
        {
            "apiGroups": [r.STASH],
            "resources": ["backupbatches", "backupconfigurations"],
            "verbs": ["list", "watch"],
        },
    ),
]


def objects() -> tuple[JsonObject, ...]:
    """Everything but the roles, which ``roles`` has."""
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()},
        _binding("RoleBinding", "Role", _meta()),
        _binding("ClusterRoleBinding", "ClusterRole", _cluster_meta()),
        # empty: the webhook fills it, and an apply of this leaves what is in it
        {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(), "type": "Opaque"},
        _service(),
        _deployment(),
        configuration({"service": {"name": NAME, "namespace": NAMESPACE, "path": PATH}}),
    )


def roles() -> tuple[tuple[JsonObject, Rules], ...]:
    """Each role without its rules, and its rules with their reasons."""
    head = {"apiVersion": r.ROLES.api_version}
    return (
        ({**head, "kind": "Role", "metadata": _meta()}, OWN_RULES),
        ({**head, "kind": "ClusterRole", "metadata": _cluster_meta()}, CLUSTER_RULES),
    )


def _binding(kind: str, role: str, meta: JsonObject) -> JsonObject:
    return {
        "apiVersion": r.ROLE_BINDINGS.api_version,
        "kind": kind,
        "metadata": meta,
        "roleRef": {"apiGroup": access.RBAC_GROUP, "kind": role, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def _service() -> JsonObject:
    ports = [{"name": "https", "port": 443, "targetPort": "https"}]
    spec = {"selector": dict(LABELS), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(), "spec": spec}


def _deployment() -> JsonObject:
    return {
        "apiVersion": r.DEPLOYMENTS.api_version,
        "kind": "Deployment",
        "metadata": _meta(),
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": dict(LABELS)},
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": _pod()},
        },
    }


def _pod() -> JsonObject:
    pod = {
        "serviceAccountName": NAME,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container()],
        # a key is in a file for a moment, in memory only
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
    }
    return security.with_defaults(pod, IMAGE)


def _container() -> JsonObject:
    return {
        "name": "webhook",
        "image": IMAGE,
        "command": ["tandem", "webhook"],
        "args": ["--namespace=$(POD_NAMESPACE)", f"--port={PORT}"],
        "env": [volumes.field("POD_NAMESPACE", "metadata.namespace")],
        "ports": [{"name": "https", "containerPort": PORT}],
        "livenessProbe": _probe("/healthz"),
        "readinessProbe": _probe("/readyz"),
        "resources": {"requests": {"cpu": "10m", "memory": "96Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 -- the pod's own
    }


def _probe(path: str) -> JsonObject:
    return {"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}}


def _meta() -> JsonObject:
    return {"name": NAME, "namespace": NAMESPACE, "labels": dict(LABELS)}


def _cluster_meta() -> JsonObject:
    return {"name": NAME, "labels": dict(LABELS)}


# -- who asks -------------------------------------------------------------------------------------


def configuration(client: JsonObject) -> JsonObject:
    """The ValidatingWebhookConfiguration; ``client`` says where: a ``service`` or a ``url``.

    The webhook itself adds the ``caBundle``.
    """
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": _cluster_meta(),
        "webhooks": [
            {
                "name": HOOK,
                "clientConfig": client,
                "rules": _asked(),
                "failurePolicy": "Ignore",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": TIMEOUT_SECONDS,
                "admissionReviewVersions": ["v1"],
                # 1.20 does not set this label, and so asks about kube-system too: no harm
                "namespaceSelector": {
                    "matchExpressions": [
                        {
                            "key": "kubernetes.io/metadata.name",
                            "operator": "NotIn",
                            "values": ["kube-system"],
                        }
                    ]
                },
            }
        ],
    }


def _asked() -> list[JsonObject]:
    """Every kind of ours by group and version; without subresources, so no write of a status."""
    groups: dict[tuple[str, str], list[str]] = {}
    for kind in KINDS:
        at = (kind.resource.group, kind.resource.version)
        groups.setdefault(at, []).append(kind.resource.plural)
    return [
        {
            "apiGroups": [group],
            "apiVersions": [version],
            "operations": ["CREATE", "UPDATE"],
            "resources": resources,
            "scope": "*",
        }
        for (group, version), resources in groups.items()
    ]
