"""The end of a Repository whose data is to go with it (``spec.wipeOut``).

Called by the repository decision. A finalizer keeps the object until a Job has removed the data;
only a Repository with wipeOut has one. Nothing is removed while an invoker or a restore names the
Repository, or a session uses it: a condition says so, and the deletion waits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.api import conditions as c
from reconciler.api.resources import JOBS, REPOSITORIES, JsonObject
from reconciler.decisions import conditions, runs, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.plan import Delete, Finalizers, View
from reconciler.manifests import jobs, names
from statemachines import repository as machine

if TYPE_CHECKING:
    from reconciler.decisions.repository import World

DEADLINE = dt.timedelta(hours=24)
RETRY = dt.timedelta(minutes=5)
"""A Job that failed is made anew so often: a backend that was down comes back by itself."""


def is_wanted(obj: JsonObject) -> bool:
    """Whether the raw spec asks for it, in so many words."""
    return (obj.get("spec") or {}).get("wipeOut") is True


def errand(seen: World) -> jobs.Errand | None:
    """A changed Repository or Secret gives another name, and so a new Job by itself."""
    if seen.typed is None or seen.secret is None:
        return None
    meta = seen.secret["metadata"]
    return jobs.wipe(seen.typed, meta.get("uid") or "", meta.get("resourceVersion") or "")


def job_of(seen: World, view: View) -> JsonObject | None:
    found = errand(seen)
    return view.get(JOBS, seen.obj["metadata"]["namespace"], found.name) if found else None


def is_in_use(seen: World) -> bool:
    return bool(seen.invokers or seen.active or seen.restoring)


def finalizers(seen: World, phase: str, *, wiped: bool) -> Iterator[Finalizers]:
    """The finalizer is there while data is to go with the object, and goes when it has gone."""
    meta = seen.obj["metadata"]
    present = tuple(meta.get("finalizers") or ())
    rest = tuple(name for name in present if name != names.FINALIZER)
    deleted = world.terminating(seen.obj)
    wanted = is_wanted(seen.obj) and not wiped
    keep = wanted or (deleted and phase != machine.TERMINATING)
    if deleted and names.FINALIZER not in present:
        return  # nobody may add one any more
    found = (*rest, names.FINALIZER) if keep else rest
    if keep != (names.FINALIZER in present):
        version = meta["resourceVersion"]
        yield Finalizers(REPOSITORIES, meta["namespace"], meta["name"], version, found)


def retry(job: JsonObject | None, now: dt.datetime) -> tuple[dt.datetime | None, list[Delete]]:
    """When a Job that failed is made anew, and the deletion that makes room for it."""
    if job is None or runs.finished(job) != "Failed":
        return None, []
    failed = runs.failed_at(job)
    again = (dt.datetime.fromisoformat(failed) if failed else now) + RETRY
    if now < again:
        return again, []
    meta = job["metadata"]
    return None, [Delete(JOBS, meta["namespace"], meta["name"], meta["uid"])]


def condition(seen: World, job: JsonObject | None) -> Iterator[Condition]:
    """Why the data of a deleted Repository is still there."""
    if world.terminating(seen.obj) and is_wanted(seen.obj):
        yield Condition(c.REPOSITORY_WIPED, "False", *_why(seen, job))


def _why(seen: World, job: JsonObject | None) -> tuple[str, str]:
    keep = "set spec.wipeOut to false to keep the data"
    users = [f"{user['kind']} {world.name_of(user)}" for user in seen.invokers]
    used = users or [*seen.active, *seen.restoring, *([seen.held] if seen.held else [])]
    if used:
        message = f"The data stays while it is in use by {', '.join(used)}; delete that, or {keep}."
        return c.REPOSITORY_IN_USE, message
    if seen.secret_problem:
        message = f"The data is still there: {seen.secret_problem}; or {keep}."
        return c.BACKEND_SECRET_NOT_AVAILABLE, message
    stored = conditions.find(seen.status.get("conditions"), c.REPOSITORY_WIPED) or {}
    if stored.get("reason") == c.FAILED_TO_WIPE_REPOSITORY:
        return c.FAILED_TO_WIPE_REPOSITORY, str(stored.get("message") or "")
    if job is not None and runs.finished(job) == "Failed":
        message = f"Job {world.name_of(job)} failed: {runs.failure(job)}; it is tried again."
        return c.FAILED_TO_WIPE_REPOSITORY, message
    return c.WIPING_REPOSITORY, "A Job removes the data."
