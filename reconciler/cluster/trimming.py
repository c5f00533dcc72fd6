"""What the operator's cache keeps of an object: enough to decide, little enough for thousands.

A Pod of a real cluster takes 10 KB and more as a dict; what is kept of it is about a tenth. Secret
values are never kept: a decision needs to know which keys there are and when they changed
(resourceVersion), and what is not in memory cannot leak. Used by ``engine.operator``; the embedded
cluster's controllers keep objects whole.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.api.resources import PODS, SECRETS, JsonObject, Resource

Trim = Callable[[Resource, JsonObject], JsonObject]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_POD_STATUS = ("phase", "reason", "message", "startTime", "conditions", "podIP")
_CONTAINER = ("name", "image", "restartPolicy")


def whole(resource: Resource, obj: JsonObject) -> JsonObject:
    """Keeps everything."""
    del resource
    return obj


def for_manager(manager: str) -> Trim:
    """Trims for an operator that applies as ``manager``; the given object is not changed."""

    def trim(resource: Resource, obj: JsonObject) -> JsonObject:
        kept = {**obj, "metadata": _metadata(obj["metadata"], manager)}
        if resource == PODS:
            kept["spec"] = _pod_spec(obj.get("spec") or {})
            kept["status"] = _pod_status(obj.get("status") or {})
        elif resource == SECRETS:
            kept["data"] = dict.fromkeys(
                (*(obj.get("data") or {}), *(obj.get("stringData") or {})), ""
            )
            kept.pop("stringData", None)
        return kept

    return trim


def _metadata(meta: JsonObject, manager: str) -> JsonObject:
    kept = dict(meta)
    if "managedFields" in meta:
        own = [each for each in meta["managedFields"] or () if each.get("manager") == manager]
        kept["managedFields"] = own
    if LAST_APPLIED in (meta.get("annotations") or {}):
        kept["annotations"] = {k: v for k, v in meta["annotations"].items() if k != LAST_APPLIED}
    return kept


def _pod_spec(spec: JsonObject) -> JsonObject:
    kept = _some(spec, ("nodeName", "serviceAccountName"))
    for field in ("containers", "initContainers"):
        if field in spec:
            kept[field] = [_some(each, _CONTAINER) for each in spec[field]]
    kept["volumes"] = [
        {"name": each["name"], "persistentVolumeClaim": each["persistentVolumeClaim"]}
        for each in spec.get("volumes") or ()
        if "persistentVolumeClaim" in each
    ]
    return kept


def _pod_status(status: JsonObject) -> JsonObject:
    kept = _some(status, _POD_STATUS)
    for field in ("containerStatuses", "initContainerStatuses"):
        if field in status:
            kept[field] = status[field]
    return kept


def _some(obj: JsonObject, fields: tuple[str, ...]) -> JsonObject:
    return {name: obj[name] for name in fields if name in obj}
