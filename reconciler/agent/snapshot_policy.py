"""Which VolumeSnapshots of a claim a retention policy lets go. Pure.

Stash's rules, which are restic's: of every hour, day, week, month and year the newest counts. Only
snapshots that are ready are counted, so that broken ones never push out the last good one.
``keepTags`` has no meaning here: snapshots carry no tags.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from reconciler.agent.turn import dict_of
from reconciler.api.backup import RetentionPolicy
from reconciler.api.resources import JsonObject

_Key = Callable[[dt.datetime], object]


def surplus(policy: RetentionPolicy, snapshots: Sequence[JsonObject]) -> list[JsonObject]:
    """Those to delete. ``snapshots`` are all of one claim and one invoker."""
    ready = sorted(filter(is_ready, snapshots), key=_age, reverse=True)
    kept = _kept(policy, ready)
    if not kept or policy.dry_run:
        return []
    names = {item["metadata"]["name"] for item in kept}
    oldest = min(map(_age, kept))
    old = [item for item in ready if item["metadata"]["name"] not in names]
    # One that never became ready goes with those that are older than all that is kept.
    return old + [item for item in snapshots if not is_ready(item) and _age(item) < oldest]


def is_ready(snapshot: JsonObject) -> bool:
    return dict_of(snapshot.get("status")).get("readyToUse") is True


def _kept(policy: RetentionPolicy, ready: Sequence[JsonObject]) -> list[JsonObject]:
    kept: list[JsonObject] = list(ready[: max(0, policy.keep_last)])
    for count, key in _buckets(policy):
        newest: dict[object, JsonObject] = {}
        for item in ready:
            moment = dt.datetime.fromisoformat(item["metadata"]["creationTimestamp"])
            newest.setdefault(key(moment), item)
        kept += list(newest.values())[: max(0, count)]
    return kept


def _buckets(policy: RetentionPolicy) -> tuple[tuple[int, _Key], ...]:
    return (
        (policy.keep_hourly, lambda at: (at.date(), at.hour)),
        (policy.keep_daily, lambda at: at.date()),
        (policy.keep_weekly, lambda at: at.isocalendar()[:2]),
        (policy.keep_monthly, lambda at: (at.year, at.month)),
        (policy.keep_yearly, lambda at: at.year),
    )


def _age(snapshot: JsonObject) -> tuple[str, str]:
    meta = snapshot["metadata"]
    return (meta.get("creationTimestamp") or "", meta["name"])
