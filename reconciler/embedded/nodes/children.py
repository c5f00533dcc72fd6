"""The processes of containers: started, waited for, stopped; each with a log file.

Called by ``process``. Every process leads its own group, so that what it starts is stopped with it.
``on_exit`` is called in another thread. Start processes only from a thread that lives as long as
they may: the kernel kills them when the thread that made them ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from reconciler.embedded.nodes.runtime import Exit, Waiting
from reconciler.embedded.nodes.sandbox import Launch
from reconciler.engine.clock import Clock

START_PAUSE = 0.02
"""Seconds between two looks for the command in a sandbox that is still being made."""
KILL_LIMIT = 5.0
"""Seconds until a killed process must be gone; after that it is the kernel's (a hung disk)."""


class Child:
    """One attempt of one container."""

    def __init__(
        self, launch: Launch, log: Path, clock: Clock, on_exit: Callable[[], None]
    ) -> None:
        """Raises Waiting (``RunContainerError``) when the program cannot be started."""
        self.launch, self.log = launch, log
        self.exit: Exit | None = None
        self._clock, self._on_exit = clock, on_exit
        self._ended = threading.Condition()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()
        threading.Thread(target=self._wait, daemon=True, name="container-wait").start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            try:
                return subprocess.Popen(  # noqa: S603 -- running it is what a node is for
                    list(self.launch.argv),
                    env=dict(self.launch.environment),
                    cwd=self.launch.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                program = self.launch.argv[0]
                text = f"cannot run {program}: {error.strerror}"
                raise Waiting("RunContainerError", text) from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait(self) -> None:
        code = self._process.wait()
        number = -code if code < 0 else code - 128 if 128 < code <= 128 + 64 else 0
        self._end_the_rest()
        with self._ended:
            self.exit = Exit(128 - code if code < 0 else code, self._clock.now(), signal=number)
            self._ended.notify_all()
        self._on_exit()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        deadline = self._clock.monotonic() + seconds
        with self._ended:
            while self.exit is None:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    return False
                self._clock.wait(self._ended, left)
        return True

    def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds. Blocks until it has ended."""
        self.terminate()
        if not self.wait(grace):
            self.kill()

    def terminate(self) -> None:
        """SIGTERM to the container's own first process, not to the sandbox around it."""
        pid = self._command() if self.sandboxed else self.pid
        while pid is None and not self.wait(START_PAUSE):  # the sandbox is still being made
            pid = self._command()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything in it. Blocks until it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(KILL_LIMIT)

    def _end_the_rest(self) -> None:
        """Kill what the ended process left behind, and wait until that is gone too."""
        left = [pid for pid, _, group in _processes() if group == self.pid]
        if left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        for pid in left:
            _await_end(pid)

    @property
    def sandboxed(self) -> bool:
        return self.launch.argv[0].endswith("bwrap")

    def _command(self) -> int | None:
        """What the sandbox's init started: bubblewrap itself passes no signals on."""
        for init in _children_of(self.pid):
            if command := _children_of(init):
                return command[0]
        return None


def _await_end(pid: int) -> None:
    """Block until a process that is not our child is gone; at most ``KILL_LIMIT``."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            select.select([descriptor], [], [], KILL_LIMIT)
        finally:
            os.close(descriptor)


def _children_of(parent: int) -> list[int]:
    return [pid for pid, found, _ in _processes() if found == parent]


def _processes() -> list[tuple[int, int, int]]:
    """(pid, parent, process group) of every process; without ``/proc`` none."""
    entries = sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name))
    return [(int(entry.name), *_parent_and_group(entry)) for entry in entries]


def _parent_and_group(entry: Path) -> tuple[int, int]:
    with contextlib.suppress(OSError):
        # The name in parentheses may hold anything; the fields after it are plain.
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), int(fields[2])
    return -1, -1
