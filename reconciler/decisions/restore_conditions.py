"""The conditions of a restore and of its members, under Stash's types.

Called by ``restore`` when it writes the status. A RestoreBatch keeps those of a member with the
member, a RestoreSession keeps all in one list. Each message says what is wrong and what to do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from reconciler.api import conditions as c
from reconciler.api.resources import RESTORE_BATCHES, JsonObject
from reconciler.api.restore_invoker import entries
from reconciler.decisions import conditions, progress, restore_work, restores, targets, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.targets import Target
from statemachines import restore as machine

if TYPE_CHECKING:
    from reconciler.decisions.restore import World

ANOTHER_RESTORE = "AnotherRestoreRunning"


@attrs.frozen
class Told:
    """The conditions of the whole, and the entries with their own."""

    whole: list[JsonObject]
    entries: list[JsonObject]


def with_conditions(
    seen: World,
    phase: str,
    found: Sequence[JsonObject],
    of_hooks: Sequence[Condition],
    now: dt.datetime,
) -> Told:
    """Conditions that hold or do not hold in ``phase``; those of other writers are kept."""
    own = [*_of_whole(seen, phase, found), *of_hooks]
    batch = seen.resource == RESTORE_BATCHES
    old = {str(entry["ref"]): entry.get("conditions") for entry in entries(seen.obj)}
    told: list[JsonObject] = []
    for entry in found:
        of_member = _of_member(seen, entry)
        if batch:
            merged = _merged(old.get(str(entry["ref"])), of_member, now)
            told.append({**entry, "conditions": merged} if merged else entry)
        else:
            own += of_member
            told.append(entry)
    return Told(_merged(seen.status.get("conditions"), own, now), told)


def _merged(
    stored: Sequence[JsonObject] | None, own: Sequence[Condition], now: dt.datetime
) -> list[JsonObject]:
    types = {conditions.READY_TO_START, *(item.type for item in own)}
    foreign = [item["type"] for item in stored or () if item["type"] not in types]
    return conditions.merged(stored, own, now, foreign=foreign)


# -- of the whole ---------------------------------------------------------------------------------


def _of_whole(seen: World, phase: str, found: Sequence[JsonObject]) -> Iterator[Condition]:
    yield _valid(seen)
    if seen.typed is None or not seen.typed.takes_snapshots:
        yield _repository_found(seen)
    if seen.typed_repository is not None:
        yield conditions.secret_found(seen.secret_problem)
    if phase == machine.PENDING:
        yield _ready(seen)
    if phase == machine.SKIPPED:
        yield Condition.of(c.SKIPPED, holds=True, reason=ANOTHER_RESTORE, message=why_skipped(seen))
    late = [entry for entry in found if entry.get("reason") == progress.DEADLINE_EXCEEDED]
    if late and phase not in (machine.PENDING, machine.RUNNING):
        names = ", ".join(f"{entry['ref']['kind']} {entry['ref']['name']}" for entry in late)
        message = f"Not finished when the deadline passed: {names}."
        yield Condition.of(
            c.DEADLINE_EXCEEDED, holds=True, reason=c.DEADLINE_EXCEEDED, message=message
        )


def _ready(seen: World) -> Condition:
    """By this the Repository knows that the restore only waits to be listed."""
    problem = seen.own_wait
    return Condition.of(
        conditions.READY_TO_START,
        holds=not problem,
        reason=conditions.WAITING if problem else conditions.TARGETS_FOUND,
        message=problem or "Every target is there.",
    )


def why_skipped(seen: World) -> str:
    """The other restore, and what to do."""
    what = restores.label(seen.rival) if seen.rival else "Another restore"
    return f"{what} restores one of the targets and has not finished; make this restore again then."


def _valid(seen: World) -> Condition:
    if seen.faults:
        return Condition.of(
            c.VALID, holds=False, reason=c.INVALID_SPEC, message=world.told(seen.faults)
        )
    message = "The spec is valid."
    return Condition.of(c.VALID, holds=True, reason=c.SPEC_ACCEPTED, message=message)


def _repository_found(seen: World) -> Condition:
    name = f"Repository {seen.namespace}/{world.repository_name(seen.obj)}"
    found = seen.typed_repository is not None
    if found:
        message = f"{name} exists."
    elif seen.repository is not None:
        message = f"{name} is not valid; see its condition {c.VALID}"
    else:
        message = f"{name} does not exist; create it, or name another one in spec.repository.name"
    return Condition.of(
        c.REPOSITORY_FOUND,
        holds=found,
        reason=c.REPOSITORY_AVAILABLE if found else c.REPOSITORY_NOT_AVAILABLE,
        message=message,
    )


# -- of a member ----------------------------------------------------------------------------------


def _of_member(seen: World, entry: JsonObject) -> list[Condition]:
    ref = entry["ref"]
    wanted = (ref.get("kind"), ref.get("name"))
    target = next((t for t in seen.targets if (t.ref.kind, t.ref.name) == wanted), None)
    if target is None:
        return []
    what = f"{target.ref.kind} {seen.namespace}/{target.ref.name}"
    found = [_found(target, what, seen.namespace)]
    if entry.get("startTime"):
        found.append(
            _injected(seen, target, what) if target.is_workload else _job_created(entry, what)
        )
    return found


def _found(target: Target, what: str, namespace: str) -> Condition:
    if target.is_missing:
        message = target.absence(namespace, "the restore begins when it is there.")
    elif target.resource is None:
        message = f"{what} is made or known by the restore itself."
    else:
        message = f"{what} exists."
    return Condition.of(
        c.RESTORE_TARGET_FOUND,
        holds=not target.is_missing,
        reason=c.TARGET_NOT_AVAILABLE if target.is_missing else c.TARGET_AVAILABLE,
        message=message,
    )


def _injected(seen: World, target: Target, what: str) -> Condition:
    problem = "" if target.is_marked else targets.obstacle(target, seen.namespace)
    if not problem and not target.is_marked:
        problem = (
            f"The stash-init container is not in the pod template of {what} yet. If this lasts, "
            "the API server refuses it: see the operator's log."
        )
    return Condition.of(
        c.STASH_INIT_CONTAINER_INJECTED,
        holds=not problem,
        reason=(
            c.INIT_CONTAINER_INJECTION_FAILED if problem else c.INIT_CONTAINER_INJECTION_SUCCEEDED
        ),
        message=problem or f"The stash-init container is in the pod template of {what}.",
    )


def _job_created(entry: JsonObject, what: str) -> Condition:
    """As the target's phase and reason tell it: they know of claims that are in the way, too."""
    problem = _job_problem(entry)
    return Condition.of(
        c.RESTORE_JOB_CREATED,
        holds=not problem,
        reason=c.RESTORE_JOB_CREATION_FAILED if problem else c.RESTORE_JOB_CREATION_SUCCEEDED,
        message=problem or f"The restore Jobs of {what} are made.",
    )


def _job_problem(entry: JsonObject) -> str:
    known = (conditions.TASK_NOT_AVAILABLE, conditions.NAME_TAKEN, restore_work.CLAIM_TAKEN)
    if entry.get("reason") in known:
        return str(entry["message"])
    lost = (str(stat.get("error") or "") for stat in entry.get("stats") or ())
    return next((error for error in lost if error.startswith(known)), "")
