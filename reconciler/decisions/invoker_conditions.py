"""The conditions of an invoker itself: valid, repository, Secret, CronJob, paused.

Called by ``invoker`` when it writes the status. Each message says what is wrong and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.api import conditions as c
from reconciler.decisions import conditions, host_names, world
from reconciler.decisions.conditions import Condition
from reconciler.manifests import names
from statemachines import batch as machine

if TYPE_CHECKING:
    from reconciler.decisions.invoker import World


def of(seen: World, phase: str) -> Iterator[Condition]:
    """Every condition that holds or does not hold in ``phase``; a member's own are with it."""
    yield _valid(seen)
    if seen.needs_repository:
        yield _repository_found(seen)
    if seen.typed_repository is not None:
        yield conditions.secret_found(seen.secret_problem)
    yield _cron_job_created(seen, phase)
    if seen.needs_repository and not seen.faults and phase != machine.TERMINATING:
        yield host_names.condition(seen.obj, seen.namesakes)
    if seen.typed is not None and seen.typed.paused:
        message = "No session starts by the schedule; set spec.paused to false to resume."
        yield Condition.of(c.PAUSED, holds=True, reason=c.PAUSED, message=message)


def _valid(seen: World) -> Condition:
    if seen.typed is None or seen.faults:
        return Condition.of(
            c.VALID, holds=False, reason=c.INVALID_SPEC, message=world.told(seen.faults)
        )
    message = "The spec is valid."
    return Condition.of(c.VALID, holds=True, reason=c.SPEC_ACCEPTED, message=message)


def _repository_found(seen: World) -> Condition:
    found = seen.typed_repository is not None
    name = f"Repository {seen.namespace}/{world.repository_name(seen.obj)}"
    return Condition.of(
        c.REPOSITORY_FOUND,
        holds=found,
        reason=c.REPOSITORY_AVAILABLE if found else c.REPOSITORY_NOT_AVAILABLE,
        message=f"{name} exists." if found else seen.repository_problem,
    )


def _cron_job_created(seen: World, phase: str) -> Condition:
    name = names.cron_job(world.name_of(seen.obj))
    if seen.cron_job_is_foreign:
        message = (
            f"CronJob {seen.namespace}/{name} belongs to something else; "
            "delete it, or give this object another name."
        )
        return Condition.of(
            c.CRON_JOB_CREATED, holds=False, reason=conditions.NAME_TAKEN, message=message
        )
    about_to_be = seen.is_new and phase not in (machine.PENDING, machine.TERMINATING)
    created = about_to_be or seen.cron_job is not None
    return Condition.of(
        c.CRON_JOB_CREATED,
        holds=created,
        reason=c.CRON_JOB_CREATION_SUCCEEDED if created else c.CRON_JOB_CREATION_FAILED,
        message=(
            f"CronJob {seen.namespace}/{name} triggers the sessions."
            if created
            else "The CronJob is not there yet: it is made when everything that the sessions need "
            "is there. If this lasts, the API server refuses it: see the operator's log."
        ),
    )
