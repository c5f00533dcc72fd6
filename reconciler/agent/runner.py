"""Starts programs and waits for them: the only place of the data side that does.

A program runs in its own process group, so that ending it ends its children too. What it prints on
stderr is redacted line by line before anything else sees it. In a pipe, the exit code of the
producer (the dump) decides whether the consumer (restic) may finish.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Literal

import attrs

from reconciler.agent.redaction import Redactor
from reconciler.agent.restic import Command
from reconciler.engine.clock import Clock
from reconciler.errors import ToolMissing

_log = logging.getLogger(__name__)

Ended = Literal["", "deadline", "stop"]
INSTALL = {
    "restic": "https://restic.net",
    "mariadb-dump": "the package mariadb-client",
    "mariadb-admin": "the package mariadb-client",
    "mysqldump": "the package mariadb-client or mysql-client",
    "pg_dump": "the package postgresql-client",
    "pg_dumpall": "the package postgresql-client",
    "pg_isready": "the package postgresql-client",
}
_GRACE = ((signal.SIGINT, 5.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, None))
"""restic removes its lock on SIGINT; older ones do not on SIGTERM."""


@attrs.frozen
class Outcome:
    """How a program ended. ``stderr`` is redacted. ``ended_by`` is set when we ended it."""

    exit_code: int
    stdout: str = attrs.field(repr=False, default="")
    stderr: str = ""
    ended_by: Ended = ""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.ended_by


@attrs.frozen
class PipeOutcome:
    """How both ends of a pipe ended.

    ``cut_short``: the consumer was well when we ended it, because the producer had failed.
    """

    producer: Outcome
    consumer: Outcome
    cut_short: bool


class Stop:
    """A request to end: set once, from a signal handler or another thread."""

    def __init__(self) -> None:
        self.condition = threading.Condition(threading.RLock())
        self._set = False

    def __bool__(self) -> bool:
        return self._set

    def set(self) -> None:
        """Ask everything that runs to end. Safe in a signal handler (the lock is re-entrant)."""
        self._set = True
        with self.condition:
            self.condition.notify_all()


class Runner:
    """Runs commands with the container's environment, which ``Command.env`` is added to."""

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Clock,
        *,
        redact: Redactor | None = None,
        stop: Stop | None = None,
        cwd: str | None = None,
    ) -> None:
        self._environ = dict(environ)
        self._clock = clock
        self._redact = redact or Redactor()
        self._cwd = cwd
        self.stop = Stop() if stop is None else stop  # an unset Stop is falsy

    def redact(self, text: str) -> str:
        return self._redact(text)

    def has(self, program: str) -> bool:
        """Whether the program is on the PATH."""
        return shutil.which(program, path=self._environ.get("PATH", "")) is not None

    def run(
        self,
        command: Command,
        *,
        timeout: float | None = None,
        keep: int | None = None,
        each_line: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Run to the end. ``timeout`` in seconds; then, or on a stop, the group is ended.

        ``keep``: so many bytes of its output are kept. ``each_line`` gets the output line by line
        as it comes, and nothing is kept; it runs in another thread. Raises ToolMissing.
        """
        self._require(command)
        kept = _Kept(keep, each_line)
        child = self._start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, kept=kept)
        ended = self._wait(lambda: child.exited, self._moment(timeout))
        if ended:
            self._end(child)
        return child.outcome(ended)

    def pipe(
        self, producer: Command, consumer: Command, *, timeout: float | None = None
    ) -> PipeOutcome:
        """``producer | consumer``, with neither outliving the other.

        This process keeps a copy of the writing end, so the consumer sees the end of its input
        only when the producer has succeeded; otherwise it is ended, and a half dump is never
        stored. When the consumer ends first, nobody reads the pipe and the producer is ended
        (Stash hangs there, spec 13-20). Raises ToolMissing before anything is started.
        """
        self._require(producer)
        self._require(consumer)
        end = self._moment(timeout)
        reading, writing = os.pipe()
        with _closing(writing):
            with _closing(reading):
                writer = self._start(producer, stdin=subprocess.DEVNULL, stdout=writing)
                try:
                    reader = self._start(consumer, stdin=reading, stdout=subprocess.PIPE)
                except OSError:
                    self._end(writer)
                    raise
            ended = self._wait(lambda: writer.exited or reader.exited, end)
            if not writer.exited:
                self._end(writer)
            elif writer.exit_code != 0:
                reader.join(_LAST_WORDS)  # it may be dying of the reader's death
            # Before our copy of the writing end is closed, or it would finish and store a half.
            cut_short = writer.exit_code != 0 and self._end(reader)
        late = self._wait(lambda: reader.exited, end)
        if late:
            self._end(reader)
        return PipeOutcome(
            writer.outcome(ended or late), reader.outcome(ended or late), bool(cut_short)
        )

    def _require(self, command: Command) -> None:
        for program in command.programs:
            if not self.has(program):
                where = INSTALL.get(program, "")
                hint = f"; install it: {where}" if where else ""
                raise ToolMissing(f"the program {program} is not installed in this image{hint}")

    def _start(
        self, command: Command, *, stdin: int, stdout: int, kept: _Kept | None = None
    ) -> _Child:
        _log.info("starting %s", self._redact(" ".join(command.argv)))
        process = subprocess.Popen(  # noqa: S603 -- argv is built by us, without a shell
            command.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**self._environ, **command.env},
            cwd=self._cwd,
            process_group=0,
        )
        return _Child(process, command.tool, self._redact, self.stop.condition, kept or _Kept())

    def _moment(self, timeout: float | None) -> float | None:
        return None if timeout is None else self._clock.monotonic() + timeout

    def _wait(self, done: Callable[[], bool], end: float | None) -> Ended:
        """Until it is done; at most to the moment ``end``, or until we are told to stop."""
        with self.stop.condition:
            while not done():
                if self.stop:
                    return "stop"
                left = None if end is None else end - self._clock.monotonic()
                if left is not None and left <= 0:
                    return "deadline"
                self._clock.wait(self.stop.condition, left)
        return ""

    def _end(self, child: _Child) -> bool:
        """End the process group, ever less gently. False when the child had ended by itself."""
        if child.exited:
            return False
        for number, grace in _GRACE:
            _signal(child, number)
            if child.join(grace):
                break
        _signal(child, signal.SIGKILL)  # children that it left behind
        return True


@attrs.frozen
class _Kept:
    """What becomes of the output: kept, at most so many bytes of it, or given away by lines."""

    most: int | None = None
    each_line: Callable[[str], None] | None = None


class _Child:
    """A started process with threads that read what it prints and wait for it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        tool: str,
        redact: Redactor,
        condition: threading.Condition,
        kept: _Kept,
    ) -> None:
        self._process = process
        self._kept = kept
        self._tool = tool
        self._redact = redact
        self._condition = condition
        self._stdout = bytearray()
        self._stderr = Lines()
        self._threads = [
            threading.Thread(target=self._read_stdout, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(process.stderr,), daemon=True),
        ]
        self._waiter = threading.Thread(target=self._reap, daemon=True)
        self.exit_code = -1
        self.exited = False
        for thread in (*self._threads, self._waiter):
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def join(self, timeout: float | None) -> bool:
        """Wait for so many seconds; whether it has ended."""
        self._waiter.join(timeout)
        return self.exited

    def outcome(self, ended_by: Ended) -> Outcome:
        self._waiter.join()
        return Outcome(
            self.exit_code,
            self._stdout.decode(errors="replace"),
            str(self._stderr),
            ended_by,
        )

    def _reap(self) -> None:
        exit_code = self._process.wait()
        for thread in self._threads:
            thread.join(_DRAIN)  # a grandchild may hold the pipe open
        with self._condition:
            self.exit_code, self.exited = exit_code, True
            self._condition.notify_all()

    def _read_stdout(self, stream: IO[bytes] | None) -> None:
        if stream is None:
            return
        with stream:
            if self._kept.each_line is not None:
                for line in stream:
                    self._kept.each_line(line.decode(errors="replace"))
            while chunk := os.read(stream.fileno(), 65536):
                room = (
                    len(chunk) if self._kept.most is None else self._kept.most - len(self._stdout)
                )
                self._stdout += chunk[: max(0, room)]

    def _read_stderr(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in _lines(stream):
                line = self._redact(raw.decode(errors="replace").rstrip())
                self._stderr.add(line)
                _log.info("%s: %s", self._tool, line)


_DRAIN = 5.0
_LAST_WORDS = 1.0
_LONGEST_LINE = 8192


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines of at most 8 KiB: a program that never ends a line must not eat the memory."""
    while line := stream.readline(_LONGEST_LINE):
        yield line


class Lines:
    """The first and the last lines of a text: whole lines, bounded in number."""

    def __init__(self, first: int = 50, last: int = 200) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=last)
        self._room = first
        self._left_out = 0

    def add(self, line: str) -> None:
        if len(self._first) < self._room:
            self._first.append(line)
            return
        self._left_out += len(self._last) == self._last.maxlen
        self._last.append(line)

    def __str__(self) -> str:
        gap = [f"({self._left_out} lines left out)"] if self._left_out else []
        return "\n".join([*self._first, *gap, *self._last])


def _signal(child: _Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
