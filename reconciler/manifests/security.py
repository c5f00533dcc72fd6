"""Security contexts: what a container of ours may do where its user says nothing.

Called by every builder of a pod, on the finished pod: ``with_defaults``. Without a user's word our
containers fulfil the Pod Security Standard *restricted*, so that they run in namespaces that
enforce it. What ``runtimeSettings`` or a Function says wins field by field.

Only containers that run our own image get anything: another image's user and needs are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.api.resources import JsonObject

RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
FILES_OF_OTHERS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
"""What root needs to read any file and to write it back with owner, mode and attributes. All of
them are allowed by the Pod Security Standard *baseline*."""
_CONTAINERS = ("initContainers", "containers")


def with_defaults(
    pod: JsonObject,
    image: str,
    *,
    around: Mapping[str, Any] | None = None,
    as_root: bool = False,
) -> JsonObject:
    """The pod's spec with a security context in each container that runs ``image``.

    ``around``: the context of the whole pod where it is not in ``pod`` (a sidecar's workload).
    ``as_root``: run as root unless told otherwise, for what must write other users' files.
    """
    whole = (pod.get("securityContext") if around is None else around) or {}
    secured = {
        key: [_secured(each, image, whole, as_root=as_root) for each in pod[key]]
        for key in _CONTAINERS
        if key in pod
    }
    return {**pod, **secured}


def _secured(
    container: JsonObject, image: str, whole: Mapping[str, Any], *, as_root: bool
) -> JsonObject:
    if container.get("image") != image:
        return container
    given = container.get("securityContext") or {}
    defaults = _defaults(given, whole, as_root=as_root)
    return {**container, "securityContext": {**defaults, **given}}


def _defaults(given: Mapping[str, Any], whole: Mapping[str, Any], *, as_root: bool) -> JsonObject:
    found = {**RESTRICTED, **_user(given, whole, as_root=as_root)}
    if {**whole, **found, **given}.get("runAsUser") == 0:
        # the kubelet starts no container that is said to be root and not to be root
        del found["runAsNonRoot"]
        found["capabilities"] = {"drop": ["ALL"], "add": list(FILES_OF_OTHERS)}
    if "seccompProfile" in whole:
        del found["seccompProfile"]
    if _escalates(given):
        del found["allowPrivilegeEscalation"]
    return found


def _user(given: Mapping[str, Any], whole: Mapping[str, Any], *, as_root: bool) -> JsonObject:
    """Who the container runs as where nobody says it: the image's user, which is nobody."""
    said = {**whole, **given}
    if not as_root or said.get("runAsUser") is not None or said.get("runAsNonRoot"):
        return {}
    return {"runAsUser": 0, "runAsGroup": 0}


def _escalates(given: Mapping[str, Any]) -> bool:
    """The API server refuses these together with ``allowPrivilegeEscalation: false``."""
    added = (given.get("capabilities") or {}).get("add") or ()
    return bool(given.get("privileged")) or bool({"SYS_ADMIN", "CAP_SYS_ADMIN"} & set(added))
