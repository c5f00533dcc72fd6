"""The arithmetic of a Deployment's rollout: how many replicas each ReplicaSet should have now.

Called by ``deployment``; pure. After Kubernetes' rolling-update rules: never more than
``replicas + maxSurge`` Pods, never fewer than ``replicas - maxUnavailable`` available ones.
"""

from __future__ import annotations

import datetime as dt
import math

from reconciler.api.resources import JsonObject
from reconciler.embedded.controllers import ownership, pods, statuses


def size(rs: JsonObject) -> int:
    """The replicas that the ReplicaSet is asked for."""
    return int(rs["spec"].get("replicas", 1))


def available(rs: JsonObject) -> int:
    """Its available Pods; a status from before a shrink counts for no more than it may have."""
    return min(int(rs.get("status", {}).get("availableReplicas", 0)), size(rs))


def limits(owner: JsonObject) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in Pods: surge rounded up, unavailable down, never both zero."""
    desired = owner["spec"].get("replicas", 1)
    rolling = (owner["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), desired, up=True)
    down = _share(rolling.get("maxUnavailable", "25%"), desired, up=False)
    return surge, down if surge or down else 1


def _share(value: int | str, whole: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    part = int(value.removesuffix("%")) * whole / 100
    return math.ceil(part) if up else math.floor(part)


def recreate(
    desired: int, current: JsonObject | None, old: list[JsonObject], *, pods_left: bool
) -> dict[str, int]:
    """Replicas by ReplicaSet for strategy ``Recreate``; "" is the one still to be made."""
    scales = {rs["metadata"]["name"]: 0 for rs in old}
    busy = pods_left or any(size(rs) for rs in old)
    name = current["metadata"]["name"] if current else ""
    scales[name] = (size(current) if current else 0) if busy else desired
    return scales


def roll(owner: JsonObject, current: JsonObject | None, old: list[JsonObject]) -> dict[str, int]:
    """Replicas by ReplicaSet for strategy ``RollingUpdate``."""
    desired = owner["spec"].get("replicas", 1)
    surge, unavailable = limits(owner)
    total = sum(size(rs) for rs in old) + (size(current) if current else 0)
    had = size(current) if current else 0
    room = max(0, desired + surge - total)
    wanted = desired if not total - had else min(desired, had + room)
    name = current["metadata"]["name"] if current else ""
    ready = available(current) if current else 0
    spare = total - (desired - unavailable) - (had - ready)
    return {name: wanted, **_shrink(old, spare)}


def _shrink(old: list[JsonObject], spare: int) -> dict[str, int]:
    """Take ``spare`` Pods from the old ReplicaSets, the unhealthy ones first."""
    sizes = {rs["metadata"]["name"]: size(rs) for rs in old}
    for rs in old:
        unhealthy = max(0, min(spare, size(rs) - available(rs)))
        sizes[rs["metadata"]["name"]] -= unhealthy
        spare -= unhealthy
    for name, left in sizes.items():
        taken = max(0, min(spare, left))
        sizes[name] -= taken
        spare -= taken
    return sizes


def status(
    owner: JsonObject, current: JsonObject | None, old: list[JsonObject], now: dt.datetime
) -> tuple[JsonObject, dt.datetime | None]:
    """The Deployment's status, and when its progress deadline passes (None: no rollout)."""
    counts = _counts(current, old)
    desired = owner["spec"].get("replicas", 1)
    made = {**statuses.observed(owner), **{k: v for k, v in counts.items() if v}}
    missing = max(0, desired - counts["availableReplicas"])
    if missing:
        made["unavailableReplicas"] = missing
    progressing, wake_at = _progressing(owner, current, counts, now)
    made["conditions"] = [_available(owner, desired, counts, now), progressing]
    return made, wake_at


def _counts(current: JsonObject | None, old: list[JsonObject]) -> dict[str, int]:
    everything = [*old, *([current] if current else [])]

    def total(field: str) -> int:
        return sum(int(rs.get("status", {}).get(field, 0)) for rs in everything)

    return {
        "replicas": total("replicas"),
        "updatedReplicas": int(current.get("status", {}).get("replicas", 0)) if current else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": total("availableReplicas"),
    }


def _available(
    owner: JsonObject, desired: int, counts: dict[str, int], now: dt.datetime
) -> JsonObject:
    enough = counts["availableReplicas"] >= desired - limits(owner)[1]
    reason = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
    have = "has" if enough else "does not have"
    message = f"Deployment {have} minimum availability."
    return statuses.condition(
        owner, "Available", now, value=enough, reason=reason, message=message, updated=True
    )


def _progressing(
    owner: JsonObject, current: JsonObject | None, counts: dict[str, int], now: dt.datetime
) -> tuple[JsonObject, dt.datetime | None]:
    desired = owner["spec"].get("replicas", 1)
    name = current["metadata"]["name"] if current else ownership.digest(owner["spec"]["template"])
    subject = f'ReplicaSet "{name}"'
    done = counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == desired
    if done and current:
        message = f"{subject} has successfully progressed."
        return _progress(owner, now, "NewReplicaSetAvailable", message), None
    seconds = owner["spec"].get("progressDeadlineSeconds", 600)
    before = pods.condition(owner, "Progressing")
    since = pods.moment(before["lastUpdateTime"]) if before else now
    fresh = current is None or (before and before["reason"] == "NewReplicaSetAvailable")
    moved = fresh or _advanced(owner, counts)
    since = now if moved else since
    deadline = since + dt.timedelta(seconds=seconds)
    late = before is not None and before["reason"] == "ProgressDeadlineExceeded" and not moved
    if late or now >= deadline:
        message = f"{subject} has timed out progressing."
        return _progress(owner, now, "ProgressDeadlineExceeded", message), None
    made = _progress(owner, now, "ReplicaSetUpdated", f"{subject} is progressing.")
    made["lastUpdateTime"] = pods.timestamp(since)
    return made, deadline


def _advanced(owner: JsonObject, counts: dict[str, int]) -> bool:
    before = owner.get("status", {})
    fields = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return any(counts[field] > int(before.get(field, 0)) for field in fields)


def _progress(owner: JsonObject, now: dt.datetime, reason: str, message: str) -> JsonObject:
    return statuses.condition(
        owner,
        "Progressing",
        now,
        value=reason != "ProgressDeadlineExceeded",
        reason=reason,
        message=message,
        updated=True,
    )
