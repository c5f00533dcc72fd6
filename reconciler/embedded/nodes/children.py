"""The processes of containers: started, waited for, stopped; each with a log file.

Called by ``process``. Every process leads its own group, so that what it starts is stopped with it.
``on_exit`` is called in another thread. Start processes only from a thread that lives as long as
they may: the kernel kills them when the thread that made them ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from reconciler.embedded.nodes.runtime import Exit, Waiting
from reconciler.embedded.nodes.sandbox import Launch
from reconciler.engine.clock import Clock


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
        self._signal_group(signal.SIGKILL)  # what it left behind goes with it
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
        sandboxed = self.launch.argv[0].endswith("bwrap")
        for pid in _command_in_sandbox(self.pid) if sandboxed else [self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything in it."""
        self._signal_group(signal.SIGKILL)
        self.wait(5)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _command_in_sandbox(bwrap: int) -> list[int]:
    """The process that bubblewrap's init started: bubblewrap itself passes no signals on."""
    for init in _children_of(bwrap):
        if command := _children_of(init):
            return command[:1]
        return [init]
    return []


def _children_of(parent: int) -> list[int]:
    entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return sorted(int(entry.name) for entry in entries if _parent_of(entry) == parent)


def _parent_of(entry: Path) -> int:
    with contextlib.suppress(OSError):
        # The name in parentheses may hold anything; the fields after it are plain.
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return -1
