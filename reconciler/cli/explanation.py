"""Why an object is in its phase and what would lead on, found by making the operator's decision.

Called by ``explain``. The decision is the operator's own (``decisions.controllers``), made on a
live View, while every machine that it asks is recorded: what is told is what decides. Nothing is
written.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import attrs

from reconciler.api import restore_invoker
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    BACKUP_SESSIONS,
    REPOSITORIES,
    RESTORE_BATCHES,
    RESTORE_SESSIONS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.api.restore_invoker import RESTORE_INVOKERS
from reconciler.cli.live_view import LiveView
from reconciler.decisions.controllers import CONTROLLERS
from reconciler.decisions.plan import (
    Apply,
    Create,
    Delete,
    Finalizers,
    Plan,
    Settings,
    Status,
    View,
    Write,
)
from statemachines import batch, repository, restore, session, table
from statemachines.table import Arc, Look

_TABLES: Final[dict[Resource, table.Table[Any]]] = {
    BACKUP_BATCHES: batch.TABLE,
    BACKUP_CONFIGURATIONS: batch.TABLE,
    BACKUP_SESSIONS: session.TABLE,
    REPOSITORIES: repository.TABLE,
    RESTORE_BATCHES: restore.TABLE,
    RESTORE_SESSIONS: restore.TABLE,
}


@attrs.frozen
class ArcLine:
    """A way on. ``missing``: the fewest facts that would have to be so; empty: it is open now."""

    to: str
    when: str
    why: str
    missing: dict[str, Any]


@attrs.frozen
class MachineLine:
    """One machine that was asked. ``about``: which target or host; "" the object itself."""

    machine: str
    about: str
    stored: str
    state: str
    meaning: str
    final: bool
    facts: dict[str, Any]
    ways: tuple[ArcLine, ...]


@attrs.frozen
class Waiting:
    """Something that is not as it should be, in the operator's words."""

    about: str
    what: str
    reason: str
    message: str


@attrs.frozen
class Explanation:
    """All of it. ``phase`` is stored; ``decided`` is what the operator would write now."""

    kind: str
    namespace: str
    name: str
    phase: str
    decided: str
    meaning: str
    waits: tuple[Waiting, ...]
    machines: tuple[MachineLine, ...]
    pending: tuple[str, ...]
    """Writes that the operator would make now: if they stay, it is not at work."""
    next_look: str
    unread: tuple[str, ...]


def explain(
    view: LiveView, resource: Resource, obj: JsonObject, now: dt.datetime, settings: Settings
) -> Explanation:
    """Make the decision about an object, and tell how it came about."""
    meta = obj["metadata"]
    decide = next(each.decide for each in CONTROLLERS if each.primary == resource)
    with table.recorded() as looks:
        plan = decide(Key(meta["namespace"], meta["name"]), view, now, settings)
    stored = obj.get("status") or {}
    wanted = _status(plan, resource, meta["name"]) or stored
    decided = {**obj, "kind": resource.kind, "status": wanted}
    return Explanation(
        kind=resource.kind,
        namespace=meta["namespace"],
        name=meta["name"],
        phase=stored.get("phase") or "",
        decided=wanted.get("phase") or "",
        meaning=_meaning(resource, looks, wanted.get("phase") or ""),
        waits=tuple(_waits(decided)),
        machines=tuple(_machine(look) for look in _latest(looks)),
        pending=tuple(_pending(view, plan, stored)),
        next_look="" if plan.wake_at is None else f"{plan.wake_at:%Y-%m-%dT%H:%M:%SZ}",
        unread=tuple(f"{each.plural}: {why}" for each, why in view.unread.items()),
    )


def _meaning(resource: Resource, looks: Iterable[Look[Any]], phase: str) -> str:
    """What the state means; nobody asks the machine of an object that has come to its end."""
    for look in looks:
        if not look.about:
            return look.table.state(look.answer.state).meaning
    states = {state.name: state.meaning for state in _TABLES[resource].states}
    return states.get(phase, "")


def _status(plan: Plan, resource: Resource, name: str) -> JsonObject | None:
    for write in plan.writes:
        if isinstance(write, Status) and (write.resource, write.name) == (resource, name):
            return write.status
    return None


# -- what is not as it should be ------------------------------------------------------------------


def _waits(obj: JsonObject) -> Iterator[Waiting]:
    status = obj["status"]
    yield from _conditions("", status)
    for member in status.get("memberConditions") or ():
        yield from _conditions(_named(member.get("target") or {}), member)
    for entry in _entries(obj):
        if entry.get("phase") not in ("Succeeded", None):
            yield Waiting(
                _named(entry.get("ref") or {}),
                entry["phase"],
                entry.get("reason", ""),
                entry.get("message", ""),
            )
        for stat in entry.get("stats") or ():
            if stat.get("error"):
                about = f"{_named(entry.get('ref') or {})}, host {stat.get('hostname')}"
                yield Waiting(about, stat.get("phase", ""), "", stat["error"])


def _entries(obj: JsonObject) -> Sequence[JsonObject]:
    if obj["kind"] in [each.kind for each in RESTORE_INVOKERS]:
        return restore_invoker.entries(obj)
    return list(obj["status"].get("targets") or ())


def _conditions(about: str, holder: JsonObject) -> Iterator[Waiting]:
    for each in holder.get("conditions") or ():
        if each.get("status") != "True" or each.get("type") == "Skipped":
            state = each.get("type", "") + ("" if each.get("status") == "True" else " is not so")
            yield Waiting(about, state, each.get("reason", ""), each.get("message", ""))


def _named(ref: JsonObject) -> str:
    return f"{ref.get('kind', '')} {ref.get('name', '')}"


# -- the machines ---------------------------------------------------------------------------------


def _latest(looks: Iterable[Look[Any]]) -> list[Look[Any]]:
    """The last answer of each machine that was asked; that of the whole comes first."""
    found = {(look.table.name, look.about): look for look in looks}
    return sorted(found.values(), key=lambda look: bool(look.about))


def _machine(look: Look[Any]) -> MachineLine:
    state = look.table.state(look.answer.state)
    return MachineLine(
        machine=look.table.name,
        about=look.about,
        stored=look.state,
        state=state.name,
        meaning=state.meaning,
        final=state.final,
        facts={name: _plain(value) for name, value in _facts(look.observation)},
        ways=tuple(_way(look, arc) for arc in look.table.arcs_of(state.name)),
    )


def _facts(observation: Any) -> Iterator[tuple[str, Any]]:
    for field in attrs.fields(type(observation)):
        yield field.name, getattr(observation, field.name)


def _way(look: Look[Any], arc: Arc[Any]) -> ArcLine:
    missing = look.table.missing(arc, look.observation)
    told = {name: _plain(value) for name, value in missing.items()}
    return ArcLine(arc.destination, arc.label, arc.why, told)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


# -- what the operator would do -------------------------------------------------------------------


def _pending(view: View, plan: Plan, stored: JsonObject) -> Iterator[str]:
    for write in plan.writes:
        if (told := _told(view, write, stored)) is not None:
            yield told


def _told(view: View, write: Write, stored: JsonObject) -> str | None:
    """None for what is so already: the engine writes nothing then."""
    match write:
        case Create(resource, obj) | Apply(resource, obj):
            meta = obj["metadata"]
            there = view.get(resource, meta.get("namespace", ""), meta["name"])
            return None if there else f"create {resource.kind} {meta['name']}"
        case Delete(resource, _, name):
            return f"delete {resource.kind} {name}"
        case Finalizers(resource, _, name):
            return f"set the finalizers of {resource.kind} {name}"
        case Status(resource, _, name):
            return None if write.status == stored else f"write the status of {resource.kind} {name}"
