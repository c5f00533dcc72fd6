"""The sidecar: follows the sessions of its invoker and backs up its pod's host when it may.

Started by ``run-backup`` in the user's pod, so after start-up nothing crashes it: what fails is
reported to the session, what cannot be reported waits. One thread; at most one backup at a time.
"""

from __future__ import annotations

import logging

import attrs

from reconciler.agent import backup, events, member_hooks
from reconciler.agent.follow import Sessions
from reconciler.agent.patience import Patience
from reconciler.agent.report import Address, Delivery, HostReport, claim, deliver
from reconciler.agent.turn import Target, Turn, is_candidate, seconds_left, turn
from reconciler.agent.workshop import Tools, open_workshop
from reconciler.api.backup import Member
from reconciler.api.hosts import alias_of, host_name
from reconciler.api.invoker import INVOKERS, Invoker, decode_invoker
from reconciler.api.resources import REPOSITORIES, JsonObject, Resource
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError, TerminalError

_log = logging.getLogger(__name__)
IDLE_SECONDS = 1.0
"""How long one look for changes lasts; a stop is noticed after it at the latest."""


@attrs.frozen
class Duty:
    """Whose sessions the sidecar follows, and which target it backs up."""

    namespace: str
    invoker_kind: str
    invoker_name: str
    target: Target

    def resource(self) -> Resource:
        """Raises TerminalError for a kind that starts no backups."""
        for resource in INVOKERS:
            if resource.kind == self.invoker_kind:
                return resource
        known = " or ".join(resource.kind for resource in INVOKERS)
        raise TerminalError(f"--invoker-kind must be {known}, found {self.invoker_kind!r}")


class Sidecar:
    """``run`` until stopped; ``step`` is one turn of it, for tests."""

    def __init__(self, port: Port, tools: Tools, duty: Duty) -> None:
        self._port = port
        self._tools = tools
        self._duty = duty
        self._resource = duty.resource()
        self._pod = tools.surroundings.pod()
        self._sessions = Sessions(port, duty.namespace, duty.invoker_kind, duty.invoker_name)
        self._settled: set[tuple[str, str]] = set()
        self._hosts: dict[str, str] = {}

    def run(self) -> None:
        """Until the process is told to stop. Every fault is logged and outlived."""
        patience = Patience(self._tools.clock, self._tools.stop)
        self._announce()
        while not self._tools.stop:
            try:
                self.step()
                patience.reset()
            except Exception as error:  # the container is in the user's pod: it must not crash
                known = isinstance(error, TandemError)
                _log.warning("will look again: %s", error if known else type(error).__name__)
                self._sessions.forget()
                patience.again()
        self._sessions.close()

    def step(self, idle_seconds: float = IDLE_SECONDS) -> bool:
        """Look once, and back up one host if it is our turn. Returns whether it was.

        Raises as ``Port`` does, when the API server does not answer.
        """
        self._sessions.refresh()
        for session in self._sessions.current():
            if self._is_ours(session) and self._back_up(session):
                return True
        self._sessions.wait(idle_seconds)
        return False

    def _announce(self) -> None:
        try:
            invoker = self._invoker_object()
        except TandemError as error:
            _log.warning("the invoker cannot be read yet: %s", error)
            return
        message = f"the sidecar of {self._duty.target.kind} {self._duty.target.name} is watching"
        reason = "BackupSession Controller Started"
        events.record(
            self._port, self._tools.clock, invoker, reason, message, source=events.SIDECAR
        )

    def _is_ours(self, session: JsonObject) -> bool:
        """Cheap, and without a request once the session's host is known."""
        now, uid = self._tools.clock.now(), session["metadata"]["uid"]
        host = self._hosts.get(uid)
        if host is None:
            return is_candidate(session, self._duty.target, self._pod, now)
        mine = turn(session, self._duty.target, host, self._pod, now) is Turn.GO
        return mine and (uid, host) not in self._settled

    def _back_up(self, session: JsonObject) -> bool:
        invoker = decode_invoker(self._invoker_object(), unknown="ignore")
        index = self._duty.target.index(invoker)
        if index is None:
            return False  # the member has left the batch; the operator ends the target
        host = self._host(invoker, index)
        meta = session["metadata"]
        self._hosts[meta["uid"]] = host
        if not self._is_ours(session):
            return False
        address = Address(self._duty.namespace, meta["name"], meta["uid"], self._duty.target)
        got = claim(self._port, address, host, self._pod, self._tools.clock.now())
        if got is not Turn.GO:
            return False
        _log.info("backing up host %s for session %s", host, meta["name"])
        report = self._work(session, invoker, invoker.members[index], host)
        self._deliver(session, address, report)
        return True

    def _work(self, session: JsonObject, invoker: Invoker, member: Member, host: str) -> HostReport:
        where = member_hooks.beside(self._duty.namespace, self._pod.name)
        return member_hooks.around_backup(
            self._port,
            self._tools,
            where,
            invoker,
            member,
            session,
            host,
            lambda: self._data(session, invoker, member, host),
        )

    def _data(self, session: JsonObject, invoker: Invoker, member: Member, host: str) -> HostReport:
        """Back up; a Repository, Secret or setting that is wrong is the host's failure."""
        try:
            repository = self._port.get(REPOSITORIES, self._duty.namespace, invoker.repository)
            shop = open_workshop(self._tools, repository, port=self._port)
        except NotFound:
            name = f"{self._duty.namespace}/{invoker.repository}"
            return backup.failed(host, f"Repository {name} does not exist; create it")
        except TandemError as error:
            return backup.failed(host, str(error))
        target = member.target
        return backup.paths(
            shop,
            host,
            target.paths if target else (),
            excludes=target.exclude if target else (),
            timeout=seconds_left(session, self._tools.clock.now()),
        )

    def _deliver(self, session: JsonObject, address: Address, report: HostReport) -> None:
        patience = Patience(self._tools.clock, self._tools.stop)
        answer = deliver(self._port, address, [report], patience)
        self._settled.add((address.uid, report.host))
        if answer is Delivery.DELIVERED:
            events.host_finished(self._port, self._tools.clock, session, self._duty.target, report)
        else:
            events.report_dropped(self._port, self._tools.clock, session, report, answer.value)

    def _invoker_object(self) -> JsonObject:
        return self._port.get(self._resource, self._duty.namespace, self._duty.invoker_name)

    def _host(self, invoker: Invoker, index: int) -> str:
        return host_name(
            self._duty.target.kind,
            alias_of(invoker, index),
            pod_name=self._pod.name,
            node_name=self._tools.surroundings.environ.get("NODE_NAME"),
        )
