"""The decision for a workload: its sidecar comes, is kept as it is wanted, and goes.

A new batch puts its sidecars in by its own plan (``invoker``), so that it is set up at once; from
then on each workload is looked after here, by its own key. So one that the API server refuses
keeps nothing else from being done (invariant 3). Pods of kinds that do not roll by themselves are
made anew here, one at a time.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import (
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions import access, invoker, workload, world
from reconciler.decisions.plan import Apply, Decide, Delete, EventIntent, Plan, Settings, View
from reconciler.decisions.targets import Target
from reconciler.manifests import sidecar

NOT_ROLLING = (REPLICA_SETS.kind, REPLICATION_CONTROLLERS.kind)
"""Kinds whose controllers leave pods of an old template alone."""


def decide_for(resource: Resource) -> Decide:
    """The decision for the workloads of one kind."""

    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        found = view.get(resource, key.namespace, key.name)
        if found is None or world.terminating(found) or workload.is_owned(found):
            return Plan()
        return _decide(view, resource, found, now, settings)

    return decide


def _decide(
    view: View, resource: Resource, obj: JsonObject, now: dt.datetime, settings: Settings
) -> Plan:
    owner = workload.entitled(view, obj)
    if owner is None:
        plan = _remove(resource, obj) if sidecar.mark_of(obj) else Plan()
    elif world.is_new(owner, now):
        plan = Plan(wake_at=world.settled_at(owner, now))
    else:
        plan = _inject(view, resource, obj, owner, settings)
    if resource.kind in NOT_ROLLING and not plan.writes:
        return Plan(_restart_one(view, obj), (), plan.wake_at)
    return plan


def _remove(resource: Resource, obj: JsonObject) -> Plan:
    meta = obj["metadata"]
    message = (
        f"Removed the stash sidecar from {resource.kind} {meta['namespace']}/{meta['name']}: "
        f"{sidecar.mark_of(obj)} does not want it any more."
    )
    event = EventIntent(obj, "Sidecar Deletion Succeeded", message, source=workload.SOURCE)
    return Plan((Apply(resource, sidecar.removal(obj), create=False),), (event,))


def _inject(
    view: View, resource: Resource, obj: JsonObject, owner: JsonObject, settings: Settings
) -> Plan:
    """Keep the sidecar as it is wanted, also against edits; the applier spares what is so."""
    found = _target(view, obj, owner, settings)
    if found is None or found.sidecar is None:
        return Plan()
    rules = access.for_sidecar(view, obj["metadata"]["namespace"], workload.service_account(obj))
    events = () if found.is_injected else (invoker.injected(found, obj),)
    return Plan((*rules, Apply(resource, found.sidecar, create=False)), events)


def _target(view: View, obj: JsonObject, owner: JsonObject, settings: Settings) -> Target | None:
    resource = next(item for item in INVOKERS if item.kind == owner["kind"])
    seen = invoker.observe(resource, owner, view, settings)
    if seen.repository_problem:
        return None
    wanted = (obj["kind"], world.name_of(obj))
    return next((t for t in seen.targets if (t.ref.kind, t.ref.name) == wanted), None)


def _restart_one(view: View, obj: JsonObject) -> tuple[Delete, ...]:
    """Delete one outdated pod, if all others are ready: Stash deletes all at once (spec 10.39)."""
    outdated = workload.outdated(view, obj)
    if not outdated:
        return ()
    ready = sum(map(workload.is_ready, workload.pods(view, obj)))
    missing = obj["spec"].get("replicas", 1) - ready
    # A pod that is not ready serves nobody, so it may go whatever the others do.
    idle = [pod for pod in outdated if not workload.is_ready(pod)]
    if missing > 0 and not idle:
        return ()
    meta = (idle or outdated)[0]["metadata"]
    return (Delete(PODS, meta["namespace"], meta["name"], meta["uid"]),)
