"""What Jobs and pods say about a run: is it there, has it finished, how, and why not.

Called by ``runners`` (backup Jobs, sidecars) and ``repository`` (its own Jobs). It reads and
decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.resources import PODS, JsonObject
from reconciler.decisions import world
from reconciler.decisions.plan import View


def finished(job: JsonObject) -> str:
    """Complete or Failed once the Job has ended for good, else nothing."""
    return str(_end(job).get("type") or "")


def failed_at(job: JsonObject) -> str:
    """When the Job ended (RFC 3339), or nothing."""
    return str(_end(job).get("lastTransitionTime") or "")


def failure(job: JsonObject) -> str:
    """Why the Job failed, in Kubernetes' words."""
    found = _end(job)
    return str(found.get("message") or found.get("reason") or "the Job failed")


def _end(job: JsonObject) -> JsonObject:
    ended = (
        item
        for item in world.status_of(job).get("conditions") or ()
        if item["type"] in ("Complete", "Failed") and item["status"] == "True"
    )
    return next(ended, {})


def pods_of(view: View, job: JsonObject) -> list[JsonObject]:
    """The Job's pods, the latest first."""
    meta = job["metadata"]
    found = view.list(PODS, meta["namespace"], owner_uid=meta["uid"])
    return sorted(found, key=world.age_key, reverse=True)


def has_ended(pod: JsonObject) -> bool:
    return world.status_of(pod).get("phase") in ("Succeeded", "Failed")


def has_begun(pod: JsonObject) -> bool:
    """Whether a container of the pod has run: the first step of a Job may be an init container."""
    status = world.status_of(pod)
    if status.get("phase") == "Running":
        return True
    states = (item.get("state") or {} for item in _containers(pod))
    return any("running" in state or "terminated" in state for state in states)


def waiting_for(pod: JsonObject) -> str:
    """What keeps the pod from starting, such as an image that cannot be pulled; "" if unknown."""
    for item in _containers(pod):
        waiting = (item.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return f"{item['name']}: {waiting['reason']}{_detail(waiting)}"
    for item in world.status_of(pod).get("conditions") or ():
        if item["type"] == "PodScheduled" and item["status"] == "False":
            return str(item.get("message") or item.get("reason") or "it cannot be scheduled")
    return ""


def _detail(waiting: JsonObject) -> str:
    """The message, unless it counts time: a status would be written at every count."""
    message = waiting.get("message") or ""
    return f": {message}" if message and waiting["reason"] != "CrashLoopBackOff" else ""


def _containers(pod: JsonObject) -> Iterator[JsonObject]:
    status = world.status_of(pod)
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()
