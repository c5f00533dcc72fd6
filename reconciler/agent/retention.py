"""A RetentionPolicy as flags of ``restic forget``.

Pure. A policy that keeps nothing is refused: Stash runs it, restic prints nothing, and the session
fails with a parse error (spec 13-7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.errors import Fault, InvalidObject

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
        flag for field, flag in (("prune", "--prune"), ("dryRun", "--dry-run")) if policy.get(field)
    ]
    return (*counts, *newest, *tags, *switches)


def _keeps_nothing() -> Fault:
    return Fault(
        "spec.retentionPolicy",
        "keeps nothing, so no snapshot was removed",
        "set keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly or keepTags",
    )
