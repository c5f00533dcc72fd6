"""Claims and volumes: every PersistentVolumeClaim is bound at once to a volume made for it.

Run by the embedded cluster (after Kubernetes' provisioner and PV controller, for its one storage
class ``local``). Where the data lies is the node's business; the volume's handle names it. A claim
that names an existing volume is bound to that one. A volume with reclaim policy ``Delete`` goes
with its claim.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from reconciler.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions.plan import Apply, Create, Delete, Finalizers, Plan, Settings, View, Write
from reconciler.embedded.controllers import ownership, pods, scheduler, statuses

STORAGE_CLASS = "local"
DRIVER = "local.tandem.appscode.com"
STORAGE_CLASSES = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
PROTECTION = "kubernetes.io/pvc-protection"


def storage_class() -> JsonObject:
    """The default storage class, which the API server fills in for claims that name none."""
    return {
        "apiVersion": STORAGE_CLASSES.api_version,
        "kind": STORAGE_CLASSES.kind,
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Bind one claim; a claim in use is kept until the last Pod that mounts it is finished."""
    del now, settings
    claim = view.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, key.name)
    if claim is None:
        return Plan()
    if ownership.deleting(claim):
        return _let_go(claim, view)
    if PROTECTION not in (claim["metadata"].get("finalizers") or ()):
        return Plan(writes=(_finalizers(claim, add=True),))
    name = claim["spec"].get("volumeName") or volume_name(claim)
    volume = view.get(PERSISTENT_VOLUMES, "", name)
    if volume is None and claim["spec"].get("volumeName") not in (None, volume_name(claim)):
        return Plan(writes=statuses.write(PERSISTENT_VOLUME_CLAIMS, claim, {"phase": "Pending"}))
    return Plan(writes=(*_provision(claim, volume), *_bind(claim, name)))


def decide_volume(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """The phase of one volume; it goes with its claim if its reclaim policy says so."""
    del now, settings
    volume = view.get(PERSISTENT_VOLUMES, "", key.name)
    if volume is None or ownership.deleting(volume):
        return Plan()
    reference = volume["spec"].get("claimRef")
    if reference is None:
        return Plan(writes=statuses.write(PERSISTENT_VOLUMES, volume, {"phase": "Available"}))
    claim = view.get(PERSISTENT_VOLUME_CLAIMS, reference["namespace"], reference["name"])
    if claim is not None and reference.get("uid") in (None, claim["metadata"]["uid"]):
        return Plan(writes=statuses.write(PERSISTENT_VOLUMES, volume, {"phase": "Bound"}))
    if _just_made(volume):
        return Plan()
    if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        meta = volume["metadata"]
        return Plan(writes=(Delete(PERSISTENT_VOLUMES, "", meta["name"], meta["uid"]),))
    return Plan(writes=statuses.write(PERSISTENT_VOLUMES, volume, {"phase": "Released"}))


def _just_made(volume: JsonObject) -> bool:
    """A volume may be seen before its claim is; only one that was bound can lose its claim."""
    return volume.get("status", {}).get("phase") not in ("Bound", "Released")


def volume_name(claim: JsonObject) -> str:
    """``pvc-<uid of the claim>``, as provisioners name them."""
    return f"pvc-{claim['metadata']['uid']}"


def volume_of_claim(claim: JsonObject, view: View) -> Iterable[Key]:
    """The volume that a claim names: what a claim's change enqueues."""
    del view
    return (Key("", claim.get("spec", {}).get("volumeName") or volume_name(claim)),)


def claim_of_volume(volume: JsonObject, view: View) -> Iterable[Key]:
    """The claim that a volume is for."""
    del view
    reference = volume.get("spec", {}).get("claimRef")
    return (Key(reference["namespace"], reference["name"]),) if reference else ()


def claims_of_pod(pod: JsonObject, view: View) -> Iterable[Key]:
    """The claims that wait for a finished Pod to let them go."""
    for name in scheduler.claims_of(pod):
        claim = view.get(PERSISTENT_VOLUME_CLAIMS, pod["metadata"].get("namespace", ""), name)
        if claim is not None and ownership.deleting(claim):
            yield Key.of(claim)


def _let_go(claim: JsonObject, view: View) -> Plan:
    if PROTECTION not in (claim["metadata"].get("finalizers") or ()):
        return Plan()
    place, name = claim["metadata"].get("namespace", ""), claim["metadata"]["name"]
    users = (pod for pod in view.list(PODS, place) if name in scheduler.claims_of(pod))
    if any(not pods.is_finished(pod) for pod in users):
        return Plan()
    return Plan(writes=(_finalizers(claim, add=False),))


def _finalizers(claim: JsonObject, *, add: bool) -> Finalizers:
    meta = claim["metadata"]
    others = [name for name in meta.get("finalizers") or () if name != PROTECTION]
    wanted = (*others, PROTECTION) if add else tuple(others)
    place, version = meta.get("namespace", ""), meta.get("resourceVersion", "")
    return Finalizers(PERSISTENT_VOLUME_CLAIMS, place, meta["name"], version, wanted)


def _provision(claim: JsonObject, volume: JsonObject | None) -> tuple[Write, ...]:
    if volume is not None:
        return ()
    meta, spec = claim["metadata"], claim["spec"]
    made = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER},
        },
        "spec": {
            "capacity": {"storage": _requested(spec)},
            "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.get("storageClassName") or "",
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta.get("namespace", ""),
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "csi": {"driver": DRIVER, "volumeHandle": volume_name(claim)},
        },
    }
    return (Create(PERSISTENT_VOLUMES, made),)


def _requested(spec: JsonObject) -> str:
    return str(((spec.get("resources") or {}).get("requests") or {}).get("storage", "1Gi"))


def _bind(claim: JsonObject, volume: str) -> tuple[Write, ...]:
    meta, spec = claim["metadata"], claim["spec"]
    if spec.get("volumeName") != volume:
        bound = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": meta["name"],
                "namespace": meta.get("namespace", ""),
                "uid": meta["uid"],
                "annotations": {"pv.kubernetes.io/bind-completed": "yes"},
            },
            "spec": {"volumeName": volume},
        }
        return (Apply(PERSISTENT_VOLUME_CLAIMS, bound, create=False),)
    status = {
        "phase": "Bound",
        "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
        "capacity": {"storage": _requested(spec)},
    }
    return statuses.write(PERSISTENT_VOLUME_CLAIMS, claim, status)
