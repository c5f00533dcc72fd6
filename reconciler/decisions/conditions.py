"""The conditions of a status as JSON, and how they are set.

Called by every decision that writes a status. Types and reasons are those of
``reconciler.api.conditions``; the few that only decisions know are here. The set
semantics are Kubernetes': ``lastTransitionTime`` changes with ``status`` alone, so a decision that
finds the same thing again yields the same conditions and nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import attrs

from reconciler.api import conditions as c
from reconciler.api.resources import JsonObject

TASK_RESOLVED = "TaskResolved"
TASK_AVAILABLE = "TaskAvailable"
TASK_NOT_AVAILABLE = "TaskNotAvailable"
NAME_TAKEN = "NameTaken"
HOST_NAMES_UNIQUE = "HostNamesUnique"
HOST_NAME_TAKEN = "HostNameTaken"
READY_TO_START = "ReadyToStart"
TARGETS_FOUND = "TargetsFound"
WAITING = "Waiting"
FULLY_SUPPORTED = "SpecFullySupported"
NOT_YET_SUPPORTED = "NotYetSupported"


@attrs.frozen
class Condition:
    """What is found now; ``status`` is "True", "False" or "Unknown"."""

    type: str
    status: str
    reason: str
    message: str

    @classmethod
    def of(cls, type_: str, *, holds: bool, reason: str, message: str) -> Condition:
        return cls(type_, "True" if holds else "False", reason, message)


def secret_found(problem: str) -> Condition:
    """Whether the backend's Secret can be used; ``problem`` says why not, "" if it can."""
    return Condition.of(
        c.BACKEND_SECRET_FOUND,
        holds=not problem,
        reason=c.BACKEND_SECRET_NOT_AVAILABLE if problem else c.BACKEND_SECRET_AVAILABLE,
        message=problem or "The backend Secret has a RESTIC_PASSWORD.",
    )


def timestamp(moment: dt.datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> dt.datetime:
    """The aware moment of an RFC 3339 text."""
    return dt.datetime.fromisoformat(text)


def find(conditions: Iterable[JsonObject] | None, type_: str) -> JsonObject | None:
    return next((item for item in conditions or () if item["type"] == type_), None)


def merged(
    stored: Sequence[JsonObject] | None,
    found: Iterable[Condition],
    now: dt.datetime,
    *,
    foreign: Iterable[str] = (),
) -> list[JsonObject]:
    """The conditions to store: those found now, and the stored ones of the ``foreign`` types.

    A stored condition that is neither is stale (of a removed member, of an older version) and
    goes: Stash keeps such entries for ever (spec 10.43).
    """
    old = {item["type"]: item for item in stored or ()}
    kept = [old[type_] for type_ in foreign if type_ in old]
    return [_entry(item, old.get(item.type), now) for item in found] + kept


def _entry(item: Condition, old: JsonObject | None, now: dt.datetime) -> JsonObject:
    same = old is not None and old.get("status") == item.status and "lastTransitionTime" in old
    since = old["lastTransitionTime"] if same and old is not None else timestamp(now)
    return {
        "type": item.type,
        "status": item.status,
        "lastTransitionTime": since,
        "reason": item.reason,
        "message": item.message,
    }
