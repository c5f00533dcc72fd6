"""Defaults, pruning and validation on the way into the store, by kind.

Called by ``writing``: ``create`` and ``update`` before an object is stored (they may change it or
raise a Refusal), ``created`` and ``updated`` after.
"""

from __future__ import annotations

from reconciler.api.resources import JsonObject
from reconciler.embedded.kinds import Kind
from reconciler.embedded.world import Options, World

_WITHOUT_GENERATION = frozenset({""})
"""Groups whose kinds have no generation."""


def create(world: World, kind: Kind, obj: JsonObject, options: Options) -> None:
    """Make a new object complete and refuse it if it is wrong."""
    del world, options
    if kind.custom or kind.group not in _WITHOUT_GENERATION:
        obj["metadata"]["generation"] = 1


def update(
    world: World,
    kind: Kind,
    new: JsonObject,
    old: JsonObject,
    options: Options,
    *,
    subresource: str = "",
) -> None:
    """As ``create``, for a changed object."""
    del world, kind, new, old, subresource, options


def created(world: World, kind: Kind, obj: JsonObject) -> None:
    """What follows from a new object."""
    del world, kind, obj


def updated(world: World, kind: Kind, obj: JsonObject) -> None:
    """What follows from a changed object."""
    del world, kind, obj
