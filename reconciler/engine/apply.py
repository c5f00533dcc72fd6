"""Carries out a Plan: the only way from a decision to a write.

Called by the workers. Whatever is already so is not written; whatever was written is put into the
cache at once, so that the next decision sees it. A failure stops the rest of the plan and goes to
the queue as a typed error: the next reconcile decides anew.
"""

from __future__ import annotations

import hashlib
from typing import Any, assert_never

import attrs
import orjson

from reconciler.api.resources import JsonObject, Key, Resource
from reconciler.cluster.informer import InformerCache
from reconciler.cluster.port import Port
from reconciler.cluster.transport import MERGE_PATCH
from reconciler.decisions.controller import controller_of
from reconciler.decisions.plan import Apply, Create, Delete, Finalizers, Plan, Status, Write
from reconciler.engine import dropped
from reconciler.engine.ownership import footprint, is_applied
from reconciler.engine.stats import Stats
from reconciler.errors import AlreadyExists, Conflict, NotFound

Place = tuple[Resource, str, str]


@attrs.define
class _Run:
    """One plan being carried out: which resourceVersions our own writes have moved on."""

    moved: dict[tuple[Place, str], str] = attrs.field(factory=dict)

    def current(self, place: Place, version: str) -> str:
        """The version to cite: a plan made from version 7 may write the same object twice."""
        while (place, version) in self.moved:
            version = self.moved[place, version]
        return version

    def wrote(self, place: Place, cited: str, obj: JsonObject) -> None:
        """Only a write with a precondition proves that nothing of others lies in between."""
        new = str(obj["metadata"].get("resourceVersion", ""))
        if cited and new and new != cited:
            self.moved[place, cited] = new


class Applier:
    """Applies plans through ``port``, sparing what ``cache`` shows to be so. Thread-safe."""

    def __init__(
        self, port: Port, cache: InformerCache, stats: Stats, *, field_manager: str = "tandem"
    ) -> None:
        self._port, self._cache, self._stats = port, cache, stats
        self._manager = field_manager
        self._answered: dict[Place, tuple[bytes, bytes]] = {}
        self._proven: dict[Place, tuple[str, bytes]] = {}
        cache.on_change(self._forget)

    def carry_out(self, plan: Plan) -> None:
        """Apply the writes in order. Raises what the port raises; Conflict for a taken name."""
        run = _Run()
        for write in plan.writes:
            self._write(write, run)

    def _write(self, write: Write, run: _Run) -> None:
        match write:
            case Apply():
                self._apply(write, run)
            case Create():
                self._create(write)
            case Delete():
                self._delete(write)
            case Status():
                self._status(write, run)
            case Finalizers():
                self._finalizers(write, run)
            case _:  # pragma: no cover -- the type checker proves it
                assert_never(write)

    # Apply

    def _apply(self, write: Apply, run: _Run) -> None:
        resource, place = write.resource, _place(write.resource, write.obj)
        live = self._cache.get(*place)
        if live is None and not write.create:
            return
        if live is not None and self._is_so(place, write.obj, live):
            self._stats.skip("apply", resource.kind)
            return
        obj, cited = self._conditioned(write, live, run)
        made = self._port.apply(resource, obj, field_manager=self._manager)
        self._wrote("apply", resource, made)
        run.wrote(place, cited, made)
        self._remember(place, write.obj, made)

    def _conditioned(
        self, write: Apply, live: JsonObject | None, run: _Run
    ) -> tuple[JsonObject, str]:
        """The object with its preconditions, and the resourceVersion that it cites or ""."""
        meta = dict(write.obj["metadata"])
        cited = str(meta.get("resourceVersion", ""))
        if cited:
            place = _place(write.resource, write.obj)
            meta["resourceVersion"] = run.current(place, cited)
        if live is not None and not write.create:
            # the uid keeps the server from creating anew what was deleted meanwhile
            meta.setdefault("uid", live["metadata"]["uid"])
        return {**write.obj, "metadata": meta}, cited

    def _is_so(self, place: Place, desired: JsonObject, live: JsonObject) -> bool:
        uid, meta = desired["metadata"].get("uid"), live["metadata"]
        if uid is not None and uid != meta.get("uid"):
            return False
        proof = meta.get("resourceVersion", ""), _digest(desired)
        if self._proven.get(place) == proof:
            return True
        if is_applied(desired, live, self._manager):
            self._proven[place] = proof
            return True
        return self._answered.get(place) == (proof[1], self._seen(desired, live))

    def _remember(self, place: Place, desired: JsonObject, made: JsonObject) -> None:
        """What the server makes of an apply is what it will make of the same apply again.

        That covers every normalisation that ``is_applied`` does not know: without this, such an
        object would be written on every reconcile.
        """
        live = self._cache.get(*place) or made
        wanted = _digest(desired)
        if is_applied(desired, live, self._manager):
            self._proven[place] = live["metadata"].get("resourceVersion", ""), wanted
        else:
            self._answered[place] = wanted, self._seen(desired, live)

    def _forget(self, resource: Resource, old: JsonObject | None, new: JsonObject | None) -> None:
        if old is not None and new is None:
            place = _place(resource, old)
            self._proven.pop(place, None)
            self._answered.pop(place, None)

    def _seen(self, desired: JsonObject, live: JsonObject) -> bytes:
        return _digest(footprint(desired, live, self._manager))

    # Create

    def _create(self, write: Create) -> None:
        resource, obj = write.resource, write.obj
        live = self._cache.get(*_place(resource, obj)) or self._create_or_read(write)
        if live is None:
            return
        self._stats.skip("create", resource.kind)
        owner = controller_of(obj)
        if owner is not None and owner["uid"] != (controller_of(live) or {}).get("uid"):
            raise Conflict(f"{resource.kind} {Key.of(obj)}: the name is taken by another owner")

    def _create_or_read(self, write: Create) -> JsonObject | None:
        """None when it was created; else the object that has the name."""
        resource = write.resource
        try:
            self._wrote("create", resource, self._port.create(resource, write.obj))
        except AlreadyExists:
            self._stats.read(resource.kind)
            live = self._port.get(*_place(resource, write.obj))
            self._cache.written(resource, live)
            return live
        return None

    # Delete

    def _delete(self, write: Delete) -> None:
        live = self._cache.get(write.resource, write.namespace, write.name)
        gone = live is None or live["metadata"]["uid"] != write.uid
        if gone or (live and "deletionTimestamp" in live["metadata"]):
            self._stats.skip("delete", write.resource.kind)
            return
        try:
            self._port.delete(
                write.resource,
                write.namespace,
                write.name,
                uid=write.uid,
                propagation=write.propagation,
            )
        except (NotFound, Conflict):
            self._stats.skip("delete", write.resource.kind)  # gone, or another one of that name
            return
        self._stats.wrote("delete", write.resource.kind)
        if live is not None:
            self._cache.deleted(write.resource, live, write.propagation)

    # Status and finalizers

    def _status(self, write: Status, run: _Run) -> None:
        place = write.resource, write.namespace, write.name
        live = self._cache.get(*place)
        if live is None or (live.get("status") or {}) == write.status:
            self._stats.skip("status", write.resource.kind)
            return
        obj = _named(write, run)
        obj["status"] = write.status
        made = self._port.replace(write.resource, obj, subresource="status")
        self._wrote("status", write.resource, made)
        run.wrote(place, obj["metadata"]["resourceVersion"], made)
        dropped.check(write.resource, write.status, made)

    def _finalizers(self, write: Finalizers, run: _Run) -> None:
        place = write.resource, write.namespace, write.name
        live = self._cache.get(*place)
        if live is None or tuple(live["metadata"].get("finalizers") or ()) == write.finalizers:
            self._stats.skip("finalizers", write.resource.kind)
            return
        cited = run.current(place, write.resource_version)
        meta = {"resourceVersion": cited, "finalizers": list(write.finalizers)}
        made = self._port.patch(*place, {"metadata": meta}, content_type=MERGE_PATCH)
        self._wrote("finalizers", write.resource, made)
        run.wrote(place, cited, made)

    def _wrote(self, verb: str, resource: Resource, made: JsonObject) -> None:
        self._stats.wrote(verb, resource.kind)
        meta = made["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers") and verb == "finalizers":
            self._cache.deleted(resource, made, "Background")  # nothing holds it any more
        else:
            self._cache.written(resource, made)


def _place(resource: Resource, obj: JsonObject) -> Place:
    meta = obj["metadata"]
    return resource, meta.get("namespace", ""), meta["name"]


def _named(write: Status, run: _Run) -> JsonObject:
    """The least that a PUT of a status needs; without managedFields the server keeps its own."""
    place = write.resource, write.namespace, write.name
    meta = {
        "name": write.name,
        "resourceVersion": run.current(place, write.resource_version),
    }
    if write.namespace:
        meta["namespace"] = write.namespace
    return {
        "apiVersion": write.resource.api_version,
        "kind": write.resource.kind,
        "metadata": meta,
    }


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16
    ).digest()
