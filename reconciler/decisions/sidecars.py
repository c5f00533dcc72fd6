"""The decision for a workload: what it carries of ours comes, is kept as it is wanted, and goes.

That is the sidecar of a batch and the init container of a restore, both in one apply. A new batch
puts its sidecars in by its own plan (``invoker``), so that it is set up at once; from then on each
workload is looked after here, by its own key. So one that the API server refuses keeps nothing
else from being done (invariant 3). Pods of kinds that do not roll by themselves are made anew
here, one at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import (
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions import access, injecting, invoker, workload, world
from reconciler.decisions.plan import Apply, Decide, Delete, EventIntent, Plan, Settings, View
from reconciler.decisions.targets import Target
from reconciler.manifests import init_container, injection, sidecar
from reconciler.manifests.injection import Part

_WORDS = {
    sidecar.SLOT: ("Sidecar", "stash sidecar"),
    init_container.SLOT: ("Init-Container", "stash-init container"),
}
"""How Events call the parts: the beginning of their reason, and the part itself."""

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
    if owner is not None and world.is_new(owner, now):
        plan = Plan(wake_at=world.settled_at(owner, now))
    else:
        plan = _kept(view, resource, obj, owner, settings)
    if resource.kind in NOT_ROLLING and not plan.writes:
        return Plan(_restart_one(view, obj), (), plan.wake_at)
    return plan


def _kept(
    view: View,
    resource: Resource,
    obj: JsonObject,
    owner: JsonObject | None,
    settings: Settings,
) -> Plan:
    """Keep all parts as they are wanted, also against edits; the applier spares what is so."""
    target = _target(view, obj, owner, settings) if owner is not None else None
    of_batch = target.part if target is not None else None
    of_restore = injecting.of_restore(view, obj, settings)
    stays = owner is not None and of_batch is None and bool(sidecar.SLOT.mark_of(obj))
    if stays or of_restore.must_stay:
        return Plan()
    parts = [part for part in (of_batch, of_restore.part) if part is not None]
    events = tuple(_events(resource, obj, parts))
    if parts:
        wanted = injection.compose(obj, *parts)
    elif any(slot.mark_of(obj) for slot in workload.SLOTS):
        wanted = injection.removal(obj)
    else:
        return Plan()
    hooks = of_restore.has_hooks or (target is not None and target.member.hooks is not None)
    rules = _access(view, obj, parts, hooks=hooks)
    return Plan((*rules, Apply(resource, wanted, create=False)), events)


def _access(view: View, obj: JsonObject, parts: list[Part], *, hooks: bool) -> Iterator[Apply]:
    namespace, account = obj["metadata"]["namespace"], workload.service_account(obj)
    if hooks:
        yield from access.for_hooks(view, namespace, account)
    for part in parts:
        rules = access.for_sidecar if part.slot == sidecar.SLOT else access.for_init_container
        yield from rules(view, namespace, account)


def _events(resource: Resource, obj: JsonObject, parts: list[Part]) -> Iterator[EventIntent]:
    where = f"{resource.kind} {obj['metadata']['namespace']}/{world.name_of(obj)}"
    for slot in workload.SLOTS:
        what, name = _WORDS[slot]
        mark = slot.mark_of(obj)
        wanted = next((part for part in parts if part.slot == slot), None)
        if wanted is None and mark:
            message = f"Removed the {name} from {where}: {mark} does not want it any more."
            yield EventIntent(obj, f"{what} Deletion Succeeded", message, source=workload.SOURCE)
        elif wanted is not None and not wanted.is_in(obj):
            message = f"Injected the {name} into {where}."
            yield EventIntent(obj, f"{what} Injection Succeeded", message, source=workload.SOURCE)


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
