"""``restore-vs``: make a claim from a VolumeSnapshot, for a restore with that driver.

The Job of a claim makes it, unless somebody else has, and waits until it is bound. Where the
StorageClass binds a claim with its first pod only (``WaitForFirstConsumer``), that pod is not ours
to start: the claim is there, and is filled when an application uses it.
"""

from __future__ import annotations

import logging

from reconciler.agent import job, member_hooks, parsing, restore, restoring
from reconciler.agent.job import Begun, Step
from reconciler.agent.patience import Patience
from reconciler.agent.report import HostReport
from reconciler.agent.turn import dict_of, seconds_left
from reconciler.agent.workshop import Tools
from reconciler.api import hosts
from reconciler.api.resources import (
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    VOLUME_SNAPSHOTS,
    VOLUME_SNAPSHOTS_V1BETA1,
    JsonObject,
)
from reconciler.api.restore import HostRestoreStats, RestoreTarget
from reconciler.api.restore_invoker import RestoreInvoker
from reconciler.cluster.port import Port
from reconciler.errors import AlreadyExists, NotFound, TandemError, TerminalError
from reconciler.manifests import restore_jobs

_log = logging.getLogger(__name__)
_LATER = "WaitForFirstConsumer"


def restore_vs(port: Port, tools: Tools, step: Step) -> int:
    """Make the claim and report it; whatever is wrong fails the host, not the pod."""
    begun = job.begin(port, tools, step)
    if not isinstance(begun, Begun):
        return begun
    report = _report(port, tools, step, begun)
    if tools.stop:
        _log.warning("ended before the claim was bound; the next pod goes on")
        return job.REFUSED
    return job.hand_in(port, tools, begun.session, begun.address, (report,))


def _report(port: Port, tools: Tools, step: Step, begun: Begun) -> HostReport:
    try:
        view = restoring.decode(begun.session)
        index = step.target.place_in(view)
        if index is None:
            raise NotFound("the target is in the spec of its restore no more")
        wanted = _claim(view, index, begun.host)
    except TandemError as error:
        return restore.failed(begun.host, str(error))
    where = member_hooks.of_job(port, step.namespace, tools.surroundings.pod().name, step.target)
    return member_hooks.around_restore(
        port,
        tools,
        where,
        view.members[index].hooks,
        begun.session,
        begun.host,
        lambda: _make(port, tools, begun, view, wanted),
    )


def _claim(view: RestoreInvoker, index: int, host: str) -> JsonObject:
    """Raises NotFound when no template makes a claim of that name any more."""
    target = view.members[index].target or RestoreTarget()
    for ordinal in hosts.ordinals(target):
        for claim in restore_jobs.claims(view, index, ordinal):
            if claim["metadata"]["name"] == host:
                return claim
    raise NotFound(f"no claim template makes {host} any more")


def _make(
    port: Port, tools: Tools, begun: Begun, view: RestoreInvoker, wanted: JsonObject
) -> HostReport:
    began = tools.clock.monotonic()
    try:
        _require_source(port, wanted)
        _create(port, view, wanted)
        _wait(port, tools, begun, wanted)
    except TandemError as error:
        return restore.failed(begun.host, str(error))
    duration = parsing.go_duration(tools.clock.monotonic() - began)
    return HostReport(HostRestoreStats(hostname=begun.host, phase="Succeeded", duration=duration))


def _require_source(port: Port, wanted: JsonObject) -> None:
    """Raises NotFound: a claim of a snapshot that is not there would wait for ever."""
    source = dict_of(dict_of(wanted.get("spec")).get("dataSource"))
    namespace, name = wanted["metadata"]["namespace"], str(source.get("name") or "")
    for resource in (VOLUME_SNAPSHOTS, VOLUME_SNAPSHOTS_V1BETA1):
        if port.serves(resource):
            try:
                port.get(resource, namespace, name)
            except NotFound as error:
                raise NotFound(f"VolumeSnapshot {namespace}/{name} does not exist") from error
            return
    raise NotFound(
        f"the cluster does not serve {VOLUME_SNAPSHOTS.group}; install the CRDs of VolumeSnapshots"
    )


def _create(port: Port, view: RestoreInvoker, wanted: JsonObject) -> None:
    meta = wanted["metadata"]
    try:
        port.create(PERSISTENT_VOLUME_CLAIMS, wanted)
    except AlreadyExists as error:
        found = port.get(PERSISTENT_VOLUME_CLAIMS, meta["namespace"], meta["name"])
        if not restore_jobs.is_own(found, view):
            raise TerminalError(
                f"PersistentVolumeClaim {meta['namespace']}/{meta['name']} is there already, and "
                "this restore did not make it; delete it, or change the name of the claim template"
            ) from error


def _wait(port: Port, tools: Tools, begun: Begun, wanted: JsonObject) -> None:
    """Until the claim is bound, or waits for its first pod. Raises TerminalError after that."""
    meta = wanted["metadata"]
    patience = Patience(tools.clock, tools.stop, first=0.5, longest=5.0)
    while True:
        found = port.get(PERSISTENT_VOLUME_CLAIMS, meta["namespace"], meta["name"])
        phase = dict_of(found.get("status")).get("phase")
        told = _events(port, found)
        if phase == "Bound" or any(event.get("reason") == _LATER for event in told):
            return
        left = seconds_left(begun.session, tools.clock.now())
        if (left is not None and left <= 0) or not patience.again():
            why = next((event["message"] for event in told if event.get("type") == "Warning"), "")
            raise TerminalError(
                f"PersistentVolumeClaim {meta['namespace']}/{meta['name']} was not bound when the "
                f"time was over{f': {why}' if why else ''}"
            )


def _events(port: Port, claim: JsonObject) -> list[JsonObject]:
    """What the cluster says about the claim, the newest first."""
    meta = claim["metadata"]
    selector = f"involvedObject.uid={meta['uid']}"
    found = port.list(EVENTS, meta["namespace"], field_selector=selector).items
    return sorted(found, key=lambda event: event.get("lastTimestamp") or "", reverse=True)
