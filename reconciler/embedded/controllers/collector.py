"""The garbage collector, and the emptying of namespaces: what concerns every resource at once.

Run by the embedded cluster beside the controllers; in-process only, for it asks the server for
the dependents of an object. Rules (Kubernetes, Garbage Collection): an object whose owners are all
gone is deleted; ``foregroundDeletion`` waits for the dependents that block it; ``orphan`` takes the
owner reference off the dependents; a terminating namespace loses its content and then itself.
Every deletion names a uid, so one made from old knowledge deletes nothing else.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable

import attrs

from reconciler.api.resources import NAMESPACES, PODS, JsonObject, Resource
from reconciler.cluster.client import Client
from reconciler.cluster.port import Propagation
from reconciler.cluster.transport import MERGE_PATCH, Request, StreamEnded
from reconciler.embedded.controllers.ownership import deleting
from reconciler.embedded.server import Server
from reconciler.embedded.watching import Watch
from reconciler.engine.clock import Clock
from reconciler.errors import Conflict, NotFound, TandemError

LOG = logging.getLogger(__name__)
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
HOLD = "kubernetes"
"""The entry of a namespace's ``spec.finalizers`` that this module takes away in the end."""


@attrs.frozen
class _Known:
    """An object as last seen."""

    resource: Resource
    obj: JsonObject


def discovered(read: Callable[[str], JsonObject]) -> tuple[Resource, ...]:
    """Every resource that can be watched, in one version each; ``read`` is a GET."""
    found: dict[tuple[str, str], Resource] = {}
    for group, version in [("", "v1"), *_versions(read("/apis"))]:
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        for entry in read(root).get("resources") or ():
            if "watch" in entry["verbs"] and "/" not in entry["name"]:
                made = Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])
                found.setdefault((group, entry["name"]), made)
    return tuple(found.values())


def _versions(groups: JsonObject) -> list[tuple[str, str]]:
    """All versions of all groups, the preferred one of each first."""
    found: list[tuple[str, str]] = []
    for group in groups.get("groups") or ():
        preferred = group["preferredVersion"]["version"]
        others = [each["version"] for each in group["versions"] if each["version"] != preferred]
        found += [(group["name"], version) for version in (preferred, *others)]
    return found


class Collector:
    """Follows every resource that the server serves. Stepped, or in a thread of its own."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server, self._clock = server, clock
        self._client = Client(server)
        self._watches: dict[Resource, Watch] = {}
        self._known: dict[str, _Known] = {}
        self._spaces: dict[str, set[str]] = {}
        self._checks: set[str] = set()
        self._served: tuple[Resource, ...] | None = None
        self._wake = threading.Condition()
        self._stopping = self._news = False
        self._thread: threading.Thread | None = None

    def settle(self) -> int:
        """Collect until nothing is left to do; the number of writes."""
        writes = 0
        while self._read() or self._checks:
            writes += self._work()
        return writes

    def next_due(self) -> dt.datetime | None:
        """Never by itself: only changes matter here."""
        return None

    def start(self) -> None:
        """Collect in a thread until ``stop``."""
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, daemon=True, name="collector")
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._stopping = True
        self._notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def _notify(self) -> None:
        with self._wake:
            self._news = True
            self._wake.notify_all()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self.settle()
            except TandemError as problem:
                LOG.warning("the garbage collector cannot go on: %s", problem)
            with self._wake:
                while not self._news and not self._stopping:
                    self._clock.wait(self._wake, None)
                self._news = False

    # What is there

    def _read(self) -> bool:
        self._open_watches()
        found = False
        for resource, watch in list(self._watches.items()):
            found = self._drain(resource, watch) or found
        return found

    def _open_watches(self) -> None:
        if self._served is None:
            self._served = discovered(self._client_get)
        for resource in self._served:
            if resource not in self._watches:
                query = {"watch": "true", "resourceVersion": "0"}
                try:
                    watch = self._server.watch(Request("GET", resource.path(), query))
                except NotFound:
                    continue  # its CRD has just gone, and the news of it are on their way here
                watch.on_ready = self._notify
                self._watches[resource] = watch

    def _client_get(self, path: str) -> JsonObject:
        response = self._server.handle(Request("GET", path))
        return dict(response.body) if response.status == 200 else {}

    def _drain(self, resource: Resource, watch: Watch) -> bool:
        found = False
        try:
            while (event := watch.next_shared(0)) is not None:
                found = True
                self._take(resource, *event)
        except StreamEnded:
            del self._watches[resource]
        return found

    def _take(self, resource: Resource, change: str, obj: JsonObject) -> None:
        if change in ("BOOKMARK", "ERROR"):
            return
        if resource.plural == "customresourcedefinitions":
            self._served = None
        meta = obj["metadata"]
        uid, place = meta["uid"], meta.get("namespace", "")
        if change == "DELETED":
            self._gone(uid, obj)
            return
        self._known[uid] = _Known(resource, obj)
        self._spaces.setdefault(place, set()).add(uid)
        if meta.get("ownerReferences") or deleting(obj):
            self._checks.add(uid)

    def _gone(self, uid: str, obj: JsonObject) -> None:
        """Who depends on it, what it depends on, and its namespace may have to move on."""
        meta = obj["metadata"]
        self._known.pop(uid, None)
        self._checks.discard(uid)
        place = meta.get("namespace", "")
        self._spaces.get(place, set()).discard(uid)
        for dependent in self._server.dependents(uid):
            self._checks.add(dependent["metadata"]["uid"])
        for reference in meta.get("ownerReferences") or ():
            self._checks.add(reference["uid"])
        space = self._namespace(place)
        if space is not None and deleting(space):
            self._checks.add(space["metadata"]["uid"])

    def _namespace(self, name: str) -> JsonObject | None:
        if not name:
            return None
        try:
            return self._client.get(NAMESPACES, "", name)
        except NotFound:
            return None

    # What follows from it

    def _work(self) -> int:
        checks, self._checks = sorted(self._checks), set()
        writes = 0
        for uid in checks:
            known = self._known.get(uid)
            if known is None:
                continue
            try:
                writes += self._check(known)
            except (Conflict, NotFound):
                continue  # it changed, and the change is on its way here
        return writes

    def _check(self, known: _Known) -> int:
        obj = known.obj
        if not deleting(obj):
            return self._check_owners(known)
        if known.resource.plural == NAMESPACES.plural and not known.resource.group:
            return self._empty(obj)
        finalizers = obj["metadata"].get("finalizers") or ()
        if FOREGROUND in finalizers:
            return self._delete_dependents(known)
        if ORPHAN in finalizers:
            return self._orphan_dependents(known)
        return 0

    def _check_owners(self, known: _Known) -> int:
        references = known.obj["metadata"].get("ownerReferences") or ()
        place = known.obj["metadata"].get("namespace", "")
        dangling = [each for each in references if not self._exists(each, place)]
        if not dangling:
            return 0
        if len(dangling) == len(references):
            self._delete(known, "Background")
            return 1
        kept = [each for each in references if each not in dangling]
        self._patch(known, {"ownerReferences": kept})
        return 1

    def _exists(self, reference: JsonObject, place: str) -> bool:
        """What was seen is enough for a yes; a no is asked of the server."""
        if reference["uid"] in self._known:
            return True
        group = reference["apiVersion"].rpartition("/")[0]
        for resource in self._served or ():
            if (resource.group, resource.kind) == (group, reference["kind"]):
                return self._is_there(resource, place, reference)
        return False

    def _is_there(self, resource: Resource, place: str, reference: JsonObject) -> bool:
        try:
            found = self._client.get(
                resource, place if resource.namespaced else "", reference["name"]
            )
        except NotFound:
            return False
        return bool(found["metadata"]["uid"] == reference["uid"])

    def _dependents(self, known: _Known) -> list[_Known]:
        uid = known.obj["metadata"]["uid"]
        found = (self._known.get(each["metadata"]["uid"]) for each in self._server.dependents(uid))
        return [each for each in found if each is not None]

    def _delete_dependents(self, known: _Known) -> int:
        uid = known.obj["metadata"]["uid"]
        dependents = self._dependents(known)
        blocking = [each for each in dependents if _blocks(each.obj, uid)]
        if not blocking:
            self._release(known, FOREGROUND)
            return 1
        waiting = [each for each in dependents if not deleting(each.obj)]
        for each in waiting:
            self._delete(each, "Foreground" if self._dependents(each) else "Background")
        return len(waiting)

    def _orphan_dependents(self, known: _Known) -> int:
        uid = known.obj["metadata"]["uid"]
        dependents = self._dependents(known)
        for each in dependents:
            references = each.obj["metadata"].get("ownerReferences") or ()
            kept = [reference for reference in references if reference["uid"] != uid]
            self._patch(each, {"ownerReferences": kept})
        self._release(known, ORPHAN)
        return len(dependents) + 1

    def _release(self, known: _Known, finalizer: str) -> None:
        meta = known.obj["metadata"]
        kept = [name for name in meta.get("finalizers") or () if name != finalizer]
        self._patch(known, {"finalizers": kept, "resourceVersion": meta["resourceVersion"]})

    def _patch(self, known: _Known, metadata: JsonObject) -> None:
        meta = known.obj["metadata"]
        self._client.patch(
            known.resource,
            meta.get("namespace", ""),
            meta["name"],
            {"metadata": {"uid": meta["uid"], **metadata}},
            content_type=MERGE_PATCH,
        )

    def _delete(self, known: _Known, propagation: Propagation) -> None:
        meta = known.obj["metadata"]
        self._client.delete(
            known.resource,
            meta.get("namespace", ""),
            meta["name"],
            uid=meta["uid"],
            propagation=propagation,
        )

    def _empty(self, namespace: JsonObject) -> int:
        """Delete what a terminating namespace holds; let it go when it holds nothing."""
        name = namespace["metadata"]["name"]
        content = [self._known[uid] for uid in sorted(self._spaces.get(name, ()))]
        waiting = [each for each in content if not deleting(each.obj)]
        # Pods last: their controllers would try to replace them, and be refused.
        owners = [each for each in waiting if each.resource.plural != PODS.plural]
        for each in owners or waiting:
            self._delete(each, "Background")
        if owners:
            self._checks.add(namespace["metadata"]["uid"])
        if content:
            return len(waiting)
        held = namespace.get("spec", {}).get("finalizers") or ()
        if HOLD in held:
            spec = {**namespace.get("spec", {}), "finalizers": [h for h in held if h != HOLD]}
            self._client.replace(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize")
            return 1
        return 0


def _blocks(dependent: JsonObject, uid: str) -> bool:
    return any(
        reference["uid"] == uid and reference.get("blockOwnerDeletion")
        for reference in dependent["metadata"].get("ownerReferences") or ()
    )
