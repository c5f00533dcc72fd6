"""The init container of a restore: what a workload carries so that its pods begin with their data.

Called by the decisions for workloads, which apply it by ``injection``. It depends on the restore's
uid and the member's own settings and on nothing that changes while the restore goes on, so one
restore is one rollout. Where the API server puts it among the workload's own init containers is
the server's choice: last, if they were there before.
"""

from __future__ import annotations

from reconciler.api.decoding import encode
from reconciler.api.repository import Repository
from reconciler.api.resources import JsonObject
from reconciler.api.restore import RestoreTarget
from reconciler.api.restore_invoker import RestoreInvoker
from reconciler.manifests import injection, labels, names, runtime, security, sidecar, volumes

SLOT = injection.Slot(
    container=names.INIT_CONTAINER,
    field="initContainers",
    mark=labels.RESTORE_INVOKER,
    fingerprint=labels.RESTORE_HASH,
)


def part(
    workload: JsonObject,
    *,
    restore: RestoreInvoker,
    index: int,
    repository: Repository,
    image: str,
) -> injection.Part:
    """What ``workload`` carries for member ``index`` of the restore.

    It runs as root unless told otherwise: only root may give files back to their owners.
    """
    pod = security.with_defaults(
        _pod(restore, index, repository, image),
        image,
        around=injection.surroundings(workload),
        as_root=True,
    )
    return injection.Part(SLOT, f"{restore.kind}/{restore.name}", pod)


def _pod(restore: RestoreInvoker, index: int, repository: Repository, image: str) -> JsonObject:
    member = restore.members[index]
    local = encode(repository.spec.backend).get("local")
    temp_dir = encode(member.temp_dir) if member.temp_dir else {}
    return {
        "initContainers": [_container(restore, index, repository, image)],
        "volumes": [
            volumes.temporary(temp_dir, volumes.INIT_TMP),
            volumes.sidecar_secret(
                repository.spec.backend.storage_secret_name, volumes.INIT_SECRET
            ),
            *volumes.local_volume(local, volumes.INIT_LOCAL),
        ],
    }


def _container(
    restore: RestoreInvoker, index: int, repository: Repository, image: str
) -> JsonObject:
    member = restore.members[index]
    target = member.target or RestoreTarget()
    scratch = sidecar.scratch_path(target.volume_mounts)
    secret = volumes.SIDECAR_SECRET_PATH
    own = [
        volumes.mount(volumes.INIT_SECRET, secret),
        volumes.mount(volumes.INIT_TMP, scratch),
        *volumes.local_mount(encode(repository.spec.backend).get("local"), volumes.INIT_LOCAL),
    ]
    users = [dict(item) for item in target.volume_mounts]
    base: JsonObject = {
        "name": names.INIT_CONTAINER,
        "image": image,
        "args": args(restore, index, repository, secret_dir=secret, scratch=scratch),
        "env": [
            volumes.field("NODE_NAME", "spec.nodeName"),
            *volumes.runner_environment(),
            {"name": "RESTORE_UID", "value": restore.metadata.uid},
        ],
        "volumeMounts": own + volumes.without_paths_of(users, own),
    }
    chosen = member.runtime_settings.container if member.runtime_settings else None
    return runtime.container(base, encode(chosen) if chosen else {})


def args(
    restore: RestoreInvoker,
    index: int,
    repository: Repository,
    *,
    secret_dir: str,
    scratch: str,
) -> list[str]:
    """The arguments of a container that restores a member without a Task."""
    member = restore.members[index]
    caching = not (member.temp_dir and member.temp_dir.disable_caching)
    own = [f"--scratch-dir={scratch}"] if scratch != volumes.TMP_PATH else []
    return [
        "restore",
        f"--invoker-kind={restore.kind}",
        f"--invoker-name={restore.name}",
        f"--target-name={restore.ref(index).name}",
        f"--target-kind={restore.ref(index).kind}",
        f"--secret-dir={secret_dir}",
        f"--enable-cache={str(caching).lower()}",
        f"--max-connections={repository.spec.backend.max_connections}",
        *own,
    ]
