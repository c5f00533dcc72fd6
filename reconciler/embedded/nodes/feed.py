"""A list and a watch of one resource, as a stream of changes that never ends.

Used by ``node.Node``: stepped on a virtual clock, or blocked on in a thread of its own. After a
break it lists again and tells only what differs.
"""

from __future__ import annotations

import attrs

from reconciler.api.resources import JsonObject, Key, Resource
from reconciler.cluster.port import Port
from reconciler.cluster.transport import StreamEnded, WatchStream
from reconciler.errors import Gone


@attrs.define
class Feed:
    """The changes of ``resource``; ``field_selector`` narrows them. One consumer."""

    port: Port
    resource: Resource
    field_selector: str = ""
    _known: dict[Key, JsonObject] = attrs.field(factory=dict)
    _version: str = ""
    _stream: WatchStream | None = None

    def poll(self, timeout: float | None) -> list[tuple[str, JsonObject]]:
        """The next changes; an empty list when none came within ``timeout`` seconds.

        Raises ApiUnavailable; call again later.
        """
        if self._stream is None:
            changes = self._open()
            if changes:
                return changes
        assert self._stream is not None  # noqa: S101 -- _open sets it or raises
        try:
            event = self._stream.next(timeout)
        except (Gone, StreamEnded) as end:
            self._stream = None
            self._version = "" if isinstance(end, Gone) else self._version
            return []
        if event is None:
            return []
        if event.type == "ERROR":  # 410, or something that only a new list can mend
            self.close()
            self._stream, self._version = None, ""
            return []
        return self._take(event.type, event.object)

    def _take(self, change: str, obj: JsonObject) -> list[tuple[str, JsonObject]]:
        self._version = obj["metadata"].get("resourceVersion", self._version)
        if change == "BOOKMARK":
            return []
        key = Key.of(obj)
        if change == "DELETED":
            self._known.pop(key, None)
        else:
            self._known[key] = obj
        return [(change, obj)]

    def _open(self) -> list[tuple[str, JsonObject]]:
        changes = [] if self._version else self._list()
        try:
            self._stream = self.port.watch(
                self.resource, resource_version=self._version, field_selector=self.field_selector
            )
        except Gone:
            changes += self._list()
            self._stream = self.port.watch(
                self.resource, resource_version=self._version, field_selector=self.field_selector
            )
        return changes

    def _list(self) -> list[tuple[str, JsonObject]]:
        listing = self.port.list(self.resource, field_selector=self.field_selector)
        self._version = listing.resource_version
        found = {Key.of(obj): obj for obj in listing.items}
        gone = [("DELETED", obj) for key, obj in self._known.items() if key not in found]
        news = [
            ("MODIFIED" if key in self._known else "ADDED", obj)
            for key, obj in found.items()
            if self._known.get(key) != obj
        ]
        self._known = found
        return [*gone, *news]

    def close(self) -> None:
        """End the watch, also one that another thread is blocked on."""
        if self._stream is not None:
            self._stream.close()
