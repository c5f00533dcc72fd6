"""The resources that the embedded server serves: built-in ones and those of CRDs.

Called by every part of the server to find a resource by its URL or its kind. Pure data and look-up.
Names, short names and categories are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from reconciler.api.resources import JsonObject, Resource
from reconciler.embedded import structure as structures
from reconciler.embedded.schema import Validator
from reconciler.embedded.store import Bucket
from reconciler.embedded.structure import Node

NO_SUBRESOURCES: frozenset[str] = frozenset()


@attrs.frozen
class Column:
    """A printer column of a CRD (``additionalPrinterColumns``)."""

    name: str
    type: str
    json_path: str
    priority: int = 0
    description: str = ""
    format: str = ""


@attrs.frozen(eq=False)
class Kind:
    """One version of one resource, and how it is served."""

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = NO_SUBRESOURCES
    list_kind: str = ""
    fields: tuple[str, ...] = ()
    """Field-selector paths besides metadata.name and metadata.namespace."""
    custom: bool = False
    storage: bool = True
    columns: tuple[Column, ...] = ()
    scale: JsonObject = attrs.field(factory=dict)
    """The scale subresource's paths (specReplicasPath, ...) of a CRD."""
    structure: Node | None = None
    validate: Validator | None = None
    """The schema's validator, of a custom kind."""
    served: bool = True
    openapi: JsonObject = attrs.field(factory=dict)
    """The schema as it was given, of a custom kind."""

    @property
    def bucket(self) -> Bucket:
        return self.resource.group, self.resource.plural

    @property
    def name(self) -> str:
        return self.resource.kind

    @property
    def group(self) -> str:
        return self.resource.group

    @property
    def plural(self) -> str:
        return self.resource.plural

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def listed_as(self) -> str:
        return self.list_kind or f"{self.name}List"


def _kind(
    api_version: str,
    plural: str,
    kind: str,
    short: str = "",
    *,
    namespaced: bool = True,
    sub: str = "status",
    categories: str = "",
    fields: str = "",
) -> Kind:
    group, _, version = api_version.rpartition("/")
    return Kind(
        Resource(group, version, plural, kind, namespaced),
        singular=kind.lower(),
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        subresources=frozenset(sub.split()),
        fields=tuple(fields.split()),
        structure=structures.builtin().of_kind(api_version, kind),
    )


_POD_FIELDS = (
    "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName"
    " status.phase status.podIP status.nominatedNodeName"
)
_EVENT_FIELDS = (
    "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid"
    " involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath"
    " reason reportingComponent source type"
)
_RBAC = "rbac.authorization.k8s.io/v1"
_SCALED = "status scale"

BUILT_IN = (
    _kind("v1", "bindings", "Binding", sub=""),
    _kind("v1", "configmaps", "ConfigMap", "cm", sub=""),
    _kind("v1", "endpoints", "Endpoints", "ep", sub=""),
    _kind("v1", "events", "Event", "ev", sub="", fields=_EVENT_FIELDS),
    _kind("v1", "limitranges", "LimitRange", "limits", sub=""),
    _kind("v1", "namespaces", "Namespace", "ns", namespaced=False, fields="status.phase",
          sub="status finalize"),
    _kind("v1", "nodes", "Node", "no", namespaced=False, fields="spec.unschedulable"),
    _kind("v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc"),
    _kind("v1", "persistentvolumes", "PersistentVolume", "pv", namespaced=False),
    _kind("v1", "pods", "Pod", "po", categories="all", fields=_POD_FIELDS,
          sub="status log exec binding eviction ephemeralcontainers"),
    _kind("v1", "podtemplates", "PodTemplate", sub=""),
    _kind("v1", "replicationcontrollers", "ReplicationController", "rc", categories="all",
          sub=_SCALED, fields="status.replicas"),
    _kind("v1", "resourcequotas", "ResourceQuota", "quota"),
    _kind("v1", "secrets", "Secret", sub="", fields="type"),
    _kind("v1", "serviceaccounts", "ServiceAccount", "sa", sub=""),
    _kind("v1", "services", "Service", "svc", categories="all",
          fields="spec.clusterIP spec.type"),
    _kind("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations",
          "ValidatingWebhookConfiguration", namespaced=False, sub="", categories="api-extensions"),
    _kind("apps/v1", "controllerrevisions", "ControllerRevision", sub=""),
    _kind("apps/v1", "daemonsets", "DaemonSet", "ds", categories="all"),
    _kind("apps/v1", "deployments", "Deployment", "deploy", categories="all", sub=_SCALED),
    _kind("apps/v1", "replicasets", "ReplicaSet", "rs", categories="all", sub=_SCALED,
          fields="status.replicas"),
    _kind("apps/v1", "statefulsets", "StatefulSet", "sts", categories="all", sub=_SCALED),
    _kind("batch/v1", "cronjobs", "CronJob", "cj", categories="all"),
    _kind("batch/v1", "jobs", "Job", categories="all", fields="status.successful"),
    _kind("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa",
          categories="all"),
    _kind("coordination.k8s.io/v1", "leases", "Lease", sub=""),
    _kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", sub=""),
    _kind("networking.k8s.io/v1", "ingresses", "Ingress", "ing"),
    _kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "netpol", sub=""),
    _kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb"),
    _kind(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False, sub=""),
    _kind(_RBAC, "clusterroles", "ClusterRole", namespaced=False, sub=""),
    _kind(_RBAC, "rolebindings", "RoleBinding", sub=""),
    _kind(_RBAC, "roles", "Role", sub=""),
    _kind("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", "pc", namespaced=False,
          sub=""),
    _kind("storage.k8s.io/v1", "storageclasses", "StorageClass", "sc", namespaced=False, sub=""),
    _kind("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition",
          "crd crds", namespaced=False, categories="api-extensions"),
)  # fmt: skip


class Registry:
    """What is served now."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._stored: dict[Bucket, Kind] = {}
        for kind in BUILT_IN:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        resource = kind.resource
        self._kinds[resource.group, resource.version, resource.plural] = kind
        if kind.storage:
            self._stored[kind.bucket] = kind

    def remove(self, bucket: Bucket) -> None:
        """Stop serving every version of a resource."""
        self._kinds = {key: kind for key, kind in self._kinds.items() if kind.bucket != bucket}
        self._stored.pop(bucket, None)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        found = self._kinds.get((group, version, plural))
        return found if found is not None and found.served else None

    def of_bucket(self, bucket: Bucket) -> Kind:
        """The storage version of a resource. Raises KeyError when it is not served."""
        return self._stored[bucket]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def groups(self) -> dict[str, list[str]]:
        """Every group but the core one, with its versions, in the order they came to be served."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._kinds:
            if group and version not in found.setdefault(group, []):
                found[group].append(version)
        return found
