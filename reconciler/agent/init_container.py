"""The init container of a workload that is restored: ``restore``, before the application starts.

It waits for its turn, claims its host, restores and reports. When it exits 0 the application
starts:

- its host is restored; or the restore has succeeded, was skipped, or is not about this host;
- the restore object is gone.

While its host is ``Failed`` it stays, and says why in its log: an application must not start on
data that is half restored. Whoever deletes the restore takes the data as they are; a new restore
brings a new template, and this pod is replaced. (Stash's container ends with an error and is
started again for ever, restoring each time, while its RestoreSession stays ``Failed``.)

Told to stop, it says nothing: the next pod finds this one gone, takes its claim over and restores
the whole again.
"""

from __future__ import annotations

import enum
import logging

import attrs

from reconciler.agent import events, member_hooks, restoring
from reconciler.agent.job import Begun
from reconciler.agent.owners import DeadPods
from reconciler.agent.patience import Patience
from reconciler.agent.report import Address, Delivery, HostReport, claim, deliver
from reconciler.agent.turn import Target, Turn, claim_of, dict_of, stat_of, status_of
from reconciler.agent.workshop import Tools
from reconciler.api.hosts import restore_alias_of, restore_host
from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError

_log = logging.getLogger(__name__)

START, STOPPED = 0, 1
"""Exit codes: the application may start; this pod is being stopped."""
_LONGEST_WAIT = 15.0
_OPEN = ("Succeeded", "Skipped")


@attrs.frozen
class Duty:
    """Which restore, and which target of it this pod belongs to."""

    namespace: str
    resource: Resource
    name: str
    target: Target


class Verdict(enum.Enum):
    """What the restore means for this pod, and the sentence for its log."""

    RESTORED = "the host is restored"
    OVER = "the restore is over, and did not fail for this host"
    NOT_OURS = "the restore has ended without this host"
    FAILED = "the restore of this host has failed"
    OPEN = "the host may have to be restored"


class InitContainer:
    """``run`` until the application may start; ``step`` is one look, for tests."""

    def __init__(self, port: Port, tools: Tools, duty: Duty) -> None:
        self._port = port
        self._tools = tools
        self._duty = duty
        self._pod = tools.surroundings.pod()
        self._uid = tools.surroundings.environ.get("RESTORE_UID", "")
        self._said = ""
        self._patience = Patience(tools.clock, tools.stop, first=0.5, longest=_LONGEST_WAIT)

    def run(self) -> int:
        """The exit code. Every fault of the API server is logged and waited for."""
        while not self._tools.stop:
            try:
                code = self.step()
            except TandemError as error:
                self._say(f"will look again: {error}")
                code = None
            if code is not None:
                return code
            self._patience.again()
        return STOPPED

    def step(self) -> int | None:
        """Look once, and restore if it is our turn. None: the application has to wait.

        Raises as ``Port`` does, when the API server does not answer.
        """
        duty = self._duty
        try:
            restore = self._port.get(duty.resource, duty.namespace, duty.name)
        except NotFound:
            self._say(f"{duty.resource.kind} {duty.name} is gone: the application starts")
            return START
        restore = {"kind": duty.resource.kind, **restore}
        if self._uid and restore["metadata"]["uid"] != self._uid:
            self._say(f"{duty.resource.kind} {duty.name} was made anew: this pod is to be replaced")
            return None
        host = self._host(restore)
        found = verdict(restore, duty.target, host)
        if found is Verdict.OPEN:
            return self._take(restore, host)
        if found is Verdict.FAILED:
            self._wait_for_help(restore, host)
            return None
        self._say(f"{found.value} ({host}): the application starts")
        return START

    def _take(self, restore: JsonObject, host: str) -> int | None:
        duty, meta = self._duty, restore["metadata"]
        address = Address(duty.namespace, duty.name, meta["uid"], duty.target, duty.resource)
        dead = DeadPods(self._port, duty.namespace)
        now = self._tools.clock.now()
        got = claim(self._port, address, host, self._pod, now, take_over=dead)
        if got is not Turn.GO:
            self._say(f"waiting to restore host {host}: {got.value}")
            return None
        _log.info("restoring host %s", host)
        where = member_hooks.before(duty.namespace, self._pod.name)
        begun = Begun(restore, host, address)
        report = restoring.host(self._port, self._tools, begun, restoring.files(), where)
        if self._tools.stop:
            return STOPPED
        self._patience.reset()
        self._deliver(restore, address, report)
        return None  # the next look says whether the application may start

    def _deliver(self, restore: JsonObject, address: Address, report: HostReport) -> None:
        answer = deliver(
            self._port, address, [report], Patience(self._tools.clock, self._tools.stop)
        )
        clock = self._tools.clock
        if answer is Delivery.DELIVERED:
            events.host_finished(self._port, clock, restore, address.target, report)
        else:
            events.report_dropped(self._port, clock, restore, report, answer.value)

    def _wait_for_help(self, restore: JsonObject, host: str) -> None:
        entry = self._duty.target.entry(restore) or {}
        why = dict_of(stat_of(entry, host)).get("error") or entry.get("message") or "see its status"
        self._say(
            f"host {host} is not restored, so the application is not started: {why}. Correct this "
            f"and replace {self._duty.resource.kind} {self._duty.name}, or delete it to start the "
            "application on the data as they are"
        )

    def _host(self, restore: JsonObject) -> str:
        view = restoring.decode(restore)
        index = self._duty.target.place_in(view)
        target = None if index is None else view.members[index].target
        if index is None or target is None:
            return ""
        return restore_host(
            target,
            restore_alias_of(view, index),
            pod_name=self._pod.name,
            node_name=self._tools.surroundings.environ.get("NODE_NAME"),
        )

    def _say(self, text: str) -> None:
        """Once, while it stays so."""
        if text != self._said:
            _log.info("%s", text)
            self._said = text


def verdict(restore: JsonObject, target: Target, host: str) -> Verdict:
    """From the status alone. A host without a claim or a report that is expected is OPEN."""
    entry = target.entry(restore)
    phase = status_of(restore).get("phase")
    stat = stat_of(entry, host) if entry else None
    if stat is not None:
        return Verdict.RESTORED if stat.get("phase") == "Succeeded" else Verdict.FAILED
    if phase in _OPEN:
        return Verdict.OVER
    if phase != "Failed":
        return Verdict.OPEN
    expected = entry is not None and claim_of(entry, host) is not None
    return Verdict.FAILED if expected else Verdict.NOT_OURS
