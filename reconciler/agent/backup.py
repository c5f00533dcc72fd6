"""Backs up one host with restic: its paths, or one dump. Returns the report; never raises.

Called by ``session`` (sidecar) and ``job``. What happens to a host ends up in its report, so that
the container does not crash and the session learns the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import failures, locks, parsing
from reconciler.agent.dumps import Dump
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.report import HostReport
from reconciler.agent.restic import Command
from reconciler.agent.runner import Outcome, PipeOutcome
from reconciler.agent.workshop import Workshop
from reconciler.api.session import FileStats, HostBackupStats, SnapshotStats
from reconciler.errors import TandemError

_log = logging.getLogger(__name__)
_NAMED_FILES = 5


@attrs.define
class _Progress:
    snapshots: list[SnapshotStats] = attrs.field(factory=list)
    unreadable: list[str] = attrs.field(factory=list)


def paths(
    shop: Workshop,
    host: str,
    wanted: Sequence[str],
    *,
    excludes: Sequence[str] = (),
    timeout: float | None = None,
) -> HostReport:
    """One snapshot a path, in order; the first failure leaves the rest undone, as in Stash.

    A path with unreadable files has its snapshot and the rest goes on; the host is Failed as
    incomplete. ``timeout`` (seconds) is for all paths together.
    """

    def work(progress: _Progress) -> None:
        if not wanted:
            raise ToolFailed(Failure(Cause.NO_SOURCE, "the target has no paths"))
        end = None if timeout is None else shop.clock.monotonic() + timeout
        for path in wanted:
            command = shop.restic.backup(shop.translate(path), host=host, excludes=excludes)
            left = None if end is None else max(0.0, end - shop.clock.monotonic())
            _one_path(shop, path, command, left, progress)

    return _report(shop, host, work)


def dump(shop: Workshop, host: str, what: Dump, *, timeout: float | None = None) -> HostReport:
    """Stream a dump into restic. The dump's exit code decides; a half dump leaves no snapshot."""

    def work(progress: _Progress) -> None:
        storing = shop.restic.backup_stdin(what.filename, host=host)
        with what.placed():
            what.wait_ready(shop.runner, shop.clock)
            command = what.command(shop.runner)
            outcome = locks.patiently(
                shop,
                lambda: shop.runner.pipe(command, storing, timeout=timeout),
                lambda both: both.consumer,
            )
        _judge_pipe(shop, command, outcome)
        progress.snapshots.append(_snapshot(outcome.consumer.stdout, f"/{what.filename}"))

    return _report(shop, host, work)


def failed(host: str, reason: str, *, duration: str = "") -> HostReport:
    """The report of a host that could not even be begun."""
    return HostReport(
        HostBackupStats(hostname=host, phase="Failed", error=reason, duration=duration)
    )


def _report(shop: Workshop, host: str, work: Callable[[_Progress], None]) -> HostReport:
    began = shop.clock.monotonic()
    progress = _Progress()
    error = ""
    try:
        work(progress)
    except TandemError as known:
        error = shop.runner.redact(str(known))
    except Exception as unknown:  # the user's pod must not crash for a defect of ours
        _log.error("a defect in the agent: %s", shop.runner.redact(repr(unknown)))
        error = f"a defect in the agent: {type(unknown).__name__}"
    incomplete = _incomplete(progress.unreadable)
    if incomplete and not error:
        error = str(Failure(Cause.INCOMPLETE, incomplete))
    return HostReport(
        HostBackupStats(
            hostname=host,
            phase="Failed" if error else "Succeeded",
            duration=parsing.go_duration(shop.clock.monotonic() - began),
            error=error,
            snapshots=tuple(progress.snapshots),
        ),
        incomplete,
    )


def _one_path(
    shop: Workshop, path: str, command: Command, timeout: float | None, progress: _Progress
) -> None:
    outcome = locks.patiently(
        shop, lambda: shop.runner.run(command, timeout=timeout), lambda one: one
    )
    if outcome.exit_code == failures.EXIT_INCOMPLETE and not outcome.ended_by:
        files = parsing.unreadable_files(outcome.stderr)
        progress.unreadable.extend(files or [f"files below {path}"])
    elif not outcome.ok:
        raise ToolFailed(_failure(shop, outcome, f"backup of {path}"))
    progress.snapshots.append(_snapshot(outcome.stdout, path))


def _judge_pipe(shop: Workshop, command: Command, outcome: PipeOutcome) -> None:
    """Raise if either end failed, for the one that failed by itself."""
    dumping, storing = outcome.producer, outcome.consumer
    if dumping.ok and storing.ok:
        return
    _forget_half(shop, storing)
    if dumping.ended_by:
        raise ToolFailed(_failure(shop, dumping, "the dump"))
    if outcome.cut_short:
        raise ToolFailed(failures.of_dump(command.tool, dumping.exit_code, dumping.stderr))
    raise ToolFailed(_failure(shop, storing, "storing the dump"))


def _forget_half(shop: Workshop, storing: Outcome) -> None:
    """restic is ended before it can store a half dump; should it have been quicker, forget it."""
    try:
        snapshot = parsing.summary(storing.stdout).snapshot
    except parsing.Unreadable:
        return
    outcome = shop.runner.run(shop.restic.forget_snapshots(snapshot))
    if not outcome.ok:
        _log.error("the snapshot %s of a failed dump could not be forgotten", snapshot)
        raise ToolFailed(
            Failure(
                Cause.DUMP,
                f"the dump failed, and its snapshot {snapshot} could not be forgotten: "
                f"{failures.one_line(outcome.stderr, outcome.exit_code)}",
            )
        )


def _failure(shop: Workshop, outcome: Outcome, doing: str) -> Failure:
    return failures.of_outcome(outcome, doing, shop.restic.access.secret)


def _snapshot(stdout: str, path: str) -> SnapshotStats:
    found = parsing.summary(stdout)
    return SnapshotStats(
        name=found.snapshot[:8],
        path=path,
        total_size=parsing.size(found.bytes_processed),
        uploaded=parsing.size(found.bytes_added),
        processing_time=parsing.clock_time(found.seconds),
        file_stats=FileStats(
            total_files=found.files_total,
            new_files=found.files_new,
            modified_files=found.files_changed,
            unmodified_files=found.files_unmodified,
        ),
    )


def _incomplete(files: Sequence[str]) -> str:
    if not files:
        return ""
    named = ", ".join(files[:_NAMED_FILES])
    more = f" and {len(files) - _NAMED_FILES} more" if len(files) > _NAMED_FILES else ""
    return f"the backup is incomplete, these files could not be read: {named}{more}"
