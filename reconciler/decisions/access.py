"""Which access rules are missing in a namespace, or left behind in it, as writes.

Called by the decisions that make pods, and by that of the last batch that goes. The rules are
shared by all batches of a namespace, so in steady state this is a few look-ups and no write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.api.resources import (
    JOBS,
    ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
    STASH,
    JsonObject,
    Resource,
)
from reconciler.decisions import runs, world
from reconciler.decisions.plan import Apply, Delete, View
from reconciler.manifests import access, labels, names

_RESOURCES: dict[str, Resource] = {
    resource.kind: resource for resource in (SERVICE_ACCOUNTS, ROLE_BINDINGS)
}
_OURS = ("roleRef", "subjects")


def for_jobs(view: View, namespace: str, account: str = "") -> Iterator[Apply]:
    """What pods of backup Jobs and of repository Jobs need."""
    return _missing(view, access.job_access(namespace, account))


def for_snapshots(view: View, namespace: str, account: str = "") -> Iterator[Apply]:
    """What pods of Jobs that make VolumeSnapshots need."""
    return _missing(view, access.snapshot_access(namespace, account))


def for_snapshot_restores(view: View, namespace: str, account: str = "") -> Iterator[Apply]:
    """What pods of Jobs that make claims of VolumeSnapshots need."""
    return _missing(view, access.snapshot_restore_access(namespace, account))


def for_cron_job(view: View, namespace: str, account: str = "") -> Iterator[Apply]:
    """What the trigger's pod needs."""
    return _missing(view, access.cron_job_access(namespace, account))


def for_sidecar(view: View, namespace: str, account: str) -> Iterator[Apply]:
    """What the pods of a workload need, whose service account this is."""
    return _missing(view, (access.sidecar_access(namespace, account),))


def for_restore_jobs(view: View, namespace: str, account: str = "") -> Iterator[Apply]:
    """What pods of restore Jobs need."""
    return _missing(view, access.restore_job_access(namespace, account))


def for_init_container(view: View, namespace: str, account: str) -> Iterator[Apply]:
    """What the pods of a workload need while they are restored, whose service account this is."""
    return _missing(view, (access.init_container_access(namespace, account),))


def for_hooks(view: View, namespace: str, account: str) -> Iterator[Apply]:
    """What a pod needs to run hooks elsewhere. Only for those that have some."""
    return _missing(view, (access.hooks_access(namespace, account),))


def left_behind(view: View, namespace: str) -> Iterator[Delete]:
    """The shared rules, once nobody in the namespace needs them; never those of a user's own.

    A Job that still runs needs them: then they stay.
    """
    jobs = view.list(JOBS, namespace)
    if any(_is_ours(job) and not runs.finished(job) for job in jobs):
        return
    for resource in (ROLE_BINDINGS, SERVICE_ACCOUNTS):
        for name in names.SHARED_ACCESS:
            found = view.get(resource, namespace, name)
            if found is not None and _is_ours(found) and not world.terminating(found):
                yield Delete(resource, namespace, name, found["metadata"]["uid"])


def _is_ours(obj: JsonObject) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get(labels.MANAGED_BY) == STASH)


def _missing(view: View, wanted: Iterable[JsonObject]) -> Iterator[Apply]:
    for obj in wanted:
        resource = _RESOURCES[obj["kind"]]
        meta = obj["metadata"]
        found = view.get(resource, meta["namespace"], meta["name"])
        if found is None or any(not _like(found.get(key), obj.get(key)) for key in _OURS):
            yield Apply(resource, obj)


def _like(found: object, wanted: object) -> bool:
    """Equal but for fields that the server adds (a subject's apiGroup)."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(_like(found.get(key), value) for key, value in wanted.items())
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_like, found, wanted))
    return found == wanted
