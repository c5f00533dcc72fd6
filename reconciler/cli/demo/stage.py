"""What every step of the demo stands on: the cluster, a way to wait, and a diagnosis on failure.

Made by ``command``, used by ``story`` and ``evidence``. Every wait has an end, and says then what
was missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from reconciler.api.resources import PODS, JsonObject
from reconciler.cli.demo import application
from reconciler.cli.demo.progress import Progress
from reconciler.cluster.port import Port
from reconciler.cluster.transport import Request, Transport
from reconciler.engine.clock import Clock
from reconciler.errors import TemporaryError

T = TypeVar("T")
INTERVAL: Final = 0.25
"""Seconds between two looks."""
LOG_LINES: Final = 5
"""So many last lines of a log are shown when something failed."""


@attrs.frozen
class Stage:
    """The running cluster as the demo sees it."""

    port: Port
    transport: Transport
    clock: Clock
    progress: Progress
    told_to_stop: threading.Event

    def until(self, look: Callable[[], T | None], what: str, seconds: float) -> T:
        """The first answer of ``look`` that is not None.

        Raises TemporaryError, saying what did not happen and what the pods say, after ``seconds``.
        """
        give_up = self.clock.monotonic() + seconds
        while (found := look()) is None:
            if self.told_to_stop.is_set():
                raise KeyboardInterrupt
            if self.clock.monotonic() > give_up:
                raise TemporaryError(
                    f"{what}: not within {seconds:.0f} s; {self.diagnosis() or 'no pod complains'}"
                )
            self.clock.sleep(INTERVAL)
        return found

    def pods(self, label_selector: str = "") -> list[JsonObject]:
        """The demo's pods."""
        return self.port.list(PODS, application.NAMESPACE, label_selector=label_selector).items

    def log(self, pod: str, container: str = "") -> list[str]:
        """A container's log, line by line; empty when there is none (yet)."""
        query = {"container": container} if container else {}
        path = PODS.path(application.NAMESPACE, pod, "log")
        answer = self.transport.send(Request("GET", path, query=query))
        return str(answer.body).splitlines() if answer.status == 200 else []

    def diagnosis(self) -> str:
        """What the pods that do not run well say, on one line."""
        return "; ".join(line for pod in self.pods() for line in self._complaints(pod))

    def _complaints(self, pod: JsonObject) -> list[str]:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        found = []
        for entry in status.get("containerStatuses") or ():
            state = entry.get("state") or {}
            ended, waits = state.get("terminated"), state.get("waiting")
            if ended and ended.get("exitCode"):
                last = " | ".join(self.log(name, entry["name"])[-LOG_LINES:])
                found.append(f"pod {name} ended with {ended['exitCode']}: {last}")
            elif waits:
                found.append(f"pod {name} waits: {waits['reason']} {waits.get('message', '')}")
        return found
