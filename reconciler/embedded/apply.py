"""Server-side apply: merge, give up what is no longer applied, find conflicts.

Called by ``server.Server`` for PATCH with ``application/apply-patch+yaml``. Works on plain objects
and their ``managedFields``; stores nothing. After structured-merge-diff's ``merge.Updater.Apply``.
"""

from __future__ import annotations

from typing import Any

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded import fieldsets, managed_fields, refusals
from reconciler.embedded.fieldsets import FieldSet
from reconciler.embedded.kinds import Kind
from reconciler.embedded.managed_fields import Entry, Writer
from reconciler.embedded.store import copied
from reconciler.embedded.structure import ANY, Node


def first(kind: Kind, config: JsonObject, writer: Writer) -> JsonObject:
    """The object that an apply creates."""
    new = copied(config)
    managed_fields.put(new, [_entry(kind, config, writer)])
    return new


def onto(
    kind: Kind, live: JsonObject, config: JsonObject, writer: Writer, *, force: bool
) -> JsonObject:
    """``live`` with the configuration applied. Raises Refusal 409 on conflicts unless ``force``."""
    node = kind.structure or ANY
    entry = _entry(kind, config, writer)
    found = managed_fields.entries(live)
    mine = [other for other in found if other.identity == entry.identity]
    rest = [other for other in found if other.identity != entry.identity]
    new: JsonObject = merged(node, copied(live), copied(config))
    if mine:
        kept = entry.fields
        for other in rest:
            kept = fieldsets.union(kept, other.fields)
        _give_up(node, new, mine[0].fields, kept)
    changed, removed = managed_fields.changes(kind, live, new)
    if not force:
        _refuse_conflicts(rest, changed)
    if mine and mine[0].fields == entry.fields:
        entry = attrs.evolve(entry, time=mine[0].time)
    rest = managed_fields.released(rest, changed, removed, writer=entry.identity)
    managed_fields.put(new, [*rest, entry])
    return new


def _entry(kind: Kind, config: JsonObject, writer: Writer) -> Entry:
    owned = managed_fields.without_unowned(fieldsets.of(kind.structure or ANY, config))
    if writer.subresource:
        owned = {step: owned[step] for step in owned if step == f"f:{writer.subresource}"}
    elif kind.has_status:
        owned.pop("f:status", None)
    version = kind.resource.api_version
    return Entry(
        writer.manager, "Apply", version, writer.subresource, time=writer.now, fields=owned
    )


def merged(node: Node, live: Any, config: Any) -> Any:
    """``live`` with the configuration's values in their places; changes ``live``."""
    if type(live) is not type(config) or fieldsets.is_leaf(node, config):
        return config
    if isinstance(config, dict):
        for key, value in config.items():
            live[key] = merged(node.child(key) or ANY, live[key], value) if key in live else value
        return live
    places = {fieldsets.element(node, item): index for index, item in enumerate(live)}
    for item in config:
        place = places.get(fieldsets.element(node, item))
        if place is None:
            live.append(item)
        else:
            live[place] = merged(node.element or ANY, live[place], item)
    return live


def _give_up(node: Node, value: Any, last: FieldSet, kept: FieldSet) -> None:
    """Remove from ``value`` the members of ``last`` that nobody in ``kept`` owns."""
    for step, part, child, _ in list(fieldsets.items(node, value)):
        if step not in last:
            continue
        held = kept.get(step)
        if held is None and fieldsets.is_member(last[step]):
            _drop(value, step, part)  # with the defaults in it, which nobody owns
            continue
        if not fieldsets.is_leaf(child, part) and part:
            _give_up(child, part, last[step], held or {})
            if part:
                continue
        if held is None:
            _drop(value, step, part)


def _drop(value: Any, step: str, part: Any) -> None:
    if isinstance(value, dict):
        value.pop(step[2:], None)
    else:
        value[:] = [item for item in value if item is not part]


def _refuse_conflicts(others: list[Entry], changed: FieldSet) -> None:
    causes = [
        (_said(entry), path)
        for entry in sorted(others, key=lambda e: e.manager)
        for path in fieldsets.paths(fieldsets.both(entry.fields, changed))
    ]
    if causes:
        raise _conflict(causes)


def _said(entry: Entry) -> str:
    """The other owner, as messages name it."""
    text = f'"{entry.manager}"'
    if entry.subresource:
        text += f' with subresource "{entry.subresource}"'
    if entry.operation == "Update":
        text += f" using {entry.api_version}"
    return text


def _conflict(causes: list[tuple[str, str]]) -> refusals.Refusal:
    lines: dict[str, list[str]] = {}
    for owner, path in causes:
        lines.setdefault(owner, []).append(path)
    if len(causes) == 1:
        told = f"1 conflict: conflict with {causes[0][0]}: {causes[0][1]}"
    else:
        parts = [
            f"conflicts with {owner}:\n" + "\n".join(f"- {path}" for path in paths)
            for owner, paths in lines.items()
        ]
        told = f"{len(causes)} conflicts: " + "\n".join(parts)
    details = {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {owner}",
                "field": path,
            }
            for owner, path in causes
        ]
    }
    return refusals.Refusal(409, "Conflict", f"Apply failed with {told}", details)
