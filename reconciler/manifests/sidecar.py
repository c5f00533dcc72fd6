"""The sidecar of a backup: what a workload carries so that its hosts are backed up.

Called by the decisions for workloads and invokers, which apply it by ``injection``. It depends
only on what the container needs: a new schedule, retention policy or another member of the batch
restarts nothing (Stash restarts for each of them, spec 10.30).
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.backup import BackupTarget, Member
from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import JsonObject
from reconciler.manifests import injection, labels, names, runtime, security, volumes

SCRATCH_WHEN_TMP_IS_TAKEN = "/stash-tmp"

SLOT = injection.Slot(
    container=names.SIDECAR,
    field="containers",
    mark=labels.SIDECAR_INVOKER,
    fingerprint=labels.SIDECAR_HASH,
)


def part(
    workload: JsonObject, *, invoker: Invoker, member: Member, repository: Repository, image: str
) -> injection.Part:
    """What ``workload`` carries for ``member``."""
    pod = security.with_defaults(
        _pod(invoker, member, repository, image), image, around=injection.surroundings(workload)
    )
    return injection.Part(SLOT, f"{invoker.kind}/{invoker.name}", pod)


def _pod(invoker: Invoker, member: Member, repository: Repository, image: str) -> JsonObject:
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
    scratch = scratch_path(target.volume_mounts)
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


def scratch_path(mounts: Sequence[JsonObject]) -> str:
    """``/tmp``, or another path when the user's own volume is mounted there."""
    taken = {item.get("mountPath") for item in mounts}
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
