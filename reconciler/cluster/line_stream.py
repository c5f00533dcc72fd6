"""A watch over HTTP: JSON lines, read by a thread of its own.

An HTTP body cannot be read with a timeout and read on afterwards, so a pump thread reads it and
``next`` waits for the pump. Made by ``kubernetes_transport``.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

import orjson
import urllib3

from reconciler.cluster.transport import StreamEnded, WatchEvent
from reconciler.errors import ApiUnavailable

AHEAD = 1000
"""Events read ahead of the consumer; then the server is made to wait (TCP back-pressure)."""

CHUNK = 65536


class LineStream:
    """``reconciler.cluster.transport.WatchStream`` over an open response."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer
        self._read: queue.Queue[WatchEvent | Exception] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._end: Exception | None = None
        threading.Thread(target=self._pump, name="watch", daemon=True).start()

    def next(self, timeout: float | None) -> WatchEvent | None:
        if self._end is not None:
            raise self._end
        try:
            item = self._read.get(timeout != 0, timeout)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            self._end = item
            raise item
        return item

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it may have ended
                self._answer.shutdown()
            with contextlib.suppress(queue.Full):
                self._read.put_nowait(StreamEnded())  # wakes who waits in ``next``

    def _pump(self) -> None:
        try:
            for event in _events(self._answer):
                if not self._put(event):
                    return
            self._put(StreamEnded())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._put(ApiUnavailable(f"the watch broke: {type(error).__name__}"))
        finally:
            self._answer.close()

    def _put(self, item: WatchEvent | Exception) -> bool:
        """False when nobody wants it any more."""
        while not self._closed.is_set():
            try:
                self._read.put(item, timeout=1.0)
            except queue.Full:
                continue
            return True
        return False


def _events(answer: urllib3.BaseHTTPResponse) -> Iterator[WatchEvent]:
    """Raises ValueError for a line that is not JSON: the stream was cut."""
    rest = b""
    for chunk in answer.stream(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                event = orjson.loads(line)
                yield WatchEvent(event["type"], event["object"])
    if rest.strip():
        raise ValueError("the last line is incomplete")
