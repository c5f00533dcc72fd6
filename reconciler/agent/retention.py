"""A RetentionPolicy as flags of ``restic forget``, and the snapshots that it is for.

Called by ``maintenance``. Pure. A policy that keeps nothing is refused: Stash runs it, restic
prints nothing, and the session fails with a parse error (spec 13-7).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import attrs

from reconciler.agent.parsing import Snapshot
from reconciler.errors import Fault, InvalidObject

PRUNE = "--prune"
DRY_RUN = "--dry-run"

_COUNTS = (
    ("keepLast", "--keep-last"),
    ("keepHourly", "--keep-hourly"),
    ("keepDaily", "--keep-daily"),
    ("keepWeekly", "--keep-weekly"),
    ("keepMonthly", "--keep-monthly"),
    ("keepYearly", "--keep-yearly"),
)


def flags(policy: Mapping[str, Any], subject: str) -> tuple[str, ...]:
    """The flags; ``subject`` is ``Kind namespace/name`` of the invoker, for the error.

    With ``keepTags`` alone the newest snapshot is kept too: Tandem's snapshots have no tags, and
    retention never removes the last good one.
    """
    counts = [
        part
        for field, flag in _COUNTS
        if int(policy.get(field) or 0) > 0
        for part in (flag, str(int(policy[field])))
    ]
    tags = [part for tag in policy.get("keepTags") or () for part in ("--keep-tag", str(tag))]
    if not counts and not tags:
        raise InvalidObject(subject, [_keeps_nothing()])
    newest = [] if counts else ["--keep-last", "1"]
    switches = [
        flag for field, flag in (("prune", PRUNE), ("dryRun", DRY_RUN)) if policy.get(field)
    ]
    return (*counts, *newest, *tags, *switches)


def _keeps_nothing() -> Fault:
    return Fault(
        "spec.retentionPolicy",
        "keeps nothing, so no snapshot was removed",
        "set keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly or keepTags",
    )


@attrs.frozen
class Scope:
    """What one call of ``restic forget`` is for: these hosts, and only this path if it is given."""

    hosts: tuple[str, ...]
    path: str = ""


def scopes(
    hosts: Sequence[str], taken: Container[str], listed: Sequence[Snapshot]
) -> tuple[Scope, ...]:
    """As few calls as reach the snapshots of these hosts and nobody else's.

    Two invokers may call their hosts alike in one repository. So where a host has snapshots of
    other paths than those of its own (``taken``: the short ids of the snapshots that the session
    took), the policy is for its paths alone, each in a call of its own. A host that took none, and
    one with no other paths, needs no path. The paths are those that restic has ``listed``: a
    session names them as the target does.
    """
    calls: dict[str, list[str]] = {}
    for host in dict.fromkeys(hosts):
        held = [snapshot for snapshot in listed if snapshot.host == host]
        mine = [snapshot for snapshot in held if snapshot.short_id in taken]
        own = {path for snapshot in mine for path in snapshot.paths}
        shared = any(not own.issuperset(snapshot.paths) for snapshot in held)
        for path in sorted(own) if own and shared else [""]:
            calls.setdefault(path, []).append(host)
    return tuple(Scope(tuple(found), path) for path, found in calls.items())
