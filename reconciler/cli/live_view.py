"""A View of a live cluster, read when a decision asks: so a decision can be made here and now.

Used by ``explain``. Each resource of a namespace is listed once. What may not be read is taken for
absent and remembered in ``unread``, to be told with whatever is concluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.api.resources import OPTIONAL, JsonObject, Resource
from reconciler.cluster import trimming
from reconciler.cluster.objects import Objects
from reconciler.cluster.port import Reader
from reconciler.errors import Forbidden, NotFound

Space = str | None


class LiveView:
    """``decisions.plan.View`` over lists. Trimmed as the operator's cache: no value of a Secret."""

    def __init__(self, reader: Reader, field_manager: str) -> None:
        self._reader = reader
        self._trim = trimming.for_manager(field_manager)
        self._shelves: dict[tuple[Resource, Space], Objects] = {}
        self.unread: dict[Resource, str] = {}
        """What was refused, with the server's reason."""

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        place = namespace if resource.namespaced else ""
        return self._shelf(resource, place or None).get(place, name)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        return self._shelf(resource, namespace).select(namespace, labels, owner_uid)

    def serves(self, resource: Resource) -> bool:
        return self._reader.serves(resource)

    def _shelf(self, resource: Resource, space: Space) -> Objects:
        key = resource, space
        if key not in self._shelves:
            shelf = self._shelves[key] = Objects(_nobody)
            for obj in self._read(resource, space):
                shelf.put(self._trim(resource, obj))
        return self._shelves[key]

    def _read(self, resource: Resource, space: Space) -> Sequence[JsonObject]:
        # rights to a kind that is not there are given to nobody: it would look like a refusal
        if resource in OPTIONAL and not self._reader.serves(resource):
            return ()
        try:
            return self._reader.list(resource, space).items
        except NotFound:
            return ()  # not served: there are none
        except Forbidden as error:
            self.unread[resource] = str(error)
            return ()


def _nobody(old: JsonObject | None, new: JsonObject | None) -> None:
    """Nobody is told of changes: there are none."""
    del old, new
