"""Security contexts: what a container of ours may do where its user says nothing.

Called by every builder of a pod, on the finished pod: ``with_defaults``. Without a user's word our
containers fulfil the Pod Security Standard *restricted*, so that they run in namespaces that
enforce it. What ``runtimeSettings`` or a Function says wins field by field.

Only containers that run our own image get anything: another image's user and needs are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

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


@attrs.frozen
class Surroundings:
    """What a user's pod says already: of the whole pod, and of the containers beside ours."""

    whole: Mapping[str, Any] = attrs.field(factory=dict)
    beside: tuple[JsonObject, ...] = ()

    def user(self) -> JsonObject:
        """Who all containers beside ours run as, where they say so and agree."""
        contexts = [each.get("securityContext") or {} for each in self.beside]
        agreed: JsonObject = {}
        for key in ("runAsUser", "runAsGroup", "runAsNonRoot"):
            values = {each.get(key) for each in contexts}
            if len(values) == 1 and None not in values:
                agreed[key] = values.pop()
        return agreed


def with_defaults(
    pod: JsonObject, image: str, *, around: Surroundings | None = None, as_root: bool = False
) -> JsonObject:
    """The pod's spec with a security context in each container that runs ``image``.

    ``around``: the user's pod that this one is put into. Ours run as the user of the containers
    there, whose files they read.
    ``as_root``: run as root unless told otherwise, for what must write other users' files.
    """
    around = around or Surroundings(pod.get("securityContext") or {})
    secured = {
        key: [_secured(each, image, around, as_root=as_root) for each in pod[key]]
        for key in _CONTAINERS
        if key in pod
    }
    return {**pod, **secured}


def _secured(
    container: JsonObject, image: str, around: Surroundings, *, as_root: bool
) -> JsonObject:
    if container.get("image") != image:
        return container
    given = container.get("securityContext") or {}
    defaults = _defaults(given, around, as_root=as_root)
    return {**container, "securityContext": {**defaults, **given}}


def _defaults(given: Mapping[str, Any], around: Surroundings, *, as_root: bool) -> JsonObject:
    found = {**RESTRICTED, **_user(given, around, as_root=as_root)}
    if {**around.whole, **found, **given}.get("runAsUser") == 0:
        # the kubelet starts no container that is said to be root and not to be root
        del found["runAsNonRoot"]
        found["capabilities"] = {"drop": ["ALL"], "add": list(FILES_OF_OTHERS)}
    if "seccompProfile" in around.whole:
        del found["seccompProfile"]
    if _escalates(given):
        del found["allowPrivilegeEscalation"]
    return found


def _user(given: Mapping[str, Any], around: Surroundings, *, as_root: bool) -> JsonObject:
    """Who the container runs as where the user of Tandem does not say it.

    Without a word from anybody it is the image's user, which is nobody.
    """
    if "runAsUser" in given:
        return {}
    beside = around.user()
    said = {**around.whole, **beside, **given}
    if as_root and said.get("runAsUser") is None and not said.get("runAsNonRoot"):
        return {"runAsUser": 0, "runAsGroup": 0}
    return {key: beside[key] for key in ("runAsUser", "runAsGroup") if key in beside}


def _escalates(given: Mapping[str, Any]) -> bool:
    """The API server refuses these together with ``allowPrivilegeEscalation: false``."""
    added = (given.get("capabilities") or {}).get("add") or ()
    return bool(given.get("privileged")) or bool({"SYS_ADMIN", "CAP_SYS_ADMIN"} & set(added))
