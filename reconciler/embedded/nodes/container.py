"""The life of one container: waiting, running, terminated, and started again with back-off.

Held by ``pod.PodLife``; it drives a ``Runtime`` and reports like a kubelet (``containerStatuses``).
The back-off is the kubelet's: the first restart is at once, then 10 s, doubled up to 5 min, and
forgotten after 10 min of running.
"""

from __future__ import annotations

import datetime as dt

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded.controllers.pods import moment, timestamp
from reconciler.embedded.nodes.runtime import Exit, Runtime, Waiting

FIRST_BACK_OFF = dt.timedelta(seconds=10)
LONGEST_BACK_OFF = dt.timedelta(minutes=5)
GOOD_RUN = dt.timedelta(minutes=10)
RETRY = dt.timedelta(seconds=2)
"""When a container that could not be started is tried again (a missing Secret may have come)."""


@attrs.frozen
class Said:
    """Something worth an Event, in the kubelet's words."""

    reason: str
    message: str
    warning: bool = False


@attrs.define
class ContainerLife:
    """What became of one container so far. Times are aware, in UTC."""

    name: str
    restarts: int = 0
    id: str = ""
    started_at: dt.datetime | None = None
    exit: Exit | None = None
    last: JsonObject | None = None
    waiting: Waiting = attrs.field(factory=lambda: Waiting("ContainerCreating", ""))
    retry_at: dt.datetime | None = None
    back_off: dt.timedelta = dt.timedelta(0)
    ready: bool = False
    stopping: bool = False
    said: list[Said] = attrs.field(factory=list)
    """What happened and was not yet told: the matter of Events."""

    @classmethod
    def found(cls, name: str, status: JsonObject | None) -> ContainerLife:
        """The life as an earlier node left it; the runtime will say that what ran is lost."""
        life = cls(name)
        if status is None:
            return life
        life.restarts = int(status.get("restartCount", 0))
        life.last = status.get("lastState") or None
        state = status.get("state") or {}
        if "terminated" in state:
            life._take(status, state["terminated"])
        elif "running" in state:
            life.id = str(status.get("containerID", ""))
            life.started_at = moment(state["running"]["startedAt"])
        elif life.last is not None:
            life._take(status, life.last["terminated"])
        return life

    def _take(self, status: JsonObject, ended: JsonObject) -> None:
        self.id = str(ended.get("containerID") or status.get("containerID", ""))
        self.started_at = moment(ended["startedAt"])
        self.exit = Exit(ended["exitCode"], moment(ended["finishedAt"]), ended.get("reason", ""))

    @property
    def running(self) -> bool:
        return self.started_at is not None and self.exit is None

    @property
    def begun(self) -> bool:
        """Whether it was ever started."""
        return self.started_at is not None

    def succeeded(self) -> bool:
        return self.exit is not None and self.exit.code == 0

    def observe(self, runtime: Runtime, pod: JsonObject, container: JsonObject) -> None:
        """Take in what happened since: an end, or a change of readiness."""
        if not self.running:
            return
        self.exit = runtime.poll(pod["metadata"]["uid"], self.name)
        if self.exit is None and not self.stopping:
            self.ready = runtime.probe(pod, container)
        else:
            self.ready = False

    def start(
        self, runtime: Runtime, pod: JsonObject, container: JsonObject, now: dt.datetime
    ) -> None:
        """Start it, or start it again, unless it has to wait."""
        if self.running or (self.retry_at is not None and now < self.retry_at):
            return
        if self.exit is not None and self.retry_at is None and self._must_wait(pod, now):
            return
        attempt = self.restarts + (1 if self.exit is not None else 0)
        try:
            identity = runtime.start(pod, container, attempt)
        except Waiting as problem:
            self.waiting, self.retry_at = problem, now + RETRY
            self.said.append(Said("Failed", str(problem), warning=True))
            return
        if self.exit is not None:
            self.last = {"terminated": self._terminated(self.exit)}
        self.restarts, self.id = attempt, identity
        self.started_at, self.exit, self.retry_at = now, None, None
        self.ready = runtime.probe(pod, container)
        self.said.append(Said("Started", f"Started container {self.name}"))

    def _must_wait(self, pod: JsonObject, now: dt.datetime) -> bool:
        """Enter ``CrashLoopBackOff`` after the second end in a row."""
        if self.exit is None or self.started_at is None:
            return False
        if self.exit.at - self.started_at >= GOOD_RUN:
            self.back_off = dt.timedelta(0)
        wait = self.back_off
        self.back_off = min(max(FIRST_BACK_OFF, wait * 2), LONGEST_BACK_OFF)
        self.retry_at = self.exit.at + wait
        meta = pod["metadata"]
        self.waiting = Waiting(
            "CrashLoopBackOff",
            f"back-off {int(wait.total_seconds())}s restarting failed container={self.name} "
            f"pod={meta['name']}_{meta.get('namespace', '')}({meta['uid']})",
        )
        if now < self.retry_at:
            self.said.append(Said("BackOff", self.waiting.message, warning=True))
        return now < self.retry_at

    def stop(self, runtime: Runtime, uid: str, grace: float) -> None:
        """Ask a running container to end; once."""
        if self.running and not self.stopping:
            self.stopping, self.ready = True, False
            self.said.append(Said("Killing", f"Stopping container {self.name}"))
            runtime.stop(uid, self.name, grace)

    def _terminated(self, ended: Exit) -> JsonObject:
        made: JsonObject = {
            "exitCode": ended.code,
            "reason": ended.reason or ("Error" if ended.code else "Completed"),
            "startedAt": timestamp(self.started_at or ended.at),
            "finishedAt": timestamp(ended.at),
            "containerID": self.id,
        }
        if ended.message:
            made["message"] = ended.message
        if ended.signal:
            made["signal"] = ended.signal
        return made

    def status(self, container: JsonObject, *, init: bool) -> JsonObject:
        """The entry of ``containerStatuses`` (or of ``initContainerStatuses``)."""
        state, last = self._states()
        made: JsonObject = {
            "name": self.name,
            "image": container.get("image", ""),
            "imageID": container.get("image", ""),
            "ready": self.succeeded() if init else self.ready,
            "restartCount": self.restarts,
            "started": self.running,
            "state": state,
            "lastState": last,
        }
        if self.id:
            made["containerID"] = self.id
        return made

    def _states(self) -> tuple[JsonObject, JsonObject]:
        if self.running and self.started_at is not None:
            return {"running": {"startedAt": timestamp(self.started_at)}}, self.last or {}
        if self.exit is None:
            return {"waiting": self._waiting()}, self.last or {}
        if self.retry_at is not None:
            return {"waiting": self._waiting()}, {"terminated": self._terminated(self.exit)}
        return {"terminated": self._terminated(self.exit)}, self.last or {}

    def _waiting(self) -> JsonObject:
        message = {"message": self.waiting.message} if self.waiting.message else {}
        return {"reason": self.waiting.reason, **message}
