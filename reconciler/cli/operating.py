"""The operator with everything around it: Events, logs of phases, health, metrics.

Used by ``run`` for any cluster, and by ``local`` for the embedded one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from reconciler.api.resources import PODS
from reconciler.cli import leading
from reconciler.cluster.port import Port, Reader, Writer
from reconciler.decisions import catalog
from reconciler.decisions.plan import Apply, Settings
from reconciler.engine import operator
from reconciler.engine.clock import Clock
from reconciler.engine.health import HealthServer, pages
from reconciler.engine.leader import LeaderElector
from reconciler.engine.loop import Loop
from reconciler.errors import TerminalError
from reconciler.manifests import installation
from reconciler.observability import alarms, metrics, transitions
from reconciler.observability.events import EventRecorder


def build(
    port: Port, clock: Clock, settings: Settings, workers: int, namespace: str | None = None
) -> Loop:
    """The operator's loop, not started, recording Events and logging every change of a phase."""
    recorder = EventRecorder(port, clock)
    loop = operator.build(port, clock, settings, workers, recorder=recorder, namespace=namespace)
    loop.view.on_change(transitions.log_phases)
    return loop


def own_image(reader: Reader, namespace: str, environ: Mapping[str, str]) -> str | None:
    """The image of the operator's own Pod; None outside of a Pod.

    So whoever installs Tandem names its image once, in the operator's Deployment. Raises NotFound
    or TerminalError when POD_NAME is not the Pod's, which is a mistake in the manifest.
    """
    name = environ.get("POD_NAME")
    if not name:
        return None
    containers = reader.get(PODS, namespace, name)["spec"]["containers"]
    for each in containers:
        if each["name"] == installation.CONTAINER:
            return str(each["image"])
    raise TerminalError(
        f"Pod {namespace}/{name} has no container {installation.CONTAINER}, whose image the"
        " sidecars and Jobs would run; name the container so, or give the image by --image"
    )


def install_builtins(port: Writer, settings: Settings) -> None:
    """Apply the built-in Functions and Tasks: once, before the controllers run."""
    for write in catalog.plan(settings).writes:
        if isinstance(write, Apply):
            port.apply(write.resource, write.obj, field_manager=settings.field_manager)


@contextlib.contextmanager
def health(
    loop: Loop,
    port: int | None,
    candidate: LeaderElector | None = None,
    problems: Callable[[], tuple[str, ...]] = lambda: (),
) -> Iterator[None]:
    """Serve /healthz, /readyz and /metrics on ``port``; None: do not.

    ``candidate``: one of several operators. Who waits for the lease is ready, but does nothing.
    ``problems``: what keeps us from working, in sentences.
    """
    if port is None:
        yield
        return
    view = loop.view
    collectors = [metrics.of_loop(loop), metrics.of_backups(view), alarms.of_alarms(view)]
    served = pages(
        problems=problems,
        ready=lambda: ready(loop, candidate),
        metrics=lambda: metrics.render(collectors),
        state=lambda: "" if candidate is None else leading.state(candidate),
    )
    server = HealthServer(served, port=port)
    server.start()
    try:
        yield
    finally:
        server.stop()


def ready(loop: Loop, candidate: LeaderElector | None) -> bool:
    """Who waits for the lease has an empty cache, but is ready to take over."""
    if candidate is None or candidate.is_leader:
        return loop.ready
    return candidate.holder is not None


def work(
    told_to_stop: threading.Event, *, start: Callable[[], None], stop: Callable[[], None]
) -> None:
    """``start``, and ``stop`` when told to."""
    start()
    try:
        told_to_stop.wait()
    finally:
        stop()
