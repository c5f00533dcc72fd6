"""A tiny HTTP server for /healthz, /readyz and /metrics. Used by ``tandem run``; off by default.

It serves text that others make; it knows neither the loop nor the metrics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"


@attrs.frozen
class Page:
    """An answer. ``status`` is an HTTP status."""

    text: str
    status: int = 200
    content_type: str = PLAIN


Pages = Mapping[str, Callable[[], Page]]


def pages(
    *,
    problems: Callable[[], tuple[str, ...]],
    ready: Callable[[], bool],
    metrics: Callable[[], str],
    state: Callable[[], str] = str,
) -> Pages:
    """Kubernetes' usual three: alive while we answer, ready while nothing is wrong.

    ``state``: a few words for people, such as why somebody who is ready does nothing; "" is none.
    """

    def readyz() -> Page:
        found = problems()
        said = [*found, *filter(None, [state()])]
        if found or not ready():
            return Page("\n".join(("not ready", *said)) + "\n", status=503)
        return Page("\n".join(("ok", *said)) + "\n")

    return {
        "/healthz": lambda: Page("ok\n"),
        "/readyz": readyz,
        "/metrics": lambda: Page(metrics(), content_type=PROMETHEUS),
    }


class HealthServer:
    """Serves ``pages`` until ``stop``. ``port`` 0 takes a free one."""

    def __init__(self, served: Pages, *, host: str = "", port: int = 0) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(served))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(served: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        wbufsize = 65536  # head and body in one packet: two small ones wait 40 ms for each other

        def do_GET(self) -> None:
            make = served.get(self.path.partition("?")[0])
            self._answer(make() if make else Page("not found\n", status=404))

        def _answer(self, page: Page) -> None:
            body = page.text.encode()
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as inherited
            """A probe every few seconds is no news."""

    return Handler
