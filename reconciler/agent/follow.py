"""The BackupSessions of one invoker, kept current by list and watch.

Used by the sidecar. Everything happens in the caller's thread, so a sidecar that is busy with a
backup simply has a watch that ended meanwhile: it lists again. Idle, it costs one open watch.
"""

from __future__ import annotations

import contextlib
import logging

from reconciler.api.resources import BACKUP_SESSIONS, JsonObject
from reconciler.cluster.port import Port
from reconciler.cluster.transport import StreamEnded, WatchEvent, WatchStream
from reconciler.errors import ApiUnavailable, Gone
from reconciler.manifests.labels import of_invoker

_log = logging.getLogger(__name__)
_WATCH_SECONDS = 600


class Sessions:
    """What is known of the sessions; ``refresh`` makes it current, ``wait`` waits for a change."""

    def __init__(self, port: Port, namespace: str, invoker_kind: str, invoker_name: str) -> None:
        self._port = port
        self._namespace = namespace
        labels = of_invoker(invoker_kind, invoker_name)
        self._selector = ",".join(f"{key}={value}" for key, value in labels.items())
        self._invoker = (invoker_kind, invoker_name)
        self._known: dict[str, JsonObject] = {}
        self._version = ""
        self._stream: WatchStream | None = None

    def current(self) -> list[JsonObject]:
        """The sessions, oldest first. Objects are shared and must not be changed."""
        return sorted(
            self._known.values(),
            key=lambda item: (
                item["metadata"].get("creationTimestamp", ""),
                item["metadata"]["name"],
            ),
        )

    def refresh(self) -> None:
        """List if nothing is known, then take in every change that has arrived."""
        while True:
            if not self._version:  # at first, and when the watch was too old
                self._list()
            if not self.wait(0):
                return

    def wait(self, seconds: float) -> bool:
        """Take in one change; False when none came in time. Raises as ``Port`` does."""
        try:
            if self._stream is None:
                self._stream = self._watch()
            event = self._stream.next(seconds)
        except (StreamEnded, ApiUnavailable) as error:
            self.close()
            if isinstance(error, ApiUnavailable):
                raise
            return False
        except Gone:
            self.forget()
            return True
        if event is None:
            return False
        return self._take_in(event)

    def forget(self) -> None:
        """Know nothing: the next refresh lists."""
        self.close()
        self._version = ""

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(ApiUnavailable):
                stream.close()

    def _list(self) -> None:
        listing = self._port.list(BACKUP_SESSIONS, self._namespace, label_selector=self._selector)
        self._known = {item["metadata"]["name"]: item for item in listing.items if self._ours(item)}
        self._version = listing.resource_version

    def _watch(self) -> WatchStream:
        return self._port.watch(
            BACKUP_SESSIONS,
            self._namespace,
            resource_version=self._version,
            label_selector=self._selector,
            timeout_seconds=_WATCH_SECONDS,
        )

    def _take_in(self, event: WatchEvent) -> bool:
        if event.type == "ERROR":
            self.forget()
            return True
        meta = event.object["metadata"]
        self._version = meta.get("resourceVersion", self._version)
        if event.type == "DELETED":
            self._known.pop(meta["name"], None)
        elif event.type != "BOOKMARK" and self._ours(event.object):
            self._known[meta["name"]] = event.object
        return True

    def _ours(self, session: JsonObject) -> bool:
        """The label may be cut (63 characters); the spec is not."""
        invoker = session["spec"]["invoker"]
        return (invoker["kind"], invoker["name"]) == self._invoker
