"""The hooks of one member around the work on a host: which, where, and what the report says.

Called by ``session`` (sidecar) and ``job``, and by ``restoring``. It knows the API's types;
``hooks`` knows how they run.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import backends, backup, restore
from reconciler.agent.executor import Behind
from reconciler.agent.handlers import Finder, HookRunner, Place
from reconciler.agent.hooks import Pair, Worked, around
from reconciler.agent.redaction import Redactor, secret_values
from reconciler.agent.report import HostReport
from reconciler.agent.turn import Target, status_of
from reconciler.agent.workshop import Tools
from reconciler.api import retries
from reconciler.api.backup import Member
from reconciler.api.invoker import Invoker
from reconciler.api.resources import APP_BINDINGS, JsonObject
from reconciler.api.runtime import BackupHooks, RestoreHooks
from reconciler.cluster.port import Port
from reconciler.manifests import names

WARNING = (
    ". Warning: The actual backup process may be succeeded. Hence, backup data might be present in"
    " the backend even if the overall BackupSession phase is 'Failed'"
)
"""Stash's words at the end of the error of a host whose post hook failed."""


def beside(namespace: str, pod: str) -> Place:
    """For the sidecar: the application's container is meant, unless ours is named."""
    return Place.beside(namespace, pod, names.SIDECAR)


def before(namespace: str, pod: str) -> Place:
    """For the init container: the application's containers do not run yet."""
    return Place.before(namespace, pod, names.INIT_CONTAINER)


def of_job(port: Port, namespace: str, pod: str, target: Target) -> Finder:
    """For a Job: a pod behind the Service of an AppBinding, else the Job's own."""
    if target.kind == APP_BINDINGS.kind:
        return Behind(port, namespace, target.name)
    return Place.alone(namespace, pod)


def pair(hooks: BackupHooks | None, *, retry_left: bool = False) -> Pair:
    """The handlers of a member; ``retry_left``: a failed session will be tried again."""
    if hooks is None:
        return Pair()
    post = hooks.post_backup
    found = Pair(hooks.pre_backup, post, retry_left=retry_left)
    return attrs.evolve(found, policy=post.execution_policy) if post else found


def restore_pair(hooks: RestoreHooks | None) -> Pair:
    """The handlers of a restore's member; a restore is not tried again."""
    if hooks is None:
        return Pair()
    post = hooks.post_restore
    found = Pair(hooks.pre_restore, post)
    return attrs.evolve(found, policy=post.execution_policy) if post else found


def redactor(tools: Tools) -> Redactor:
    """For the Secret that is mounted: what a hook prints may show it."""
    secret = backends.read_secret(tools.surroundings.path(tools.secret_dir))
    return Redactor.of(secret_values(secret))


def around_backup(  # noqa: PLR0917 -- all of them are needed, each is another type
    port: Port,
    tools: Tools,
    where: Finder,
    invoker: Invoker,
    member: Member | None,
    session: JsonObject,
    host: str,
    work: Callable[[], HostReport],
) -> HostReport:
    """Back up a host between the hooks of its member. Never raises, as ``work`` does not."""
    runner = HookRunner(port, tools, where, redactor(tools))
    wanted = pair(member.hooks if member else None, retry_left=retries.left(session, invoker) > 0)
    done = _around(runner, wanted, session, work)
    return reported(done, backup.failed(host, ""), WARNING)


def around_snapshots(  # noqa: PLR0917 -- all of them are needed, each is another type
    port: Port,
    tools: Tools,
    where: Finder,
    invoker: Invoker,
    member: Member | None,
    session: JsonObject,
    claims: Sequence[str],
    work: Callable[[], tuple[HostReport, ...]],
) -> tuple[HostReport, ...]:
    """The same of all claims of a target at once: one pair of hooks is for all of them."""
    runner = HookRunner(port, tools, where, redactor(tools))
    wanted = pair(member.hooks if member else None, retry_left=retries.left(session, invoker) > 0)
    done = around(
        runner,
        wanted,
        work,
        failed=lambda found: any(each.stats.phase == "Failed" for each in found),
        deadline=_deadline(session),
    )
    found = done.result or tuple(backup.failed(claim, "") for claim in claims)
    return tuple(reported(Worked(each, done.hooks), each, WARNING) for each in found)


def around_restore(  # noqa: PLR0917 -- all of them are needed, each is another type
    port: Port,
    tools: Tools,
    where: Finder,
    hooks: RestoreHooks | None,
    session: JsonObject,
    host: str,
    work: Callable[[], HostReport],
) -> HostReport:
    """The same of a restore. Told to stop, its post hook has run all the same."""
    runner = HookRunner(port, tools, where, redactor(tools))
    done = _around(runner, restore_pair(hooks), session, work)
    return reported(done, restore.failed(host, ""))


def _around(
    runner: HookRunner, hooks: Pair, session: JsonObject, work: Callable[[], HostReport]
) -> Worked[HostReport]:
    return around(
        runner,
        hooks,
        work,
        failed=lambda report: report.stats.phase == "Failed",
        deadline=_deadline(session),
    )


def _deadline(session: JsonObject) -> dt.datetime | None:
    written = status_of(session).get("sessionDeadline")
    return dt.datetime.fromisoformat(written) if written else None


def reported(done: Worked[HostReport], undone: HostReport, warning: str = "") -> HostReport:
    """The report with what the hooks did; ``undone`` is that of work which was not begun.

    A hook that failed fails the host. After a failed post hook ``warning`` is the last word.
    """
    found = done.result or undone
    stats = found.stats
    if done.hooks.error:
        errors = (done.hooks.pre_error, stats.error, done.hooks.post_error)
        error = "; ".join(text for text in errors if text)
        error += warning if done.hooks.post_error else ""
        stats = attrs.evolve(stats, phase="Failed", error=error)
    return attrs.evolve(found, stats=stats, hooks=done.hooks.said)
