"""Which containers' logs tell of a session or a restore, and whose work each of them did.

Called by ``session_logs`` and ``debug``. It reads objects and follows what they say of each other:
claims name pods, Jobs name their owner, a maintenance Job its session.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from reconciler.api import restore_invoker
from reconciler.api.resources import BACKUP_SESSIONS, JOBS, PODS, JsonObject
from reconciler.cluster.port import Reader
from reconciler.manifests import labels, names

OWN = (names.SIDECAR, names.INIT_CONTAINER)
"""Our containers in the pods of workloads; every container of our Jobs is ours."""


@attrs.frozen
class Source:
    """A container's log. ``whose`` is target/host, or what else the container did."""

    whose: str
    pod: str
    container: str
    since: str = ""


def of(reader: Reader, obj: JsonObject) -> list[Source]:
    """The logs of a BackupSession or of a restore, as far as there are pods yet."""
    namespace, since = obj["metadata"]["namespace"], obj["metadata"]["creationTimestamp"]
    pods = {pod["metadata"]["name"]: pod for pod in reader.list(PODS, namespace).items}
    claims = dict(_claims(obj))
    jobs = dict(_jobs(reader, obj))
    found: list[Source] = []
    for name, pod in pods.items():
        job = (pod["metadata"].get("labels") or {}).get("job-name", "")
        if job in jobs:
            whose = claims.get(name, jobs[job])
            found += (Source(whose, name, each) for each in containers(pod))
        elif name in claims:
            ours = (each for each in containers(pod) if each in OWN)
            found += (Source(claims[name], name, each, since) for each in ours)
    return sorted(found, key=lambda source: source.whose)


def containers(pod: JsonObject) -> list[str]:
    """The names of a pod's containers, in the order in which they start."""
    spec = pod.get("spec") or {}
    both = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [each["name"] for each in both]


def _claims(obj: JsonObject) -> Iterator[tuple[str, str]]:
    """The pods that work for it: (pod, target/host)."""
    if obj["kind"] == BACKUP_SESSIONS.kind:
        entries = (obj.get("status") or {}).get("targets") or ()
    else:
        entries = restore_invoker.entries(obj)
    for entry in entries:
        ref = entry.get("ref") or {}
        for host in entry.get("hosts") or ():
            whose = f"{ref.get('kind')}/{ref.get('name')}/{host['hostname']}"
            for pod in (*(host.get("earlierRunners") or ()), host.get("runner", "")):
                if pod:
                    yield pod, whose


def _jobs(reader: Reader, obj: JsonObject) -> Iterator[tuple[str, str]]:
    """The Jobs that work for it: (Job, what it does)."""
    meta = obj["metadata"]
    for job in reader.list(JOBS, meta["namespace"]).items:
        own = job["metadata"]
        if labels.is_controlled_by(job, meta["uid"]):
            yield own["name"], own["name"]
        elif (own.get("annotations") or {}).get(labels.SESSION) == meta["name"]:
            yield own["name"], "maintenance"
