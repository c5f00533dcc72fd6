"""The life of one Pod on a node, and its status as a kubelet writes it.

Held by ``node.Node``, one per Pod uid; drives a ``Runtime``. Rules (Kubernetes, Pod Lifecycle):
init containers run one after another to success; then all containers run; ``restartPolicy`` says
what follows an end; a deleted Pod gets its grace period and goes when nothing runs any more. Not
there: init containers that go on running (``restartPolicy: Always`` of a container), readiness
gates.
"""

from __future__ import annotations

import datetime as dt

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded.controllers.pods import FINISHED, moment, timestamp
from reconciler.embedded.nodes.container import RETRY, ContainerLife, Said
from reconciler.embedded.nodes.runtime import Runtime, Waiting

DEFAULT_GRACE = 30
"""``terminationGracePeriodSeconds`` where the Pod has none."""


def _lives(pod: JsonObject, part: str) -> dict[str, ContainerLife]:
    known = {
        entry["name"]: entry for entry in pod.get("status", {}).get(f"{part[:-1]}Statuses") or ()
    }
    return {
        container["name"]: ContainerLife.found(container["name"], known.get(container["name"]))
        for container in pod["spec"].get(part) or ()
    }


@attrs.define
class PodLife:
    """What a node knows of one Pod."""

    pod: JsonObject
    init: dict[str, ContainerLife]
    main: dict[str, ContainerLife]
    started_at: dt.datetime
    ip: str = ""
    problem: Waiting | None = None
    retry_at: dt.datetime | None = None
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    gone: bool = False
    said: list[Said] = attrs.field(factory=list)

    @classmethod
    def of(cls, pod: JsonObject, now: dt.datetime) -> PodLife:
        """The life as the Pod's status tells it; a new Pod starts now."""
        status = pod.get("status", {})
        begun = status.get("startTime")
        return cls(
            pod=pod,
            init=_lives(pod, "initContainers"),
            main=_lives(pod, "containers"),
            started_at=moment(begun) if begun else now,
            phase=status.get("phase", "Pending"),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
        )

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED

    def sync(self, pod: JsonObject, runtime: Runtime, now: dt.datetime) -> None:
        """Bring the Pod one step on. Call it whenever something may have changed."""
        self.pod = pod
        if self.finished:
            self.gone = bool(pod["metadata"].get("deletionTimestamp"))
            return
        self._observe(runtime)
        if pod["metadata"].get("deletionTimestamp"):
            self._end(runtime)
        elif self._overdue(now):
            self._fail_by_deadline(runtime)
        elif self._prepared(runtime, now) and self._initialised(runtime, now):
            self._run(runtime, now)

    def _observe(self, runtime: Runtime) -> None:
        for part, lives in (("initContainers", self.init), ("containers", self.main)):
            for container in self.pod["spec"].get(part) or ():
                lives[container["name"]].observe(runtime, self.pod, container)

    def tell(self) -> list[Said]:
        """What happened since the last call."""
        told = [*self.said]
        self.said.clear()
        for life in self._all():
            told += life.said
            life.said.clear()
        return told

    def _all(self) -> list[ContainerLife]:
        return [*self.init.values(), *self.main.values()]

    def _end(self, runtime: Runtime) -> None:
        """Deletion: stop what runs; the Pod is gone when nothing does."""
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds", self._grace())
        self._stop_all(runtime, grace)
        self.gone = not any(life.running for life in self._all())

    def _stop_all(self, runtime: Runtime, grace: float) -> None:
        uid = self.pod["metadata"]["uid"]
        for life in self._all():
            life.stop(runtime, uid, grace)
            if life.stopping and life.running:  # a stop may take effect at once
                life.exit = runtime.poll(uid, life.name)

    def _grace(self) -> float:
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE))

    def deadline(self) -> dt.datetime | None:
        """When ``activeDeadlineSeconds`` is over."""
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        return None if seconds is None else self.started_at + dt.timedelta(seconds=seconds)

    def _overdue(self, now: dt.datetime) -> bool:
        deadline = self.deadline()
        return deadline is not None and now >= deadline

    def _fail_by_deadline(self, runtime: Runtime) -> None:
        self._stop_all(runtime, self._grace())
        self.reason = "DeadlineExceeded"
        self.message = "Pod was active on the node longer than the specified deadline"
        if not any(life.running for life in self._all()):
            self.phase = "Failed"

    def _prepared(self, runtime: Runtime, now: dt.datetime) -> bool:
        if self.ip:
            return True
        if self.retry_at is not None and now < self.retry_at:
            return False
        try:
            self.ip = runtime.prepare(self.pod)
        except Waiting as problem:
            self.problem, self.retry_at = problem, now + RETRY
            self.said.append(Said(problem.reason, problem.message, warning=True))
            return False
        self.problem = self.retry_at = None
        return True

    def _initialised(self, runtime: Runtime, now: dt.datetime) -> bool:
        if any(life.begun for life in self.main.values()):
            return True
        for container in self.pod["spec"].get("initContainers") or ():
            life = self.init[container["name"]]
            if life.succeeded():
                continue
            if life.exit is not None and self._policy() == "Never":
                self.phase = "Failed"
                return False
            life.start(runtime, self.pod, container, now)
            return False
        return True

    def _policy(self) -> str:
        return str(self.pod["spec"].get("restartPolicy", "Always"))

    def _run(self, runtime: Runtime, now: dt.datetime) -> None:
        for container in self.pod["spec"].get("containers") or ():
            life = self.main[container["name"]]
            if life.running and not life.stopping and not runtime.healthy(self.pod, container):
                text = f"Container {life.name} failed its liveness or startup probe"
                self.said.append(Said("Unhealthy", text, warning=True))
                life.stop(runtime, self.pod["metadata"]["uid"], self._grace())
            elif not life.running and self._runs_again(life):
                life.stopping = False
                life.start(runtime, self.pod, container, now)
        self._settle_phase()

    def _runs_again(self, life: ContainerLife) -> bool:
        """Whether a container that does not run is to be started (again)."""
        if life.exit is None or self._policy() == "Always":
            return True
        return self._policy() == "OnFailure" and life.exit.code != 0

    def _settle_phase(self) -> None:
        lives = list(self.main.values())
        if not all(life.begun for life in lives):
            return
        ended = [life for life in lives if life.exit is not None and not self._runs_again(life)]
        if len(ended) < len(lives):
            self.phase = "Running"
        else:
            self.phase = "Succeeded" if all(life.succeeded() for life in ended) else "Failed"

    def next_due(self) -> dt.datetime | None:
        """When this Pod must be looked at again though nothing happened."""
        if self.finished or self.reason or self.pod["metadata"].get("deletionTimestamp"):
            return None
        moments = [life.retry_at for life in self._all()]
        moments += [self.retry_at, self.deadline()]
        return min((at for at in moments if at is not None), default=None)

    def status(self, host_ip: str, now: dt.datetime) -> JsonObject:
        """The Pod's whole status."""
        made: JsonObject = {
            "phase": self.phase,
            "conditions": self._conditions(now),
            "hostIP": host_ip,
            "startTime": timestamp(self.started_at),
            "qosClass": "BestEffort",
            "containerStatuses": self._statuses("containers", self.main, init=False),
        }
        if self.init:
            made["initContainerStatuses"] = self._statuses("initContainers", self.init, init=True)
        if self.ip:
            made["podIP"] = self.ip
            made["podIPs"] = [{"ip": self.ip}]
        texts = {"reason": self.reason, "message": self.message}
        return {**made, **{name: text for name, text in texts.items() if text}}

    def _statuses(
        self, part: str, lives: dict[str, ContainerLife], *, init: bool
    ) -> list[JsonObject]:
        made = []
        for container in self.pod["spec"].get(part) or ():
            entry = lives[container["name"]].status(container, init=init)
            if not init and self.ip and "waiting" in entry["state"] and self._initialising():
                entry["state"]["waiting"] = {"reason": "PodInitializing"}
            if self.problem is not None and "waiting" in entry["state"]:
                text = f"{self.problem.reason}: {self.problem.message}"
                entry["state"]["waiting"] = {"reason": "ContainerCreating", "message": text}
            made.append(entry)
        return made

    def _conditions(self, now: dt.datetime) -> list[JsonObject]:
        pending = [name for name, life in self.init.items() if not life.succeeded()]
        initialised = not self._initialising()
        unready = [name for name, life in self.main.items() if not life.ready]
        why = (
            ("PodCompleted", "")
            if self.phase == "Succeeded"
            else ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        )
        incomplete = (
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(pending)}]",
        )
        return [
            self._condition("Initialized", now, *incomplete, value=initialised),
            self._condition("Ready", now, *why, value=not unready),
            self._condition("ContainersReady", now, *why, value=not unready),
            self._condition("PodScheduled", now, "", "", value=True),
        ]

    def _initialising(self) -> bool:
        done = all(life.succeeded() for life in self.init.values())
        return not done and not any(life.begun for life in self.main.values())

    def _condition(
        self, kind: str, now: dt.datetime, reason: str, message: str, *, value: bool
    ) -> JsonObject:
        """Its transition time is kept from the status that the API server has."""
        status = "True" if value else "False"
        since = timestamp(now)
        for entry in self.pod.get("status", {}).get("conditions") or ():
            if entry["type"] == kind and entry["status"] == status:
                since = entry["lastTransitionTime"]
        made: JsonObject = {"type": kind, "status": status, "lastTransitionTime": since}
        if not value:
            made |= {"reason": reason} if reason else {}
            made |= {"message": message} if message else {}
        return made
