"""Creates the BackupSession of one slot of the schedule: what the CronJob's pod runs.

The name is the lock: it is computed from the invoker and the slot, so a pod that is tried again
finds the session of its own slot and is done. Stash takes the current second, and a retry makes
a second session.
"""

from __future__ import annotations

import datetime as dt
import logging

import attrs

from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.cluster.port import Port
from reconciler.decisions.conditions import timestamp
from reconciler.engine.clock import Clock
from reconciler.errors import AlreadyExists, NotFound, TerminalError
from reconciler.manifests import labels, names, sessions

_log = logging.getLogger(__name__)

_SECONDS_DIGITS = 10
_NAME_LIMIT = names.LABEL_LIMIT - 1 - _SECONDS_DIGITS
_CREDIBLE = dt.timedelta(days=1)


def slot_of(job_name: str, invoker: str, now: dt.datetime) -> dt.datetime | None:
    """The slot that a CronJob's Job was made for, from its name; None for any other Job.

    Kubernetes 1.20 writes Unix seconds (ten digits), later versions minutes. A Job made by hand
    (``kubectl create job --from=cronjob/…``) is a manual run, even if its name ends with digits.
    """
    prefix = f"{names.cron_job(invoker)}-"
    digits = job_name.removeprefix(prefix)
    if digits == job_name or not (digits.isascii() and digits.isdecimal()):
        return None
    seconds = int(digits) * (1 if len(digits) >= _SECONDS_DIGITS else 60)
    try:
        slot = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return slot if abs(slot - now) <= _CREDIBLE else None


def session_of(invoker: JsonObject, moment: dt.datetime, *, scheduled: bool) -> JsonObject:
    """The BackupSession of an invoker for a moment. A scheduled one says so by its slot."""
    name = invoker["metadata"]["name"]
    short = name if len(name) <= _NAME_LIMIT else names.limited(name, _NAME_LIMIT)
    return sessions.build(
        invoker,
        f"{short}-{int(moment.timestamp())}",
        annotations={labels.SLOT: timestamp(moment)} if scheduled else None,
        retry_left=_retries(invoker),
    )


def _retries(invoker: JsonObject) -> int | None:
    """What a session of an invoker without retryConfig says nothing about."""
    config = (invoker.get("spec") or {}).get("retryConfig")
    return int(config.get("maxRetry") or 0) if config else None


@attrs.frozen
class Order:
    """What the trigger was told. ``job_name`` is its own Job's name, or "" outside of one."""

    namespace: str
    invoker_kind: str
    invoker_name: str
    job_name: str = ""


def create_backupsession(port: Port, order: Order, clock: Clock) -> int:
    """Create the session; 0. One that is there already is as good.

    Raises NotFound when the invoker is gone, TerminalError for an unknown kind.
    """
    invoker = _invoker(port, order.namespace, order.invoker_kind, order.invoker_name)
    now = clock.now()
    slot = slot_of(order.job_name, order.invoker_name, now)
    session = session_of(invoker, slot or now, scheduled=slot is not None)
    name = session["metadata"]["name"]
    try:
        port.create(BACKUP_SESSIONS, session)
        _log.info("created BackupSession %s/%s", order.namespace, name)
    except AlreadyExists:
        _log.info("BackupSession %s/%s is there already", order.namespace, name)
    return 0


def _invoker(port: Port, namespace: str, kind: str, name: str) -> JsonObject:
    for resource in INVOKERS:
        if resource.kind == kind:
            try:
                obj = port.get(resource, namespace, name)
            except NotFound as error:
                raise NotFound(f"{kind} {namespace}/{name} does not exist") from error
            return {**obj, "apiVersion": resource.api_version, "kind": resource.kind}
    known = " or ".join(resource.kind for resource in INVOKERS)
    raise TerminalError(f"--invoker-kind must be {known}, found {kind!r}")
