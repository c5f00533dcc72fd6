"""Exclusive work on a repository: find or create it, apply retention, verify, measure, unlock.

Run by the Jobs of the Repository controller, which sees to it that no session uses the repository
meanwhile. What is found goes into the Repository's status and the session's conditions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import attrs

from reconciler.agent import failures, locks, parsing, retention
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.findings import Finding, write
from reconciler.agent.job import invoker_of
from reconciler.agent.restic import Command
from reconciler.agent.runner import Outcome
from reconciler.agent.turn import status_of
from reconciler.agent.workshop import Tools, Workshop, open_workshop
from reconciler.api import conditions as c
from reconciler.api.decoding import encode
from reconciler.api.resources import BACKUP_SESSIONS, REPOSITORIES, JsonObject
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError

_log = logging.getLogger(__name__)


@attrs.define
class _Result:
    """What maintenance found; only what was found is written."""

    findings: list[Finding] = attrs.field(factory=list)
    measured: JsonObject = attrs.field(factory=dict)


def init_repository(port: Port, tools: Tools, namespace: str, name: str) -> int:
    """Find the repository or create it; 0 when it is there. Raises NotFound without the object.

    It is created only when restic says for certain that there is none: a network error or a wrong
    password is reported as it is (Stash runs ``init`` on any error, spec 13-22).
    """
    repository = port.get(REPOSITORIES, namespace, name)
    try:
        created = _find_or_create(open_workshop(tools, repository, port=port))
        finding = Finding(
            c.BACKEND_REPOSITORY_INITIALIZED,
            c.BACKEND_REPOSITORY_FOUND,
            "Repository has been created in the backend."
            if created
            else "Repository exist in the backend.",
        )
    except TandemError as error:
        finding = Finding(
            c.BACKEND_REPOSITORY_INITIALIZED,
            c.FAILED_TO_INITIALIZE_BACKEND_REPOSITORY,
            f"Failed to initialize backend repository. Reason: {error}",
            holds=False,
        )
    _log.info("%s", finding.message)
    write(port, tools, REPOSITORIES, repository, findings=[finding])
    return 0 if finding.holds else 1


def maintain(
    port: Port,
    tools: Tools,
    namespace: str,
    name: str,
    session_name: str,
    *,
    hosts: Sequence[str] = (),
) -> int:
    """After a session: forget, check, stats. Always 0, once the outcome is written.

    A lock of the dead is removed on the way.
    ``hosts``: those to apply the policy to; by default the session's succeeded ones. A step that
    fails does not keep the next from being done; each has its own condition.
    """
    repository = port.get(REPOSITORIES, namespace, name)
    session = _session(port, namespace, session_name)
    result = _Result()
    try:
        shop = open_workshop(tools, repository, port=port)
        _apply_retention(port, shop, session, hosts, result)
        _verify(shop, result)
        _measure(shop, result)
    except TandemError as error:
        done = {finding.type for finding in result.findings}
        for failed in (_retention_failed(error), _integrity_failed(error)):
            if failed.type not in done:
                result.findings.append(failed)
    if session:
        write(port, tools, BACKUP_SESSIONS, session, findings=result.findings)
    result.measured.update(_of_session(session, session_name, repository))
    write(port, tools, REPOSITORIES, repository, fields=result.measured)
    return 0


def unlock(port: Port, tools: Tools, namespace: str, name: str) -> int:
    """Remove the stale locks; 1 if others are left, which are named. Raises ToolFailed."""
    shop = open_workshop(tools, port.get(REPOSITORIES, namespace, name), port=port)
    outcome = locks.remove_stale(shop.restic, shop.runner)
    if not outcome.ok:
        raise ToolFailed(_failure(shop, outcome, "restic unlock"))
    locks.remove_dead(shop)
    left = locks.held(shop.restic, shop.runner)
    for lock in left:
        _log.warning("still there: %s", lock)
    return 1 if left else 0


def _find_or_create(shop: Workshop) -> bool:
    """True when it was created. Raises ToolFailed."""
    found = shop.runner.run(shop.restic.probe())
    if found.ok:
        return False
    why = _failure(shop, found, "looking for the repository")
    if why.cause is not Cause.NO_REPOSITORY:
        raise ToolFailed(why)
    made = shop.runner.run(shop.restic.init())
    if made.ok:
        return True
    if shop.runner.run(shop.restic.probe()).ok:
        return False  # somebody else created it at the same moment
    raise ToolFailed(_failure(shop, made, "creating the repository"))


def _apply_retention(
    port: Port, shop: Workshop, session: JsonObject, hosts: Sequence[str], result: _Result
) -> None:
    try:
        chosen = tuple(hosts) or succeeded_hosts(session)
        if not chosen:
            return
        invoker = invoker_of(port, session)
        subject = f"{invoker.kind} {invoker.namespace}/{invoker.name}"
        keep = retention.flags(encode(invoker.retention_policy), subject)
        scopes = retention.scopes(chosen, _taken(session), _listed(shop, chosen))
        removed = _forget(shop, keep, scopes)
    except TandemError as error:
        result.findings.append(_retention_failed(error))
        return
    result.measured["snapshotsRemovedOnLastCleanup"] = removed
    message = "Successfully applied retention policy."
    result.findings.append(
        Finding(c.RETENTION_POLICY_APPLIED, c.SUCCESSFULLY_APPLIED_RETENTION_POLICY, message)
    )


def _listed(shop: Workshop, hosts: Sequence[str]) -> Sequence[parsing.Snapshot]:
    outcome = shop.runner.run(shop.restic.snapshots(hosts=hosts))
    if not outcome.ok:
        raise ToolFailed(_failure(shop, outcome, "listing the snapshots"))
    return parsing.snapshots(outcome.stdout)


def _forget(shop: Workshop, keep: Sequence[str], scopes: Sequence[retention.Scope]) -> int:
    """How many snapshots went. Of several calls none prunes: one pruning for all is cheaper."""
    alone = len(scopes) == 1
    policy = [flag for flag in keep if alone or flag != retention.PRUNE]
    removed = 0
    for scope in scopes:
        command = shop.restic.forget(policy, scope.hosts, path=scope.path)
        outcome = _exclusive(shop, command, "applying the policy")
        removed += parsing.forgotten(outcome.stdout).removed
    if removed and not alone and retention.PRUNE in keep and retention.DRY_RUN not in keep:
        _exclusive(shop, shop.restic.prune(), "pruning the repository")
    return removed


def _verify(shop: Workshop, result: _Result) -> None:
    try:
        _check(shop)
    except ToolFailed as error:
        if error.failure.cause in (Cause.DAMAGED, Cause.OTHER):
            result.measured["integrity"] = False
        result.findings.append(_integrity_failed(error))
        return
    result.measured["integrity"] = True
    message = "Repository integrity verification succeeded."
    result.findings.append(
        Finding(
            c.REPOSITORY_INTEGRITY_VERIFIED, c.SUCCESSFULLY_VERIFIED_REPOSITORY_INTEGRITY, message
        )
    )


def _check(shop: Workshop) -> None:
    outcome = _exclusive(shop, shop.restic.check(), "the check of the repository")
    if not parsing.is_sound(outcome.stdout):
        raise ToolFailed(Failure(Cause.DAMAGED, "the check did not find it free of errors"))


def _measure(shop: Workshop, result: _Result) -> None:
    sizes, listed = (
        shop.runner.run(command) for command in (shop.restic.stats(), shop.restic.snapshots())
    )
    try:
        if sizes.ok:
            result.measured["totalSize"] = parsing.size(parsing.total_size(sizes.stdout))
        if listed.ok:
            result.measured["snapshotCount"] = len(parsing.snapshots(listed.stdout))
    except parsing.Unreadable as error:
        _log.warning("the repository could not be measured: %s", error)


def _exclusive(shop: Workshop, command: Command, doing: str) -> Outcome:
    """A call that needs the repository for itself. Raises ToolFailed, naming a lock's owner."""
    outcome = locks.patiently(shop, lambda: shop.runner.run(command), lambda one: one)
    if not outcome.ok:
        raise ToolFailed(_failure(shop, outcome, doing))
    return outcome


def _failure(shop: Workshop, outcome: Outcome, doing: str) -> Failure:
    if outcome.ended_by:
        return Failure(Cause.STOPPED, f"{doing} was ended because its pod is being stopped")
    found = failures.of_restic(outcome.exit_code, outcome.stderr, outcome.stdout)
    secret = shop.restic.access.secret
    return Failure(found.cause, f"{doing} failed: {found.message}", secret)


def succeeded_hosts(session: JsonObject) -> tuple[str, ...]:
    """The hosts of a session that were backed up: only theirs have a new snapshot."""
    return tuple(stat["hostname"] for stat in _stats(session) if stat.get("phase") == "Succeeded")


def _taken(session: JsonObject) -> frozenset[str]:
    """The short ids of the snapshots that a session took."""
    found = (snapshot for stat in _stats(session) for snapshot in stat.get("snapshots") or ())
    return frozenset(snapshot.get("name") or "" for snapshot in found)


def _stats(session: JsonObject) -> Iterator[JsonObject]:
    for entry in status_of(session).get("targets") or ():
        yield from entry.get("stats") or ()


def _retention_failed(error: TandemError) -> Finding:
    message = f"Failed to apply retention policy. Reason: {error}"
    reason = c.FAILED_TO_APPLY_RETENTION_POLICY
    return Finding(c.RETENTION_POLICY_APPLIED, reason, message, holds=False)


def _integrity_failed(error: TandemError) -> Finding:
    message = f"Repository integrity verification failed. Reason: {error}"
    reason = c.FAILED_TO_VERIFY_REPOSITORY_INTEGRITY
    return Finding(c.REPOSITORY_INTEGRITY_VERIFIED, reason, message, holds=False)


def _session(port: Port, namespace: str, name: str) -> JsonObject:
    """The session; one that is deleted has no hosts and gets no conditions."""
    try:
        return port.get(BACKUP_SESSIONS, namespace, name)
    except NotFound:
        return {}


def _of_session(session: JsonObject, name: str, repository: JsonObject) -> JsonObject:
    """What the session adds to the Repository's status; its own moment is the backup's."""
    if not session:
        return {"lastMaintainedSession": name}
    moment = session["metadata"]["creationTimestamp"]
    first = status_of(repository).get("firstBackupTime") or moment
    return {
        "lastMaintainedSession": name,
        "firstBackupTime": first,
        "lastBackupTime": moment,
    }
