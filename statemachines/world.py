"""The small world on which the machines are explored: what there is, not how it moves.

Shared by ``invariants.py`` (what must hold in it), ``environment.py`` (how it moves by itself),
``operation.py`` (how the operator moves it) and ``exploration.py``. It is explicit, so that a
simulation can build the same values from what it observes and check the same invariants.

Rules of this file:

- Everything is a named tuple of strings, numbers and booleans: hashable, comparable, readable.
- One batch, one repository, at most two sessions, at most three targets of one host each.
- Hooks are there in some configurations only, then of the batch and of every target. A pre hook
  of a target begins with its claim, so that "claimed" and "frozen" are one.
- There is one row of targets, and it belongs to the session ``owner``. Two sessions of a batch
  that run at once violate an invariant at once, so a second row would never be looked at.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SIDECAR = "sidecar"
JOB = "job"

PARALLEL = "Parallel"
SEQUENTIAL = "Sequential"

OVER = "over"
"""Instead of a final phase that nothing reads any more."""

NOBODY = -1
"""Instead of the number of a session: no session."""

ABSENT = "absent"
"""Instead of the phase of a session: it does not exist."""


Claim = Literal["none", "living", "dead"]
Report = Literal["none", "Succeeded", "Failed"]
Hook = Literal["off", "none", "owed", "running", "told", "lost", "refused"]
"""The post hook of a host. ``owed``: its pre hook was started; ``running``: a Job does it;
``lost``: a condition names it; ``refused``: the batch's pre hook failed, and nothing was begun."""
Whole = Literal["off", "idle", "running", "good", "bad"]
"""A hook of the batch: there is none, or its Job is not there, there, or has told how it ended."""
TOLD = ("good", "bad")


class Target(NamedTuple):
    """One target with its one host: what is stored in the owner's status, and what is true."""

    kind: str
    """``sidecar`` (a workload) or ``job`` (everything else)."""
    exists: bool = True
    sidecar: Literal["none", "outdated", "current"] = "none"
    """What the workload's Pod template says. A Job's target always has ``none``."""
    owed: int = 1
    """Changes of the batch (its creation is one), less the rollouts that were made for them."""
    runner: Literal["none", "starting", "ready", "working", "ended", "gone"] = "none"
    """``ended``: the work is done and not reported. ``gone``: the Job is over, no Pod will come."""
    claim: Claim = "none"
    """Whether a runner has claimed the host, and whether it lives."""
    work: Literal["none", "good", "bad"] = "none"
    """What the runner has made of it: ``good`` is a whole snapshot."""
    report: Report = "none"
    """The host's entry in ``stats``."""
    phase: str = "Pending"
    overdue: bool = False
    """The deadline of its session has passed: the runner reads it in the session's status."""
    point: bool = False
    """The snapshot counts as a recovery point, and is there."""
    hook: Hook = "off"


class Session(NamedTuple):
    """One backup session, but for its targets."""

    phase: str = ABSENT
    slot: int = 0
    """Which slot of the schedule it is for; 0: somebody created it by hand."""
    listed: bool = False
    """Whether the Repository lists it as active."""
    late: bool = False
    """Whether its deadline has passed."""
    grace_over: bool = False
    """Whether a runner that is missing has been missing for too long."""
    maintained: bool = False
    """Whether the repository has been maintained after it, as far as that could be done."""


class Frame(NamedTuple):
    """Everything but the targets."""

    order: str = PARALLEL
    """In which order a session starts its targets."""
    batch: Literal["live", "deleting", "gone"] = "live"
    paused: bool = False
    cron_job: Literal["none", "active", "suspended"] = "none"
    sessions: tuple[Session, Session] = (Session(), Session())
    second_is_older: bool = False
    """Sessions are ordered by time of creation, then name: within a second the name decides."""
    owner: int = NOBODY
    maintaining: int = NOBODY
    """The session whose maintenance holds the repository."""
    job: Literal["none", "running", "done", "dead"] = "none"
    """The Job of that maintenance."""
    pre: Whole = "off"
    """The batch's hook before the targets, in the session ``owner``."""
    post: Whole = "off"
    """The one after them."""


class World(NamedTuple):
    """The whole world."""

    frame: Frame
    targets: tuple[Target, ...]


class Config(NamedTuple):
    """What is explored: the order, the kind of each target, how much may go wrong, and hooks."""

    order: str
    kinds: tuple[str, ...]
    faults: int = 2
    hooks: bool = False

    def start(self) -> World:
        """A batch that somebody has just created."""
        hook: Hook = "none" if self.hooks else "off"
        whole: Whole = "idle" if self.hooks else "off"
        frame = Frame(self.order, pre=whole, post=whole)
        return World(frame, tuple(Target(kind, hook=hook) for kind in self.kinds))

    def __str__(self) -> str:
        return f"{self.order} {'+'.join(self.kinds)}{' with hooks' if self.hooks else ''}"


FINAL_SESSION = frozenset(("Succeeded", "Failed", "Skipped", OVER))
FINAL_TARGET = frozenset(("Succeeded", "Failed"))


def owes(target: Target) -> bool:
    """Its pre hook was started, and its post hook is not told."""
    return target.hook in ("owed", "running")


def is_unfinished(session: Session) -> bool:
    """The session exists and is not final."""
    return session.phase != ABSENT and session.phase not in FINAL_SESSION


def with_session(frame: Frame, number: int, session: Session) -> Frame:
    """``frame`` with that session in place of its own."""
    first, second = frame.sessions
    return frame._replace(sessions=(session, second) if number == 0 else (first, session))
