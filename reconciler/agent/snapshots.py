"""``create-vs``: VolumeSnapshots of the claims of a target, for the driver VolumeSnapshotter.

The Job of a target claims its hosts (each is a PersistentVolumeClaim), makes one VolumeSnapshot for
each between the hooks of the member, waits until they are ready or the session's deadline passes,
and reports. The name of a
snapshot is computed from claim and session, so the next try of a Job finds what the first has made.
After the report the retention policy is applied to the snapshots that this invoker has made of
these claims, and to no others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import attrs

from reconciler.agent import backup, job, member_hooks, parsing, snapshot_policy
from reconciler.agent.findings import Finding, write
from reconciler.agent.handlers import Place
from reconciler.agent.job import DONE, REFUSED, Step
from reconciler.agent.patience import Patience
from reconciler.agent.report import Address, HostReport
from reconciler.agent.turn import dict_of, seconds_left, status_of
from reconciler.agent.workshop import Tools
from reconciler.api import conditions as c
from reconciler.api.backup import BackupTarget
from reconciler.api.invoker import Invoker
from reconciler.api.resources import (
    BACKUP_SESSIONS,
    VOLUME_SNAPSHOTS,
    VOLUME_SNAPSHOTS_V1BETA1,
    JsonObject,
    Resource,
)
from reconciler.api.session import FINAL_SESSION_PHASES, HostBackupStats, SnapshotStats
from reconciler.cluster.port import Port
from reconciler.errors import AlreadyExists, ApiUnavailable, NotFound, TandemError
from reconciler.manifests import labels, names

_log = logging.getLogger(__name__)


@attrs.frozen
class Order:
    """What is to be snapshotted for whom, and in which version of the API."""

    resource: Resource
    invoker: Invoker
    target: BackupTarget
    session: JsonObject


def create_vs(port: Port, tools: Tools, step: Step) -> int:
    """Snapshot every claim of the target and report each; a failure is the host's own."""
    found = job.find_session(port, tools, step)
    if found is None:
        return DONE
    address = job.address_of(step, found)
    session = _with_hosts(port, tools, step, address)
    expected = [] if session is None else _hosts(step, session)
    mine = [host for host in expected if _claimed(port, tools, step, address, host)]
    if session is None or not mine:
        _log.info("there is nothing to do for this Job any more")
        return REFUSED if tools.stop else DONE
    try:
        order = _order(port, step, session)
    except TandemError as error:
        failed = tuple(backup.failed(host, str(error)) for host in mine)
        return job.hand_in(port, tools, session, address, failed)
    reports = member_hooks.around_snapshots(
        port,
        tools,
        Place.alone(step.namespace, tools.surroundings.pod().name),
        order.invoker,
        step.target.member(order.invoker),
        session,
        mine,
        lambda: tuple(_snapshots(port, tools, order, mine)),
    )
    code = job.hand_in(port, tools, session, address, reports)
    good = [report.host for report in reports if report.stats.phase == "Succeeded"]
    _apply_retention(port, tools, order, good)
    return code


def _order(port: Port, step: Step, session: JsonObject) -> Order:
    """Raises NotFound without the invoker, its member or the API of snapshots."""
    invoker = job.invoker_of(port, session)
    member = step.target.member(invoker)
    if member is None or member.target is None:
        raise NotFound("the target is in the spec of its invoker no more")
    for resource in (VOLUME_SNAPSHOTS, VOLUME_SNAPSHOTS_V1BETA1):
        if port.serves(resource):
            return Order(resource, invoker, member.target, session)
    raise NotFound(
        f"the cluster does not serve {VOLUME_SNAPSHOTS.group}; install the CRDs of VolumeSnapshots"
    )


# -- whose turn it is -----------------------------------------------------------------------------


def _with_hosts(port: Port, tools: Tools, step: Step, address: Address) -> JsonObject | None:
    """The session, once it names the target's hosts: the Job may be there before them. None when
    it is over.
    """
    patience = Patience(tools.clock, tools.stop, first=0.5, longest=5.0)
    while True:
        try:
            session = port.get(BACKUP_SESSIONS, step.namespace, step.session)
            over = status_of(session).get("phase") in FINAL_SESSION_PHASES
            if over or session["metadata"]["uid"] != address.uid:
                return None
            if _hosts(step, session):
                return session
        except NotFound:
            return None
        except ApiUnavailable as error:
            _log.warning("waiting for the API server: %s", error)
        if not patience.again():
            return None


def _hosts(step: Step, session: JsonObject) -> list[str]:
    entry = step.target.entry(session) or {}
    return [str(host["hostname"]) for host in entry.get("hosts") or ()]


def _claimed(port: Port, tools: Tools, step: Step, address: Address, host: str) -> bool:
    wanted = attrs.evolve(step, hostname=host)
    return job.wait_for_turn(port, tools, wanted, address) is not None


# -- snapshots ------------------------------------------------------------------------------------


def _snapshots(
    port: Port, tools: Tools, order: Order, claims: Sequence[str]
) -> Iterator[HostReport]:
    begin = tools.clock.monotonic()
    problems = {claim: _make(port, order, claim) for claim in claims}
    waiting = [claim for claim in claims if not problems[claim]]
    ready: dict[str, HostReport] = {}
    patience = Patience(tools.clock, tools.stop, first=0.5, longest=5.0)
    while waiting:
        for claim in tuple(waiting):
            seen = _look(port, order, claim)
            problems[claim] = seen.problem
            if seen.ready is not None:
                ready[claim] = _succeeded(claim, seen.ready, tools.clock.monotonic() - begin)
            if seen.is_over:
                waiting.remove(claim)
        left = seconds_left(order.session, tools.clock.now())
        if (left is not None and left <= 0) or not waiting or not patience.again():
            break
    for claim in claims:
        yield ready.get(claim) or backup.failed(claim, problems[claim])


@attrs.frozen
class _Seen:
    """A look at a snapshot: it is ready, or why not; over: there is no use in looking again."""

    ready: JsonObject | None = None
    problem: str = ""
    is_over: bool = False


def _make(port: Port, order: Order, claim: str) -> str:
    """Why there is no snapshot of the claim; "" when there is one."""
    wanted = _manifest(order, claim)
    meta = wanted["metadata"]
    try:
        port.create(order.resource, wanted)
    except AlreadyExists:
        found = port.get(order.resource, meta["namespace"], meta["name"])
        told = found["metadata"].get("annotations") or {}
        if told.get(labels.SESSION) != meta["annotations"][labels.SESSION]:
            what = f"VolumeSnapshot {meta['namespace']}/{meta['name']}"
            return f"{what} is there already and not of this session; delete it"
    except TandemError as error:
        return f"the VolumeSnapshot was refused: {error}"
    return ""


def _manifest(order: Order, claim: str) -> JsonObject:
    invoker, session = order.invoker, order.session["metadata"]
    chosen = order.target.snapshot_class_name
    return {
        "apiVersion": order.resource.api_version,
        "kind": order.resource.kind,
        "metadata": {
            "name": names.volume_snapshot(claim, session["name"], session["uid"]),
            "namespace": invoker.namespace,
            "labels": {
                **labels.offshoot(invoker.metadata.labels),
                **labels.of_invoker(invoker.kind, invoker.name),
            },
            "annotations": {labels.SESSION: session["name"]},
        },
        "spec": {
            "source": {"persistentVolumeClaimName": claim},
            **({"volumeSnapshotClassName": chosen} if chosen else {}),
        },
    }


def _look(port: Port, order: Order, claim: str) -> _Seen:
    meta = _manifest(order, claim)["metadata"]
    what = f"VolumeSnapshot {meta['namespace']}/{meta['name']}"
    try:
        found = port.get(order.resource, meta["namespace"], meta["name"])
    except NotFound:
        return _Seen(problem=f"{what} was deleted before it was ready", is_over=True)
    except TandemError as error:
        return _Seen(problem=f"{what} cannot be read: {error}")
    if snapshot_policy.is_ready(found):
        return _Seen(found, is_over=True)
    why = dict_of(dict_of(found.get("status")).get("error")).get("message")
    return _Seen(problem=f"{what} was not ready when the time was over{f': {why}' if why else ''}")


def _succeeded(claim: str, snapshot: JsonObject, seconds: float) -> HostReport:
    size = dict_of(snapshot.get("status")).get("restoreSize")
    stats = SnapshotStats(name=snapshot["metadata"]["name"], total_size=str(size or ""))
    return HostReport(
        HostBackupStats(
            hostname=claim,
            phase="Succeeded",
            duration=parsing.go_duration(seconds),
            snapshots=(stats,),
        )
    )


# -- retention ------------------------------------------------------------------------------------


def _apply_retention(port: Port, tools: Tools, order: Order, claims: Sequence[str]) -> None:
    if not claims:
        return
    try:
        for claim in claims:
            _remove_surplus(port, order, claim)
        finding = Finding(
            c.RETENTION_POLICY_APPLIED,
            c.SUCCESSFULLY_APPLIED_RETENTION_POLICY,
            "The retention policy has been applied to the VolumeSnapshots.",
        )
    except TandemError as error:
        finding = Finding(
            c.RETENTION_POLICY_APPLIED,
            c.FAILED_TO_APPLY_RETENTION_POLICY,
            f"Old VolumeSnapshots of {', '.join(claims)} may be left: {error}",
            holds=False,
        )
    write(port, tools, BACKUP_SESSIONS, order.session, findings=[finding])


def _remove_surplus(port: Port, order: Order, claim: str) -> None:
    invoker = order.invoker
    selector = ",".join(
        f"{key}={value}" for key, value in labels.of_invoker(invoker.kind, invoker.name).items()
    )
    found = port.list(order.resource, invoker.namespace, label_selector=selector).items
    mine = [item for item in found if _source(item) == claim]
    for item in snapshot_policy.surplus(invoker.retention_policy, mine):
        try:
            port.delete(order.resource, invoker.namespace, item["metadata"]["name"])
        except NotFound:
            continue
        _log.info("removed VolumeSnapshot %s", item["metadata"]["name"])


def _source(snapshot: JsonObject) -> str:
    source = dict_of(dict_of(snapshot.get("spec")).get("source"))
    return str(source.get("persistentVolumeClaimName") or "")
