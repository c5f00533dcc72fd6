"""The post hooks that members' dead runners owe: who runs them now, and when they are given up.

Called by ``progress``, once a host. Whoever takes a host does its hooks and tells so beside the
claim; a claim without it, whose host somebody else has reported, is a frozen database. A Job runs
the hook then, against a living pod of the target. Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import attrs

from reconciler.api.hosts import alias_of
from reconciler.api.invoker import Invoker
from reconciler.api.resources import JOBS, JsonObject
from reconciler.api.runtime import BackupHooks, PostBackupHook
from reconciler.decisions import access, conditions, hooks, hosts, runs, world
from reconciler.decisions.plan import Create, Settings, View, Write
from reconciler.decisions.targets import Target
from reconciler.manifests import hook_jobs, labels, names
from reconciler.manifests.hook_jobs import Owner

SKIPPED, FAILED = "Skipped", "Failed"
LAST_SIGN = dt.timedelta(minutes=2)
"""A living runner ends its post hook within a minute of the deadline and reports it; if it has not
by then, its process has forgotten about it."""


@attrs.frozen
class Owed:
    """What is the same for all hosts of a session. ``beside``: the pod spec of a target's Job;
    ``in_jobs``: Jobs do the hooks of workloads too (VolumeSnapshotter).
    """

    owner: Owner
    invoker: Invoker
    retry_left: bool
    beside: Callable[[Target, str], JsonObject | None]
    view: View
    deadline: dt.datetime
    now: dt.datetime
    settings: Settings
    in_jobs: bool = False


@attrs.frozen
class Host:
    """One claim, its report, and whether its claimant is proven dead."""

    claim: JsonObject
    stat: JsonObject | None
    stored: bool
    """The report stands in the status: one that is only about to may yet come from the runner."""
    dead: bool

    @property
    def name(self) -> str:
        return str(self.claim["hostname"])


@attrs.frozen
class Settled:
    """The claim as it should be stored, and what follows from it."""

    claim: JsonObject
    owed: bool = False
    writes: tuple[Write, ...] = ()
    look_at: tuple[dt.datetime, ...] = ()
    lost: tuple[str, str] | None = None
    """(whose hook, why) when it is given up."""


def settle(owed: Owed, target: Target | None, host: Host) -> Settled:
    """What is owed for a host. Once it is told beside the claim, nothing is."""
    told = (host.claim.get("hooks") or {}).get("post")
    post = _post_hook(target)
    if target is None or post is None or told or not host.claim.get("runner"):
        return Settled(host.claim)
    if host.stat is None:
        return Settled(host.claim, owed=True)
    failed = host.stat.get("phase") == "Failed"
    if not hooks.is_due(post.execution_policy, failed=failed, retry_left=owed.retry_left):
        return Settled(_told(host.claim, SKIPPED))
    job = owed.view.get(
        JOBS,
        owed.owner.namespace,
        names.owed_hook_job(owed.owner.name, target.index, host.name),
    )
    why = _why_given_up(owed, target, job)
    if why:
        what = f"{target.ref.kind} {target.ref.name}, host {host.name}"
        return Settled(_told(host.claim, FAILED), lost=(what, why))
    return _waiting(owed, target, host, job)


def _post_hook(target: Target | None) -> PostBackupHook | None:
    found = target.member.hooks if target else None
    return found.post_backup if isinstance(found, BackupHooks) else None


def _told(claim: JsonObject, post: str) -> JsonObject:
    return {**claim, "hooks": {**(claim.get("hooks") or {}), "post": post}}


def _why_given_up(owed: Owed, target: Target, job: JsonObject | None) -> str:
    end = owed.deadline + hooks.GRACE
    if job is None and target.is_missing:
        return "its post hook was not executed, because the target is gone"
    if job is None:
        late = f"its post hook could not be executed by {conditions.timestamp(end)}"
        return late if owed.now >= end else ""
    name = world.name_of(job)
    if not labels.is_controlled_by(job, owed.owner.obj["metadata"]["uid"]):
        return f"its post hook was not executed: Job {name} belongs to something else; delete it"
    if runs.finished(job) and owed.now >= _ended(job, owed.now) + hooks.PATIENCE:
        why = runs.failure(job) if runs.finished(job) == "Failed" else "it ended without a report"
        return f"its post hook may not have been executed: Job {name}: {why}; see its logs"
    return ""


def _ended(job: JsonObject, now: dt.datetime) -> dt.datetime:
    text = runs.failed_at(job)
    return conditions.moment(text) if text else now


def _waiting(owed: Owed, target: Target, host: Host, job: JsonObject | None) -> Settled:
    forgotten = owed.deadline + LAST_SIGN
    looks = [forgotten, owed.deadline + hooks.GRACE]
    if job is not None:
        looks += [_ended(job, owed.now) + hooks.PATIENCE] if runs.finished(job) else []
        return Settled(host.claim, owed=True, look_at=tuple(looks))
    writes: tuple[Write, ...] = ()
    if host.stored and (host.dead or owed.now >= forgotten):
        writes = tuple(_create(owed, target, host))
    return Settled(host.claim, owed=True, writes=writes, look_at=tuple(looks))


def _create(owed: Owed, target: Target, host: Host) -> Iterator[Write]:
    """Its Job; nothing while no pod of the target lives, because the pod is in the Job's args."""
    in_pod = target.is_workload and not owed.in_jobs
    pod = _living_pod(owed, target, host.name) if in_pod else ""
    if in_pod and not pod:
        return
    ref = {"kind": target.ref.kind, "name": target.ref.name}
    job = hook_jobs.owed(
        owed.owner,
        hooks.POST_BACKUP,
        target.index,
        target=ref,
        host=host.name,
        pod=pod,
        beside=None if in_pod else owed.beside(target, host.name),
        image=owed.settings.image,
    )
    account = job["spec"]["template"]["spec"]["serviceAccountName"]
    own = "" if account == names.BACKUP_JOB_ACCOUNT else account
    yield from access.for_jobs(owed.view, owed.owner.namespace, own)
    yield from access.for_hooks(owed.view, owed.owner.namespace, account)
    yield Create(JOBS, job)


def _living_pod(owed: Owed, target: Target, host: str) -> str:
    alias = alias_of(owed.invoker, target.index)
    for pod in hosts.pods_of(owed.view, target.obj) if target.obj else ():
        running = world.status_of(pod).get("phase") == "Running"
        if running and hosts.host_of(target.ref.kind, alias, pod) == host:
            return world.name_of(pod)
    return ""
