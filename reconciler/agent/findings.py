"""What exclusive work has found out, as conditions and fields of a status.

Called by ``maintenance``. Others write the same status: only what was found is changed, under the
object's resourceVersion, and only of the very object that the work was about.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs

from reconciler.agent.patience import Patience
from reconciler.agent.turn import dict_of, status_of
from reconciler.agent.workshop import Tools
from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster.port import Port
from reconciler.decisions.conditions import timestamp
from reconciler.errors import ApiUnavailable, NotFound, TandemError

_log = logging.getLogger(__name__)


@attrs.frozen
class Finding:
    """A condition to write; types, reasons and messages are Stash's."""

    type: str
    reason: str
    message: str
    holds: bool = True


def write(
    port: Port,
    tools: Tools,
    resource: Resource,
    obj: JsonObject,
    *,
    findings: Sequence[Finding] = (),
    fields: Mapping[str, object] | None = None,
) -> None:
    """Write into the status of ``obj``, however long the API server is away.

    An object that is gone, or was made anew under its name, is left alone. Raises ApiUnavailable
    when the process is stopped before.
    """
    meta = obj["metadata"]

    def change(current: JsonObject) -> JsonObject | None:
        if current["metadata"]["uid"] != meta["uid"]:
            return None
        return _changed(current, findings, fields or {}, timestamp(tools.clock.now()))

    patience = Patience(tools.clock, tools.stop)
    while True:
        try:
            port.update_status(resource, meta["namespace"], meta["name"], change)
        except NotFound:
            return
        except TandemError as error:
            _log.warning("the status of %s %s waits: %s", resource.kind, meta["name"], error)
        else:
            return
        if not patience.again():
            raise ApiUnavailable("stopped before the API server took the result")


def _changed(
    current: JsonObject, findings: Sequence[Finding], fields: Mapping[str, object], now: str
) -> JsonObject:
    status = {**status_of(current), **fields}
    if findings:
        generation = current["metadata"].get("generation")
        found = [_entry(item, now, generation) for item in findings]
        status["conditions"] = _merged(status.get("conditions") or [], found)
    return status


def _entry(finding: Finding, now: str, generation: int | None) -> JsonObject:
    observed = {} if generation is None else {"observedGeneration": generation}
    return {
        "type": finding.type,
        "status": "True" if finding.holds else "False",
        "reason": finding.reason,
        "message": finding.message,
        "lastTransitionTime": now,
        **observed,
    }


def _merged(old: list[JsonObject], found: list[JsonObject]) -> list[JsonObject]:
    """The conditions, with those found in place of their predecessors.

    ``lastTransitionTime`` moves only when the status does (Kubernetes convention).
    """
    before = {item["type"]: item for item in old}
    for item in found:
        previous = dict_of(before.get(item["type"]))
        if previous.get("status") == item["status"] and "lastTransitionTime" in previous:
            item["lastTransitionTime"] = previous["lastTransitionTime"]
        before[item["type"]] = item
    return list(before.values())
