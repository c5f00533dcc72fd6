"""The one apply of a workload: the sidecar of a backup and the init container of a restore.

Called by ``invoker`` for a new invoker and by ``sidecars`` for every workload. A part that is in
the workload and cannot be built now (its Repository is gone) must not be taken out by an apply of
the other: then the workload is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from reconciler.api.resources import JsonObject, Resource
from reconciler.decisions import restore_targets, restores, world
from reconciler.decisions.plan import Apply, Settings, View
from reconciler.manifests import init_container, injection
from reconciler.manifests.injection import Part


@attrs.frozen
class OfRestore:
    """What the restore that is entitled to a workload wants in it."""

    part: Part | None = None
    must_stay: bool = False
    """There is one in it that cannot be built now."""


def of_restore(view: View, workload: JsonObject, settings: Settings) -> OfRestore:
    restore = restores.entitled(view, workload)
    if restore is None:
        return OfRestore()
    part = _part(view, restore, workload, settings)
    is_in = bool(init_container.SLOT.mark_of(workload))
    return OfRestore(part, must_stay=part is None and is_in)


def _part(view: View, restore: JsonObject, workload: JsonObject, settings: Settings) -> Part | None:
    typed, _ = restores.read(restore)
    if typed is None:
        return None
    found = world.repository(view, typed.namespace, typed.repository)
    repository = world.read_repository(found)[0] if found else None
    wanted = (workload["kind"], world.name_of(workload))
    for target in restore_targets.read(view, typed, repository, settings.image):
        if (target.ref.kind, target.ref.name) == wanted:
            return target.part
    return None


def with_restore(
    view: View, resource: Resource, workload: JsonObject, sidecar: Part, settings: Settings
) -> Iterator[Apply]:
    """The apply of a workload's sidecar, beside what a restore has in the workload."""
    other = of_restore(view, workload, settings)
    if not other.must_stay:
        parts = [part for part in (sidecar, other.part) if part is not None]
        yield Apply(resource, injection.compose(workload, *parts), create=False)
