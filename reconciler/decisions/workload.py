"""Workloads and their sidecars: who may have one, when it goes, and whether it has rolled out.

``decide`` is the decision for one workload: it takes a sidecar away that nobody wants any more and
restarts the pods of kinds that do not roll by themselves. Putting a sidecar in is part of the
invoker's decision (``invoker``), which asks ``holder`` here, so that a batch is set up in one plan.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions import world
from reconciler.decisions.controller import controller_of
from reconciler.decisions.plan import Apply, Decide, Delete, EventIntent, Plan, Settings, View
from reconciler.manifests import sidecar

SOURCE = "Workload Controller"
NOT_ROLLING = (REPLICA_SETS.kind, REPLICATION_CONTROLLERS.kind)
"""Kinds whose controllers leave pods of an old template alone."""


def decide_for(resource: Resource) -> Decide:
    """The decision for the workloads of one kind."""

    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        del now, settings
        found = view.get(resource, key.namespace, key.name)
        if found is None or world.terminating(found):
            return Plan()
        return decide_one(view, resource, {**_head(resource), **found})

    return decide


def _head(resource: Resource) -> JsonObject:
    return {"apiVersion": resource.api_version, "kind": resource.kind}


def decide_one(view: View, resource: Resource, workload: JsonObject) -> Plan:
    if sidecar.mark_of(workload) and not is_wanted(view, workload):
        return _remove(resource, workload)
    if resource.kind in NOT_ROLLING and not is_owned(workload):
        return _restart_one(view, workload)
    return Plan()


def _remove(resource: Resource, workload: JsonObject) -> Plan:
    meta = workload["metadata"]
    message = (
        f"Removed the stash sidecar from {resource.kind} {meta['namespace']}/{meta['name']}: "
        f"{sidecar.mark_of(workload)} does not want it any more."
    )
    event = EventIntent(workload, "Sidecar Deletion Succeeded", message, source=SOURCE)
    return Plan((Apply(resource, sidecar.removal(workload), create=False),), (event,))


# -- who may have a sidecar -----------------------------------------------------------------------


def wants(view: View, invoker: JsonObject, kind: str, name: str) -> bool:
    """Whether the invoker wants a sidecar in the workload.

    One that is being deleted wants it until its running session is finished (invariant 5).
    """
    if (kind, name) not in world.references(invoker):
        return False
    return not world.terminating(invoker) or is_busy(view, invoker)


def is_busy(view: View, invoker: JsonObject) -> bool:
    """Whether a session of the invoker has started and is not final."""
    meta = invoker["metadata"]
    sessions = world.sessions_of(view, meta["namespace"], invoker["kind"], meta["name"])
    return any(world.phase_of(session) == "Running" for session in sessions)


def is_wanted(view: View, workload: JsonObject) -> bool:
    """Whether the invoker that the workload is marked with, or any other one, wants the sidecar."""
    meta = workload["metadata"]
    kind, _, name = sidecar.mark_of(workload).partition("/")
    marked = world.invoker(view, meta["namespace"], kind, name)
    if marked and wants(view, {**marked, "kind": kind}, workload["kind"], meta["name"]):
        return True
    return holder(view, meta["namespace"], workload["kind"], meta["name"]) is not None


def holder(view: View, namespace: str, kind: str, name: str) -> JsonObject | None:
    """The invoker that may have a sidecar in the workload: the oldest of those that want one."""
    claims = [obj for obj in world.invokers(view, namespace) if wants(view, obj, kind, name)]
    return min(claims, key=world.age_key, default=None)


def is_held_by(view: View, workload: JsonObject, invoker: JsonObject) -> JsonObject | None:
    """The other invoker that keeps this one out of the workload, or None."""
    meta = workload["metadata"]
    if sidecar.mark_of(workload) == f"{invoker['kind']}/{world.name_of(invoker)}":
        return None  # it is in already, and an older one would have marked it since
    first = holder(view, meta["namespace"], workload["kind"], meta["name"])
    if first is None or _same(first, invoker):
        return None
    return first


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
    if kind in (DEPLOYMENTS.kind, STATEFUL_SETS.kind):
        return bool(_least(status, "updatedReplicas", "readyReplicas") >= wanted)
    return bool(status.get("readyReplicas", 0) >= wanted) and not _outdated(view, workload)


def _least(status: JsonObject, *fields: str) -> int:
    return min(int(status.get(field) or 0) for field in fields)


def _pods(view: View, workload: JsonObject) -> list[JsonObject]:
    meta = workload["metadata"]
    found = view.list(PODS, meta["namespace"], owner_uid=meta["uid"])
    return [pod for pod in found if not world.terminating(pod)]


def _outdated(view: View, workload: JsonObject) -> list[JsonObject]:
    """The pods that carry another sidecar than the template does, or lack it."""
    wanted = sidecar.fingerprint_of(workload["spec"]["template"])
    return [pod for pod in _pods(view, workload) if sidecar.fingerprint_of(pod) != wanted]


def _restart_one(view: View, workload: JsonObject) -> Plan:
    """Delete one outdated pod, if all others are ready: Stash deletes all at once (spec 10.39)."""
    outdated = _outdated(view, workload)
    if not outdated:
        return Plan()
    missing = workload["spec"].get("replicas", 1) - sum(map(is_ready, _pods(view, workload)))
    # A pod that is not ready serves nobody, so it may go whatever the others do.
    idle = [pod for pod in outdated if not is_ready(pod)]
    if missing > 0 and not idle:
        return Plan()
    meta = (idle or outdated)[0]["metadata"]
    return Plan((Delete(PODS, meta["namespace"], meta["name"], meta["uid"]),))


def is_ready(pod: JsonObject) -> bool:
    """The pod's condition Ready."""
    found = world.status_of(pod).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in found)


def service_account(workload: JsonObject) -> str:
    """The service account of the workload's pods."""
    pod = workload["spec"]["template"].get("spec") or {}
    return str(pod.get("serviceAccountName") or "default")
