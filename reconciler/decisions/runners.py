"""Who can back up a host: the sidecars and Jobs that are ready, late, or proven dead.

Called by the session decision, once a host. It answers with facts; the machine
``statemachines.host`` decides what they mean. A runner is only called dead on proof: its pod has
ended without a report, or is gone and the cache has had time to learn of it.
"""

from __future__ import annotations

import datetime as dt

import attrs

from reconciler.api.resources import PODS, JsonObject
from reconciler.decisions import hosts, runs, world
from reconciler.decisions.plan import View
from reconciler.manifests import init_container, names, sidecar

PROOF = dt.timedelta(seconds=30)
"""A pod that is not in the cache counts as gone only so long after it claimed its host: pods and
sessions come by different watches, and one may be behind the other."""


@attrs.frozen
class Runner:
    """What is known about the runner of one host."""

    ready: bool = False
    dead: bool = False
    since: str = ""
    """When the latest candidate was created (RFC 3339): the grace is counted from there."""
    reason: str = ""
    message: str = ""
    look_at: dt.datetime | None = None
    """When the answer may change though nothing happens."""


def of_claim(
    view: View, namespace: str, claim: JsonObject, job: JsonObject | None, now: dt.datetime
) -> Runner:
    """The runner that has claimed a host; of a Job, the pod of its next try may take over."""
    found = _of_claimant(view, namespace, claim, now)
    if found.dead and job is not None and not runs.finished(job):
        return of_job(view, job)
    return found


def _of_claimant(view: View, namespace: str, claim: JsonObject, now: dt.datetime) -> Runner:
    name, uid = claim["runner"], claim.get("runnerUID")
    pod = view.get(PODS, namespace, name)
    if pod is not None and pod["metadata"]["uid"] == uid:
        if runs.has_ended(pod):
            message = f"Pod {namespace}/{name} ended without a report."
            return Runner(dead=True, reason="RunnerDied", message=message)
        return Runner(ready=True)
    proven = _moment(claim.get("startTime"), now) + PROOF
    if now < proven:
        return Runner(ready=True, look_at=proven)
    message = f"Pod {namespace}/{name} is gone; it had claimed the host and reported nothing."
    return Runner(dead=True, reason="RunnerDied", message=message)


def _moment(text: str | None, now: dt.datetime) -> dt.datetime:
    return dt.datetime.fromisoformat(text) if text else now


def of_sidecar(view: View, workload: JsonObject, host: str, alias: str, mark: str) -> Runner:
    """The sidecars that may claim a host of a workload. ``mark``: ``Kind/name`` of the invoker."""
    kind = workload["kind"]
    pods = [pod for pod in hosts.pods_of(view, workload) if hosts.host_of(kind, alias, pod) == host]
    what = f"{kind} {workload['metadata']['namespace']}/{world.name_of(workload)}"
    if any(is_ready(pod, mark) for pod in pods):
        return Runner(ready=True)
    return Runner(
        since=pods[-1]["metadata"].get("creationTimestamp", "") if pods else "",
        reason="RunnerNotReady",
        message=_why_not_ready(pods, what, mark),
    )


def is_ready(pod: JsonObject, mark: str) -> bool:
    """Whether the pod's sidecar runs and belongs to the invoker."""
    if runs.has_ended(pod) or not _belongs(pod, mark):
        return False
    found = world.status_of(pod).get("containerStatuses") or ()
    return any(item["name"] == names.SIDECAR and item.get("ready") for item in found)


def _belongs(pod: JsonObject, mark: str) -> bool:
    return sidecar.SLOT.of(pod) is not None and sidecar.SLOT.mark_of(pod) == mark


def _why_not_ready(pods: list[JsonObject], what: str, mark: str) -> str:
    if not pods:
        return f"{what} has no pod for this host; scale it up."
    if not any(_belongs(pod, mark) for pod in pods):
        return f"No pod of {what} has the stash sidecar of {mark} yet."
    name = world.name_of(pods[-1])
    waiting = runs.waiting_for(pods[-1])
    return f"The stash container of pod {name} is not ready{f': {waiting}' if waiting else '.'}"


def of_init_container(view: View, workload: JsonObject, host: str, alias: str, mark: str) -> Runner:
    """The pods that may claim a host of a workload while they begin. ``mark``: ``Kind/name`` of
    the restore.
    """
    kind = workload["kind"]
    pods = [pod for pod in hosts.pods_of(view, workload) if hosts.host_of(kind, alias, pod) == host]
    own = [pod for pod in pods if init_container.SLOT.mark_of(pod) == mark]
    if any(_restores(pod) for pod in own):
        return Runner(ready=True)
    what = f"{kind} {workload['metadata']['namespace']}/{world.name_of(workload)}"
    return Runner(
        since=own[-1]["metadata"].get("creationTimestamp", "") if own else "",
        reason="RunnerNotReady",
        message=_why_not_restoring(pods, own, what, mark),
    )


def _restores(pod: JsonObject) -> bool:
    found = world.status_of(pod).get("initContainerStatuses") or ()
    return any(
        item["name"] == names.INIT_CONTAINER and "running" in (item.get("state") or {})
        for item in found
    )


def _why_not_restoring(pods: list[JsonObject], own: list[JsonObject], what: str, mark: str) -> str:
    if not pods:
        return f"{what} has no pod for this host; scale it up."
    if not own:
        return f"No pod of {what} has the stash-init container of {mark} yet."
    waiting = runs.waiting_for(own[-1])
    name = world.name_of(own[-1])
    end = f": {waiting}" if waiting else "."
    return f"The stash-init container of pod {name} does not run{end}"


def of_job(view: View, job: JsonObject | None) -> Runner:
    """The pods of a Job that may claim its host."""
    if job is None:
        return Runner(reason="JobNotCreated", message="Its Job is not there yet.")
    name = world.name_of(job)
    ended = runs.finished(job)
    if ended:
        why = runs.failure(job) if ended == "Failed" else "it ended without a report"
        return Runner(dead=True, reason="JobFailed", message=f"Job {name}: {why}; see its logs.")
    pods = [pod for pod in runs.pods_of(view, job) if not runs.has_ended(pod)]
    if any(runs.has_begun(pod) for pod in pods):
        return Runner(ready=True)
    waiting = runs.waiting_for(pods[0]) if pods else ""
    return Runner(
        since=(pods[0] if pods else job)["metadata"].get("creationTimestamp", ""),
        reason="RunnerNotReady",
        message=f"No pod of Job {name} runs yet{f': {waiting}' if waiting else '.'}",
    )
