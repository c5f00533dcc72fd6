"""Whether the process that holds a lock of the repository is certainly gone.

Asked by ``locks`` before anything is removed that restic itself would keep. restic writes the
machine's name into a lock; in a cluster that is the pod's. A name proves something only if it is a
pod of ours: one that had claimed a host when the lock was taken, or one of a repository's Jobs
(whose names hold a hash of uids). Anything else (a laptop, a node, another namespace) may be
alive, and its lock stays until restic calls it stale.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator

import attrs

from reconciler.agent.parsing import Lock
from reconciler.agent.turn import dict_of, status_of
from reconciler.api.resources import BACKUP_SESSIONS, PODS, JsonObject
from reconciler.api.restore_invoker import RESTORE_INVOKERS
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError
from reconciler.manifests.names import INIT_CONTAINER, SIDECAR

_REPOSITORY_JOBS = ("stash-init-", "stash-maintain-")
_FINISHED = ("Succeeded", "Failed")


@attrs.frozen
class DeadPods:
    """Whether a claimant is certainly dead: its pod is gone, replaced or finished."""

    port: Port
    namespace: str

    def __call__(self, name: str, uid: str) -> bool:
        try:
            pod = self.port.get(PODS, self.namespace, name)
        except NotFound:
            return True
        finished = status_of(pod).get("phase") in _FINISHED
        return finished or pod["metadata"]["uid"] != uid


@attrs.frozen
class Owners:
    """Knows the pods of one namespace."""

    port: Port
    namespace: str

    def is_gone(self, lock: Lock) -> bool:
        """True only when it is proven. A cluster that does not answer proves nothing."""
        try:
            return self._is_ours(lock) and self._is_dead(lock)
        except TandemError:
            return False

    def _is_ours(self, lock: Lock) -> bool:
        taken = _moment(lock.time)
        if taken is None:
            return False
        if lock.host.startswith(_REPOSITORY_JOBS):
            return True
        return any(claimed <= taken for claimed in self._claims(lock.host))

    def _claims(self, runner: str) -> Iterator[dt.datetime]:
        """When a pod of this name has claimed hosts of backups or restores, at the earliest."""
        for session in self._sessions():
            began = session["metadata"].get("creationTimestamp", "")
            status = status_of(session)
            for entry in status.get("targets") or status.get("members") or (status,):
                for claim in entry.get("hosts") or ():
                    texts = [began] if runner in (claim.get("earlierRunners") or ()) else []
                    texts += [claim.get("startTime", "")] if claim.get("runner") == runner else []
                    yield from (moment for text in texts if (moment := _moment(text)))

    def _sessions(self) -> Iterator[JsonObject]:
        """What cannot be listed proves nothing, and what can be may still prove something."""
        for resource in (BACKUP_SESSIONS, *RESTORE_INVOKERS):
            with contextlib.suppress(TandemError):
                yield from self.port.list(resource, self.namespace).items

    def _is_dead(self, lock: Lock) -> bool:
        try:
            pod = self.port.get(PODS, self.namespace, lock.host)
        except NotFound:
            return True
        if status_of(pod).get("phase") in _FINISHED:
            return True
        since = _moment(lock.time)
        return since is not None and any(since < start for start in _starts(pod))


def _starts(pod: JsonObject) -> Iterator[dt.datetime]:
    """Moments before which nothing can have run that still runs.

    The pod's own making (a StatefulSet's pod is made anew under its name), and the last start of
    our container in it: what an earlier process of that container held, it holds no more.
    """
    texts = [pod["metadata"].get("creationTimestamp", "")]
    state = status_of(pod)
    known = (*(state.get("containerStatuses") or ()), *(state.get("initContainerStatuses") or ()))
    for status in known:
        if status.get("name") in (SIDECAR, INIT_CONTAINER):
            running = dict_of(dict_of(status.get("state")).get("running"))
            texts.append(running.get("startedAt", ""))
    yield from (moment for text in texts if (moment := _moment(text)) is not None)


def _moment(text: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
