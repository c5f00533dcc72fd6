"""Reader, Writer, Watcher, Executor: what Tandem asks of a cluster, in Kubernetes' own terms.

The engine, the agent, the embedded controllers and the command line depend on these protocols;
``client.Client`` implements all four over a ``transport.Transport``. Every method may raise
``ApiUnavailable``, ``Forbidden`` and ``Rejected`` from ``reconciler.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import attrs

from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster.transport import ExecResult, WatchStream

Propagation = Literal["Background", "Foreground", "Orphan"]


@attrs.frozen
class Listing:
    """A consistent list: ``items`` as of ``resource_version``."""

    items: list[JsonObject]
    resource_version: str


class Reader(Protocol):
    def get(
        self, resource: Resource, namespace: str, name: str, *, subresource: str = ""
    ) -> JsonObject:
        """One object. Raises NotFound."""

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listing:
        """All objects, read in pages. Raises NotFound when the resource is not served."""

    def serves(self, resource: Resource) -> bool:
        """Whether the server's discovery lists the resource."""

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        since: str = "",
        tail: int | None = None,
    ) -> Iterator[str]:
        """The lines of a container's log; followed until the container ends. Raises NotFound.

        ``since`` is a moment (RFC 3339), ``tail`` the number of last lines. Rejected: the container
        has not started. ApiUnavailable, also in the midst of it.
        """

    def version(self) -> JsonObject:
        """What the API server says about itself."""


class Watcher(Protocol):
    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int | None = None,
    ) -> WatchStream:
        """Changes after ``resource_version``, with bookmarks. Raises Gone (also from ``next``)."""


class Writer(Protocol):
    def create(self, resource: Resource, obj: JsonObject) -> JsonObject:
        """Raises AlreadyExists."""

    def replace(self, resource: Resource, obj: JsonObject, *, subresource: str = "") -> JsonObject:
        """PUT. Raises NotFound, Conflict (when metadata.resourceVersion is set and old)."""

    def apply(
        self,
        resource: Resource,
        obj: JsonObject,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> JsonObject:
        """Server-side apply. Raises Conflict."""

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        *,
        content_type: str,
        subresource: str = "",
    ) -> JsonObject:
        """Merge, JSON or strategic patch. Raises NotFound, Conflict."""

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        """Raises NotFound, Conflict (the uid is another one's)."""

    def update_status(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[JsonObject], JsonObject | None],
    ) -> JsonObject:
        """Read, change, write /status with the resourceVersion read; again on Conflict.

        ``change`` gets the whole object (a copy) and returns the new status, or None to write
        nothing. So several writers of one status lose nothing. Raises NotFound, and
        ``ApiUnavailable`` when conflicts do not end.
        """


class Executor(Protocol):
    def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        timeout: float | None,
    ) -> ExecResult:
        """Run a command in a running container, without input, and wait for its end.

        A command that fails is a result, not an error. Raises NotFound (no such Pod),
        ApiUnavailable (no answer, the container does not run, the connection broke: the command may
        have run), TimedOut after ``timeout`` seconds (the command may go on), and TerminalError
        when the container cannot start it.
        """


class Port(Reader, Watcher, Writer, Executor, Protocol):
    """All of it."""


LabelMap = Mapping[str, str]
