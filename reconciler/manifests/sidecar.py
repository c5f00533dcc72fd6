"""The sidecar in a workload: the object that is applied, and how to see what is applied already.

Called by the decisions for workloads and invokers. ``build`` holds only the fields that Tandem
wants in the workload, for server-side apply; ``removal`` holds none of them, so applying it takes
them away and leaves exactly what the user had. Restarts follow from the pod template alone, and
the template depends only on what the container needs: a new schedule, retention policy or another
member of the batch restarts nothing (Stash restarts for each of them, spec 10.30).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconciler.api.backup import BackupTarget, Member
from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import JsonObject
from reconciler.manifests import labels, names, runtime, security, volumes

SCRATCH_WHEN_TMP_IS_TAKEN = "/stash-tmp"


def build(
    workload: JsonObject,
    *,
    invoker: Invoker,
    member: Member,
    repository: Repository,
    image: str,
) -> JsonObject:
    """The fields to apply to ``workload`` so that it carries the sidecar for ``member``."""
    pod = security.with_defaults(
        pod_part(invoker, member, repository, image),
        image,
        around=_context_of(workload),
    )
    mark = {labels.SIDECAR_INVOKER: invoker_mark(invoker)}
    return {
        **_identity(workload, annotations=mark),
        "spec": {
            "template": {
                "metadata": {"annotations": {**mark, labels.SIDECAR_HASH: fingerprint(pod)}},
                "spec": pod,
            }
        },
    }


def _context_of(workload: JsonObject) -> JsonObject:
    """The security context that the user gave the whole pod."""
    pod = workload["spec"]["template"].get("spec") or {}
    return pod.get("securityContext") or {}


def removal(workload: JsonObject) -> JsonObject:
    """Nothing but the identity: the server takes away every field that Tandem applied."""
    return _identity(workload)


def _identity(workload: JsonObject, *, annotations: Mapping[str, str] | None = None) -> JsonObject:
    meta = workload["metadata"]
    # The uid is a precondition: a workload that was made anew meanwhile is read again first.
    kept = {key: meta[key] for key in ("name", "namespace", "uid")}
    own = {"annotations": dict(annotations)} if annotations else {}
    head = {key: workload[key] for key in ("apiVersion", "kind")}
    return {**head, "metadata": {**kept, **own}}


def invoker_mark(invoker: Invoker) -> str:
    return f"{invoker.kind}/{invoker.name}"


def fingerprint(pod: JsonObject) -> str:
    """What the template annotation says; it differs when the pods must be made anew."""
    return names.digest(json.dumps(pod, sort_keys=True))


def pod_part(invoker: Invoker, member: Member, repository: Repository, image: str) -> JsonObject:
    """The container and volumes of the sidecar."""
    target = member.target or BackupTarget()
    backend = encode(repository.spec.backend)
    local = backend.get("local")
    temp_dir = encode(member.temp_dir) if member.temp_dir else {}
    return {
        "containers": [_container(invoker, member, target, repository, image)],
        "volumes": [
            volumes.temporary(temp_dir),
            volumes.pod_info(),
            volumes.sidecar_secret(repository.spec.backend.storage_secret_name),
            *volumes.local_volume(local),
        ],
    }


def _container(
    invoker: Invoker,
    member: Member,
    target: BackupTarget,
    repository: Repository,
    image: str,
) -> JsonObject:
    scratch = scratch_path(target)
    base: JsonObject = {
        "name": names.SIDECAR,
        "image": image,
        "args": _args(invoker, member, target, repository, scratch),
        "env": [
            volumes.field("NODE_NAME", "spec.nodeName"),
            *volumes.runner_environment(),
        ],
        "volumeMounts": _mounts(target, encode(repository.spec.backend), scratch),
    }
    own = member.runtime_settings.container if member.runtime_settings else None
    return runtime.container(base, encode(own) if own else {})


def scratch_path(target: BackupTarget) -> str:
    """``/tmp``, or another path when the user's own volume is mounted there."""
    taken = {item.get("mountPath") for item in target.volume_mounts}
    return SCRATCH_WHEN_TMP_IS_TAKEN if volumes.TMP_PATH in taken else volumes.TMP_PATH


def _args(
    invoker: Invoker, member: Member, target: BackupTarget, repository: Repository, scratch: str
) -> list[str]:
    caching = not (member.temp_dir and member.temp_dir.disable_caching)
    own = [f"--scratch-dir={scratch}"] if scratch != volumes.TMP_PATH else []
    return [
        "run-backup",
        f"--invoker-name={invoker.name}",
        f"--invoker-kind={invoker.kind}",
        f"--target-name={target.ref.name}",
        f"--target-kind={target.ref.kind}",
        f"--secret-dir={volumes.SIDECAR_SECRET_PATH}",
        f"--enable-cache={str(caching).lower()}",
        f"--max-connections={repository.spec.backend.max_connections}",
        *own,
    ]


def _mounts(target: BackupTarget, backend: JsonObject, scratch: str) -> list[JsonObject]:
    own = [
        volumes.mount(volumes.POD_INFO, volumes.POD_INFO_PATH),
        volumes.mount(volumes.SIDECAR_SECRET, volumes.SIDECAR_SECRET_PATH),
        volumes.mount(volumes.TMP, scratch),
        *volumes.local_mount(backend.get("local")),
    ]
    # Whole mounts: readOnly, propagation and subPathExpr matter (Stash drops them, spec 4.2).
    users = [dict(item) for item in target.volume_mounts]
    return own + volumes.without_paths_of(users, own)


def of(workload: JsonObject) -> JsonObject | None:
    """The sidecar container in a workload's or pod's JSON, if it has one."""
    spec = workload["spec"]
    pod: Mapping[str, Any] = (
        spec.get("template", {}).get("spec", {}) if "template" in spec else spec
    )
    return next((c for c in pod.get("containers") or () if c["name"] == names.SIDECAR), None)


def mark_of(workload_or_pod: JsonObject) -> str:
    """``Kind/name`` of the invoker whose sidecar is in the workload or pod, or ""."""
    annotations = workload_or_pod["metadata"].get("annotations") or {}
    found = annotations.get(labels.SIDECAR_INVOKER)
    return str(found or "")


def fingerprint_of(pod_or_template: JsonObject) -> str:
    """The fingerprint that a pod or a pod template carries, or ""."""
    annotations = (pod_or_template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(labels.SIDECAR_HASH) or "")
