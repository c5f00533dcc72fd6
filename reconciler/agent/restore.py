"""Restores one host with restic: its files, or one dump. Returns the report; never raises.

Called by ``init_container`` and ``job``. As in Stash the first error ends it, files go back to
where they came from, and what is there besides stays. restic is run again after a restore that was
cut short: it writes what it wrote before.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import failures, locks, parsing
from reconciler.agent.clearing import Clearing
from reconciler.agent.dumps import Dump
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.parsing import Node, Snapshot
from reconciler.agent.report import HostReport
from reconciler.agent.restic import Command
from reconciler.agent.runner import Outcome
from reconciler.agent.selection import Order, Part, dump_of, parts
from reconciler.agent.workshop import Workshop
from reconciler.api.restore import HostRestoreStats
from reconciler.errors import TandemError

_log = logging.getLogger(__name__)
_SPARSE_SINCE = (0, 15)
_SHOWN = 5
_TRIES = 2
"""restic that has lost a name of a file finds it when it is called again."""
_FILE_ERROR = re.compile(r"^ignoring error for (.+)$", re.MULTILINE)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def files(
    shop: Workshop, order: Order | None, host: str, *, timeout: float | None = None
) -> HostReport:
    """Every part of the order, in order. None: there is nothing to restore for this host.

    ``timeout`` (seconds) is for all parts together.
    """

    def work() -> None:
        if order is None:
            _log.info("no rule is for host %s: it stays as it is", host)
            return
        end = None if timeout is None else shop.clock.monotonic() + timeout
        for part in parts(_translated(shop, order), snapshots(shop)):
            left = None if end is None else max(0.0, end - shop.clock.monotonic())
            _one_part(shop, part, left)

    return _report(shop, host, work)


def load(
    shop: Workshop, order: Order | None, host: str, what: Dump, *, timeout: float | None = None
) -> HostReport:
    """Stream the dump of a snapshot into the database's own client."""

    def work() -> None:
        if order is None:
            _log.info("no rule is for host %s: it stays as it is", host)
            return
        chosen = dump_of(order, what.filename, snapshots(shop))
        giving = shop.restic.dump(chosen.id, f"/{what.filename}")
        with what.placed():
            what.wait_ready(shop.runner, shop.clock)
            command = what.command(shop.runner)
            outcome = locks.patiently(
                shop,
                lambda: shop.runner.pipe(giving, command, timeout=timeout),
                lambda both: both.producer,
            )
        given, taken = outcome.producer, outcome.consumer
        if not given.ok and (given.ended_by or outcome.cut_short or taken.ok):
            raise ToolFailed(_failure(shop, given, f"reading snapshot {chosen.short_id}"))
        if not taken.ok:
            raise ToolFailed(failures.of_load(command.tool, taken.exit_code, taken.stderr))
        complaint = what.complaint(taken.stderr)
        if complaint:
            raise ToolFailed(Failure(Cause.LOAD, f"{command.tool} reported {complaint}"))

    return _report(shop, host, work)


def failed(host: str, reason: str) -> HostReport:
    """The report of a host that could not even be begun."""
    return HostReport(HostRestoreStats(hostname=host, phase="Failed", error=reason))


def snapshots(shop: Workshop) -> list[Snapshot]:
    """All snapshots, oldest first. Raises ToolFailed."""
    outcome = shop.runner.run(shop.restic.snapshots())
    if not outcome.ok:
        raise ToolFailed(_failure(shop, outcome, "listing the snapshots"))
    return sorted(parsing.snapshots(outcome.stdout), key=_moment)


def _moment(snapshot: Snapshot) -> dt.datetime:
    """By the clock, not by the text: hosts may be in different time zones."""
    try:
        return dt.datetime.fromisoformat(snapshot.time).astimezone(dt.UTC)
    except ValueError:
        return _EPOCH


def _translated(shop: Workshop, order: Order) -> Order:
    """With paths as this process sees them; that is how they were backed up, too."""

    def pattern(text: str) -> str:
        return shop.translate(text) if text.startswith("/") else text

    rule = attrs.evolve(
        order.rule,
        paths=tuple(map(shop.translate, order.rule.paths)),
        include=tuple(map(pattern, order.rule.include)),
        exclude=tuple(map(pattern, order.rule.exclude)),
    )
    return attrs.evolve(order, rule=rule, mounts=tuple(map(shop.translate, order.mounts)))


def _one_part(shop: Workshop, part: Part, timeout: float | None) -> None:
    doing = f"restoring {part.path} from snapshot {part.snapshot.short_id}"
    clearing = Clearing(part.path, part.whole)
    command = shop.restic.restore(
        part.snapshot.id,
        "/",
        includes=part.includes,
        excludes=part.excludes,
        sparse=_version(shop) >= _SPARSE_SINCE,
    )
    if not clearing.needed():
        _call(shop, command, timeout, doing)
        return
    end = None if timeout is None else shop.clock.monotonic() + timeout
    try:
        for _ in range(_TRIES):
            _each_node(shop, part, clearing.free, doing)
            left = None if end is None else max(0.0, end - shop.clock.monotonic())
            _call(shop, command, left, doing)
            clearing.lost.clear()
            _each_node(shop, part, clearing.look, doing)
            if not clearing.lost:
                return
    finally:
        clearing.put_back()
    raise ToolFailed(Failure(Cause.NOT_RESTORED, f"{doing} failed for {_some(clearing.lost)}"))


def _call(shop: Workshop, command: Command, timeout: float | None, doing: str) -> None:
    outcome = locks.patiently(
        shop, lambda: shop.runner.run(command, timeout=timeout, keep=0), lambda one: one
    )
    if not outcome.ok or _FILE_ERROR.search(outcome.stderr):
        raise ToolFailed(_failure(shop, outcome, doing))


def _each_node(shop: Workshop, part: Part, what: Callable[[Node], None], doing: str) -> None:
    defects: list[Exception] = []

    def each_line(line: str) -> None:
        try:
            node = parsing.node(line)
            if node is not None:
                what(node)
        except Exception as defect:  # in the thread that reads: it must read on, or restic hangs
            defects.append(defect)

    listing = shop.restic.ls(part.snapshot.id, part.path)
    outcome = shop.runner.run(listing, each_line=each_line)
    if not outcome.ok:
        raise ToolFailed(_failure(shop, outcome, doing))
    if defects:
        raise defects[0]


def _version(shop: Workshop) -> tuple[int, ...]:
    return parsing.version(shop.runner.run(shop.restic.version()).stdout)


def _failure(shop: Workshop, outcome: Outcome, doing: str) -> Failure:
    lost = list(dict.fromkeys(_FILE_ERROR.findall(outcome.stderr)))
    if lost and not outcome.ended_by:
        return Failure(Cause.NOT_RESTORED, f"{doing} failed for {_some(lost)}")
    return failures.of_outcome(outcome, doing, shop.restic.access.secret, whose="restore")


def _some(lost: Sequence[str]) -> str:
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return "; ".join(lost[:_SHOWN]) + more


def _report(shop: Workshop, host: str, work: Callable[[], None]) -> HostReport:
    began = shop.clock.monotonic()
    error = ""
    try:
        work()
    except TandemError as known:
        error = shop.runner.redact(str(known))
    except Exception as unknown:  # what has happened to the host belongs into its report
        _log.error("a defect in the agent: %s", shop.runner.redact(repr(unknown)))
        error = f"a defect in the agent: {type(unknown).__name__}"
    return HostReport(
        HostRestoreStats(
            hostname=host,
            phase="Failed" if error else "Succeeded",
            duration=parsing.go_duration(shop.clock.monotonic() - began),
            error=error,
        )
    )
