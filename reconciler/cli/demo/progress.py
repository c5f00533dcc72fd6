"""How the demo tells what happens: a live screen on a terminal, plain lines in a pipe.

Made by ``command``, fed by ``story``. The live screen shows the batch as ``tandem status`` does;
plain lines say each change of a phase once, with the time.
"""

from __future__ import annotations

import datetime as dt
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from reconciler.cli import screens
from reconciler.cli.summary import SessionLine, Summary
from reconciler.engine.clock import Clock


class Progress(Protocol):
    """What the story needs."""

    def step(self, text: str) -> None:
        """A new step begins; the one before it is done."""

    def note(self, text: str) -> None:
        """A fact worth a line."""

    def show(self, summary: Summary) -> None:
        """The batch as it is now."""

    def waiting(self, text: str) -> None:
        """What the present step waits for; replaces what was said before."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class LiveProgress:
    """One screen that is redrawn; finished steps scroll up."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._clock = clock
        self._step = self._wait = ""
        self._summary: Summary | None = None
        self._live = Live(console=console, transient=True, refresh_per_second=8)

    def step(self, text: str) -> None:
        self._finish()
        self._step, self._wait = text, ""
        self._redraw()

    def note(self, text: str) -> None:
        self._live.console.print(Text(f"    {text}", style="dim"))

    def show(self, summary: Summary) -> None:
        self._summary = summary
        self._redraw()

    def waiting(self, text: str) -> None:
        self._wait = text
        self._redraw()

    def _finish(self) -> None:
        if self._step:
            self._live.console.print(Text.assemble(("✓ ", "green"), self._step))
        self._step = ""

    def _redraw(self) -> None:
        parts: list[RenderableType] = []
        if self._step:
            parts.append(Spinner("dots", text=self._step))
        if self._wait:
            parts.append(Text(f"  {self._wait}", style="dim"))
        if self._summary is not None:
            parts.append(
                screens.summary_tree(self._summary, self._clock.now(), sessions=1, brief=True)
            )
        self._live.update(Group(*parts))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        self._summary = None
        self._live.stop()


class PlainProgress:
    """Lines that never change, for pipes and logs."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._told: dict[str, str] = {}
        self._wait = ""

    def step(self, text: str) -> None:
        self._wait = ""
        self._line(text)

    def note(self, text: str) -> None:
        self._line(f"  {text}")

    def waiting(self, text: str) -> None:
        # the first thing that a step waits for is news; the countdown to it is not
        if text and not self._wait:
            self._line(f"  {text}")
            self._wait = text

    def show(self, summary: Summary) -> None:
        self._tell(f"Repository {summary.repository.name}", summary.repository.phase)
        self._tell(f"BackupBatch {summary.name}", summary.phase)
        for session in summary.sessions[:1]:
            self._session(session)

    def _session(self, session: SessionLine) -> None:
        self._tell(f"BackupSession {session.name}", session.phase)
        for target in session.targets:
            self._tell(f"  {target.kind} {target.name}", target.phase, of=session.name)

    def _tell(self, subject: str, phase: str, of: str = "") -> None:
        """``of`` is the session that a target belongs to: each session has its own targets."""
        if phase and self._told.get(of + subject) != phase:
            self._told[of + subject] = phase
            self._line(f"  {subject}: {phase}")

    def _line(self, text: str) -> None:
        line = f"{local_time(self._clock.now())}  {text}"
        self._console.print(line, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def local_time(moment: dt.datetime) -> str:
    """The wall clock's time as a person reads it."""
    return f"{moment.astimezone():%H:%M:%S}"
