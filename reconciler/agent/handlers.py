"""Runs one handler of a hook at a place: here, in another container, or over the network.

Called by ``hooks`` and ``hook_job``. Every action is bounded in time and in what is kept of its
output, and its error shows no secret. It decides nothing about when a hook is due.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs

from reconciler.agent import hook_actions
from reconciler.agent.hook_actions import MOST_OUTPUT, ActionFailed
from reconciler.agent.redaction import Redactor
from reconciler.agent.restic import Command
from reconciler.agent.runner import Runner, Stop
from reconciler.agent.turn import dict_of
from reconciler.agent.workshop import Tools
from reconciler.api.resources import PODS, JsonObject
from reconciler.api.runtime import Handler, HTTPGetAction, HTTPPostAction, TCPSocketAction
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError, TimedOut

_log = logging.getLogger(__name__)

LONGEST = 300.0
"""Seconds that one action of a handler may take. Stash bounds HTTP alone."""
LAST_WORDS = 20.0
"""Seconds for a post hook when our pod is being stopped: within Kubernetes' usual grace."""
_SHOWN = 1024
_SHORT = 8


class HookFailed(TandemError):  # noqa: N818 -- reads as a state of the world
    """A handler did not succeed. The message is redacted and names the action, as Stash's does."""


@attrs.frozen
class Place:
    """The pod that a handler is for.

    ``own``: the names of the container that this process is in (``""``: it is also the one that
    is meant when the handler names none); None: every name means it, for a pod whose containers
    run one after the other.
    """

    namespace: str
    pod: str
    own: frozenset[str] | None = frozenset()

    @classmethod
    def alone(cls, namespace: str, pod: str) -> Place:
        """A Job's own pod: whatever container is named, this one is what runs."""
        return cls(namespace, pod, None)

    @classmethod
    def beside(cls, namespace: str, pod: str, container: str) -> Place:
        """Our own pod, with the application's containers beside us: theirs is the first."""
        return cls(namespace, pod, frozenset({container}))

    @classmethod
    def before(cls, namespace: str, pod: str, container: str) -> Place:
        """Our own pod, as an init container: the application's containers do not run yet."""
        return cls(namespace, pod, frozenset({"", container}))

    def is_here(self, container: str) -> bool:
        return self.own is None or container in self.own

    def find(self) -> Place:
        return self


class Finder(Protocol):
    """A place that must be looked for (``executor.Behind``)."""

    def find(self) -> Place:
        """Raises HookFailed when there is none."""


@attrs.frozen
class HookRunner:
    """Runs handlers at one place; what ``redact`` knows is not seen in an error."""

    port: Port
    tools: Tools
    where: Finder
    redact: Redactor = attrs.field(factory=Redactor)

    def run(self, handler: Handler, *, seconds: float | None = None, last: bool = False) -> None:
        """Every action that is set, in Stash's order; the first failure ends it.

        ``seconds``: until the session's deadline. ``last``: a post hook, which runs although our
        pod is being stopped. Raises HookFailed.
        """
        limit = LONGEST if seconds is None else max(0.0, min(LONGEST, seconds))
        if limit <= 0:
            raise HookFailed("the hook was not started: the session's deadline has passed")
        stop = Stop() if last else self.tools.stop
        if last and self.tools.stop:
            limit = min(limit, LAST_WORDS)
        sent = _sent(handler)
        at = _At(self.port, self.tools, self._place(), self.redact, stop, limit)
        for name, action in at.actions(handler):
            try:
                action()
            except TandemError as error:
                response = error.response if isinstance(error, ActionFailed) else ""
                told = _told(name, str(error), sent(response))
                raise HookFailed(self.redact(told)) from None

    def _place(self) -> Place:
        try:
            return self.where.find()
        except HookFailed:
            raise
        except TandemError as error:
            raise HookFailed(f"the pod for the hook cannot be found: {error}") from error


Network = HTTPGetAction | HTTPPostAction | TCPSocketAction


@attrs.frozen
class _At:
    """The actions of one handler, at a place that is known, within a limit of seconds each."""

    port: Port
    tools: Tools
    place: Place
    redact: Redactor
    stop: Stop
    limit: float

    def actions(self, handler: Handler) -> Iterator[tuple[str, Callable[[], None]]]:
        """In Stash's order, each with its name."""
        container = handler.container_name
        if handler.exec is not None:
            yield "exec", functools.partial(self._exec, handler.exec.command, container)
        network: tuple[tuple[str, Network | None], ...] = (
            ("httpGet", handler.http_get),
            ("httpPost", handler.http_post),
            ("tcpSocket", handler.tcp_socket),
        )
        for name, action in network:
            if action is not None:
                yield name, functools.partial(self._bounded, self._reach, action, container)

    def _bounded(self, work: Callable[..., None], *arguments: object) -> None:
        bounded(functools.partial(work, *arguments), self.tools, self.stop, self.limit)

    def _reach(self, action: Network, container: str) -> None:
        host = action.host or self._pod_address()
        number = self._port_number(action.port, container)
        address = self.tools.surroundings.address(host, number)
        if isinstance(action, HTTPGetAction):
            hook_actions.send(hook_actions.get(action, host, number, address), self.limit)
        elif isinstance(action, HTTPPostAction):
            hook_actions.send(hook_actions.post(action, host, number, address), self.limit)
        else:
            hook_actions.connect(address, f"{host}:{number}", self.limit)

    # -- exec --------------------------------------------------------------------------------

    def _exec(self, command: Sequence[str], container: str) -> None:
        if self.place.is_here(container):
            self._exec_here(command)
        elif self.place.is_here(""):
            raise ActionFailed(f"the container {container} does not run before the restore is done")
        else:
            self._bounded(self._exec_there, command, container or self._first_container())

    def _exec_there(self, command: Sequence[str], container: str) -> None:
        at, words = self.place, tuple(command)
        try:
            done = self.port.exec(at.namespace, at.pod, container, words, timeout=self.limit)
        except TimedOut:
            raise ActionFailed(_why_ended(stopped=False, limit=self.limit)) from None
        _judge(done.exit_code, done.stdout, done.stderr)

    def _exec_here(self, command: Sequence[str]) -> None:
        here = self.tools.surroundings
        runner = Runner(here.environ, self.tools.clock, redact=self.redact, stop=self.stop)
        words = tuple(here.path(word) for word in command)
        try:
            done = runner.run(Command(words), timeout=self.limit, keep=MOST_OUTPUT)
        except OSError as error:
            raise ActionFailed(f"{words[0]} cannot be started: {error.strerror}") from None
        if done.ended_by:
            raise ActionFailed(_why_ended(stopped=done.ended_by == "stop", limit=self.limit))
        _judge(done.exit_code, done.stdout, done.stderr)

    # -- the pod -----------------------------------------------------------------------------

    def _pod(self) -> JsonObject:
        try:
            return self.port.get(PODS, self.place.namespace, self.place.pod)
        except NotFound:
            raise ActionFailed(f"pod {self.place.namespace}/{self.place.pod} is gone") from None

    def _pod_address(self) -> str:
        found = dict_of(self._pod().get("status")).get("podIP")
        if not found:
            raise ActionFailed(f"pod {self.place.namespace}/{self.place.pod} has no address yet")
        return str(found)

    def _first_container(self) -> str:
        return str(self._pod()["spec"]["containers"][0]["name"])

    def _port_number(self, port: int | str, container: str) -> int:
        if isinstance(port, int) or port.isdecimal():
            return int(port)
        if not container:
            raise ActionFailed(
                f"the port is named {port!r}: write containerName, whose port is meant"
            )
        containers = self._pod()["spec"]["containers"]
        ports = next((c.get("ports") or () for c in containers if c["name"] == container), None)
        if ports is None:
            raise ActionFailed(f"pod {self.place.pod} has no container {container!r}")
        for known in ports:
            if known.get("name") == port:
                return int(known["containerPort"])
        raise ActionFailed(f"container {container} of pod {self.place.pod} names no port {port!r}")


def bounded(work: Callable[[], None], tools: Tools, stop: Stop, limit: float) -> None:
    """Do ``work`` for so many seconds at most, or until ``stop``. Raises what it raises.

    A network's own timeouts are for one packet each: only a thread can be left behind in time.
    """
    failed: list[Exception] = []
    done = threading.Event()

    def attempt() -> None:
        try:
            work()
        except Exception as error:  # handed to the caller
            failed.append(error)
        with stop.condition:
            done.set()
            stop.condition.notify_all()

    threading.Thread(target=attempt, daemon=True, name="hook").start()
    end = tools.clock.monotonic() + limit
    with stop.condition:
        while not done.is_set():
            left = end - tools.clock.monotonic()
            if stop or left <= 0:
                raise ActionFailed(_why_ended(stopped=bool(stop), limit=limit))
            tools.clock.wait(stop.condition, left)
    if failed:
        raise failed[0]


def _why_ended(*, stopped: bool, limit: float) -> str:
    if stopped:
        return "it was ended because its pod is being stopped"
    return f"it had not ended after {limit:.0f} s"


def _judge(exit_code: int, stdout: str, stderr: str) -> None:
    """As in Stash, the exit code alone decides."""
    if exit_code != 0:
        output = (stderr.strip() or stdout.strip())[:MOST_OUTPUT]
        raise ActionFailed(f"command terminated with exit code {exit_code}", output)


def _told(action: str, error: str, response: str) -> str:
    """Stash's sentence."""
    told = f'failed to execute "{action}" probe. Error: {error}.'
    answer = " ".join(response.split())[:_SHOWN]
    return f"{told} Response: {answer}" if answer else told


def _sent(handler: Handler) -> Redactor:
    """A server may answer with what it was sent; headers, bodies and forms may be secret."""
    sent = [h.value for a in (handler.http_get, handler.http_post) if a for h in a.http_headers]
    if handler.http_post is not None:
        sent += [handler.http_post.body, *(v for e in handler.http_post.form for v in e.values)]
    return Redactor.of(text for text in sent if len(text) >= _SHORT)
