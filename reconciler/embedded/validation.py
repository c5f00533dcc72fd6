"""What a real server demands of the built-in kinds that Tandem's users write.

Called by ``admission`` after ``metadata_rules``. Not complete, on purpose: it holds the faults that
people make (a missing image, a selector that does not match, a changed immutable field).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.api.schedule import Schedule
from reconciler.embedded.refusals import (
    Cause,
    duplicate,
    forbidden_value,
    invalid_value,
    required,
    unsupported,
)

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_IMMUTABLE = "field is immutable"
Causes = Iterator[Cause]


def created(kind: str, obj: JsonObject) -> list[Cause]:
    """What is wrong with a new object, or with the new state of one."""
    check = _BY_KIND.get(kind)
    return list(check(obj)) if check is not None else []


def changed(kind: str, new: JsonObject, old: JsonObject) -> list[Cause]:
    """What a change must not do."""
    check = _CHANGES.get(kind)
    return list(check(new, old)) if check is not None else []


def _pod_spec(spec: JsonObject, path: str, claims: Iterable[str] = ()) -> Causes:
    """``claims`` are the names of a StatefulSet's claim templates, which become volumes."""
    yield from _unique_names(spec.get("volumes"), f"{path}.volumes")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}.union(claims)
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    for key in ("containers", "initContainers"):
        yield from _unique_names(spec.get(key), f"{path}.{key}")
        for index, container in enumerate(spec.get(key) or ()):
            yield from _container(container, volumes, f"{path}.{key}[{index}]")
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        policy = spec.get("restartPolicy")
        yield unsupported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never"))


def _unique_names(items: list[JsonObject] | None, path: str) -> Causes:
    seen = set()
    for index, item in enumerate(items or ()):
        name = item.get("name")
        if not name:
            yield required(f"{path}[{index}].name")
        elif name in seen:
            yield duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def _container(container: JsonObject, volumes: set[Any], path: str) -> Causes:
    if not container.get("image"):
        yield required(f"{path}.image")
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield required(f"{path}.env[{index}].name")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        place = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            yield required(f"{place}.name")
        elif mount["name"] not in volumes:
            yield Cause(f"{place}.name", "Not found", "", f'"{mount["name"]}"')
        if not mount.get("mountPath"):
            yield required(f"{place}.mountPath")


def _pod(obj: JsonObject) -> Causes:
    return _pod_spec(obj.get("spec") or {}, "spec")


def _count(spec: JsonObject, name: str) -> Causes:
    value = spec.get(name)
    if value is not None and value < 0:
        yield invalid_value(f"spec.{name}", value, "must be greater than or equal to 0")


def _workload(obj: JsonObject) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas")
    labels = (spec["template"].get("metadata") or {}).get("labels")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    elif not _matches(selector, labels):
        detail = "`selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", "Invalid value", detail, _map(labels))
    claims = [claim["metadata"].get("name", "") for claim in spec.get("volumeClaimTemplates") or ()]
    yield from _pod_spec(spec["template"].get("spec") or {}, "spec.template.spec", claims)
    yield from _always(spec["template"].get("spec") or {})


def _always(spec: JsonObject) -> Causes:
    policy = spec.get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _matches(selector: JsonObject, labels: JsonObject | None) -> bool:
    found = labels or {}
    wanted = selector.get("matchLabels") or {}
    if not wanted and not selector.get("matchExpressions"):
        return False
    return all(found.get(key) == value for key, value in wanted.items())


def _map(labels: JsonObject | None) -> str:
    """Labels as Go prints them."""
    if labels is None:
        return "map[string]string(nil)"
    pairs = ", ".join(f'"{key}":"{labels[key]}"' for key in sorted(labels))
    return f"map[string]string{{{pairs}}}"


def _controller(obj: JsonObject) -> Causes:
    """A ReplicationController, whose selector is a plain map."""
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas")
    if not spec.get("selector"):
        yield required("spec.selector")
    yield from _pod_spec(spec["template"].get("spec") or {}, "spec.template.spec")


def _job(obj: JsonObject) -> Causes:
    yield from _job_spec(obj["spec"], "spec")


def _job_spec(spec: JsonObject, path: str) -> Causes:
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"):
        value = spec.get(name)
        if value is not None and value < 0:
            yield invalid_value(f"{path}.{name}", value, "must be greater than or equal to 0")
    pod = spec["template"].get("spec") or {}
    yield from _pod_spec(pod, f"{path}.template.spec")
    if pod.get("restartPolicy") == "Always":
        place = f"{path}.template.spec.restartPolicy"
        yield required(place, 'valid values: "OnFailure", "Never"')


def _cron_job(obj: JsonObject) -> Causes:
    spec = obj["spec"]
    if not spec.get("schedule"):
        yield required("spec.schedule")
    else:
        yield from _schedule(spec["schedule"])
    policy = spec.get("concurrencyPolicy")
    if policy not in ("Allow", "Forbid", "Replace"):
        yield unsupported("spec.concurrencyPolicy", policy, ("Allow", "Forbid", "Replace"))
    yield from _job_spec(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")


def _schedule(text: str) -> Causes:
    try:
        Schedule.parse(text)
    except ValueError as error:
        yield invalid_value("spec.schedule", text, str(error))


def _claim(obj: JsonObject) -> Causes:
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        yield required("spec.resources[storage]")


def _service(obj: JsonObject) -> Causes:
    spec = obj.get("spec") or {}
    if not spec.get("ports") and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    several = len(spec.get("ports") or ()) > 1
    for index, port in enumerate(spec.get("ports") or ()):
        if several and not port.get("name"):
            yield required(f"spec.ports[{index}].name")
        if not 0 < port.get("port", 0) < 65536:
            detail = "must be between 1 and 65535, inclusive"
            yield invalid_value(f"spec.ports[{index}].port", port.get("port", 0), detail)
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec["type"] not in kinds:
        yield unsupported("spec.type", spec["type"], kinds)


def _keys(obj: JsonObject) -> Causes:
    for place in ("data", "binaryData"):
        for key in sorted(obj.get(place) or ()):
            if not _KEY.fullmatch(key):
                yield invalid_value(f"{place}[{key}]", key, _KEY_TEXT)


def _role_binding(obj: JsonObject) -> Causes:
    reference = obj.get("roleRef") or {}
    if reference.get("kind") not in ("ClusterRole", "Role"):
        yield unsupported("roleRef.kind", reference.get("kind", ""), ("ClusterRole", "Role"))
    if not reference.get("name"):
        yield required("roleRef.name")


def _selector(new: JsonObject, old: JsonObject) -> Causes:
    if new["spec"].get("selector") != old["spec"].get("selector"):
        value = _selector_text(new["spec"].get("selector") or {})
        yield Cause("spec.selector", "Invalid value", _IMMUTABLE, value)


def _selector_text(selector: JsonObject) -> str:
    """A label selector as Go prints it."""
    expressions = selector.get("matchExpressions")
    shown = "[]v1.LabelSelectorRequirement(nil)" if not expressions else str(expressions)
    labels = _map(selector.get("matchLabels"))
    return f"v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{shown}}}"


def _job_change(new: JsonObject, old: JsonObject) -> Causes:
    for name in ("completions", "selector", "template"):
        if new["spec"].get(name) != old["spec"].get(name):
            yield invalid_value(f"spec.{name}", new["spec"].get(name), _IMMUTABLE)


_STATEFUL = ("replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy",
             "minReadySeconds", "revisionHistoryLimit", "ordinals")  # fmt: skip


def _stateful_set_change(new: JsonObject, old: JsonObject) -> Causes:
    names = {*new["spec"], *old["spec"]} - set(_STATEFUL)
    if any(new["spec"].get(name) != old["spec"].get(name) for name in names):
        yield forbidden_value(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'template', and "
            "'updateStrategy' are forbidden",
        )


def _claim_change(new: JsonObject, old: JsonObject) -> Causes:
    fixed = [
        {key: value for key, value in obj["spec"].items() if key not in ("resources", "volumeName")}
        for obj in (new, old)
    ]
    if fixed[0] != fixed[1]:
        detail = "spec is immutable after creation except resources.requests for bound claims"
        yield forbidden_value("spec", detail)


def _service_change(new: JsonObject, old: JsonObject) -> Causes:
    was, now = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if was and was != now and new["spec"]["type"] != "ExternalName":
        yield invalid_value("spec.clusterIP", now or "", _IMMUTABLE)


def _data_change(new: JsonObject, old: JsonObject) -> Causes:
    if old.get("immutable"):
        detail = "field is immutable when `immutable` is set"
        if not new.get("immutable"):
            yield forbidden_value("immutable", detail)
        if any(new.get(name) != old.get(name) for name in ("data", "binaryData")):
            yield forbidden_value("data", detail)


def _secret_change(new: JsonObject, old: JsonObject) -> Causes:
    if new.get("type") != old.get("type"):
        yield invalid_value("type", new.get("type"), _IMMUTABLE)
    yield from _data_change(new, old)


_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds",
            "schedulingGates", "nodeName")  # fmt: skip


def _pod_change(new: JsonObject, old: JsonObject) -> Causes:
    if _fixed(new["spec"]) != _fixed(old["spec"]):
        yield forbidden_value(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`, "
            "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` "
            "(only additions to existing tolerations)",
        )


def _fixed(spec: JsonObject) -> JsonObject:
    kept = {key: value for key, value in spec.items() if key not in _MUTABLE}
    for key in ("containers", "initContainers"):
        if key in kept:
            kept[key] = [{**item, "image": ""} for item in kept[key]]
    kept.pop("ephemeralContainers", None)
    return kept


def _role_binding_change(new: JsonObject, old: JsonObject) -> Causes:
    if new.get("roleRef") != old.get("roleRef"):
        yield invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")


_BY_KIND: dict[str, Callable[[JsonObject], Causes]] = {
    "Pod": _pod,
    "Deployment": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _workload,
    "ReplicaSet": _workload,
    "ReplicationController": _controller,
    "Job": _job,
    "CronJob": _cron_job,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
    "ConfigMap": _keys,
    "Secret": _keys,
    "RoleBinding": _role_binding,
    "ClusterRoleBinding": _role_binding,
}
_CHANGES: dict[str, Callable[[JsonObject, JsonObject], Causes]] = {
    "Deployment": _selector,
    "ReplicaSet": _selector,
    "DaemonSet": _selector,
    "StatefulSet": _stateful_set_change,
    "Job": _job_change,
    "PersistentVolumeClaim": _claim_change,
    "Service": _service_change,
    "ConfigMap": _data_change,
    "Secret": _secret_change,
    "Pod": _pod_change,
    "RoleBinding": _role_binding_change,
    "ClusterRoleBinding": _role_binding_change,
}
