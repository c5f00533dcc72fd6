"""The Jobs of a session or restore: take one host and hand the result on, or publish it.

``back_up`` is the data step of a backup (``backup-pvc``, ``backup-mysql``, …), as ``restore_job``
is that of a restore: it waits for its turn, claims the host, works, and writes ``output.json``. It
exits 0 whatever became of the data, so that ``publish`` (``update-status``) runs next, as in Stash.
If the pod dies between the two, the host is claimed and has no stat: the Job's next pod finds the
claimant dead, takes the claim over and does both again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import backup, events, member_hooks, output
from reconciler.agent.flags import items
from reconciler.agent.owners import DeadPods
from reconciler.agent.patience import Patience
from reconciler.agent.report import Address, Delivery, HostReport, claim, deliver
from reconciler.agent.turn import Target, Turn, dict_of, seconds_left, stat_of
from reconciler.agent.workshop import Tools, Workshop, open_workshop
from reconciler.api.invoker import INVOKERS, Invoker, decode_invoker
from reconciler.api.resources import BACKUP_SESSIONS, REPOSITORIES, JsonObject, Resource
from reconciler.api.restore import HostRestoreStats
from reconciler.api.restore_invoker import RestoreInvoker
from reconciler.api.session import HostBackupStats
from reconciler.cluster.port import Port
from reconciler.errors import ApiUnavailable, NotFound, TandemError, TerminalError

_log = logging.getLogger(__name__)

DONE, REFUSED = 0, 1
"""Exit codes: the Job goes on; the Job's pod failed and may be tried again."""

Work = Callable[[Workshop, str, float | None], HostReport]
"""Backs up a host: (workshop, host, seconds left) → report."""

Prepare = Callable[[Port, Invoker], tuple[Work, tuple[str, ...]]]
"""Reads what the work needs, and which secrets must be hidden. Raises TandemErrors."""


@attrs.frozen
class Step:
    """What a step was told by its flags. ``hostname`` may be empty: the only expected host.

    ``session`` is the name of a BackupSession, or of the restore where ``resource`` says so.
    """

    namespace: str
    session: str
    target: Target
    output_dir: str
    hostname: str = ""
    report: bool = False
    resource: Resource = BACKUP_SESSIONS

    @property
    def fence(self) -> str:
        """The variable with the uid of the object that the Job was made for."""
        return "BACKUP_SESSION_UID" if self.resource == BACKUP_SESSIONS else "RESTORE_UID"


@attrs.frozen
class Begun:
    """A session or restore as it was read, and the host of it that this process has claimed."""

    session: JsonObject
    host: str
    address: Address


def back_up(
    port: Port,
    tools: Tools,
    step: Step,
    prepare: Prepare,
) -> int:
    """The data step. Whatever is wrong with Repository, Secret or database fails the host, not the
    pod.
    """
    found = begin(port, tools, step)
    if not isinstance(found, Begun):
        return found
    session, host = found.session, found.host
    report = _work(port, tools, step, session, host, prepare)
    return hand_on(port, tools, step, found, report)


def begin(port: Port, tools: Tools, step: Step) -> Begun | int:
    """Claim the host; else the exit code, for there is nothing to do."""
    session = find_session(port, tools, step)
    if session is None:
        return DONE
    address = address_of(step, session)
    host = wait_for_turn(port, tools, step, address)
    if host is None:
        _log.info("there is nothing to do for this Job any more")
        return REFUSED if tools.stop else DONE
    return Begun(session, host, address)


def hand_on(port: Port, tools: Tools, step: Step, begun: Begun, report: HostReport) -> int:
    """Leave the result to the next step."""
    session, address = begun.session, begun.address
    ref = dict_of((step.target.entry(session) or {}).get("ref")) or _bare_ref(step.target)
    output.write(tools.surroundings.path(step.output_dir), ref, [report], address.uid)
    if step.report or tools.stop:  # told to stop: the next step will not be started
        hand_in(port, tools, session, address, (report,))
    return DONE


def publish(port: Port, tools: Tools, step: Step) -> int:
    """The step ``update-status``: report what the data step has left."""
    session = find_session(port, tools, step)
    if session is None:
        return DONE
    address = address_of(step, session)
    try:
        shape = HostBackupStats if step.resource == BACKUP_SESSIONS else HostRestoreStats
        reports, uid = output.read(tools.surroundings.path(step.output_dir), shape)
    except TandemError as error:
        if _all_reported(step.target.entry(session)):
            return DONE
        _log.error("%s", error)
        return REFUSED
    if uid and uid != address.uid:
        _log.error("output.json is of another session")
        return REFUSED
    return hand_in(port, tools, session, address, reports)


def files(target: Target, backup_paths: str, exclude: str) -> Prepare:
    """The work of ``backup-pvc``. Both flags are comma-separated.

    Where they say what the invoker says, its own lists are taken, so a comma in a path is whole.
    """

    def prepare(port: Port, invoker: Invoker) -> tuple[Work, tuple[str, ...]]:
        del port
        member = target.member(invoker)
        own = member.target if member else None
        wanted = _listed(backup_paths, own.paths if own else ())
        patterns = _listed(exclude, own.exclude if own else ())

        def work(shop: Workshop, host: str, timeout: float | None) -> HostReport:
            return backup.paths(shop, host, wanted, excludes=patterns, timeout=timeout)

        return work, ()

    return prepare


def _listed(flag: str, of_invoker: Sequence[str]) -> Sequence[str]:
    return of_invoker if flag == ",".join(of_invoker) else items(flag)


def hand_in(
    port: Port,
    tools: Tools,
    session: JsonObject,
    address: Address,
    reports: tuple[HostReport, ...],
) -> int:
    answer = deliver(port, address, reports, Patience(tools.clock, tools.stop))
    for report in reports:
        if answer is Delivery.DELIVERED:
            events.host_finished(port, tools.clock, session, address.target, report)
        else:
            events.report_dropped(port, tools.clock, session, report, answer.value)
    return REFUSED if answer is Delivery.LEFT else DONE


def find_session(port: Port, tools: Tools, step: Step) -> JsonObject | None:
    """The session that the Job was made for; None when it is gone or another has its name."""
    patience = Patience(tools.clock, tools.stop)
    while True:
        try:
            session = port.get(step.resource, step.namespace, step.session)
            wanted = tools.surroundings.environ.get(step.fence, "")
            return session if wanted in ("", session["metadata"]["uid"]) else None
        except NotFound:
            _log.warning("%s %s/%s is gone", step.resource.kind, step.namespace, step.session)
            return None
        except ApiUnavailable as error:
            _log.warning("waiting for the API server: %s", error)
        if not patience.again():
            return None


def wait_for_turn(port: Port, tools: Tools, step: Step, address: Address) -> str | None:
    """The host, once it is claimed; None when there is nothing to do any more."""
    pod = tools.surroundings.pod()
    patience = Patience(tools.clock, tools.stop, first=0.5, longest=5.0)
    while True:
        try:
            host = step.hostname or _own_host(port, step, address, tools)
            if host:
                now = tools.clock.now()
                dead = DeadPods(port, step.namespace)
                got = claim(port, address, host, pod, now, take_over=dead)
                if got in (Turn.GO, Turn.OVER):
                    return host if got is Turn.GO else None
        except ApiUnavailable as error:
            _log.warning("waiting for the API server: %s", error)
        except NotFound:
            return None
        if tools.stop or not patience.again():
            return None


def _own_host(port: Port, step: Step, address: Address, tools: Tools) -> str:
    """The only expected host; of several sets of claims, the one that POD_ORDINAL says."""
    session = port.get(step.resource, step.namespace, step.session)
    if session["metadata"]["uid"] != address.uid:
        raise NotFound(step.session)
    hosts = (address.target.entry(session) or {}).get("hosts") or []
    names = [str(item["hostname"]) for item in hosts]
    ordinal = tools.surroundings.environ.get("POD_ORDINAL", "")
    if ordinal and len(names) > 1:
        names = [name for name in names if name.rpartition("-")[2] == ordinal]
    return names[0] if len(names) == 1 else ""


def _work(  # noqa: PLR0917 -- private, and called once
    port: Port, tools: Tools, step: Step, session: JsonObject, host: str, prepare: Prepare
) -> HostReport:
    """The data step does the hooks of the member too: claim, hooks and report are one process."""
    try:
        invoker = invoker_of(port, session)
    except TandemError as error:
        return backup.failed(host, str(error))
    member = step.target.member(invoker)
    where = member_hooks.of_job(port, step.namespace, tools.surroundings.pod().name, step.target)
    return member_hooks.around_backup(
        port,
        tools,
        where,
        invoker,
        member,
        session,
        host,
        lambda: _data(port, tools, session, invoker, host, prepare),
    )


def _data(  # noqa: PLR0917 -- private, and called once
    port: Port, tools: Tools, session: JsonObject, invoker: Invoker, host: str, prepare: Prepare
) -> HostReport:
    try:
        repository = repository_of(port, invoker)
        work, secrets = prepare(port, invoker)
        shop = open_workshop(tools, repository, port=port, more_secrets=secrets)
    except TandemError as error:
        return backup.failed(host, str(error))
    return work(shop, host, seconds_left(session, tools.clock.now()))


def invoker_of(port: Port, session: JsonObject) -> Invoker:
    """The invoker that a session names. Raises NotFound, InvalidObject, TerminalError."""
    named = session["spec"]["invoker"]
    namespace = session["metadata"]["namespace"]
    for resource in INVOKERS:
        if resource.kind == named["kind"]:
            obj = port.get(resource, namespace, named["name"])
            return decode_invoker({"kind": resource.kind, **obj}, unknown="ignore")
    raise TerminalError(f"spec.invoker.kind: {named['kind']!r} starts no backups")


def repository_of(port: Port, invoker: Invoker | RestoreInvoker) -> JsonObject:
    """The Repository that an invoker or a restore names. Raises NotFound naming it."""
    try:
        return port.get(REPOSITORIES, invoker.namespace, invoker.repository)
    except NotFound as error:
        name = f"{invoker.namespace}/{invoker.repository}"
        raise NotFound(f"Repository {name} does not exist; create it") from error


def address_of(step: Step, session: JsonObject) -> Address:
    uid = session["metadata"]["uid"]
    return Address(step.namespace, step.session, uid, step.target, step.resource)


def _all_reported(entry: JsonObject | None) -> bool:
    hosts = (entry or {}).get("hosts") or []
    return bool(hosts) and all(stat_of(dict_of(entry), item["hostname"]) for item in hosts)


def _bare_ref(target: Target) -> JsonObject:
    return {"kind": target.kind, "name": target.name}
