"""Delete and deletecollection: preconditions, finalizers, grace, propagation.

Called by ``server.Server`` and, when the last finalizer goes, by ``writing``. Collecting the
dependents is the garbage collector's work, not the server's: this module only leaves the
finalizers ``foregroundDeletion`` and ``orphan`` that the collector reacts to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded import crds, refusals
from reconciler.embedded.kinds import Kind
from reconciler.embedded.world import World, mutable

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_IMMORTAL = ("default", "kube-system", "kube-public")
"""Namespaces that Kubernetes' admission plugin NamespaceLifecycle keeps."""
_RETURNED = {"pods", "services", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts",
             "podtemplates", "resourcequotas"}  # fmt: skip
"""Core resources whose deletion answers with the object (``ReturnDeletedObject``)."""


@attrs.frozen
class DeleteOptions:
    """What the caller wishes."""

    uid: str = ""
    version: str = ""
    propagation: str = ""
    grace: int | None = None
    dry_run: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str], body: Any) -> DeleteOptions:
        """From the body's DeleteOptions; the query's values fill what it does not say."""
        said: JsonObject = {**query, **(body if isinstance(body, dict) else {})}
        conditions = said.get("preconditions") or {}
        if not isinstance(conditions, dict):
            raise refusals.bad_request("preconditions is no object")
        orphan = said.get("orphanDependents")
        propagation = said.get("propagationPolicy") or ""
        if not propagation and orphan is not None:
            propagation = "Orphan" if str(orphan).lower() == "true" else "Background"
        grace = said.get("gracePeriodSeconds")
        return cls(
            uid=conditions.get("uid") or "",
            version=conditions.get("resourceVersion") or "",
            propagation=propagation,
            grace=_whole(grace),
            dry_run="All" in (said.get("dryRun") or ()),
        )


def _whole(value: Any) -> int | None:
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        raise refusals.bad_request(f"gracePeriodSeconds is no number: {value}") from None


def delete(world: World, kind: Kind, obj: JsonObject, options: DeleteOptions) -> JsonObject:
    """Delete, or mark as being deleted. Returns the answer's body."""
    _refuse_immortal(kind, obj["metadata"]["name"])
    _check(kind, obj, options)
    if kind.bucket == crds.BUCKET and not options.dry_run:
        obj = _delete_instances(world, kind, obj)
    finalizers = _finalizers(obj, options)
    grace = _grace(kind, obj, options)
    if not finalizers and not grace and not _held_namespace(kind, obj):
        if not options.dry_run:
            finish(world, kind, obj)
        return _answer(world, kind, obj)
    marked = _marked(world, kind, obj, finalizers, grace)
    if options.dry_run or marked == obj:
        return marked
    return world.store.put(kind.bucket, marked)


def _refuse_immortal(kind: Kind, name: str) -> None:
    if kind.bucket == ("", "namespaces") and name in _IMMORTAL:
        raise refusals.forbidden(kind.plural, "", name, "this namespace may not be deleted")


def _check(kind: Kind, obj: JsonObject, options: DeleteOptions) -> None:
    meta = obj["metadata"]
    for what, want, have in (
        ("UID", options.uid, meta["uid"]),
        ("ResourceVersion", options.version, meta["resourceVersion"]),
    ):
        if want and want != have:
            fate = "deleted and then recreated" if what == "UID" else "modified"
            why = (
                f"the {what} in the precondition ({want}) does not match the {what} in record "
                f"({have}). The object might have been {fate}"
            )
            raise refusals.conflict(kind.name, kind.group, meta["name"], why)


def _finalizers(obj: JsonObject, options: DeleteOptions) -> list[str]:
    found = list(obj["metadata"].get("finalizers") or ())
    asked = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(options.propagation)
    if not options.propagation:
        return found
    kept = [name for name in found if name not in (FOREGROUND, ORPHAN)]
    return [*kept, asked] if asked else kept


def _grace(kind: Kind, obj: JsonObject, options: DeleteOptions) -> int:
    """Seconds that a node is given to stop a Pod; 0 for everything that no node runs."""
    if kind.bucket != ("", "pods") or not obj["spec"].get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    asked = options.grace
    if asked is None:
        asked = obj["metadata"].get("deletionGracePeriodSeconds")
    if asked is None:
        asked = obj["spec"].get("terminationGracePeriodSeconds", 30)
    return max(0, int(asked))


def _held_namespace(kind: Kind, obj: JsonObject) -> bool:
    """A namespace stays until its controller has emptied it and taken ``kubernetes`` away."""
    return kind.bucket == ("", "namespaces") and bool(obj.get("spec", {}).get("finalizers"))


def _marked(
    world: World, kind: Kind, obj: JsonObject, finalizers: list[str], grace: int
) -> JsonObject:
    new = mutable(obj)
    meta = new["metadata"]
    _set_or_drop(meta, "finalizers", finalizers)
    first = "deletionTimestamp" not in meta
    if first or grace < meta.get("deletionGracePeriodSeconds", 0):
        ends = world.clock.now() + dt.timedelta(seconds=grace)
        meta["deletionTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
        if kind.bucket != ("", "namespaces"):
            meta["deletionGracePeriodSeconds"] = grace
    if first and "generation" in meta:
        meta["generation"] += 1
    if kind.bucket == ("", "namespaces"):
        new["status"] = {**new.get("status", {}), "phase": "Terminating"}
    return new


def _set_or_drop(place: JsonObject, name: str, value: Any) -> None:
    if value:
        place[name] = value
    else:
        place.pop(name, None)


def _answer(world: World, kind: Kind, obj: JsonObject) -> JsonObject:
    if not kind.group and kind.plural in _RETURNED:
        return _marked(world, kind, obj, [], 0) if kind.name == "Pod" else obj
    meta = obj["metadata"]
    details = {"name": meta["name"], "group": kind.group, "kind": kind.plural, "uid": meta["uid"]}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def is_over(kind: Kind, obj: JsonObject) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    meta = obj["metadata"]
    return (
        "deletionTimestamp" in meta
        and not meta.get("finalizers")
        and not meta.get("deletionGracePeriodSeconds")
        and not _held_namespace(kind, obj)
    )


def finish(world: World, kind: Kind, obj: JsonObject) -> None:
    """Take the object out of the store; with its last instance, a CRD that is being deleted."""
    meta = obj["metadata"]
    world.store.remove(kind.bucket, meta.get("namespace", ""), meta["name"])
    if kind.bucket == crds.BUCKET:
        world.registry.remove(crds.bucket(obj))
    elif kind.custom and not world.store.count(kind.bucket):
        _release_crd(world, f"{kind.plural}.{kind.group}")


def _delete_instances(world: World, kind: Kind, crd: JsonObject) -> JsonObject:
    """Delete what the CRD defines; while an instance's finalizers hold it, the CRD stays."""
    bucket = crds.bucket(crd)
    served = world.registry.of_bucket(bucket)
    for obj in world.store.all(bucket):
        delete(world, served, obj, DeleteOptions())
    if not world.store.count(bucket):
        return crd
    held = mutable(crd)
    names = held["metadata"].setdefault("finalizers", [])
    if crds.CLEANUP not in names:
        names.append(crds.CLEANUP)
    return world.store.put(kind.bucket, held)


def _release_crd(world: World, name: str) -> None:
    crd = world.store.get(crds.BUCKET, "", name)
    if crd is None or "deletionTimestamp" not in crd["metadata"]:
        return
    freed = mutable(crd)
    meta = freed["metadata"]
    meta["finalizers"] = [item for item in meta.get("finalizers") or () if item != crds.CLEANUP]
    kind = world.registry.of_bucket(crds.BUCKET)
    if is_over(kind, freed):
        finish(world, kind, freed)
    else:
        world.store.put(kind.bucket, freed)
