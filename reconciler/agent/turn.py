"""May this runner back up, or restore, this host now? Decided from the status alone.

Pure. Asked twice by whoever takes hosts: on what they saw, to choose, and again inside the write of
the claim, on what is stored. The status of the session is the lock (see ``report``). Here and in
``report`` a RestoreBatch or RestoreSession is a session too.
"""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import attrs

from reconciler.agent.surroundings import Pod
from reconciler.api import restore_invoker
from reconciler.api.backup import Member
from reconciler.api.invoker import Invoker
from reconciler.api.resources import JsonObject
from reconciler.api.restore_invoker import RESTORE_INVOKERS, RestoreInvoker
from reconciler.api.session import FINAL_SESSION_PHASES, FINAL_TARGET_PHASES

RUNNABLE = frozenset({"Scheduled", "Running"})
"""The target phases in which the operator lets runners work."""
_RESTORES = frozenset(resource.kind for resource in RESTORE_INVOKERS)


class Turn(enum.Enum):
    """The answer."""

    GO = "go"
    NOT_YET = "the operator has not told the target to go"
    TAKEN = "another runner has claimed the host"
    OVER = "the host is finished, or the session is"


@attrs.frozen
class Target:
    """A member of the invoker, named as Stash's flags name it: by kind and name."""

    kind: str
    name: str

    def entry(self, session: JsonObject) -> JsonObject | None:
        """The target's part of the session's status (the very object, not a copy).

        That of a RestoreSession is its whole status.
        """
        if session.get("kind") in _RESTORES:
            return restore_invoker.reports(session, self.kind, self.name)
        for entry in status_of(session).get("targets") or ():
            ref = entry.get("ref") or {}
            if (ref.get("kind"), ref.get("name")) == (self.kind, self.name):
                return dict_of(entry)
        return None

    def member(self, invoker: Invoker) -> Member | None:
        """The invoker's member that has this target."""
        index = self.index(invoker)
        return None if index is None else invoker.members[index]

    def index(self, invoker: Invoker) -> int | None:
        """The place of that member in the invoker."""
        for index, member in enumerate(invoker.members):
            ref = member.target.ref if member.target else None
            if ref and (ref.kind, ref.name) == (self.kind, self.name):
                return index
        return None

    def place_in(self, restore: RestoreInvoker) -> int | None:
        """The place of that member in a restore."""
        refs = (restore.ref(index) for index in range(len(restore.members)))
        wanted = (self.kind, self.name)
        return next((i for i, ref in enumerate(refs) if (ref.kind, ref.name) == wanted), None)


def turn(session: JsonObject, target: Target, host: str, pod: Pod, now: dt.datetime) -> Turn:
    """Whether ``pod`` may start ``host``. A claim of its own counts as free: it was restarted."""
    entry = target.entry(session)
    if status_of(session).get("phase") in FINAL_SESSION_PHASES or past_deadline(session, now):
        return Turn.OVER
    if entry is None:
        return Turn.NOT_YET
    if phase_of(entry) in FINAL_TARGET_PHASES or stat_of(entry, host) is not None:
        return Turn.OVER
    claim = claim_of(entry, host)
    if claim is None or phase_of(entry) not in RUNNABLE:
        return Turn.NOT_YET
    return Turn.GO if claim.get("runnerUID") in (None, "", pod.uid) else Turn.TAKEN


def is_candidate(session: JsonObject, target: Target, pod: Pod, now: dt.datetime) -> bool:
    """Whether any host of the target could be ours: a cheap look before the invoker is read."""
    entry = target.entry(session)
    hosts = [] if entry is None else entry.get("hosts") or []
    return any(turn(session, target, host["hostname"], pod, now) is Turn.GO for host in hosts)


def phase_of(entry: JsonObject) -> str:
    """The phase of a target; a RestoreSession has that of the whole restore beside it."""
    return str(entry.get("targetPhase") or entry.get("phase") or "")


def stat_of(entry: JsonObject, host: str) -> JsonObject | None:
    """The report of a host, once it has one."""
    return _named(entry.get("stats"), host)


def claim_of(entry: JsonObject, host: str) -> JsonObject | None:
    """The expectation of a host, with the claim if it has one (the very object)."""
    return _named(entry.get("hosts"), host)


def past_deadline(session: JsonObject, now: dt.datetime) -> bool:
    left = seconds_left(session, now)
    return left is not None and left <= 0


def seconds_left(session: JsonObject, now: dt.datetime) -> float | None:
    """Until the session's deadline; None without one."""
    deadline = status_of(session).get("sessionDeadline")
    return (dt.datetime.fromisoformat(deadline) - now).total_seconds() if deadline else None


def status_of(session: JsonObject) -> JsonObject:
    return dict_of(session.get("status"))


def dict_of(value: Any) -> JsonObject:
    """The JSON object itself, or an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def _named(entries: list[JsonObject] | None, host: str) -> JsonObject | None:
    return next((entry for entry in entries or () if entry.get("hostname") == host), None)
