"""The one seam between Tandem and an API server: a request goes in, a response comes out.

``kubernetes_transport`` speaks to a real server with the ``kubernetes`` package's configuration,
authentication and connection pool; the embedded server is called directly, in-process, with the
same Request. Bodies are JSON values, not bytes: who speaks HTTP encodes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import attrs

from reconciler.api.resources import JsonObject

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"


@attrs.frozen
class Request:
    """An HTTP request to an API server. ``query`` values are strings as in the URL."""

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    user: str = "system:admin"
    """Who asks; only the embedded server's in-process callers set it."""


@attrs.frozen
class Response:
    """The answer: an HTTP status and a JSON value (an object, a list or a Status), or text."""

    status: int
    body: Any
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class WatchEvent:
    """One line of a watch: ``type`` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: JsonObject


class StreamEnded(Exception):  # noqa: N818 -- a normal event in a watch's life
    """The server closed the watch in good order; watch again from the last resourceVersion."""


class WatchStream(Protocol):
    """An open watch."""

    def next(self, timeout: float | None) -> WatchEvent | None:
        """The next event; None when none came within ``timeout`` seconds (0: do not block).

        Raises StreamEnded when the server closed the stream, ApiUnavailable when it broke.
        """

    def close(self) -> None:
        """End the watch; idempotent, callable from another thread."""


@attrs.frozen
class Command:
    """A command for a running container: ``pods/exec`` without input and terminal.

    ``timeout`` is in seconds; None waits for as long as it runs.
    """

    namespace: str
    pod: str
    container: str
    argv: tuple[str, ...]
    timeout: float | None = None

    def __str__(self) -> str:
        """The place, not the command: its arguments may hold what is nobody's business."""
        return f"Pod {self.namespace}/{self.pod}, container {self.container}"


@attrs.frozen
class ExecResult:
    """How a command ended. Of each stream the last ``OUTPUT_LIMIT`` bytes are kept, as text."""

    exit_code: int
    stdout: str
    stderr: str


OUTPUT_LIMIT = 1024 * 1024
"""Bytes kept of each stream: an error stands at the end, and nothing may fill the memory."""


class Transport(Protocol):
    """What the client needs from below."""

    def send(self, request: Request) -> Response:
        """Raises ApiUnavailable when no answer came. HTTP errors are answers, not exceptions."""

    def watch(self, request: Request) -> WatchStream:
        """Open a watch (the query holds watch=true); HTTP errors raise the typed error."""

    def stream(self, request: Request) -> Iterator[bytes]:
        """The body of the answer as it comes, such as a followed log. Raises the typed error."""

    def exec(self, command: Command) -> ExecResult:
        """Run it and wait. Raises NotFound, ApiUnavailable, TerminalError (also TimedOut)."""
