"""``pods/exec``: which container is meant, and whether a command can run in it.

Called by ``server.Server``, for callers in this process, and by ``http_exec`` for those outside. A
node answers (``server.Server.on_exec``) with an ``Execution``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import IO, Protocol

import attrs

from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import OUTPUT_LIMIT, Command, ExecResult
from reconciler.embedded import logs, refusals
from reconciler.errors import TimedOut

_PATH = re.compile(r"^/api/v1/namespaces/(?P<namespace>[^/]+)/pods/(?P<pod>[^/]+)/exec/?$")
_TRUE = ("true", "1")
CHUNK = 64 * 1024


@attrs.frozen
class Call:
    """What is to be run, and which streams the caller wants."""

    argv: tuple[str, ...]
    container: str = ""
    stdin: bool = False
    tty: bool = False


class Execution(Protocol):
    """A running command. Its streams end when it does."""

    stdin: IO[bytes] | None
    stdout: IO[bytes]
    stderr: IO[bytes] | None

    def wait(self, seconds: float | None) -> int | None:
        """Its exit code; None when it still runs after so many seconds."""

    def resize(self, width: int, height: int) -> None:
        """The size of its terminal changed."""

    def kill(self) -> None:
        """End it and what it started. Idempotent."""

    def close(self) -> None:
        """Close its streams, when nobody reads them any more."""


Handler = Callable[[JsonObject, str, Call], Execution]
"""(Pod, container, call) -> the running command. Raises refusals.Refusal."""


def is_exec(path: str) -> bool:
    return _PATH.match(path) is not None


def subject(path: str) -> tuple[str, str]:
    """(namespace, pod)."""
    match = _PATH.match(path)
    if match is None:
        raise refusals.no_such_resource()
    return match["namespace"], match["pod"]


def call_of(query: Mapping[str, str], argv: tuple[str, ...]) -> Call:
    """The call that a URL describes. Raises Refusal."""
    if not argv:
        raise refusals.bad_request("you must specify at least one command for the pod")
    flags = {name: query.get(name) in _TRUE for name in ("stdin", "tty")}
    return Call(argv, query.get("container", ""), **flags)


def container(pod: JsonObject, call: Call) -> str:
    """The container, if it can take commands. Raises Refusal in a real API server's words."""
    phase = (pod.get("status") or {}).get("phase", "")
    if phase in ("Succeeded", "Failed"):
        message = f"cannot exec into a container in a completed pod; current phase is {phase}"
        raise refusals.bad_request(message)
    name = logs.container(pod, {"container": call.container} if call.container else {})
    if not pod["spec"].get("nodeName"):
        raise refusals.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return name


def not_running(name: str) -> refusals.Refusal:
    """A kubelet's answer, as the API server passes it on."""
    return refusals.Refusal(500, "InternalError", f'container not found ("{name}")')


class NotExecutable(refusals.Refusal):
    """The command cannot be started: told at the end of the stream, not as an HTTP status."""

    def __init__(self, message: str) -> None:
        told = f"error executing command in container: {message}"
        causes = {"causes": [{"message": told}]}
        super().__init__(500, "InternalError", f"Internal error occurred: {told}", causes)


def not_offered() -> refusals.Refusal:
    """No node that runs processes: the model answers only what it was told to."""
    return refusals.Refusal(
        501, "NotImplemented", "this node runs no commands in containers (pods/exec)"
    )


def status_of(code: int) -> JsonObject:
    """The ``Status`` that ends a command's streams."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def collect(execution: Execution, command: Command) -> ExecResult:
    """Wait for its end and keep the ends of its streams. Raises TimedOut, having killed it."""
    streams = [execution.stdout, *([execution.stderr] if execution.stderr else ())]
    kept = [bytearray() for _ in streams]
    readers = [
        threading.Thread(target=_read, args=pair, daemon=True, name="exec-read")
        for pair in zip(streams, kept, strict=True)
    ]
    for reader in readers:
        reader.start()
    code = execution.wait(command.timeout)
    execution.kill()  # what it left behind holds its streams open
    for reader in readers:
        reader.join()
    execution.close()
    if code is None:
        raise TimedOut(f"{command}: the command did not end within {command.timeout:g} s")
    texts = [bytes(each).decode("utf-8", "replace") for each in [*kept, bytearray()]]
    return ExecResult(code, texts[0], texts[1])


def _read(stream: IO[bytes], kept: bytearray) -> None:
    while chunk := stream.read(CHUNK):
        kept += chunk
        del kept[:-OUTPUT_LIMIT]
