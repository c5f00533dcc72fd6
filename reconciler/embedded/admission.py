"""On the way into the store: decode, prune, default, validate; and what follows from CRDs.

Called by ``writing``: ``complete`` before the writer's ownership is noted, ``create`` and
``update`` after it (they may change the object or raise a Refusal), ``stored`` when it is stored.
"""

from __future__ import annotations

from reconciler.api.resources import JsonObject
from reconciler.embedded import crds, defaults, metadata_rules, refusals, strategies, validation
from reconciler.embedded.kinds import Kind
from reconciler.embedded.refusals import Cause
from reconciler.embedded.store import copied
from reconciler.embedded.structure import object_meta
from reconciler.embedded.walkers import Misfit, decode, default, prune
from reconciler.embedded.world import Options, World

_COUNTED = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apps",
        "batch",
        "networking.k8s.io",
        "policy",
    }
)
"""Built-in groups whose objects have a generation."""
_UNCOUNTED = frozenset({"ControllerRevision"})


def complete(kind: Kind, obj: JsonObject, options: Options) -> None:
    """Bring an object into the shape of its kind, with all defaults."""
    unknown: list[str] | None = [] if options.field_validation == "Strict" else None
    try:
        if kind.custom:
            _complete_custom(kind, obj, unknown)
        else:
            _complete_builtin(kind, obj, unknown)
    except Misfit as misfit:
        raise _undecodable(kind, misfit) from None
    if unknown:
        raise _strict(kind, unknown)


def _complete_custom(kind: Kind, obj: JsonObject, unknown: list[str] | None) -> None:
    obj["metadata"] = decode(object_meta(), obj["metadata"], "metadata")
    if kind.structure is not None:
        prune(kind.structure, obj, unknown)
        default(kind.structure, obj)


def _complete_builtin(kind: Kind, obj: JsonObject, unknown: list[str] | None) -> None:
    if kind.structure is not None:
        found = decode(kind.structure, obj, unknown=unknown)
        obj.clear()
        obj.update(found)
        obj.setdefault("metadata", {})
    defaults.apply(kind.name, obj)
    if kind.bucket == crds.BUCKET and isinstance(obj.get("spec"), dict):
        crds.complete(obj)


def _undecodable(kind: Kind, misfit: Misfit) -> refusals.Refusal:
    version = kind.resource.version
    return refusals.bad_request(
        f'{kind.name} in version "{version}" cannot be handled as a {kind.name}: json: cannot '
        f"unmarshal {misfit.found} into Go struct field {kind.name}.{misfit.path} of type "
        f"{misfit.wanted}"
    )


def _strict(kind: Kind, unknown: list[str]) -> refusals.Refusal:
    faults = ", ".join(f'unknown field "{path}"' for path in unknown)
    version = kind.resource.version
    return refusals.bad_request(
        f'{kind.name} in version "{version}" cannot be handled as a {kind.name}: strict decoding '
        f"error: {faults}"
    )


def create(world: World, kind: Kind, obj: JsonObject) -> None:
    """Make a new object complete and refuse it if it is wrong."""
    counted = (kind.group in _COUNTED or kind.name == "ReplicationController") and (
        kind.name not in _UNCOUNTED
    )
    if kind.custom or counted:
        obj["metadata"]["generation"] = 1
    if not kind.custom:
        strategies.create(world, kind.name, obj)
    _refuse(kind, obj, _causes(kind, obj))
    if kind.bucket == crds.BUCKET:
        crds.accept(obj, world.now())


def update(world: World, kind: Kind, new: JsonObject, old: JsonObject, subresource: str) -> None:
    """As ``create``, for a changed object."""
    if not kind.custom:
        strategies.update(kind.name, new, old)
    found = metadata_rules.changed(new["metadata"], old["metadata"])
    if subresource == "status" and not kind.custom:
        _refuse(kind, new, found)
        return
    found += _causes(kind, new)
    if not kind.custom and not subresource:
        found += validation.changed(kind.name, new, old)
    _refuse(kind, new, found)
    if kind.bucket == crds.BUCKET:
        crds.accept(new, world.now())


def _causes(kind: Kind, obj: JsonObject) -> list[Cause]:
    found = metadata_rules.causes(kind.name, kind.group, obj["metadata"])
    if kind.bucket == crds.BUCKET:
        return found + crds.causes(obj)
    if kind.validate is not None:
        return found + kind.validate(obj)
    return found + validation.created(kind.name, obj)


def _refuse(kind: Kind, obj: JsonObject, found: list[Cause]) -> None:
    if found:
        raise refusals.invalid(kind.name, kind.group, obj["metadata"]["name"], found)


def stored(world: World, kind: Kind, obj: JsonObject) -> None:
    """What follows from a stored object: a CRD is served from now on."""
    if kind.bucket != crds.BUCKET:
        return
    served = crds.kinds(obj)
    world.registry.remove(served[0].bucket)
    for version in served:
        world.registry.add(version)
    _default_existing(world, world.registry.of_bucket(served[0].bucket))


def _default_existing(world: World, kind: Kind) -> None:
    """Objects that are older than a default have it from now on, as a real server reads them.

    Nothing else about them changes: no resourceVersion, no event.
    """
    if kind.structure is None or not kind.structure.defaulted:
        return
    for obj in world.store.all(kind.bucket):
        fresh = crds.defaulted(kind, copied(obj))
        if fresh != obj:
            world.store.amend(kind.bucket, fresh)
