"""The pair of hooks around a piece of work.

Called by ``member_hooks`` and by the restores. The one promise that nobody else may make: a pre
hook that was started gets its post hook, whatever the work does.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import attrs

from reconciler.agent.handlers import HookFailed, HookRunner
from reconciler.api.runtime import Handler
from reconciler.decisions import hooks as rules

_log = logging.getLogger(__name__)

SUCCEEDED, FAILED, SKIPPED = "Succeeded", "Failed", "Skipped"

Result = TypeVar("Result")


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
    before that goes on. One that fails because our pod is being stopped is not told: the operator
    has it run elsewhere.
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
    if error and runner.tools.stop:
        return "", error  # the containers of our pod end with us: it stays owed
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
