"""Claims and reports: what the agent writes into the status of a BackupSession or of a restore.

A claim says who takes a host, a report how it ended. Both are one ``Port.update_status``: read,
decide on what was read, write under its resourceVersion. So of several runners one claims, no
report of another pod is lost, and a report that comes too late finds a stat and is dropped. The
session's uid is the fencing token: a session of the same name that was made anew is never written.
"""

from __future__ import annotations

import datetime as dt
import enum
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from reconciler.agent.patience import Patience
from reconciler.agent.surroundings import Pod
from reconciler.agent.turn import Target, Turn, claim_of, dict_of, stat_of, status_of, turn
from reconciler.api.decoding import encode
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject, Resource
from reconciler.api.restore import HostRestoreStats
from reconciler.api.session import HostBackupStats
from reconciler.cluster.port import Port
from reconciler.decisions.conditions import timestamp
from reconciler.errors import NotFound, TandemError

_log = logging.getLogger(__name__)

INCOMPLETE = "BackupIncomplete"
"""Condition of a session: some source files of some hosts could not be read (restic exit 3)."""
UNREADABLE = "SourceFilesUnreadable"


class Delivery(enum.Enum):
    """What became of a report."""

    DELIVERED = "delivered"
    LATE = "the host has a report already"
    GONE = "the session is gone, or another one has its name"
    LEFT = "stopped before the API server answered"


@attrs.frozen
class Address:
    """Where a report belongs. ``uid`` is the session's, read before the work began."""

    namespace: str
    session: str
    uid: str
    target: Target
    resource: Resource = BACKUP_SESSIONS


@attrs.frozen
class HostReport:
    """How one host ended. ``incomplete`` says which files could not be read, if any; ``hooks``
    what became of the hooks around it.
    """

    stats: HostBackupStats | HostRestoreStats
    incomplete: str = ""
    hooks: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def host(self) -> str:
        return self.stats.hostname


def claim(
    port: Port,
    address: Address,
    host: str,
    pod: Pod,
    now: dt.datetime,
    *,
    take_over: Callable[[str, str], bool] = lambda _name, _uid: False,
) -> Turn:
    """Claim the host if it is our turn; GO means that it is ours now.

    ``take_over(pod name, pod uid)`` says whether another claimant is certainly dead. Raises
    ApiUnavailable and the like.
    """
    answer = Turn.OVER

    def change(session: JsonObject) -> JsonObject | None:
        nonlocal answer
        answer = Turn.OVER
        if session["metadata"]["uid"] != address.uid:
            return None
        answer = turn(session, address.target, host, pod, now)
        entry = address.target.entry(session) or {}
        held = claim_of(entry, host) or {}
        if answer is Turn.TAKEN and take_over(held.get("runner", ""), held["runnerUID"]):
            answer = Turn.GO
        if answer is not Turn.GO or held.get("runnerUID") == pod.uid:
            return None
        if held.get("runner"):
            held["earlierRunners"] = [*(held.get("earlierRunners") or ()), held["runner"]]
        held.update(runner=pod.name, runnerUID=pod.uid, startTime=timestamp(now))
        return status_of(session)

    try:
        port.update_status(address.resource, address.namespace, address.session, change)
    except NotFound:
        return Turn.OVER
    return answer


def publish(
    port: Port, address: Address, reports: Sequence[HostReport], now: dt.datetime
) -> Delivery:
    """One attempt to append the reports. A stat that is there is never replaced."""
    answer = Delivery.GONE

    def change(session: JsonObject) -> JsonObject | None:
        nonlocal answer
        entry = address.target.entry(session)
        if session["metadata"]["uid"] != address.uid or entry is None:
            answer = Delivery.GONE
            return None
        new = [report for report in reports if stat_of(entry, report.host) is None]
        answer = Delivery.DELIVERED if new else Delivery.LATE
        told = add_hooks(entry, reports)
        if not new:
            return status_of(session) if told else None
        entry["stats"] = [*(entry.get("stats") or ()), *(encode(report.stats) for report in new)]
        _add_incomplete(status_of(session), new, now)
        return status_of(session)

    try:
        port.update_status(address.resource, address.namespace, address.session, change)
    except NotFound:
        return Delivery.GONE
    return answer


def add_hooks(entry: JsonObject, reports: Iterable[HostReport]) -> bool:
    """Settle what the hosts' hooks owed; also where somebody else has reported the host already.

    What is there is never replaced. Whether something was added.
    """
    added = False
    for report in reports:
        held = claim_of(entry, report.host)
        if held is not None and report.hooks and not dict_of(held.get("hooks")).get("post"):
            held["hooks"] = {**report.hooks, **dict_of(held.get("hooks"))}
            added = True
    return added


def deliver(
    port: Port, address: Address, reports: Sequence[HostReport], patience: Patience
) -> Delivery:
    """Publish, again and again until the API server takes it; a backup is not lost for an outage.

    Ends early only when the process is told to stop, after a few quick attempts.
    """
    while True:
        try:
            return publish(port, address, reports, patience.now())
        except TandemError as error:  # a missing permission too: somebody may grant it
            _log.warning("the report of %s waits: %s", address.session, error)
        if not patience.again():
            return Delivery.LEFT


def _add_incomplete(status: JsonObject, reports: Sequence[HostReport], now: dt.datetime) -> None:
    found = [f"{report.host}: {report.incomplete}" for report in reports if report.incomplete]
    if not found:
        return
    conditions = status.setdefault("conditions", [])
    old = next((item for item in conditions if item["type"] == INCOMPLETE), None)
    if old is not None:
        old["message"] = "; ".join([old["message"], *found])
        return
    conditions.append(
        {
            "type": INCOMPLETE,
            "status": "True",
            "reason": UNREADABLE,
            "message": "; ".join(found),
            "lastTransitionTime": timestamp(now),
        }
    )
