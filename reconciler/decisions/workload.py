"""Workloads and their sidecars: who may have one, and whether it has rolled out.

Called by ``sidecars``, ``targets`` and ``invoker``. It answers questions about one workload and
decides nothing.
"""

from __future__ import annotations

from reconciler.api.resources import (
    DAEMON_SETS,
    DEPLOYMENT_CONFIGS,
    DEPLOYMENTS,
    PODS,
    STATEFUL_SETS,
    JsonObject,
)
from reconciler.decisions import world
from reconciler.decisions.controller import controller_of
from reconciler.decisions.plan import View
from reconciler.manifests import init_container, sidecar

SOURCE = "Workload Controller"
SLOTS = (sidecar.SLOT, init_container.SLOT)
"""Everything of ours that a workload may carry."""


# -- who may have a sidecar -----------------------------------------------------------------------


def wants(view: View, invoker: JsonObject, kind: str, name: str) -> bool:
    """Whether the invoker wants a sidecar in the workload.

    One that is being deleted wants it until its running session is finished (invariant 5).
    """
    if world.takes_snapshots(invoker) or (kind, name) not in world.references(invoker):
        return False
    return not world.terminating(invoker) or is_busy(view, invoker)


def is_busy(view: View, invoker: JsonObject) -> bool:
    """Whether a session of the invoker has started and is not final."""
    meta = invoker["metadata"]
    sessions = world.sessions_of(view, meta["namespace"], invoker["kind"], meta["name"])
    return any(world.phase_of(session) == "Running" for session in sessions)


def entitled(view: View, workload: JsonObject) -> JsonObject | None:
    """The invoker whose sidecar is or may be in the workload: the one that it is marked with, as
    long as that one wants it, else the oldest that does.
    """
    meta = workload["metadata"]
    kind, _, name = sidecar.SLOT.mark_of(workload).partition("/")
    marked = world.invoker(view, meta["namespace"], kind, name)
    if marked is not None and wants(view, marked, workload["kind"], meta["name"]):
        return marked
    return holder(view, meta["namespace"], workload["kind"], meta["name"])


def holder(view: View, namespace: str, kind: str, name: str) -> JsonObject | None:
    """The invoker that may have a sidecar in the workload: the oldest of those that want one."""
    claims = [obj for obj in world.invokers(view, namespace) if wants(view, obj, kind, name)]
    return min(claims, key=world.age_key, default=None)


def is_held_by(view: View, workload: JsonObject, invoker: JsonObject) -> JsonObject | None:
    """The other invoker that keeps this one out of the workload, or None."""
    first = entitled(view, workload)
    return None if first is None or _same(first, invoker) else first


def _same(one: JsonObject, other: JsonObject) -> bool:
    return (one["kind"], world.name_of(one)) == (other["kind"], world.name_of(other))


def is_owned(workload: JsonObject) -> bool:
    """Whether something else, such as a Deployment, makes this workload: then it is left alone."""
    return controller_of(workload) is not None


# -- rolling out ----------------------------------------------------------------------------------


def rolled_out(view: View, workload: JsonObject) -> bool:
    """Whether every pod of the workload is ready and of its present template."""
    meta, status = workload["metadata"], world.status_of(workload)
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        return False
    kind = workload["kind"]
    if kind == DAEMON_SETS.kind:
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(_least(status, "updatedNumberScheduled", "numberReady") >= wanted)
    wanted = workload["spec"].get("replicas", 1)
    if kind in (DEPLOYMENTS.kind, STATEFUL_SETS.kind, DEPLOYMENT_CONFIGS.kind):
        return bool(_least(status, "updatedReplicas", "readyReplicas") >= wanted)
    return bool(status.get("readyReplicas", 0) >= wanted) and not outdated(view, workload)


def _least(status: JsonObject, *fields: str) -> int:
    return min(int(status.get(field) or 0) for field in fields)


def pods(view: View, workload: JsonObject) -> list[JsonObject]:
    meta = workload["metadata"]
    found = view.list(PODS, meta["namespace"], owner_uid=meta["uid"])
    return [pod for pod in found if not world.terminating(pod)]


def outdated(view: View, workload: JsonObject) -> list[JsonObject]:
    """The pods that carry other parts of ours than the template does, or lack one."""
    wanted = _fingerprints(workload["spec"]["template"])
    return [pod for pod in pods(view, workload) if _fingerprints(pod) != wanted]


def _fingerprints(pod_or_template: JsonObject) -> list[str]:
    return [slot.fingerprint_of(pod_or_template) for slot in SLOTS]


def is_ready(pod: JsonObject) -> bool:
    """The pod's condition Ready."""
    found = world.status_of(pod).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in found)


def service_account(workload: JsonObject) -> str:
    """The service account of the workload's pods."""
    pod = workload["spec"]["template"].get("spec") or {}
    return str(pod.get("serviceAccountName") or "default")
