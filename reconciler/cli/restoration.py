"""A batch turned round: the restore that puts back what the batch has saved.

Called by ``restore``. Pure. What is chosen are snapshots; names of hosts, mounts and Tasks follow
from the batch, so that what it saved is found.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from reconciler.api import hosts
from reconciler.api.metadata import TargetRef
from reconciler.api.resources import (
    BACKUP_BATCHES,
    RESTORE_BATCHES,
    RESTORE_SESSIONS,
    JsonObject,
    Resource,
)
from reconciler.cli.snapshots import SnapshotLine, pattern
from reconciler.decisions import world
from reconciler.errors import NotFound, TerminalError
from reconciler.manifests import labels, names

LATEST: Final = "latest"
_KEPT: Final = ("interimVolumeTemplate", "tempDir", "runtimeSettings")
"""What a member of a restore has from the member of the batch."""


@attrs.frozen
class Saved:
    """A member of a batch: its JSON, and what its data is called in the repository."""

    member: JsonObject
    alias: str
    alone: bool

    @property
    def ref(self) -> TargetRef:
        raw = self.member["target"].get("ref") or {}
        return TargetRef(
            **{
                field: str(raw.get(name) or "")
                for field, name in (
                    ("api_version", "apiVersion"),
                    ("kind", "kind"),
                    ("name", "name"),
                )
            }
        )

    @property
    def hosts(self) -> re.Pattern[str]:
        """The names of its hosts."""
        return pattern([(self.ref.kind, self.alias)])

    def __str__(self) -> str:
        return f"{self.ref.kind}/{self.ref.name}"


def members(invoker: JsonObject) -> list[Saved]:
    """What a batch saves."""
    found = [member for member in world.members(invoker) if member.get("target")]
    return [_saved(member, alone=len(found) == 1) for member in found]


def _saved(member: JsonObject, *, alone: bool) -> Saved:
    bare = Saved(member, "", alone)
    given = str(member["target"].get("alias") or "")
    return Saved(member, hosts.alias_for(bare.ref, given, alone=alone), alone)


def chosen(found: Sequence[Saved], wanted: Iterable[str]) -> list[Saved]:
    """The members that ``--target`` names (KIND/NAME or NAME); all without any. Raises NotFound."""
    texts = list(wanted)
    for text in texts:
        if not any(_is_named(each, text) for each in found):
            known = ", ".join(map(str, found)) or "none"
            raise NotFound(f"--target {text}: the batch has no such target; it has {known}")
    return [each for each in found if not texts or any(_is_named(each, text) for text in texts)]


def _is_named(saved: Saved, text: str) -> bool:
    kind, _, name = text.rpartition("/")
    kinds = ("", saved.ref.kind.lower(), hosts.short_kind(saved.ref.kind))
    return name == saved.ref.name and kind.lower() in kinds


Rules = Callable[[Saved], list[JsonObject]]


def latest(saved: Saved) -> list[JsonObject]:
    """The latest data of every host."""
    del saved
    return [{"snapshots": [LATEST]}]


def by_id(
    found: Sequence[Saved], listed: Sequence[SnapshotLine], given: str
) -> tuple[Saved, Rules]:
    """One snapshot: the member whose it is, and its rule. Raises NotFound, TerminalError."""
    fitting = [each for each in listed if each.id.startswith(given.lower())]
    if not fitting:
        raise NotFound(f"--snapshot {given}: no such snapshot; tandem snapshots lists them")
    if len(fitting) > 1:
        raise TerminalError(f"--snapshot {given}: {len(fitting)} begin so; write more of its id")
    [one] = fitting
    owners = [each for each in found if each.hosts.match(one.host)]
    if len(owners) == 1:
        rule: JsonObject = {"targetHosts": [one.host], "snapshots": [one.id]}
    elif len(found) == 1:  # somebody else's data, into the target that was named
        owners, rule = list(found), {"sourceHost": one.host, "snapshots": [one.id]}
    else:
        raise TerminalError(
            f"--snapshot {given}: it is of host {one.host}, which is none of the batch's; say with"
            " --target where it goes"
        )
    return owners[0], lambda _: [rule]


def at(listed: Sequence[SnapshotLine], moment: dt.datetime) -> Rules:
    """Everything as it was at a moment: of each host and path the last snapshot until then.

    The rules raise NotFound for a target that had none yet.
    """

    def rules(saved: Saved) -> list[JsonObject]:
        own = [each for each in listed if saved.hosts.match(each.host)]
        until = [each for each in own if each.moment <= moment]
        if not until:
            first = min((each.moment for each in own), default=None)
            when = f"its first one is of {first:%Y-%m-%dT%H:%M:%SZ}" if first else "it has none"
            raise NotFound(f"{saved}: no snapshot until {moment:%Y-%m-%dT%H:%M:%SZ}; {when}")
        newest: dict[str, dict[tuple[str, ...], str]] = {}
        for each in sorted(until, key=lambda snapshot: snapshot.moment):
            newest.setdefault(each.host, {})[each.paths] = each.id
        return [
            {"targetHosts": [host], "snapshots": sorted(set(ids.values()))}
            for host, ids in sorted(newest.items())
        ]

    return rules


def manifest(
    invoker: JsonObject, wanted: Sequence[Saved], rules: Rules, name: str
) -> tuple[Resource, JsonObject]:
    """The RestoreBatch (of a BackupConfiguration: the RestoreSession)."""
    meta, spec = invoker["metadata"], invoker["spec"]
    batch = invoker["kind"] == BACKUP_BATCHES.kind
    resource = RESTORE_BATCHES if batch else RESTORE_SESSIONS
    found = [_member(each, rules(each)) for each in wanted]
    body: JsonObject = {"repository": {"name": world.repository_name(invoker)}}
    if batch:
        order = spec.get("executionOrder")
        body |= {"members": found, **({"executionOrder": order} if order else {})}
    else:
        body |= found[0]
    obj: JsonObject = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": labels.of_invoker(invoker["kind"], meta["name"]),
        },
        "spec": body,
    }
    return resource, obj


def _member(saved: Saved, rules: list[JsonObject]) -> JsonObject:
    source = saved.member["target"]
    target: JsonObject = {"ref": source["ref"], "rules": rules}
    if saved.alias:
        target = {"alias": saved.alias, **target}
    if source.get("volumeMounts"):
        target["volumeMounts"] = source["volumeMounts"]
    kept = {key: saved.member[key] for key in _KEPT if saved.member.get(key)}
    task = saved.member.get("task") or {}
    if task.get("name"):
        kept["task"] = {**task, "name": restore_task(task["name"])}
    return {"target": target, **kept}


def restore_task(backup_task: str) -> str:
    """The Task that undoes a backup Task: Stash's names end in -backup and -restore."""
    stem, found, version = backup_task.rpartition("-backup")
    if not found:
        raise TerminalError(
            f"Task {backup_task}: its name does not tell which Task restores; write the"
            " RestoreBatch by hand"
        )
    return f"{stem}-restore{version}"


def default_name(invoker: JsonObject, now: dt.datetime) -> str:
    """Its second is in the name, as in that of a session."""
    return names.limited(f"{invoker['metadata']['name']}-restore-{int(now.timestamp())}")
