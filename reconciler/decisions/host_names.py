"""Whether an invoker's hosts are its own in the Repository: another one may call its hosts alike.

Stash's manifests do that (``host-0`` is every BackupConfiguration without an alias), so it is
told, and nothing is blocked. Called by ``invoker`` for a condition, and by ``controllers`` for
whom a change concerns. It works on raw JSON: a broken spec must not hide the host of a sound one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.api import hosts
from reconciler.api.metadata import TargetRef
from reconciler.api.resources import BACKUP_BATCHES, JsonObject
from reconciler.decisions import conditions, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.plan import View


@world.remembered
def of(obj: JsonObject) -> Mapping[str, str]:
    """The hosts of an invoker's raw spec, each with the field that names it.

    A StatefulSet stands there by its first pod, and a DaemonSet by its alias: whatever shares one
    of their hosts by its alias shares this one.
    """
    batch = obj["kind"] == BACKUP_BATCHES.kind
    targets = [member.get("target") or {} for member in world.members(obj)]
    alone = sum(map(bool, targets)) == 1
    return {
        _host(target, alone=alone): f"spec.members[{index}].target" if batch else "spec.target"
        for index, target in enumerate(targets)
        if target
    }


def _host(target: JsonObject, *, alone: bool) -> str:
    raw = target.get("ref") or {}
    ref = TargetRef(kind=str(raw.get("kind") or ""), name=str(raw.get("name") or ""))
    alias = hosts.alias_for(ref, str(target.get("alias") or ""), alone=alone)
    return hosts.host_name(ref.kind, alias, pod_name="-0", node_name="<node>")


def taken(view: View, obj: JsonObject) -> Mapping[str, JsonObject]:
    """The hosts that another invoker has too, with the oldest one that has it."""
    others = list(_sharing(view, obj))
    holders = {host: [other for other in others if host in of(other)] for host in of(obj)}
    return {host: min(found, key=_age) for host, found in holders.items() if found}


def concerned(view: View, obj: JsonObject) -> Iterator[JsonObject]:
    """The other invokers that name this one, as it is or was, or that may have to, and no more.

    Each names the oldest other one. So the oldest of a host concerns all that have it, the second
    concerns the oldest, and a later one concerns nobody: else a thousand new batches would wake
    each other a million times.
    """
    others = list(_sharing(view, obj))
    for host in of(obj):
        holders = sorted((other for other in others if host in of(other)), key=_age)
        older = sum(_age(other) < _age(obj) for other in holders)
        yield from holders if older == 0 else holders[:1] if older == 1 else ()


def condition(obj: JsonObject, others: Mapping[str, JsonObject]) -> Condition:
    """``others`` are those that ``taken`` found."""
    if not others:
        return Condition.of(
            conditions.HOST_NAMES_UNIQUE,
            holds=True,
            reason=conditions.HOST_NAMES_UNIQUE,
            message="No other invoker has a host of the same name in the Repository.",
        )
    namespace = obj["metadata"]["namespace"]
    shared = "; ".join(
        f"host {host} is also that of {other['kind']} {namespace}/{world.name_of(other)}"
        for host, other in others.items()
    )
    fields = ", ".join(f"{of(obj)[host]}.alias" for host in others)
    message = (
        f"In Repository {namespace}/{world.repository_name(obj)}, {shared}: their snapshots mix. "
        f"Give each a name of its own in {fields}, or use a Repository of its own."
    )
    return Condition.of(
        conditions.HOST_NAMES_UNIQUE,
        holds=False,
        reason=conditions.HOST_NAME_TAKEN,
        message=message,
    )


def _sharing(view: View, obj: JsonObject) -> Iterator[JsonObject]:
    """The other living invokers that name the same Repository."""
    name = world.repository_name(obj)
    for other in world.invokers(view, obj["metadata"]["namespace"]) if name else ():
        same = (other["kind"], world.name_of(other)) == (obj["kind"], world.name_of(obj))
        if world.repository_name(other) == name and not same and not world.terminating(other):
            yield other


def _age(obj: JsonObject) -> tuple[str, str, str]:
    """Orders invokers from the oldest on, without a tie."""
    return (*world.age_key(obj), obj["kind"])
