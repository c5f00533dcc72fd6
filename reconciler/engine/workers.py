"""One reconcile: decide, carry out, record, and say when to look again.

Called by the loop, from its worker threads or from ``settle``. No error leaves it: faults that may
heal are retried with back-off, the others slowly, and a bug is logged with its traceback and
retried like the rest, because one bad object must not stop the care for all others.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import Protocol

import attrs

from reconciler.api.resources import Key
from reconciler.decisions.controller import Controller
from reconciler.decisions.plan import EventIntent, Settings, View
from reconciler.engine.apply import Applier
from reconciler.engine.backoff import Backoff
from reconciler.engine.clock import Clock
from reconciler.engine.queue import WorkQueue
from reconciler.engine.stats import Stats
from reconciler.errors import (
    AlreadyExists,
    Conflict,
    NamespaceTerminating,
    TemporaryError,
    TerminalError,
)

logger = logging.getLogger(__name__)

TERMINAL_PAUSE = 10.0
"""Seconds of the first pause after a fault that only a change of the world can heal."""


SOONEST = dt.timedelta(milliseconds=10)
"""A plan that wants to be looked at in the past would otherwise be looked at without end."""
QUIET_PAUSE = 1.0
"""Faults that are tried again sooner than this (seconds) are not worth a line in the log."""
RECONCILE_FAILED = "ReconcileFailed"
_DUMP = re.compile(r"Invalid value: \"?[\w.\[\]*&]*\{.*\}\"?: ", re.DOTALL)
"""A whole object within a refusal of the API server, which may hold a container's environment."""


class Recorder(Protocol):
    """Makes Kubernetes Events of intents; must not raise. See ``observability.events``."""

    def record(self, intent: EventIntent) -> None: ...


@attrs.frozen
class Work:
    """A key of one controller: what the queue holds."""

    controller: str
    key: Key


@attrs.frozen
class Worker:
    """What a reconcile needs. Shared by all threads; holds no state of its own."""

    controllers: dict[str, Controller]
    view: View
    applier: Applier
    queue: WorkQueue[Work]
    backoff: Backoff
    clock: Clock
    settings: Settings
    stats: Stats
    recorder: Recorder | None

    def work(self, work: Work) -> None:
        """Reconcile a taken item and give it back to the queue."""
        began = self.clock.monotonic()
        outcome = "bug"
        try:
            outcome = self._attempt(work)
        finally:
            self.stats.reconciled(work.controller, outcome, self.clock.monotonic() - began)
            self.queue.done(work)

    def _attempt(self, work: Work) -> str:
        try:
            self._reconcile(work)
        except (Conflict, AlreadyExists) as error:
            return self._retry(work, "conflict", error)
        except TemporaryError as error:
            return self._retry(work, "temporary", error)
        except NamespaceTerminating as error:
            return self._retry(work, "terminal", error, at_least=TERMINAL_PAUSE)
        except TerminalError as error:
            self._tell(work, error)
            return self._retry(work, "terminal", error, at_least=TERMINAL_PAUSE)
        except Exception as error:
            return self._retry(work, "bug", error)
        self.backoff.succeeded(work)
        return "ok"

    def _reconcile(self, work: Work) -> None:
        decide = self.controllers[work.controller].decide
        plan = decide(work.key, self.view, self.clock.now(), self.settings)
        self.applier.carry_out(plan)
        for intent in plan.events:
            if self.recorder is not None:
                self.recorder.record(intent)
        if plan.wake_at is not None:
            soonest = self.clock.now() + SOONEST
            self.queue.add_at(work, max(soonest, plan.wake_at))

    def _tell(self, work: Work, error: TerminalError) -> None:
        """An Event on the object itself: its user need not be able to read the operator's log."""
        primary = self.controllers[work.controller].primary
        obj = self.view.get(primary, work.key.namespace, work.key.name)
        if obj is None or self.recorder is None:
            return
        message = _DUMP.sub("Invalid value: (not shown): ", str(error))
        self.recorder.record(EventIntent(obj, RECONCILE_FAILED, message, "Warning"))

    def _retry(self, work: Work, kind: str, error: Exception, *, at_least: float = 0.0) -> str:
        pause = self.backoff.failed(work, at_least=at_least)
        _log(work, kind, error, pause)
        self.queue.add_at(work, self.clock.now() + dt.timedelta(seconds=pause))
        return kind


def _log(work: Work, kind: str, error: Exception, pause: float) -> None:
    """A conflict is everyday life, and a moment's failure is none; a bug needs its traceback."""
    everyday = (
        kind == "conflict"
        or isinstance(error, NamespaceTerminating)
        or (kind == "temporary" and pause < QUIET_PAUSE)
    )
    level = logging.DEBUG if everyday else logging.WARNING
    logger.log(
        logging.ERROR if kind == "bug" else level,
        "reconcile failed (%s), again in %.3g s: %s",
        kind,
        pause,
        error,
        extra={"controller": work.controller, "key": str(work.key)},
        exc_info=error if kind == "bug" else None,
    )
