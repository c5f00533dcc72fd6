"""What Tandem puts into a workload: one apply configuration of all its parts.

Called by the decisions for workloads and invokers. A workload may carry two parts, the sidecar of
a backup (``sidecar``) and the init container of a restore (``init_container``). Both are applied
by one manager, and whatever that manager leaves out of an apply is taken away, so ``compose`` puts
them into one configuration, and ``removal`` is the configuration without any. Restarts follow from
the pod template alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from reconciler.api.resources import JsonObject
from reconciler.manifests import names, security, volumes


@attrs.frozen
class Slot:
    """A place for one part, and how to find it again."""

    container: str
    field: str
    """``containers`` or ``initContainers``."""
    mark: str
    """Annotation of the workload and its pods: ``Kind/name`` of who asked for the part."""
    fingerprint: str
    """Annotation of the pod template: a hash of the part, which differs when pods must restart."""

    def of(self, workload_or_pod: JsonObject) -> JsonObject | None:
        """The container in a workload's or pod's JSON, if it has one."""
        spec = workload_or_pod["spec"]
        pod = spec.get("template", {}).get("spec", {}) if "template" in spec else spec
        return next((c for c in pod.get(self.field) or () if c["name"] == self.container), None)

    def mark_of(self, workload_or_pod: JsonObject) -> str:
        """``Kind/name`` of the one whose part is in the workload or pod, or ""."""
        return _annotation(workload_or_pod, self.mark)

    def fingerprint_of(self, pod_or_template: JsonObject) -> str:
        """The fingerprint that a pod or a pod template carries, or ""."""
        return _annotation(pod_or_template, self.fingerprint)


@attrs.frozen
class Part:
    """One part as it is wanted."""

    slot: Slot
    mark: str
    pod: JsonObject
    """The container and its volumes, as fields of a pod's spec."""

    @property
    def container(self) -> JsonObject:
        found: JsonObject = self.pod[self.slot.field][0]
        return found

    def is_in(self, workload: JsonObject) -> bool:
        """Whether the workload's template has mark, fingerprint, image and args of this part."""
        found = self.slot.of(workload)
        return (
            found is not None
            and self.slot.mark_of(workload) == self.mark
            and self.slot.fingerprint_of(workload["spec"]["template"]) == fingerprint(self.pod)
            and all(found.get(key) == self.container[key] for key in ("image", "args"))
        )


def surroundings(workload: JsonObject) -> security.Surroundings:
    """What the user says of the pod and its containers, ours left out."""
    pod = workload["spec"]["template"].get("spec") or {}
    beside = [each for each in pod.get("containers") or () if each["name"] != names.SIDECAR]
    return security.Surroundings(pod.get("securityContext") or {}, tuple(beside))


def compose(workload: JsonObject, *parts: Part) -> JsonObject:
    """The fields to apply to ``workload`` so that it carries these parts and no others."""
    marks = {part.slot.mark: part.mark for part in parts}
    prints = {part.slot.fingerprint: fingerprint(part.pod) for part in parts}
    pod: JsonObject = {}
    for part in parts:
        for field, items in part.pod.items():
            pod[field] = [*pod.get(field, ()), *items]
    pod = _with_each_claim_once(pod, workload)
    template = {"metadata": {"annotations": {**marks, **prints}}, "spec": pod}
    return {**_identity(workload, annotations=marks), "spec": {"template": template}}


_CLAIMED = (volumes.LOCAL, volumes.INIT_LOCAL)
"""Our volumes that may be of a claim."""


def _with_each_claim_once(pod: JsonObject, workload: JsonObject) -> JsonObject:
    """Our containers mount a claim by the volume that is first: ours, or the user's own.

    A kubelet mounts one of two volumes of the same claim, and waits for the other for ever.
    """
    there = (workload["spec"]["template"].get("spec") or {}).get("volumes") or ()
    names_of = {_claim(each): each["name"] for each in there if each["name"] not in _CLAIMED}
    kept, renamed = [], {}
    for volume in pod.get("volumes", ()):
        claim = _claim(volume)
        first = names_of.setdefault(claim, volume["name"]) if claim else volume["name"]
        if first == volume["name"]:
            kept.append(volume)
        else:
            renamed[volume["name"]] = first
    if not renamed:
        return pod
    changed: JsonObject = {
        field: [_with_mounts(each, renamed) for each in pod[field]]
        for field in ("containers", "initContainers")
        if field in pod
    }
    return {**pod, **changed, "volumes": kept}


def _claim(volume: JsonObject) -> str:
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")


def _with_mounts(container: JsonObject, renamed: Mapping[str, str]) -> JsonObject:
    mounts = [
        {**each, "name": renamed.get(each["name"], each["name"])}
        for each in container["volumeMounts"]
    ]
    return {**container, "volumeMounts": mounts}


def removal(workload: JsonObject) -> JsonObject:
    """Nothing but the identity: the server takes away every field that Tandem applied."""
    return _identity(workload)


def fingerprint(pod: JsonObject) -> str:
    """What the template's annotation says; it differs when the pods must be made anew."""
    return names.digest(json.dumps(pod, sort_keys=True))


def _identity(workload: JsonObject, *, annotations: Mapping[str, str] | None = None) -> JsonObject:
    meta = workload["metadata"]
    # The uid is a precondition: a workload that was made anew meanwhile is read again first.
    kept = {key: meta[key] for key in ("name", "namespace", "uid")}
    own = {"annotations": dict(annotations)} if annotations else {}
    head = {key: workload[key] for key in ("apiVersion", "kind")}
    return {**head, "metadata": {**kept, **own}}


def _annotation(obj: Mapping[str, Any], key: str) -> str:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(key) or "")
