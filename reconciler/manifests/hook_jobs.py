"""The Jobs of hooks: those around a whole session or restore, and those that a dead runner owes.

Called by ``decisions.hooks`` and ``decisions.owed_hooks``. All of them run
``tandem agent run-hook``, which says in the owner's status what became of the hook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from reconciler.api.decoding import encode
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.api.runtime import RuntimeSettings
from reconciler.manifests import jobs, labels, names, runtime, security, volumes

HOOK = "hook"
"""The value of the label ``TASK``."""
SECONDS = 420
"""So long a Job of a hook may last: five minutes for the hook, and the rest to start its pod."""


@attrs.frozen
class Owner:
    """The BackupSession, RestoreSession or RestoreBatch that the hooks belong to."""

    obj: JsonObject
    invoker_kind: str
    invoker_name: str
    settings: RuntimeSettings | None = None

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def is_restore(self) -> bool:
        return str(self.obj["kind"]) != BACKUP_SESSIONS.kind

    @property
    def account(self) -> str:
        """The service account of its Jobs where the user names none."""
        return names.RESTORE_JOB_ACCOUNT if self.is_restore else names.BACKUP_JOB_ACCOUNT

    def args(self, hook_type: str) -> tuple[str, ...]:
        """As Stash's: an empty --backupsession means a restore."""
        session = "" if self.is_restore else self.name
        return (
            "run-hook",
            f"--backupsession={session}",
            f"--invoker-kind={self.invoker_kind}",
            f"--invoker-name={self.invoker_name}",
            f"--hook-type={hook_type}",
            f"--namespace={self.namespace}",
        )


def of_whole(owner: Owner, which: str, hook_type: str, *, image: str, seconds: int) -> JsonObject:
    """The Job of a hook around the whole: ``which`` is pre or post."""
    container = _container(names.HOOK_CONTAINER, image, owner, owner.args(hook_type))
    return _job(owner, names.hook_job(owner.name, which), [container], [], image, seconds)


def owed(
    owner: Owner,
    hook_type: str,
    index: int,
    *,
    target: Mapping[str, str],
    host: str,
    pod: str,
    beside: JsonObject | None,
    image: str,
) -> JsonObject:
    """The Job of a post hook that a member's dead runner owes.

    ``pod``: the target's pod that it is for, if its target has pods; ``beside``: the spec of the
    pod that would back the target up, whose volumes the hook may need.
    """
    args = (
        *owner.args(hook_type),
        f"--target-kind={target.get('kind', '')}",
        f"--target-name={target.get('name', '')}",
        f"--hostname={host}",
        *([f"--pod={pod}"] if pod else []),
    )
    container = _container(names.SIDECAR, image, owner, args)
    mounts: list[JsonObject] = list(container["volumeMounts"])
    for step in (*(beside or {}).get("initContainers", ()), *(beside or {}).get("containers", ())):
        mounts += volumes.without_paths_of(list(step.get("volumeMounts") or ()), mounts)
    found = [{**container, "volumeMounts": mounts}]
    more = list((beside or {}).get("volumes", ()))
    name = names.owed_hook_job(owner.name, index, host)
    return _job(owner, name, found, more, image, SECONDS)


def _container(name: str, image: str, owner: Owner, args: Sequence[str]) -> JsonObject:
    uid = {"name": "BACKUP_SESSION_UID", "value": owner.obj["metadata"]["uid"]}
    if owner.is_restore:
        uid["name"] = "RESTORE_UID"
    return {
        "name": name,
        "image": image,
        "args": list(args),
        "env": [*volumes.runner_environment(), uid],
        "volumeMounts": [volumes.mount(volumes.TMP, volumes.TMP_PATH)],
    }


def _job(  # noqa: PLR0917 -- private
    owner: Owner,
    name: str,
    containers: Sequence[JsonObject],
    more: Sequence[JsonObject],
    image: str,
    seconds: int,
) -> JsonObject:
    settings = owner.settings or RuntimeSettings()
    of_container = encode(settings.container) if settings.container else {}
    steps = [runtime.container(each, of_container) for each in containers]
    base = {
        "restartPolicy": "Never",
        "serviceAccountName": owner.account,
        "containers": steps,
        "volumes": volumes.merged([volumes.temporary({})], list(more)),
    }
    spec = runtime.pod(base, encode(settings.pod) if settings.pod else {})
    own: dict[str, Any] = {
        **(labels.OF_RESTORE if owner.is_restore else labels.COMMON),
        **labels.of_invoker(owner.invoker_kind, owner.invoker_name),
        labels.TASK: HOOK,
    }
    finished = security.with_defaults(spec, image)
    return jobs.job_of(name, owner.namespace, own, owner.obj, finished, deadline_seconds=seconds)
