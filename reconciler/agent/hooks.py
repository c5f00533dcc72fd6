"""Runs hooks: one handler at a place, and the pair of handlers around a piece of work.

Called by ``session`` (sidecar), ``job`` and ``hook_job``, and by the restores. The one promise that
nobody else may make: a pre hook that was started gets its post hook, whatever the work does.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar, cast

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
from reconciler.decisions import hooks as rules
from reconciler.errors import NotFound, TandemError

_log = logging.getLogger(__name__)

LONGEST = 300.0
"""Seconds that one action of a handler may take. Stash bounds HTTP alone."""
LAST_WORDS = 20.0
"""Seconds for a post hook when our pod is being stopped: within Kubernetes' usual grace."""
_SHOWN = 1024
_SHORT = 8

SUCCEEDED, FAILED, SKIPPED = "Succeeded", "Failed", "Skipped"

Result = TypeVar("Result")


class HookFailed(TandemError):  # noqa: N818 -- reads as a state of the world
    """A handler did not succeed. The message is redacted and names the action, as Stash's does."""


class _Executor(Protocol):
    def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        timeout: float | None,
    ) -> _Executed: ...


class _Executed(Protocol):
    exit_code: int
    stdout: str
    stderr: str


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


@attrs.frozen
class HookRunner:
    """Runs handlers at one place. ``secrets`` must not be seen in an error."""

    port: Port
    tools: Tools
    place: Place
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
        for name, action in self._actions(handler, stop, limit):
            try:
                action()
            except TandemError as error:
                response = error.response if isinstance(error, ActionFailed) else ""
                told = _told(name, str(error), sent(response))
                raise HookFailed(self.redact(told)) from None

    def _actions(
        self, handler: Handler, stop: Stop, limit: float
    ) -> list[tuple[str, Callable[[], None]]]:
        found: list[tuple[str, Callable[[], None]]] = []
        name = handler.container_name
        if handler.exec is not None:
            words = handler.exec.command
            found.append(("exec", lambda: self._exec(words, name, stop, limit)))
        for kind, action in (
            ("httpGet", handler.http_get),
            ("httpPost", handler.http_post),
            ("tcpSocket", handler.tcp_socket),
        ):
            if action is not None:
                found.append((kind, self._bounded(action, name, stop, limit)))
        return found

    def _bounded(
        self,
        action: HTTPGetAction | HTTPPostAction | TCPSocketAction,
        container: str,
        stop: Stop,
        limit: float,
    ) -> Callable[[], None]:
        def work() -> None:
            self._reach(action, container, limit)

        return lambda: bounded(work, self.tools, stop, limit)

    def _reach(
        self,
        action: HTTPGetAction | HTTPPostAction | TCPSocketAction,
        container: str,
        limit: float,
    ) -> None:
        host = action.host or self._pod_address()
        number = self._port_number(action.port, container)
        address = self.tools.surroundings.address(host, number)
        if isinstance(action, HTTPGetAction):
            hook_actions.send(hook_actions.get(action, host, number, address), limit)
        elif isinstance(action, HTTPPostAction):
            hook_actions.send(hook_actions.post(action, host, number, address), limit)
        else:
            hook_actions.connect(address, f"{host}:{number}", limit)

    # -- exec --------------------------------------------------------------------------------

    def _exec(self, command: Sequence[str], container: str, stop: Stop, limit: float) -> None:
        if self.place.is_here(container):
            self._exec_here(command, stop, limit)
            return
        if "" in (self.place.own or ()):
            raise ActionFailed(f"the container {container} does not run before the restore is done")
        where = container or self._first_container()

        def work() -> None:
            executor = cast("_Executor", self.port)
            place = self.place
            done = executor.exec(place.namespace, place.pod, where, tuple(command), timeout=limit)
            _judge(done.exit_code, done.stdout, done.stderr)

        bounded(work, self.tools, stop, limit)

    def _exec_here(self, command: Sequence[str], stop: Stop, limit: float) -> None:
        here = self.tools.surroundings
        runner = Runner(here.environ, self.tools.clock, redact=self.redact, stop=stop)
        words = tuple(here.path(word) for word in command)
        try:
            done = runner.run(Command(words), timeout=limit, keep=MOST_OUTPUT)
        except OSError as error:
            raise ActionFailed(f"{words[0]} cannot be started: {error.strerror}") from None
        if done.ended_by:
            raise ActionFailed(_why_ended(done.ended_by == "stop", limit))
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
                raise ActionFailed(_why_ended(bool(stop), limit))
            tools.clock.wait(stop.condition, left)
    if failed:
        raise failed[0]


def _why_ended(stopped: bool, limit: float) -> str:  # noqa: FBT001 -- private
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


# -- around a piece of work -----------------------------------------------------------------------


@attrs.frozen
class Pair:
    """The hooks of one host or one batch. ``retry_left``: a failure will be tried again."""

    pre: Handler | None = None
    post: Handler | None = None
    policy: str = rules.ALWAYS
    retry_left: bool = False


@attrs.frozen
class HookResult:
    """What the hooks did: ``""`` where there is none. ``error`` tells every one that failed."""

    pre: str = ""
    post: str = ""
    pre_error: str = ""
    post_error: str = ""

    @property
    def error(self) -> str:
        return "; ".join(text for text in (self.pre_error, self.post_error) if text)

    @property
    def said(self) -> Mapping[str, str]:
        """For ``hosts[].hooks`` of a status."""
        found = {"pre": self.pre, "post": self.post}
        return {key: value for key, value in found.items() if value}


@attrs.frozen
class Worked(Generic[Result]):
    """``result`` is None when the pre hook failed: then nothing was done."""

    result: Result | None
    hooks: HookResult


def around(
    runner: HookRunner,
    pair: Pair,
    work: Callable[[], Result],
    *,
    failed: Callable[[Result], bool],
    deadline: dt.datetime | None = None,
) -> Worked[Result]:
    """The pre hook, the work, and the post hook, as its policy says.

    A pre hook that fails leaves the work undone. A post hook runs whatever became of the others,
    for a minute at least though the deadline has passed; ``work`` may raise, the post hook runs
    before that goes on.
    """
    pre_error = _attempt(runner, pair.pre, _left(runner, deadline), last=False)
    result: Result | None = None
    bad = True
    try:
        if not pre_error:
            result = work()
            bad = failed(result)
    finally:
        post, post_error = _after(runner, pair, bad, deadline)
    pre = "" if pair.pre is None else FAILED if pre_error else SUCCEEDED
    return Worked(result, HookResult(pre, post, pre_error, post_error))


_AFTER_DEADLINE = 60.0


def _after(
    runner: HookRunner,
    pair: Pair,
    bad: bool,  # noqa: FBT001 -- private
    deadline: dt.datetime | None,
) -> tuple[str, str]:
    if pair.post is None:
        return "", ""
    if not rules.is_due(pair.policy, failed=bad, retry_left=pair.retry_left):
        return SKIPPED, ""
    left = _left(runner, deadline)
    seconds = None if left is None else max(left, _AFTER_DEADLINE)
    error = _attempt(runner, pair.post, seconds, last=True)
    return (FAILED if error else SUCCEEDED), error


def _attempt(
    runner: HookRunner, handler: Handler | None, seconds: float | None, *, last: bool
) -> str:
    """The error of a handler, or ""."""
    if handler is None:
        return ""
    try:
        runner.run(handler, seconds=seconds, last=last)
    except HookFailed as error:
        _log.warning("%s hook: %s", "post" if last else "pre", error)
        return str(error)
    except Exception as defect:  # a defect of ours must not leave a database frozen
        _log.error("a defect in the agent: %s", type(defect).__name__)
        return f"a defect in the agent: {type(defect).__name__}"
    return ""


def _left(runner: HookRunner, deadline: dt.datetime | None) -> float | None:
    return None if deadline is None else (deadline - runner.tools.clock.now()).total_seconds()
