"""Which access rules are missing in a namespace, as writes.

Called by the decisions that make pods. The rules are shared by all batches of a namespace, so in
steady state this is a few look-ups and no write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.api.resources import ROLE_BINDINGS, SERVICE_ACCOUNTS, JsonObject, Resource
from reconciler.decisions.plan import Apply, View
from reconciler.manifests import access

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
