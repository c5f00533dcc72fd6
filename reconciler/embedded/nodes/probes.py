"""Readiness, liveness and startup probes of the process node (Kubernetes' defaults and thresholds).

Called by ``process``, one ``Prober`` per started container with probes; each runs in a thread of
its own and tells ``on_change`` when its verdict changes.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded.nodes.sandbox import Launch
from reconciler.engine.clock import Clock

Enter = Callable[[Sequence[str]], Launch]
"""A command -> how to run it where the container's mounts and environment are."""
_KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


@attrs.define
class _Verdict:
    """Consecutive results of one probe."""

    probe: JsonObject
    passed: bool
    streak: int = 0

    def take(self, result: bool) -> None:  # noqa: FBT001 -- the one thing that it takes
        self.streak = self.streak + 1 if result != self.passed else 0
        limit = self.probe.get("successThreshold" if result else "failureThreshold")
        if self.streak >= (limit or (1 if result else 3)):
            self.passed, self.streak = result, 0


class Prober:
    """The probes of one running container."""

    def __init__(
        self,
        container: JsonObject,
        address: str,
        clock: Clock,
        enter: Enter,
        *,
        on_change: Callable[[], None],
    ) -> None:
        self._container, self._address = container, address
        self._clock, self._enter, self._on_change = clock, enter, on_change
        self._stop = threading.Condition()
        self._stopped = False
        self._verdicts = {
            kind: _Verdict(container[kind], passed=kind == "livenessProbe")
            for kind in _KINDS
            if container.get(kind)
        }
        self._failed = False
        for kind in self._verdicts:
            threading.Thread(target=self._loop, args=(kind,), daemon=True, name="probe").start()

    @property
    def ready(self) -> bool:
        return self._started() and self._passed("readinessProbe")

    @property
    def healthy(self) -> bool:
        """False when the container must be restarted."""
        return not self._failed and (not self._started() or self._passed("livenessProbe"))

    def stop(self) -> None:
        """Idempotent; returns at once."""
        with self._stop:
            self._stopped = True
            self._stop.notify_all()

    def _started(self) -> bool:
        return self._passed("startupProbe")

    def _passed(self, kind: str) -> bool:
        return kind not in self._verdicts or self._verdicts[kind].passed

    def _loop(self, kind: str) -> None:
        verdict = self._verdicts[kind]
        probe = verdict.probe
        failures = 0
        wait = float(probe.get("initialDelaySeconds", 0))
        while self._sleep(wait):
            wait = float(probe.get("periodSeconds", 10))
            if kind != "startupProbe" and not self._started():
                wait = min(wait, 1.0)
                continue
            before = self.ready, self.healthy
            result = self._try(probe)
            verdict.take(result)
            failures = 0 if result else failures + 1
            if kind == "startupProbe" and failures >= probe.get("failureThreshold", 3):
                self._failed = True
            if (self.ready, self.healthy) != before:
                self._on_change()
            if kind == "startupProbe" and verdict.passed:
                return

    def _sleep(self, seconds: float) -> bool:
        """False when the prober was stopped."""
        deadline = self._clock.monotonic() + seconds
        with self._stop:
            while not self._stopped:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    return True
                self._clock.wait(self._stop, left)
        return False

    def _try(self, probe: JsonObject) -> bool:
        timeout = float(probe.get("timeoutSeconds", 1))
        try:
            if "exec" in probe:
                return self._execute(probe["exec"]["command"], timeout)
            if "httpGet" in probe:
                return self._fetch(probe["httpGet"], timeout)
            if "tcpSocket" in probe:
                place = probe["tcpSocket"]
                host = place.get("host") or self._address
                socket.create_connection((host, self._port(place["port"])), timeout).close()
                return True
        except (OSError, subprocess.SubprocessError, http.client.HTTPException, ValueError):
            return False
        return False

    def _execute(self, command: Sequence[str], timeout: float) -> bool:
        launch = self._enter(command)
        done = subprocess.run(  # noqa: S603 -- the Pod's own command
            list(launch.argv),
            env=dict(launch.environment),
            cwd=launch.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout + 1,  # making the sandbox takes its time too
            check=False,
        )
        return done.returncode == 0

    def _fetch(self, place: JsonObject, timeout: float) -> bool:
        host = place.get("host") or self._address
        kind = (
            http.client.HTTPSConnection
            if place.get("scheme") == "HTTPS"
            else http.client.HTTPConnection
        )
        connection = kind(host, self._port(place["port"]), timeout=timeout)
        try:
            headers = {each["name"]: each["value"] for each in place.get("httpHeaders") or ()}
            connection.request("GET", place.get("path") or "/", headers=headers)
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        named = {each.get("name"): each for each in self._container.get("ports") or ()}
        return int(named[port]["containerPort"]) if port in named else int(port)
