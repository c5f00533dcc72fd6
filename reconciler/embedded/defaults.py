"""Defaults of the built-in kinds, as clients of a Kubernetes 1.20 notice them.

Called by ``admission`` after decoding. Pure: they change the object in place. What a real server's
admission plug-ins add to a Pod (tolerations, priority, service account) is ``strategies``' work.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from reconciler.api.resources import JsonObject

_MODE = 0o644


def apply(kind: str, obj: JsonObject) -> None:
    """Fill in the defaults of an object of this kind."""
    fill = _BY_KIND.get(kind)
    if fill is not None:
        fill(obj)


def _set(place: JsonObject, **values: Any) -> None:
    """Set what is not there."""
    for name, value in values.items():
        if place.get(name) is None:
            place[name] = value


def _spec(obj: JsonObject) -> JsonObject:
    spec: JsonObject = obj.setdefault("spec", {})
    return spec


def containers(spec: JsonObject) -> Iterator[JsonObject]:
    """All containers of a pod spec."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or ()


def pod_spec(spec: JsonObject) -> None:
    """Defaults of a pod's spec, in a Pod and in every template."""
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _container(container: JsonObject) -> None:
    _set(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image", "")),
        resources={},
    )
    for port in container.get("ports") or ():
        _set(port, protocol="TCP")
    for variable in container.get("env") or ():
        _field_reference((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _probe(container[name])
    for handler in (container.get("lifecycle") or {}).values():
        _http_get(handler)


def _pull_policy(image: str) -> str:
    name = image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _field_reference(reference: JsonObject | None) -> None:
    if reference is not None:
        _set(reference, apiVersion="v1")


def _probe(probe: JsonObject) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http_get(probe)


def _http_get(handler: Any) -> None:
    if isinstance(handler, dict) and isinstance(handler.get("httpGet"), dict):
        _set(handler["httpGet"], path="/", scheme="HTTP")


def _volume(volume: JsonObject) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(source), dict):
            _set(volume[source], defaultMode=_MODE)
    if isinstance(volume.get("hostPath"), dict):
        _set(volume["hostPath"], type="")
    sources = [volume, *(volume.get("projected") or {}).get("sources", ())]
    for source in sources:
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _field_reference(item.get("fieldRef"))
        if isinstance(source.get("serviceAccountToken"), dict):
            _set(source["serviceAccountToken"], expirationSeconds=3600)


def _template(template: JsonObject) -> None:
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    if isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def _workload(obj: JsonObject, **values: Any) -> JsonObject:
    spec = _spec(obj)
    _set(spec, **values)
    _template(spec.setdefault("template", {}))
    return spec


def _pod(obj: JsonObject) -> None:
    spec = _spec(obj)
    for container in containers(spec):
        resources = container.get("resources") or {}
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    pod_spec(spec)
    _set(spec, enableServiceLinks=True)
    for condition in (obj.get("status") or {}).get("conditions") or ():
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)


def _deployment(obj: JsonObject) -> None:
    spec = _workload(obj, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy.setdefault("rollingUpdate", {}), maxSurge="25%", maxUnavailable="25%")
    obj.setdefault("status", {})


def _stateful_set(obj: JsonObject) -> None:
    spec = _workload(obj, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    spec.setdefault("serviceName", "")
    strategy = spec.setdefault("updateStrategy", {})
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy.setdefault("rollingUpdate", {}), partition=0)
    for claim in spec.get("volumeClaimTemplates") or ():
        _set(claim, apiVersion="v1", kind="PersistentVolumeClaim")
        claim.setdefault("metadata", {}).setdefault("creationTimestamp", None)
        _claim(claim)
    _set(obj.setdefault("status", {}), replicas=0)


def _daemon_set(obj: JsonObject) -> None:
    annotations = obj["metadata"].setdefault("annotations", {})
    _set(annotations, **{"deprecated.daemonset.template.generation": "1"})
    spec = _workload(obj, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1)
    _set(
        obj.setdefault("status", {}),
        currentNumberScheduled=0,
        desiredNumberScheduled=0,
        numberMisscheduled=0,
        numberReady=0,
    )


def _replica_set(obj: JsonObject) -> None:
    _workload(obj, replicas=1)
    _set(obj.setdefault("status", {}), replicas=0)


def _replication_controller(obj: JsonObject) -> None:
    spec = _workload(obj, replicas=1)
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels:
        _set(spec, selector=dict(labels))
        _set(obj["metadata"], labels=dict(labels))
    _set(obj.setdefault("status", {}), replicas=0)


def _job_spec(spec: JsonObject) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    _set(spec, parallelism=1, backoffLimit=6)


def _job(obj: JsonObject) -> None:
    spec = _spec(obj)
    _job_spec(spec)
    _template(spec.setdefault("template", {}))
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels:
        _set(obj["metadata"], labels=dict(labels))
    obj.setdefault("status", {})


def _webhooks(obj: JsonObject) -> None:
    for hook in obj.get("webhooks") or ():
        _set(
            hook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            timeoutSeconds=10,
        )
        for rule in hook.get("rules") or ():
            _set(rule, scope="*")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            _set(service, port=443)


def _cron_job(obj: JsonObject) -> None:
    spec = _spec(obj)
    _set(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    _template(template.setdefault("spec", {}).setdefault("template", {}))
    obj.setdefault("status", {})


def _claim(obj: JsonObject) -> None:
    _set(_spec(obj), volumeMode="Filesystem")
    _spec(obj).setdefault("resources", {})
    _set(obj.setdefault("status", {}), phase="Pending")


def _volume_object(obj: JsonObject) -> None:
    _set(_spec(obj), persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if isinstance(_spec(obj).get("hostPath"), dict):
        _set(_spec(obj)["hostPath"], type="")
    _set(obj.setdefault("status", {}), phase="Pending")


def _service(obj: JsonObject) -> None:
    spec = _spec(obj)
    _set(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        _set(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["sessionAffinity"] == "ClientIP":
        _set(spec, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10800}})
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _secret(obj: JsonObject) -> None:
    _set(obj, type="Opaque")
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _binding(obj: JsonObject) -> None:
    _set(obj.setdefault("roleRef", {}), apiGroup="rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            _set(subject, apiGroup="rbac.authorization.k8s.io")


def _role(obj: JsonObject) -> None:
    obj.setdefault("rules", None)


def _event(obj: JsonObject) -> None:
    obj.setdefault("source", {})
    _set(obj, reportingComponent="", reportingInstance="", firstTimestamp=None)
    obj.setdefault("lastTimestamp", None)
    obj.setdefault("eventTime", None)


def _storage_class(obj: JsonObject) -> None:
    _set(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


_BY_KIND: dict[str, Callable[[JsonObject], None]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "ReplicaSet": _replica_set,
    "ReplicationController": _replication_controller,
    "Job": _job,
    "CronJob": _cron_job,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume_object,
    "Service": _service,
    "Secret": _secret,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "Role": _role,
    "ClusterRole": _role,
    "Event": _event,
    "StorageClass": _storage_class,
    "ValidatingWebhookConfiguration": _webhooks,
    "PodTemplate": lambda obj: _template(obj.setdefault("template", {})),
}
