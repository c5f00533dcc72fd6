"""What is accepted and yet unwise: the warnings of the webhook, one sentence each.

Called by ``review`` for an object without a fault. A warning names the field and the remedy, as a
fault does. It asks ``view`` for the other invokers of a namespace; whatever else a warning needs
is in the object itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from reconciler.api import hosts
from reconciler.api.decoding import decode
from reconciler.api.invoker import INVOKERS, Invoker, decode_invoker
from reconciler.api.resources import RESTORE_BATCHES, RESTORE_SESSIONS, JsonObject
from reconciler.api.restore import RestoreSession
from reconciler.api.schedule import Schedule
from reconciler.decisions import host_names
from reconciler.decisions.plan import View
from reconciler.errors import InvalidObject

_INVOKERS = tuple(resource.kind for resource in INVOKERS)
_RESTORES = (RESTORE_SESSIONS.kind, RESTORE_BATCHES.kind)


def of(obj: JsonObject, old: JsonObject, view: View, now: dt.datetime) -> tuple[str, ...]:
    """Every warning about ``obj``, which replaces ``old`` (empty: it is new)."""
    kind = obj.get("kind")
    try:
        if kind in _INVOKERS:
            return tuple(_invoker(obj, view, now))
        if kind in _RESTORES:
            return tuple(_restore(obj, old))
    except InvalidObject:  # a fault that was stored before: it is told as such
        return ()
    return ()


# -- invokers -------------------------------------------------------------------------------------


def _invoker(obj: JsonObject, view: View, now: dt.datetime) -> Iterator[str]:
    typed = decode_invoker(obj, unknown="ignore")
    yield from _never(typed, now)
    yield from _aliases(typed)
    if typed.retention_policy.dry_run:
        yield "spec.retentionPolicy.dryRun: no snapshot is ever removed; write false to apply it"
    others = host_names.taken(view, obj)
    if others:
        yield host_names.condition(obj, others).message


def _never(typed: Invoker, now: dt.datetime) -> Iterator[str]:
    try:
        fires = Schedule.parse(typed.schedule).next_after(now)
    except ValueError:  # a fault that was stored before: it is told as such
        return
    if fires is None:
        yield f"spec.schedule: {typed.schedule!r} names a day that never comes, so nothing runs"


def _aliases(typed: Invoker) -> Iterator[str]:
    """A name given late parts the new snapshots from the old ones."""
    for index, member in enumerate(typed.members):
        if member.target is None or member.target.alias:
            continue
        ref = member.target.ref
        host = hosts.host_name(
            ref.kind, hosts.alias_of(typed, index), pod_name="-0", node_name="<node>"
        )
        yield (
            f"{typed.member_path(index)}.target.alias: is not set, so the data is known as host"
            f" {host}; set it now, because a later change begins a new history"
        )


# -- restores -------------------------------------------------------------------------------------


def _restore(obj: JsonObject, old: JsonObject) -> Iterator[str]:
    phase = (old.get("status") or {}).get("phase")
    if phase not in (None, "Pending"):
        yield (
            f"spec: changed while the restore is {phase}, which does not begin it anew;"
            f" create another {obj['kind']} for that"
        )
    if obj["kind"] == RESTORE_SESSIONS.kind:
        typed = decode(RestoreSession, obj, unknown="ignore")
        if typed.spec.rules:
            yield "spec.rules: is deprecated; write the rules in spec.target.rules"
