"""A whole cluster in one process: API server, built-in controllers, garbage collector and a node.

``tandem demo`` and ``tandem up`` run it on the system clock (``start``, ``stop``: threads, HTTP, a
kubeconfig); the simulation, policy tests and scenario tests step it on a virtual clock (``settle``,
``run_until``: one thread, deterministic). What runs in it is the same in both.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from reconciler.api import crds
from reconciler.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.embedded.controllers import catalog, claims
from reconciler.embedded.controllers.collector import Collector
from reconciler.embedded.nodes.node import Node
from reconciler.embedded.nodes.process import ProcessNode
from reconciler.embedded.nodes.virtual import Program, VirtualNode
from reconciler.embedded.server import Server
from reconciler.engine.clock import Clock, VirtualClock
from reconciler.engine.loop import Loop
from reconciler.observability.events import EventRecorder

if TYPE_CHECKING:
    from reconciler.embedded.http import HttpServer

NodeKind = Literal["virtual", "process"]
MOST_ROUNDS = 1000
"""So often may the parts of a cluster wake each other at one moment before it counts as a loop."""


class Stepped(Protocol):
    """What a cluster steps: an engine loop, the collector, a node."""

    def settle(self) -> int:
        """Work until nothing is ready; the number of writes."""

    def next_due(self) -> dt.datetime | None:
        """When it must be settled again though nothing changed."""


class EmbeddedCluster:
    """See the module. ``programs`` are the virtual node's; ``data_dir`` is the process node's.

    ``data_dir`` holds volumes, logs and the kubeconfig, and outlives the cluster; without one, a
    temporary folder is used and removed by ``stop``.
    """

    def __init__(
        self,
        clock: Clock,
        node: NodeKind | None = "virtual",
        data_dir: Path | None = None,
        *,
        seed: int = 0,
        programs: Sequence[Program] = (),
        settings: Settings | None = None,
        port: int = 0,
        events: bool = True,
    ) -> None:
        """``port`` is that of the HTTP server (0: a free one); ``events``: record Events."""
        self.clock = clock
        self.server = Server(clock, seed)
        self._data_dir = data_dir
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.settings = settings or Settings()
        self.client().create(claims.STORAGE_CLASSES, claims.storage_class())
        self._port = port
        self.http: HttpServer | None = None
        controls = Settings(field_manager=catalog.FIELD_MANAGER)
        recorder = EventRecorder(self.client(), clock) if events else None
        self.controllers = Loop(
            self.client(), clock, catalog.built_in(), controls, recorder=recorder
        )
        self.collector = Collector(self.server, clock)
        self.node = self._node(node, programs)
        if self.node is not None:
            self.node.recorder = recorder
        own: list[Stepped | None] = [self.controllers, self.collector, self.node]
        self._parts: list[Stepped] = [part for part in own if part is not None]

    def _node(self, kind: NodeKind | None, programs: Sequence[Program]) -> Node | None:
        if kind == "virtual":
            model = VirtualNode(self.client(), self.clock, programs)
            self.server.on_exec(model.execute)
            return model
        if kind == "process":
            node = ProcessNode(
                self.client(), self.clock, self.data_dir, self.settings, self.kubeconfig
            )
            self.server.on_logs(node.logs)
            self.server.on_exec(node.execute)
            return node
        return None

    @property
    def data_dir(self) -> Path:
        """Where the node and the kubeconfig are; made when it is first asked for."""
        if self._data_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tandem-")
            self._data_dir = Path(self._temporary.name)
        return self._data_dir

    @property
    def kubeconfig(self) -> Path:
        """Written by ``start``."""
        return self.data_dir / "kubeconfig"

    def client(self) -> Client:
        """A client in this process."""
        return Client(self.server)

    def install_crds(self) -> None:
        """Install Tandem's own kinds."""
        client = self.client()
        for definition in crds.crds():
            client.apply(CUSTOM_RESOURCE_DEFINITIONS, definition, field_manager="tandem")

    def add_loop(self, part: Stepped) -> None:
        """Step this too, for example the operator's loop; for ``settle`` and ``run_until``."""
        self._parts.append(part)

    def settle(self) -> int:
        """Let everything react until nothing is left to do at this moment; the number of writes.

        Raises RuntimeError when the parts keep waking each other.
        """
        total = 0
        for _ in range(MOST_ROUNDS):
            writes = sum(part.settle() for part in self._parts)
            total += writes
            if not writes:
                return total
        raise RuntimeError(f"the cluster does not come to rest at {self.clock.now().isoformat()}")

    def next_due(self) -> dt.datetime | None:
        """The next moment at which something happens by itself."""
        moments = (part.next_due() for part in self._parts)
        return min((at for at in moments if at is not None), default=None)

    def run_until(self, moment: dt.datetime) -> None:
        """Jump from event to event up to ``moment``. Virtual clock only."""
        if not isinstance(self.clock, VirtualClock):
            raise TypeError("run_until needs a VirtualClock; on the system clock use start()")
        rounds = 0
        while True:
            self.settle()
            due = self.next_due()
            if due is None or due > moment:
                break
            rounds = rounds + 1 if due <= self.clock.now() else 0
            if rounds > MOST_ROUNDS:
                raise RuntimeError(f"something stays due at {self.clock.now().isoformat()}")
            self.clock.advance_to(due)
        self.clock.advance_to(moment)
        self.settle()

    def start(self) -> None:
        """Serve HTTP, write the kubeconfig, and run everything in threads."""
        # Here, not above: a simulation serves nothing and shall not load an HTTP stack.
        from reconciler.embedded.http import HttpServer  # noqa: PLC0415 -- see above
        from reconciler.embedded.webhooks import Webhooks  # noqa: PLC0415 -- see above

        self._without_webhooks = self.server.intercept(Webhooks())
        self.http = HttpServer(self.server, port=self._port)
        self.http.start()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.http.write_kubeconfig(self.kubeconfig)
        self.controllers.start()
        self.collector.start()
        if self.node is not None:
            self.node.start()

    def stop(self) -> None:
        """End everything, also the node's processes. Idempotent."""
        if self.node is not None:
            self.node.stop()
        self.collector.stop()
        self.controllers.stop()
        if self.http is not None:
            self.http.stop()
            self.http = None
            self._without_webhooks()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = self._data_dir = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
