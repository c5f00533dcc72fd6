"""One log line for every change of a phase, told from the objects themselves.

Registered by the command line with ``loop.view.on_change(transitions.log_phases)``.
"""

from __future__ import annotations

import logging

from reconciler.api import restore_invoker
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    BACKUP_SESSIONS,
    REPOSITORIES,
    RESTORE_BATCHES,
    RESTORE_SESSIONS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.api.restore_invoker import RESTORE_INVOKERS

logger = logging.getLogger(__name__)

_PHASED = frozenset(
    {
        BACKUP_BATCHES,
        BACKUP_CONFIGURATIONS,
        BACKUP_SESSIONS,
        REPOSITORIES,
        RESTORE_BATCHES,
        RESTORE_SESSIONS,
    }
)
_BAD = frozenset({"Failed"})


def log_phases(resource: Resource, old: JsonObject | None, new: JsonObject | None) -> None:
    """A listener of the informer cache. First sight of an object is not a change."""
    if resource not in _PHASED or old is None or new is None:
        return
    subject = f"{resource.kind} {Key.of(new)}"
    _log(subject, _status(old), _status(new))
    before = {str(each.get("ref")): each for each in _targets(resource, old)}
    for target in _targets(resource, new):
        ref = target.get("ref") or {}
        name = f"{subject} target {ref.get('kind')}/{ref.get('name')}"
        _log(name, before.get(str(target.get("ref")), {}), target)


def _targets(resource: Resource, obj: JsonObject) -> list[JsonObject]:
    """What the status says of each target, of a session and of both kinds of restore."""
    if resource in RESTORE_INVOKERS:
        return restore_invoker.entries(obj)
    return list(_status(obj).get("targets") or ())


def _log(subject: str, old: JsonObject, new: JsonObject) -> None:
    before, after = old.get("phase") or "none", new.get("phase") or "none"
    if before == after:
        return
    reason = new.get("reason")
    logger.log(
        logging.WARNING if after in _BAD else logging.INFO,
        "%s: %s → %s%s",
        subject,
        before,
        after,
        f" ({reason})" if reason else "",
    )


def _status(obj: JsonObject) -> JsonObject:
    return obj.get("status") or {}
