"""Commands that are run in containers: a process for the process node, an answer for the model.

Made by the nodes for ``pods/exec``; implements ``embedded.execs.Execution``. A process is killed
with its container and when its caller is gone, so that nothing outlives the cluster.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import signal
import struct
import subprocess
import termios
from typing import IO

from reconciler.cluster.transport import ExecResult
from reconciler.embedded import execs
from reconciler.embedded.execs import Call
from reconciler.embedded.nodes.sandbox import Launch


class Answered:
    """What a model says: it has ended already."""

    def __init__(self, result: ExecResult) -> None:
        self._code = result.exit_code
        self.stdin: IO[bytes] | None = io.BytesIO()
        self.stdout: IO[bytes] = io.BytesIO(result.stdout.encode())
        self.stderr: IO[bytes] | None = io.BytesIO(result.stderr.encode())

    def wait(self, seconds: float | None) -> int | None:
        del seconds
        return self._code

    def resize(self, width: int, height: int) -> None:
        """It has no terminal."""

    def kill(self) -> None:
        """It has ended."""

    def close(self) -> None:
        """Its streams are only memory."""


class Process:
    """A process of this machine, in a group of its own."""

    def __init__(self, launch: Launch, call: Call) -> None:
        """Raises Refusal when the program cannot be started."""
        self._killed = False
        self._terminal: int | None = None
        try:
            if call.tty:
                self._terminal, self._process = _on_terminal(launch)
            else:
                self._process = _on_pipes(launch, call)
        except OSError as error:
            message = f"cannot run {call.argv[0]}: {error.strerror}"
            raise execs.NotExecutable(message) from None
        if self._terminal is None:
            assert self._process.stdout is not None  # noqa: S101 -- it was asked for
            self.stdin: IO[bytes] | None = self._process.stdin
            self.stdout: IO[bytes] = self._process.stdout
            self.stderr: IO[bytes] | None = self._process.stderr
        else:
            self.stdin = os.fdopen(os.dup(self._terminal), "wb", buffering=0)
            self.stdout = _Screen(self._terminal)
            self.stderr = None

    def wait(self, seconds: float | None) -> int | None:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return 128 - code if code < 0 else code

    def resize(self, width: int, height: int) -> None:
        if self._terminal is not None:
            size = struct.pack("HHHH", height, width, 0, 0)
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def kill(self) -> None:
        if self._killed:
            return  # its number may be another's by now
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # input that was never read
                    stream.close()


def _on_terminal(launch: Launch) -> tuple[int, subprocess.Popen[bytes]]:
    outer, inner = os.openpty()
    # job control needs a terminal of its own; where util-linux is missing a shell does without
    setsid = shutil.which("setsid")
    try:
        return outer, subprocess.Popen(  # noqa: S603 -- running it is what a node is for
            [setsid, "--ctty", *launch.argv] if setsid else list(launch.argv),
            env={"TERM": "xterm", **launch.environment},
            cwd=launch.directory,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=setsid is None,
        )
    except OSError:
        os.close(outer)
        raise
    finally:
        os.close(inner)


def _on_pipes(launch: Launch, call: Call) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 -- running it is what a node is for
        list(launch.argv),
        env=dict(launch.environment),
        cwd=launch.directory,
        stdin=subprocess.PIPE if call.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


class _Screen(io.FileIO):
    """The output side of a terminal, which ends with an error where a pipe ends with nothing."""

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return os.read(self.fileno(), size if size and size > 0 else execs.CHUNK)
        except OSError:
            return b""
