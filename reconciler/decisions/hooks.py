"""The hooks around a whole session or restore: which is due, which Job runs it, how it ended.

Called by the session decision and the restore decision; the agent asks ``is_due`` and writes the
conditions by the same ``Terms``. What is stored is one condition a hook, written by the Job's agent
or, when that cannot, here. Pure.

A pre hook is settled by its condition. A post hook is due once a pre hook was settled and all
targets are final, as its policy says. So between any two writes a crash leaves a hook that was
started and not told, and the next look finds its Job.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from reconciler.api import conditions as c
from reconciler.api.resources import JOBS, JsonObject
from reconciler.api.runtime import BackupHooks, Handler, RestoreHooks
from reconciler.decisions import access, conditions, runs, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.plan import Create, Settings, View, Write
from reconciler.manifests import hook_jobs, labels, names
from reconciler.manifests.hook_jobs import Owner

ALWAYS: Final = "Always"
ON_SUCCESS: Final = "OnSuccess"
ON_FAILURE: Final = "OnFailure"
ON_FINAL_RETRY_FAILURE: Final = "OnFinalRetryFailure"

PRE_BACKUP: Final = "preBackup"
POST_BACKUP: Final = "postBackup"
PRE_RESTORE: Final = "preRestore"
POST_RESTORE: Final = "postRestore"

LOST: Final = "PostBackupHookExecuted"
"""Condition of a session, False: a member's post hook failed after its runner died, or was given
up; the message names each."""
NOT_EXECUTED: Final = "PostBackupHookNotExecuted"

GRACE = dt.timedelta(minutes=10)
"""So long after the deadline a hook that was due by then may still take; then it is given up."""


def is_due(policy: str, *, failed: bool, retry_left: bool = False) -> bool:
    """Whether a post hook of this executionPolicy runs. ``failed``: the pre hook or the work."""
    return {
        ALWAYS: True,
        ON_SUCCESS: not failed,
        ON_FAILURE: failed,
        ON_FINAL_RETRY_FAILURE: failed and not retry_left,
    }[policy]


# -- how they are called --------------------------------------------------------------------------


@attrs.frozen
class Terms:
    """Stash's words for one hook of the whole."""

    hook_type: str
    condition: str
    succeeded: str
    failed: str
    is_last: bool

    def told(self, error: str) -> str:
        """The condition's message."""
        title = f"{self.hook_type[0].upper()}{self.hook_type[1:]}"
        if error:
            return f"Failed to execute global {title} Hook. Reason: {error}."
        return f"Global {title} hook has been executed successfully"


TERMS: Final = {
    terms.hook_type: terms
    for terms in (
        Terms(
            PRE_BACKUP,
            c.GLOBAL_PRE_BACKUP_HOOK_SUCCEEDED,
            c.GLOBAL_PRE_BACKUP_HOOK_EXECUTED_SUCCESSFULLY,
            c.GLOBAL_PRE_BACKUP_HOOK_EXECUTION_FAILED,
            is_last=False,
        ),
        Terms(
            POST_BACKUP,
            c.GLOBAL_POST_BACKUP_HOOK_SUCCEEDED,
            c.GLOBAL_POST_BACKUP_HOOK_EXECUTED_SUCCESSFULLY,
            c.GLOBAL_POST_BACKUP_HOOK_EXECUTION_FAILED,
            is_last=True,
        ),
        Terms(
            PRE_RESTORE,
            c.GLOBAL_PRE_RESTORE_HOOK_SUCCEEDED,
            c.GLOBAL_PRE_RESTORE_HOOK_EXECUTED_SUCCESSFULLY,
            c.GLOBAL_PRE_RESTORE_HOOK_EXECUTION_FAILED,
            is_last=False,
        ),
        Terms(
            POST_RESTORE,
            c.GLOBAL_POST_RESTORE_HOOK_SUCCEEDED,
            c.GLOBAL_POST_RESTORE_HOOK_EXECUTED_SUCCESSFULLY,
            c.GLOBAL_POST_RESTORE_HOOK_EXECUTION_FAILED,
            is_last=True,
        ),
    )
}


def pre_failed(terms: Terms) -> str:
    """The reason of targets that are not begun because of it: ``GlobalPreBackupHookFailed``."""
    return terms.condition.replace("Succeeded", "Failed")


# -- what is wanted -------------------------------------------------------------------------------


@attrs.frozen
class Wanted:
    """The hooks of a whole, whichever kind it is."""

    pre: Handler | None = None
    post: Handler | None = None
    policy: str = ALWAYS
    retry_left: bool = False
    pre_terms: Terms = TERMS[PRE_BACKUP]
    post_terms: Terms = TERMS[POST_BACKUP]


def of_backup(hooks: BackupHooks | None, *, retry_left: bool) -> Wanted:
    """``retry_left``: a failed session will be tried again."""
    found = hooks or BackupHooks()
    policy = found.post_backup.execution_policy if found.post_backup else ALWAYS
    return Wanted(found.pre_backup, found.post_backup, policy, retry_left)


def of_restore(hooks: RestoreHooks | None) -> Wanted:
    found = hooks or RestoreHooks()
    return Wanted(
        found.pre_restore,
        found.post_restore,
        found.post_restore.execution_policy if found.post_restore else ALWAYS,
        pre_terms=TERMS[PRE_RESTORE],
        post_terms=TERMS[POST_RESTORE],
    )


class State(enum.Enum):
    """Where one hook is."""

    NONE = "there is none, or it is not due"
    PENDING = "it is due, and has not ended"
    SUCCEEDED = "succeeded"
    FAILED = "failed, or given up"


@attrs.frozen
class Found:
    """One hook as it is now, and what follows from it."""

    state: State
    terms: Terms
    condition: Condition | None = None
    """To be written: nobody else tells any more how it ended."""
    writes: tuple[Write, ...] = ()
    look_at: tuple[dt.datetime, ...] = ()

    @property
    def pending(self) -> bool:
        return self.state is State.PENDING

    @property
    def failed(self) -> bool:
        return self.state is State.FAILED


NOTHING = Found(State.NONE, TERMS[PRE_BACKUP])
"""Of a session that has not begun."""


@attrs.frozen
class Whole:
    """A session or restore, as its hooks see it. ``begun``: stored as Running, so not skipped."""

    owner: Owner
    wanted: Wanted
    view: View
    deadline: dt.datetime
    now: dt.datetime
    settings: Settings
    begun: bool = False

    @property
    def pre_was_started(self) -> bool:
        """Whether there are traces of the hook before the first target."""
        job = self._job("pre")
        mine = job is not None and labels.is_controlled_by(job, self.owner.obj["metadata"]["uid"])
        told = conditions.find(self._conditions, self.wanted.pre_terms.condition)
        return mine or told is not None

    def _job(self, which: str) -> JsonObject | None:
        return self.view.get(JOBS, self.owner.namespace, names.hook_job(self.owner.name, which))

    @property
    def _conditions(self) -> Sequence[JsonObject]:
        return list(world.status_of(self.owner.obj).get("conditions") or ())

    def pre(self, *, some_target_started: bool) -> Found:
        """The hook before the first target; one that is added after that is not run."""
        terms = self.wanted.pre_terms
        told = conditions.find(self._conditions, terms.condition)
        if told is not None:
            return Found(State.SUCCEEDED if told["status"] == "True" else State.FAILED, terms)
        if self.wanted.pre is None or (some_target_started and not self.pre_was_started):
            return Found(State.NONE, terms)
        return self._running("pre", terms, self.deadline)

    def post(
        self, pre: Found, *, all_targets_final: bool, some_target_failed: bool, stored: bool
    ) -> Found:
        """The hook after the last target; of a session that never began there is none.

        ``stored``: that all targets are final stands in the status; before that, a report may
        still come in between, and the policy want another thing.
        """
        terms = self.wanted.post_terms
        told = conditions.find(self._conditions, terms.condition)
        if told is not None:
            return Found(State.SUCCEEDED if told["status"] == "True" else State.FAILED, terms)
        failed = some_target_failed or pre.failed
        due = is_due(self.wanted.policy, failed=failed, retry_left=self.wanted.retry_left)
        if self.wanted.post is None or not self.begun or not due:
            return Found(State.NONE, terms)
        if pre.pending or not all_targets_final or not stored:
            return Found(State.PENDING, terms)
        return self._running("post", terms, self.deadline + GRACE)

    def _running(self, which: str, terms: Terms, end: dt.datetime) -> Found:
        """A hook that is due: its Job is there, or is made, or nothing is to be hoped for."""
        job = self._job(which)
        problem = self._problem(job, end)
        if problem:
            condition = Condition.of(
                terms.condition, holds=False, reason=terms.failed, message=terms.told(problem)
            )
            return Found(State.FAILED, terms, condition)
        ended = [_ended_at(job, self.now) + PATIENCE] if job and runs.finished(job) else []
        looks = (*ended, end, end + LIMIT)
        if job is not None or not self.begun:  # Running is stored first: then nothing skips it
            return Found(State.PENDING, terms, look_at=looks)
        return Found(State.PENDING, terms, None, self._create(which, terms, end), looks)

    def _problem(self, job: JsonObject | None, end: dt.datetime) -> str:
        if job is None:
            passed = conditions.timestamp(end)
            return f"it had not been started by {passed}" if self.now >= end else ""
        name = world.name_of(job)
        if not labels.is_controlled_by(job, self.owner.obj["metadata"]["uid"]):
            return f"Job {name} belongs to something else; delete it"
        ended = runs.finished(job)
        if ended and self.now >= _ended_at(job, self.now) + PATIENCE:
            why = runs.failure(job) if ended == "Failed" else "it ended without a report"
            return f"Job {name}: {why}; see its logs"
        if not ended and self.now >= end + LIMIT:
            return f"Job {name} had not ended {conditions.timestamp(end + LIMIT)}"
        return ""

    def _create(self, which: str, terms: Terms, end: dt.datetime) -> tuple[Write, ...]:
        left = max(1, int((end - self.now).total_seconds()))
        job = hook_jobs.of_whole(
            self.owner,
            which,
            terms.hook_type,
            image=self.settings.image,
            seconds=min(left, hook_jobs.SECONDS),
        )
        account = job["spec"]["template"]["spec"]["serviceAccountName"]
        own = "" if account == self.owner.account else account
        needed = access.for_restore_jobs if self.owner.is_restore else access.for_jobs
        return (*needed(self.view, self.owner.namespace, own), Create(JOBS, job))


PATIENCE = dt.timedelta(seconds=30)
"""A Job that has ended may have told so: its status and the session's come by different watches."""
LIMIT = dt.timedelta(seconds=hook_jobs.SECONDS + 60)


def _ended_at(job: JsonObject, now: dt.datetime) -> dt.datetime:
    text = runs.failed_at(job)
    return conditions.moment(text) if text else now


# -- hooks of members that nobody ran -------------------------------------------------------------


def with_lost(
    stored: Iterable[JsonObject] | None, what: str, why: str, now: dt.datetime
) -> list[JsonObject]:
    """The conditions with one more sentence about a member's post hook."""
    known = list(stored or ())
    old = conditions.find(known, LOST)
    sentence = f"{what}: {why.rstrip('.')}."
    if old is not None and sentence in old["message"]:
        return known
    message = f"{old['message']} {sentence}" if old else sentence
    found = Condition.of(LOST, holds=False, reason=NOT_EXECUTED, message=message)
    others = [item["type"] for item in known if item["type"] != LOST]
    return conditions.merged(known, [found], now, foreign=others)
