"""What a node asks of the thing that runs containers.

Implemented by the virtual node's model and by the process node; called by ``node.Node`` only.
"""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import attrs

from reconciler.api.resources import JsonObject, Resource


@attrs.frozen
class Exit:
    """How a container ended. ``reason`` is Kubernetes' (``Completed``, ``Error``)."""

    code: int
    at: dt.datetime
    reason: str = ""
    message: str = ""
    signal: int = 0


def lost(now: dt.datetime) -> Exit:
    """The end of a container that an earlier node started: nobody knows what became of it."""
    return Exit(137, now, "ContainerStatusUnknown", "The container was not found on the node")


class Waiting(Exception):  # noqa: N818 -- a state of a container, not a defect
    """The container cannot start yet: ``reason`` as Kubernetes names it (``ErrImagePull``)."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class Runtime(Protocol):
    """Runs containers, addressed by the Pod's uid and the container's name."""

    watches: tuple[Resource, ...]
    """Resources whose changes it wants to hear of, by ``observe``."""

    def observe(self, resource: Resource, change: str, obj: JsonObject) -> None:
        """An object of ``watches`` was ADDED, MODIFIED or DELETED."""

    def changed(self) -> set[str]:
        """The uids of the Pods in which something happened since the last call."""

    def prepare(self, pod: JsonObject) -> str:
        """Make the Pod's sandbox (address, volumes); its IP. Idempotent. Raises Waiting."""

    def start(self, pod: JsonObject, container: JsonObject, attempt: int) -> str:
        """Start a container and return its id. Raises Waiting."""

    def poll(self, uid: str, container: str) -> Exit | None:
        """The end of the present attempt; None while it runs; ``lost`` when it is unknown here."""

    def probe(self, pod: JsonObject, container: JsonObject) -> bool:
        """Whether the running container is ready (its readiness probe, if it has one, succeeds)."""

    def healthy(self, pod: JsonObject, container: JsonObject) -> bool:
        """Whether its liveness and startup probes hold; False: restart it."""

    def stop(self, uid: str, container: str, grace: float) -> None:
        """Ask the container to end (SIGTERM); end it after ``grace`` seconds. Returns at once."""

    def remove(self, uid: str) -> None:
        """Forget the Pod; whatever still runs is killed, its sandbox is removed."""

    def close(self) -> None:
        """The node stops: end everything that runs."""

    def next_due(self) -> dt.datetime | None:
        """When something here changes by itself; None: only by the outside."""
