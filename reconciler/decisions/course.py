"""How far a whole is: the steps of its targets, and the hooks around them.

Shared by the session decision and the restore decision, which observe, fold by their own machines
and tell in their own words. Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import attrs

from reconciler.api.resources import JsonObject
from reconciler.decisions import conditions, hooks, progress, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.plan import EventIntent, Write
from reconciler.decisions.progress import Session, Step
from statemachines import session as machine

UNFINISHED = (machine.PENDING, machine.RUNNING)
"""The phases of a session that goes on; a restore's are named alike."""
STATUS_UPDATER = "Status Updater"


@attrs.frozen
class Course:
    """What one look has led to."""

    steps: Sequence[Step]
    pre: hooks.Found
    post: hooks.Found

    @property
    def entries(self) -> list[JsonObject]:
        return [step.entry for step in self.steps]

    @property
    def all_final(self) -> bool:
        return all_final(self.entries)

    @property
    def some_failed(self) -> bool:
        return any(map(_failed, self.entries))

    @property
    def hooks_settled(self) -> bool:
        return not self.pre.pending and not self.post.pending

    @property
    def some_hook_failed(self) -> bool:
        return self.pre.failed or self.post.failed

    @property
    def hook_conditions(self) -> list[Condition]:
        """Those that nobody but the operator writes any more."""
        return [found.condition for found in (self.pre, self.post) if found.condition]

    @property
    def writes(self) -> Iterator[Write]:
        for step in self.steps:
            yield from step.writes
        yield from (*self.pre.writes, *self.post.writes)

    @property
    def failures(self) -> Iterator[str]:
        """A sentence for each target and each hook that has failed."""
        for entry in filter(_failed, self.entries):
            yield f"{entry['ref']['kind']}/{entry['ref']['name']}: {entry['message']}"
        for found in (self.pre, self.post):
            if found.condition:
                yield found.condition.message
            elif found.failed:
                yield f"See condition {found.terms.condition}."

    def wake(self, phase: str, deadline: dt.datetime, now: dt.datetime) -> dt.datetime | None:
        """When it must be looked at again though nothing happens."""
        if phase not in UNFINISHED:
            return None
        looks = [moment for step in self.steps for moment in step.look_at]
        looks += (deadline, *self.pre.look_at, *self.post.look_at)
        return min((moment for moment in looks if moment > now), default=None)

    def lost_hosts(self, obj: JsonObject, work: str) -> Iterator[EventIntent]:
        """An Event for each host that was given up. ``work``: Backup or Restore."""
        for step in self.steps:
            for stat in step.given_up:
                ref = step.entry["ref"]
                what = f"host {stat['hostname']} of {ref.get('kind')} {ref.get('name')}"
                message = f"{work} of {what} failed: {stat['error']}"
                yield EventIntent(obj, f"Host {work} Failed", message, "Warning", STATUS_UPDATER)


def of(
    whole: hooks.Whole, pre: hooks.Found, steps: Sequence[Step], stored: Sequence[JsonObject]
) -> Course:
    """With the hook after the last target. ``stored``: the entries as they are in the status."""
    entries = [step.entry for step in steps]
    post = whole.post(
        pre,
        all_targets_final=all_final(entries),
        some_target_failed=any(map(_failed, entries)),
        stored=all_final(stored),
    )
    return Course(steps, pre, post)


def steps(session: Session, entries: Sequence[JsonObject], *, sequential: bool) -> list[Step]:
    """Each target's step in order: in a sequence, one's turn depends on those before it."""
    found: list[Step] = []
    for entry in entries:
        turn = not sequential or all(progress.is_final(step.entry) for step in found)
        found.append(progress.advance(session, entry, turn=turn))
    return found


def refusal(status: JsonObject, pre: hooks.Found) -> tuple[str, str] | tuple[()]:
    """Why no target is begun any more: the hook before the first one failed."""
    if not pre.failed:
        return ()
    stored = conditions.find(status.get("conditions"), pre.terms.condition) or {}
    message = pre.condition.message if pre.condition else str(stored.get("message") or "")
    return hooks.pre_failed(pre.terms), message


def known(obj: JsonObject) -> str:
    """The phase from which the machine goes on; an unknown one is as good as none."""
    phase = world.phase_of(obj)
    return phase if phase in UNFINISHED else machine.PENDING


def all_final(entries: Sequence[JsonObject]) -> bool:
    return bool(entries) and all(map(progress.is_final, entries))


def _failed(entry: JsonObject) -> bool:
    return entry.get("phase") == "Failed"
