"""Reading the log files of containers, for ``kubectl logs``.

Called by ``process``. Each attempt of a container has a file ``<number>.log``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from reconciler.embedded.nodes.runtime import Exit

CHUNK = 64 * 1024
PAUSE = 0.2
"""Seconds between two looks at a log that is followed."""


class Attempt(Protocol):
    """The process that writes the log."""

    exit: Exit | None

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""


def latest(folder: Path) -> Path:
    """The file of the latest attempt (which may not be there yet)."""
    attempts = [int(path.stem) for path in folder.glob("*.log") if path.stem.isdecimal()]
    return folder / f"{max(attempts, default=0)}.log"


def follow(path: Path, attempt: Attempt | None) -> Iterator[bytes]:
    """The file's content; with ``attempt`` also what is written until that ends."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while True:
            # Asked before reading: what was written before the end must not be missed.
            ended = attempt is None or attempt.wait(PAUSE)
            while chunk := file.read(CHUNK):
                yield chunk
            if ended:
                return
