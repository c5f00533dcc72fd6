"""The virtual node: Pods live by programs on the virtual clock, on one thread, deterministically.

Used by the simulation and by tests through ``EmbeddedCluster(node="virtual")``. A program says how
long a container runs and how it ends; nothing is executed. Without one, a container of a Job runs
for a second and succeeds, and any other runs for ever.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Callable, Sequence

import attrs

from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster.port import Port
from reconciler.cluster.transport import ExecResult
from reconciler.embedded import execs
from reconciler.embedded.controllers import ownership
from reconciler.embedded.execs import Call
from reconciler.embedded.nodes.executions import Answered
from reconciler.embedded.nodes.node import NODE_NAME, Node
from reconciler.embedded.nodes.runtime import Exit, lost
from reconciler.engine.clock import Clock


@attrs.frozen
class Run:
    """How one start of a container goes: ``seconds`` (None: for ever), then ``exit_code``.

    ``on_finish`` is called when it ends by itself (not when it is killed): here a model of the data
    side writes its report.
    """

    seconds: float | None = None
    exit_code: int = 0
    on_finish: Callable[[], None] | None = None
    on_exec: Callable[[Sequence[str]], ExecResult] | None = None


Program = Callable[[JsonObject, str], Run | None]
"""(Pod, container name) at the moment of the start; None: not a container of this program."""


def default_program(pod: JsonObject, container: str) -> Run:
    """A container of a Job runs for 1 s and succeeds; every other one runs for ever."""
    del container
    owner = ownership.controller_of(pod)
    return Run(1.0) if owner is not None and owner["kind"] == "Job" else Run()


@attrs.define
class _Running:
    run: Run
    ends_at: dt.datetime | None
    exit: Exit | None = None


@attrs.define
class VirtualRuntime:
    """Containers as entries with an end. Not thread-safe: it is for one thread."""

    clock: Clock
    programs: Sequence[Program] = ()
    watches: tuple[Resource, ...] = ()
    _ends: list[tuple[dt.datetime, int, str, str]] = attrs.field(factory=list)
    _running: dict[tuple[str, str], _Running] = attrs.field(factory=dict)
    _addresses: dict[str, str] = attrs.field(factory=dict)
    _pods: int = 0
    _starts: int = 0

    def observe(self, resource: Resource, change: str, obj: JsonObject) -> None:
        """Nothing but Pods matters to a model."""

    def changed(self) -> set[str]:
        """The Pods of which a container's time is over; they are told once."""
        found: set[str] = set()
        while self._ends and self._ends[0][0] <= self.clock.now():
            found.add(heapq.heappop(self._ends)[2])
        return found

    def prepare(self, pod: JsonObject) -> str:
        uid = pod["metadata"]["uid"]
        if uid not in self._addresses:
            self._pods += 1
            high, low = divmod(self._pods, 250)
            self._addresses[uid] = f"10.244.{high % 250}.{low + 1}"
        return self._addresses[uid]

    def start(self, pod: JsonObject, container: JsonObject, attempt: int) -> str:
        uid, name = pod["metadata"]["uid"], container["name"]
        run = next(
            (run for program in self.programs if (run := program(pod, name)) is not None),
            default_program(pod, name),
        )
        ends_at = None
        if run.seconds is not None:
            ends_at = self.clock.now() + dt.timedelta(seconds=run.seconds)
            self._starts += 1
            heapq.heappush(self._ends, (ends_at, self._starts, uid, name))
        self._running[uid, name] = _Running(run, ends_at)
        return f"virtual://{uid}/{name}/{attempt}"

    def poll(self, uid: str, container: str) -> Exit | None:
        found = self._running.get((uid, container))
        if found is None:
            return lost(self.clock.now())
        if found.exit is None and found.ends_at is not None and found.ends_at <= self.clock.now():
            found.exit = Exit(found.run.exit_code, found.ends_at)
            if found.run.on_finish is not None:
                found.run.on_finish()
        return found.exit

    def probe(self, pod: JsonObject, container: JsonObject) -> bool:
        del pod, container
        return True

    def healthy(self, pod: JsonObject, container: JsonObject) -> bool:
        del pod, container
        return True

    def execute(self, uid: str, container: str, call: Call) -> Answered:
        """What the container's program says to a command. Raises Refusal."""
        found = self._running.get((uid, container))
        if found is None or self.poll(uid, container) is not None:
            raise execs.not_running(container)
        if found.run.on_exec is None:
            raise execs.not_offered()
        return Answered(found.run.on_exec(call.argv))

    def stop(self, uid: str, container: str, grace: float) -> None:
        del grace  # a model of a well-behaved process: it ends on SIGTERM
        found = self._running[uid, container]
        if found.exit is None:
            found.exit = Exit(143, self.clock.now(), signal=15)

    def remove(self, uid: str) -> None:
        self._addresses.pop(uid, None)
        for key in [key for key in self._running if key[0] == uid]:
            del self._running[key]

    def close(self) -> None:
        """Nothing runs that could outlive the model."""

    def next_due(self) -> dt.datetime | None:
        while self._ends and not self._is_current(self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def _is_current(self, end: tuple[dt.datetime, int, str, str]) -> bool:
        """Whether the container still runs towards this end (it may have been killed)."""
        found = self._running.get((end[2], end[3]))
        return found is not None and found.exit is None and found.ends_at == end[0]


class VirtualNode(Node):
    """A node for a virtual clock: ``settle()`` and ``next_due()``, no threads."""

    def __init__(
        self, port: Port, clock: Clock, programs: Sequence[Program] = (), *, name: str = NODE_NAME
    ) -> None:
        self.model = VirtualRuntime(clock, programs)
        super().__init__(port, clock, self.model, name=name)

    def execute(self, pod: JsonObject, container: str, call: Call) -> execs.Execution:
        """``execs.Handler``."""
        return self.model.execute(pod["metadata"]["uid"], container, call)
