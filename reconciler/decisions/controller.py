"""What a controller is, as data: which objects it decides about and what makes it look again.

``decisions.controllers`` lists Tandem's own; the embedded cluster has its own kind; the engine
runs them. Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from reconciler.api.resources import JsonObject, Key, Resource
from reconciler.decisions.plan import Decide, View

Keys = Callable[[JsonObject, View], Iterable[Key]]
"""Which primary objects must be looked at again when this object changed."""


@attrs.frozen
class Watched:
    """A resource whose changes matter to a controller's primary objects.

    ``keys`` is called with the old and with the new state of a changed object. It must not raise.
    """

    resource: Resource
    keys: Keys


@attrs.frozen
class Controller:
    """One level-triggered controller.

    Every change of a ``primary`` object, and every change that ``watches`` maps to it, leads to
    ``decide(key, view, now, settings)``; a deleted primary object is looked at once more, when
    ``view.get`` gives None. Every resource that ``decide`` reads must be in ``primary`` or
    ``watches``: the view knows no others. ``name`` is used in logs and metrics.
    """

    name: str
    primary: Resource
    decide: Decide
    watches: tuple[Watched, ...] = ()

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Everything that it reads, without repetition, in order of mention."""
        return tuple(dict.fromkeys((self.primary, *(each.resource for each in self.watches))))


def controller_of(obj: JsonObject) -> JsonObject | None:
    """The owner reference with ``controller: true``, or None (metav1.GetControllerOf)."""
    references: list[JsonObject] = obj["metadata"].get("ownerReferences") or []
    return next((each for each in references if each.get("controller")), None)


def owned_by(resource: Resource) -> Keys:
    """Maps an object to the ``resource`` object that controls it, by its owner reference."""

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        del view
        owner = controller_of(obj)
        if owner is None or owner["kind"] != resource.kind:
            return ()
        if owner["apiVersion"].partition("/")[0] != resource.api_version.partition("/")[0]:
            return ()
        namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        return (Key(namespace, owner["name"]),)

    return keys


def nothing(obj: JsonObject, view: View) -> Iterable[Key]:
    """For a resource that is read, but whose changes wake nobody."""
    del obj, view
    return ()
