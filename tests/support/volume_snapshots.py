"""VolumeSnapshots for clusters that have none: the CRD, and a stand-in for a CSI driver.

Written against ``Port`` alone, so that it serves the embedded cluster and a real one. The CRD is as
small as what Tandem reads of it; the stand-in makes snapshots ready and copies no data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from reconciler.api.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    PERSISTENT_VOLUME_CLAIMS,
    VOLUME_SNAPSHOTS,
    JsonObject,
    Resource,
)
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(*versions: str) -> JsonObject:
    """The CRD of VolumeSnapshots; the first version is the one that is stored."""
    wanted = versions or (VOLUME_SNAPSHOTS.version,)
    names = {
        "plural": VOLUME_SNAPSHOTS.plural,
        "singular": "volumesnapshot",
        "kind": VOLUME_SNAPSHOTS.kind,
        "listKind": "VolumeSnapshotList",
        "shortNames": ["vs"],
    }
    schema = {"type": "object", "properties": {"spec": _OPEN, "status": _OPEN}}
    name = f"{VOLUME_SNAPSHOTS.plural}.{VOLUME_SNAPSHOTS.group}"
    # Kubernetes lets nobody else define kinds of *.k8s.io without a word on who has agreed.
    agreed = {"api-approved.kubernetes.io": "unapproved, for tests"}
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": name, "annotations": agreed},
        "spec": {
            "group": VOLUME_SNAPSHOTS.group,
            "scope": "Namespaced",
            "names": names,
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == wanted[0],
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
                for version in wanted
            ],
        },
    }


@attrs.define
class SnapshotController:
    """Makes every VolumeSnapshot ready whose claim exists; the others get an error.

    ``broken`` are claims whose snapshots never become ready. ``binds``: claims of snapshots are
    bound too, without a volume, where nothing else does it.
    """

    port: Port
    resource: Resource = VOLUME_SNAPSHOTS
    namespace: str | None = None
    broken: set[str] = attrs.field(factory=set)
    binds: bool = False
    _stop: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    def settle(self) -> int:
        """One look at all snapshots; the number of writes."""
        found = self.port.list(self.resource, self.namespace).items
        return sum(self._look(item) for item in found) + (self._bind() if self.binds else 0)

    def _bind(self) -> int:
        claims = self.port.list(PERSISTENT_VOLUME_CLAIMS, self.namespace).items
        waiting = [claim for claim in claims if _waits_for_snapshot(claim)]
        for claim in waiting:
            meta = claim["metadata"]
            self.port.update_status(
                PERSISTENT_VOLUME_CLAIMS, meta["namespace"], meta["name"], _bound
            )
        return len(waiting)

    def next_due(self) -> None:
        """Nothing happens by itself (for ``EmbeddedCluster.add_loop``)."""

    def start(self, seconds: float = 0.2) -> None:
        """Look again and again, in a thread, until ``stop``."""
        self._thread = threading.Thread(target=self._run, args=(seconds,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self.settle()
            except TandemError:
                continue  # the cluster or the kind is away; the next look may find it

    def _look(self, snapshot: JsonObject) -> int:
        meta = snapshot["metadata"]
        claim = snapshot["spec"]["source"].get("persistentVolumeClaimName")
        if not claim or (snapshot.get("status") or {}).get("readyToUse"):
            return 0
        status = self._status(meta["namespace"], claim, meta)
        if status == snapshot.get("status"):
            return 0
        self._set(snapshot, lambda _: status)
        return 1

    def _status(self, namespace: str, claim: str, meta: JsonObject) -> JsonObject:
        if claim in self.broken:
            return {"readyToUse": False, "error": {"message": "the array is on fire"}}
        try:
            found = self.port.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim)
        except NotFound:
            return {"readyToUse": False, "error": {"message": f"claim {claim} not found"}}
        requests = ((found.get("spec") or {}).get("resources") or {}).get("requests") or {}
        return {
            "readyToUse": True,
            "boundVolumeSnapshotContentName": f"snapcontent-{meta['uid']}",
            "creationTime": meta["creationTimestamp"],
            "restoreSize": requests.get("storage", "1Gi"),
        }

    def _set(self, snapshot: JsonObject, change: Callable[[JsonObject], JsonObject]) -> None:
        meta = snapshot["metadata"]
        try:
            self.port.update_status(self.resource, meta["namespace"], meta["name"], change)
        except NotFound:
            return


def _waits_for_snapshot(claim: JsonObject) -> bool:
    source = (claim.get("spec") or {}).get("dataSource") or {}
    bound = (claim.get("status") or {}).get("phase") == "Bound"
    return source.get("kind") == VOLUME_SNAPSHOTS.kind and not bound


def _bound(claim: JsonObject) -> JsonObject:
    return {**(claim.get("status") or {}), "phase": "Bound"}
