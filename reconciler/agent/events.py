"""Kubernetes Events that the data side writes, in Stash's words.

An Event is a courtesy: that one cannot be written is logged and changes nothing.
"""

from __future__ import annotations

import logging

from reconciler.agent.report import HostReport
from reconciler.agent.turn import Target
from reconciler.api.resources import EVENTS, JsonObject
from reconciler.api.restore import HostRestoreStats
from reconciler.api.session import HostBackupStats
from reconciler.cluster.port import Port
from reconciler.decisions.conditions import timestamp
from reconciler.engine.clock import Clock
from reconciler.errors import TandemError

_log = logging.getLogger(__name__)

SIDECAR = "Backup Sidecar"
STATUS_UPDATER = "Status Updater"


def record(
    port: Port,
    clock: Clock,
    about: JsonObject,
    reason: str,
    message: str,
    *,
    source: str,
    warning: bool = False,
) -> None:
    """One Event about an object (its apiVersion, kind and metadata are needed)."""
    what: JsonObject = {
        "reason": reason,
        "message": message[:1024],  # the API server takes no more
        "type": "Warning" if warning else "Normal",
        "source": {"component": source},
    }
    try:
        port.create(EVENTS, {**_event(clock, about), **what})
    except TandemError as error:
        _log.warning("the Event %s could not be written: %s", reason, error)


def host_finished(
    port: Port, clock: Clock, session: JsonObject, target: Target, report: HostReport
) -> None:
    """What became of a host, on its session."""
    restored = isinstance(report.stats, HostRestoreStats)
    what = "restore" if restored else "backup"
    whose = f'"{target.kind}"/"{target.name}"'
    bad = report.stats.phase != "Succeeded"
    if bad:
        message = f'{what} failed for host "{report.host}" of {whose}. Reason: {report.stats.error}'
    else:
        message = f"{what} succeeded for host {report.host} of {whose}."
    reason = f"Host {what.capitalize()} {'Failed' if bad else 'Succeeded'}"
    record(port, clock, session, reason, message, source=STATUS_UPDATER, warning=bad)


def report_dropped(
    port: Port, clock: Clock, session: JsonObject, report: HostReport, why: str
) -> None:
    """A result that came too late to count, with the snapshots that it made."""
    message = f"the result of host {report.host} was dropped: {why}"
    if isinstance(report.stats, HostBackupStats):
        names = ", ".join(item.name for item in report.stats.snapshots) or "none"
        message = f"{message}; its snapshots: {names}"
    _log.warning("%s", message)
    record(
        port, clock, session, "Host Report Dropped", message, source=STATUS_UPDATER, warning=True
    )


def _event(clock: Clock, about: JsonObject) -> JsonObject:
    now, meta = clock.now(), about["metadata"]
    nanoseconds = int(now.timestamp() * 1_000_000) * 1_000 + clock.random.randrange(1_000)
    when = timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{nanoseconds:x}",
            "namespace": meta.get("namespace", "default"),
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta.get("uid", ""),
            "resourceVersion": meta.get("resourceVersion", ""),
        },
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
