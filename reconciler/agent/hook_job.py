"""``run-hook``: one hook in a Job of its own, and what became of it in the status.

Two kinds: a hook around a whole session or restore, in the Job's own pod; and the post hook that a
member's dead runner owes. Exits 0 whatever became of the hook: the status tells, and a Job that is
tried again would run it twice. Called by ``main``.
"""

from __future__ import annotations

import datetime as dt
import logging

import attrs

from reconciler.agent import findings, member_hooks, restoring
from reconciler.agent.findings import Finding
from reconciler.agent.handlers import Finder, HookFailed, HookRunner, Place
from reconciler.agent.job import DONE, REFUSED, invoker_of
from reconciler.agent.patience import Patience
from reconciler.agent.turn import Target, claim_of, dict_of, status_of
from reconciler.agent.workshop import Tools
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject, Resource
from reconciler.api.runtime import BackupHooks, Handler, RestoreHooks
from reconciler.cluster.port import Port
from reconciler.decisions import hooks as rules
from reconciler.errors import NotFound, TandemError, TerminalError

_log = logging.getLogger(__name__)


@attrs.frozen
class Order:
    """What the flags say. Without a target it is a hook of the whole; ``pod``: the executor."""

    namespace: str
    session: str
    """The name of the BackupSession, or of the restore."""
    hook_type: str
    target: Target | None = None
    hostname: str = ""
    pod: str = ""
    resource: Resource = BACKUP_SESSIONS
    """What the hook belongs to: a session, or one kind of restore."""


def run(port: Port, tools: Tools, order: Order) -> int:
    """Raises TerminalError for a hook type that there is not."""
    try:
        session = port.get(order.resource, order.namespace, order.session)
    except NotFound:
        return DONE
    fence = "BACKUP_SESSION_UID" if order.resource == BACKUP_SESSIONS else "RESTORE_UID"
    if tools.surroundings.environ.get(fence, "") not in ("", session["metadata"]["uid"]):
        return DONE
    if order.resource != BACKUP_SESSIONS:
        return _of_restore(port, tools, order, {"kind": order.resource.kind, **session})
    invoker = invoker_of(port, session)
    if order.target is None:
        handler = _handler(invoker.hooks, order.hook_type)
        terms = rules.TERMS[order.hook_type]
        return _of_whole(port, tools, order, session, handler, terms)
    member = order.target.member(invoker)
    return _of_member(
        port, tools, order, session, _handler(member.hooks if member else None, order.hook_type)
    )


def _handler(hooks: BackupHooks | None, hook_type: str) -> Handler | None:
    known = {
        rules.PRE_BACKUP: hooks.pre_backup if hooks else None,
        rules.POST_BACKUP: hooks.post_backup if hooks else None,
    }
    if hook_type not in known:
        raise TerminalError(f"--hook-type must be {' or '.join(known)}, found {hook_type!r}")
    return known[hook_type]


def _of_restore(port: Port, tools: Tools, order: Order, obj: JsonObject) -> int:
    """A hook around a whole restore; a member's are run by whoever restores its host."""
    found = restoring.decode(obj).hooks or RestoreHooks()
    known = {rules.PRE_RESTORE: found.pre_restore, rules.POST_RESTORE: found.post_restore}
    if order.hook_type not in known or order.target is not None:
        raise TerminalError(
            f"--hook-type must be {' or '.join(known)}, without a target; found {order.hook_type!r}"
        )
    terms = rules.TERMS[order.hook_type]
    return _of_whole(port, tools, order, obj, known[order.hook_type], terms)


def _of_whole(  # noqa: PLR0917 -- private, and called once
    port: Port,
    tools: Tools,
    order: Order,
    obj: JsonObject,
    handler: Handler | None,
    terms: rules.Terms,
) -> int:
    place = Place.alone(order.namespace, tools.surroundings.pod().name)
    error = _attempt(port, tools, place, handler, obj, last=terms.is_last)
    if error and tools.stop and not terms.is_last:
        return REFUSED  # our pod is being stopped: the Job's next one runs it
    found = Finding(
        terms.condition,
        terms.failed if error else terms.succeeded,
        terms.told(error),
        holds=not error,
    )
    findings.write(port, tools, order.resource, obj, findings=[found])
    return DONE


def _of_member(
    port: Port, tools: Tools, order: Order, session: JsonObject, handler: Handler | None
) -> int:
    """A post hook that is owed; a pre hook by itself (as Stash's Tasks have) just runs."""
    target = order.target or Target("", "")
    entry = target.entry(session) or {}
    last = order.hook_type == rules.POST_BACKUP
    held = claim_of(entry, order.hostname)
    if last and (held is None or dict_of(held.get("hooks")).get("post")):
        return DONE
    own = tools.surroundings.pod().name
    where: Finder = (
        Place(order.namespace, order.pod)
        if order.pod
        else member_hooks.of_job(port, order.namespace, own, target)
    )
    error = _attempt(port, tools, where, handler, session, last=last)
    if not last:
        return REFUSED if error else DONE
    _settle(port, tools, order, target, session, error)
    return DONE


def _attempt(
    port: Port,
    tools: Tools,
    where: Finder,
    handler: Handler | None,
    obj: JsonObject,
    *,
    last: bool,
) -> str:
    """The error, or "". A handler that is in the spec no more has nothing to do."""
    if handler is None:
        return ""
    deadline = status_of(obj).get("sessionDeadline")
    left = None
    if deadline and not last:
        left = (dt.datetime.fromisoformat(deadline) - tools.clock.now()).total_seconds()
    try:
        runner = HookRunner(port, tools, where, member_hooks.redactor(tools))
        runner.run(handler, seconds=left, last=last)
    except HookFailed as error:
        _log.warning("%s", error)
        return str(error)
    return ""


def _settle(  # noqa: PLR0917 -- private, and called once
    port: Port, tools: Tools, order: Order, target: Target, session: JsonObject, error: str
) -> None:
    """Write beside the claim that the hook is owed no more, and its error into a condition."""
    now = tools.clock.now()

    def change(current: JsonObject) -> JsonObject | None:
        held = claim_of(target.entry(current) or {}, order.hostname)
        if current["metadata"]["uid"] != session["metadata"]["uid"] or held is None:
            return None
        if dict_of(held.get("hooks")).get("post"):
            return None
        held["hooks"] = {**dict_of(held.get("hooks")), "post": "Failed" if error else "Succeeded"}
        status = status_of(current)
        if error:
            what = f"{target.kind} {target.name}, host {order.hostname}"
            status["conditions"] = rules.with_lost(status.get("conditions"), what, error, now)
        return status

    patience = Patience(tools.clock, tools.stop)
    while True:
        try:
            port.update_status(BACKUP_SESSIONS, order.namespace, order.session, change)
        except NotFound:
            return
        except TandemError as fault:
            _log.warning("the status of %s waits: %s", order.session, fault)
        else:
            return
        if not patience.again():
            return
