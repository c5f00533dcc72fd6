"""Who owns which field: ``metadata.managedFields``.

Called by ``writing`` for creates, updates and patches (the writer owns what it changed) and by
``apply`` for server-side apply. After Kubernetes' ``managedfields`` and structured-merge-diff's
``merge.Updater``.
"""

from __future__ import annotations

from typing import Any

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded import fieldsets
from reconciler.embedded.fieldsets import FieldSet
from reconciler.embedded.kinds import Kind
from reconciler.embedded.structure import ANY

_UNOWNED = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation",
            "managedFields", "resourceVersion", fieldsets.SELF)  # fmt: skip
_TEMPLATE: JsonObject = {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}}
_EMPTY: dict[str, JsonObject] = {
    "Pod": {"spec": {"containers": None}, "status": {}},
    "Deployment": {"spec": {"selector": None, "template": _TEMPLATE, "strategy": {}}, "status": {}},
    "StatefulSet": {
        "spec": {
            "selector": None,
            "template": _TEMPLATE,
            "serviceName": "",
            "updateStrategy": {},
        },
        "status": {"replicas": 0},
    },
    "DaemonSet": {
        "spec": {"selector": None, "template": _TEMPLATE, "updateStrategy": {}},
        "status": {
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
        },
    },
    "ReplicaSet": {
        "spec": {"selector": None, "template": {"metadata": {"creationTimestamp": None}, "spec": {
            "containers": None}}},
        "status": {"replicas": 0},
    },
    "ReplicationController": {"spec": {}, "status": {"replicas": 0}},
    "Job": {"spec": {"template": _TEMPLATE}, "status": {}},
    "CronJob": {
        "spec": {
            "schedule": "",
            "jobTemplate": {
                "metadata": {"creationTimestamp": None},
                "spec": {"template": _TEMPLATE},
            },
        },
        "status": {},
    },
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "PersistentVolume": {"spec": {}, "status": {}},
    "Namespace": {"spec": {}, "status": {}},
    "Node": {"spec": {}, "status": {}},
    "Lease": {"spec": {}},
    "Event": {
        "involvedObject": {},
        "source": {},
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    "CustomResourceDefinition": {"spec": {"names": {}}},
    "Role": {"rules": None},
    "ClusterRole": {"rules": None},
    "RoleBinding": {"roleRef": {"apiGroup": "", "kind": "", "name": ""}},
    "ClusterRoleBinding": {"roleRef": {"apiGroup": "", "kind": "", "name": ""}},
}  # fmt: skip
"""What an empty object of a typed kind prints: those places are never "added" by a create."""


@attrs.frozen
class Writer:
    """Who writes, when, and through which subresource."""

    manager: str
    now: str
    subresource: str = ""


@attrs.frozen
class Entry:
    """One element of managedFields, taken apart."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.manager, self.operation, self.api_version, self.subresource

    def as_json(self) -> JsonObject:
        found: JsonObject = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        }
        if self.subresource:
            found["subresource"] = self.subresource
        return found


def entries(obj: JsonObject) -> list[Entry]:
    """The entries of an object; those that say nothing are left out."""
    return [
        Entry(
            manager=raw.get("manager", ""),
            operation=raw.get("operation", "Update"),
            api_version=raw.get("apiVersion", ""),
            subresource=raw.get("subresource", ""),
            time=raw.get("time", ""),
            fields=raw["fieldsV1"],
        )
        for raw in obj["metadata"].get("managedFields") or ()
        if raw.get("fieldsV1")
    ]


def put(obj: JsonObject, found: list[Entry]) -> None:
    """Write the entries, in Kubernetes' order; entries that own nothing disappear."""
    kept = [entry for entry in found if entry.fields]
    kept.sort(key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource))
    if kept:
        obj["metadata"]["managedFields"] = [entry.as_json() for entry in kept]
    else:
        obj["metadata"].pop("managedFields", None)


def record(kind: Kind, old: JsonObject, new: JsonObject, writer: Writer) -> None:
    """Note in ``new`` that the writer owns what differs from ``old`` ({}: it is new)."""
    changed, removed = changes(kind, old or _EMPTY.get(kind.name, {}), new)
    found = entries(new)
    if changed or removed:
        identity = (writer.manager, "Update", kind.resource.api_version, writer.subresource)
        found = released(found, changed, removed, writer=identity)
        mine = [entry for entry in found if entry.identity == identity]
        rest = [entry for entry in found if entry.identity != identity]
        before = mine[0].fields if mine else {}
        owned = fieldsets.minus(fieldsets.union(before, changed), removed)
        unchanged = bool(mine) and owned == before
        time = mine[0].time if unchanged else writer.now
        found = [*rest, Entry(*identity, time=time, fields=owned)]
    put(new, found)


def released(
    found: list[Entry],
    changed: FieldSet,
    removed: FieldSet,
    *,
    writer: tuple[str, str, str, str],
) -> list[Entry]:
    """The entries, after everybody but the writer has lost what was changed or removed."""
    gone = fieldsets.union(changed, removed) if removed else changed
    return [
        entry
        if entry.identity == writer
        else attrs.evolve(entry, fields=fieldsets.minus(entry.fields, gone))
        for entry in found
    ]


def changes(kind: Kind, old: JsonObject, new: JsonObject) -> tuple[FieldSet, FieldSet]:
    """(added or modified, removed), without what nobody owns."""
    node = kind.structure or ANY
    changed, removed = fieldsets.difference(node, _ownable(old), _ownable(new))
    return without_unowned(changed), without_unowned(removed)


def _ownable(obj: JsonObject) -> JsonObject:
    """The object without the metadata that differs in every write."""
    meta = obj.get("metadata")
    if not meta:
        return {**obj, "metadata": {}}
    return {**obj, "metadata": {key: meta[key] for key in meta if key not in _UNOWNED}}


def without_unowned(trie: FieldSet) -> FieldSet:
    """The set without apiVersion, kind and the metadata that the server keeps."""
    found = {step: below for step, below in trie.items() if step not in ("f:apiVersion", "f:kind")}
    meta = found.pop("f:metadata", None)
    if meta:
        kept = {step: below for step, below in meta.items() if step[2:] not in _UNOWNED}
        kept.pop(fieldsets.SELF, None)
        if kept:
            found["f:metadata"] = kept
    return found


def same(old: JsonObject, new: JsonObject) -> bool:
    """Whether a write changes nothing worth storing: times of managedFields do not count."""
    if old.keys() != new.keys() or any(old[key] != new[key] for key in old if key != "metadata"):
        return False
    was, now = old["metadata"], new["metadata"]
    if was.keys() != now.keys() or any(
        was[key] != now[key] for key in was if key != "managedFields"
    ):
        return False
    return _timeless(was) == _timeless(now)


def _timeless(meta: JsonObject) -> list[Any]:
    return [{**entry, "time": ""} for entry in meta.get("managedFields") or ()]
