"""Waiting for a signal: SIGINT and SIGTERM become an event that a command waits for.

Used by the commands that run until they are told to stop. Must be used in the main thread.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def until_told_to_stop() -> Iterator[threading.Event]:
    """An event that is set by the first signal; a second Ctrl-C interrupts as usual."""
    told = threading.Event()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        told.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
