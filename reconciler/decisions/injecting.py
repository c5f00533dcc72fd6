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
from reconciler.decisions.targets import Target
from reconciler.manifests import init_container, injection
from reconciler.manifests.injection import Part


@attrs.frozen
class OfRestore:
    """What the restore that is entitled to a workload wants in it."""

    part: Part | None = None
    has_hooks: bool = False
    must_stay: bool = False
    """There is one in it that cannot be built now."""


def of_restore(view: View, workload: JsonObject, settings: Settings) -> OfRestore:
    restore = restores.entitled(view, workload)
    if restore is None:
        return OfRestore()
    target = _target(view, restore, workload, settings)
    part = target.part if target else None
    is_in = bool(init_container.SLOT.mark_of(workload))
    hooks = target is not None and target.member.hooks is not None
    return OfRestore(part, has_hooks=hooks, must_stay=part is None and is_in)


def _target(
    view: View, restore: JsonObject, workload: JsonObject, settings: Settings
) -> Target | None:
    typed, _ = restores.read(restore)
    if typed is None:
        return None
    found = world.repository(view, typed.namespace, typed.repository)
    repository = world.read_repository(found)[0] if found else None
    wanted = (workload["kind"], world.name_of(workload))
    members = restore_targets.read(view, typed, repository, settings.image)
    return next((t for t in members if (t.ref.kind, t.ref.name) == wanted), None)


def with_restore(
    view: View, resource: Resource, workload: JsonObject, sidecar: Part, settings: Settings
) -> Iterator[Apply]:
    """The apply of a workload's sidecar, beside what a restore has in the workload."""
    other = of_restore(view, workload, settings)
    if not other.must_stay:
        parts = [part for part in (sidecar, other.part) if part is not None]
        yield Apply(resource, injection.compose(workload, *parts), create=False)
