"""The table columns of built-in kinds, as ``kubectl get`` shows them.

Called by ``tables``. Pure: an object and the time become cells. Columns after ``|`` are shown with
``-o wide``. After Kubernetes' ``printers/internalversion``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded import pod_columns, printing
from reconciler.embedded.printing import age, selector

Cells = Callable[[JsonObject, dt.datetime], list[Any]]
_NONE = "<none>"


def of(kind: str) -> tuple[list[tuple[str, str, int]], Cells]:
    """(name, type, priority) of a kind's columns, and what fills them."""
    text, cells = _BY_KIND.get(kind, ("Name Age", _plain))
    narrow, _, wide = text.partition("|")
    found = [
        _column(word, priority)
        for part, priority in ((narrow, 0), (wide, 1))
        for word in part.split()
    ]
    return found, cells


_TYPES = {"i": "integer", "b": "boolean", "d": "date"}


def _column(word: str, priority: int) -> tuple[str, str, int]:
    """``Last_Schedule`` or, with a type that is not string, ``Desired:i``."""
    name, _, kind = word.partition(":")
    return name.replace("_", " "), _TYPES.get(kind, "string"), priority


def _name(obj: JsonObject) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: JsonObject, now: dt.datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _plain(obj: JsonObject, now: dt.datetime) -> list[Any]:
    return [_name(obj), _age(obj, now)]


def _created(obj: JsonObject, now: dt.datetime) -> list[Any]:
    del now
    return [_name(obj), obj["metadata"]["creationTimestamp"]]


def _containers(template: JsonObject) -> list[Any]:
    found = (template.get("spec") or template).get("containers") or []
    return [
        ",".join(item.get("name", "") for item in found),
        ",".join(item.get("image", "") for item in found),
    ]


def _status(obj: JsonObject) -> JsonObject:
    return obj.get("status") or {}


def _deployment(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    return [
        _name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(obj, now),
        *_containers(spec["template"]),
        selector(spec.get("selector")),
    ]


def _stateful_set(obj: JsonObject, now: dt.datetime) -> list[Any]:
    ready = f"{_status(obj).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"
    return [_name(obj), ready, _age(obj, now), *_containers(obj["spec"]["template"])]


def _daemon_set(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady",
              "updatedNumberScheduled", "numberAvailable")  # fmt: skip
    return [
        _name(obj),
        *(status.get(name, 0) for name in counts),
        printing.labels((spec["template"].get("spec") or {}).get("nodeSelector")),
        _age(obj, now),
        *_containers(spec["template"]),
        selector(spec.get("selector")),
    ]


def _replica_set(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    wanted = spec.get("selector")
    if obj["kind"] == "ReplicationController":
        wanted = {"matchLabels": wanted}
    return [
        _name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(obj, now),
        *_containers(spec["template"]),
        selector(wanted),
    ]


def _job(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    succeeded, wanted = status.get("succeeded", 0), spec.get("completions")
    parallel = spec.get("parallelism") or 1
    total = str(wanted) if wanted is not None else "1" if parallel == 1 else f"1 of {parallel}"
    return [
        _name(obj),
        f"{succeeded}/{total}",
        _job_duration(status, now),
        _age(obj, now),
        *_containers(spec["template"]),
        selector(spec.get("selector")),
    ]


def _job_duration(status: JsonObject, now: dt.datetime) -> str:
    if not status.get("startTime"):
        return ""
    end = printing.moment(status["completionTime"]) if status.get("completionTime") else now
    return printing.duration((end - printing.moment(status["startTime"])).total_seconds())


def _cron_job(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    last = status.get("lastScheduleTime")
    return [
        _name(obj),
        spec.get("schedule"),
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        age(last, now) if last else _NONE,
        _age(obj, now),
        *_containers(spec["jobTemplate"]["spec"]["template"]),
        selector(spec["jobTemplate"]["spec"].get("selector")),
    ]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX",
          "ReadWriteOncePod": "RWOP"}  # fmt: skip


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in modes or ())


def _claim(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    deleting = "deletionTimestamp" in obj["metadata"]
    bound = bool(spec.get("volumeName"))
    return [
        _name(obj),
        "Terminating" if deleting else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        _age(obj, now),
        spec.get("volumeMode", "<unset>"),
    ]


def _volume(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec, status = obj["spec"], _status(obj)
    claim = spec.get("claimRef") or {}
    return [
        _name(obj),
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        status.get("phase", ""),
        f"{claim['namespace']}/{claim['name']}" if claim else "",
        spec.get("storageClassName", ""),
        status.get("reason", ""),
        _age(obj, now),
        spec.get("volumeMode", "<unset>"),
    ]


def _service(obj: JsonObject, now: dt.datetime) -> list[Any]:
    spec = obj["spec"]
    external = {"ExternalName": spec.get("externalName", ""), "LoadBalancer": "<pending>"}
    return [
        _name(obj),
        spec.get("type"),
        spec.get("clusterIP") or _NONE,
        external.get(spec["type"], _NONE),
        ",".join(_port(port) for port in spec.get("ports") or ()) or _NONE,
        _age(obj, now),
        printing.labels(spec.get("selector")),
    ]


def _port(port: JsonObject) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


def _secret(obj: JsonObject, now: dt.datetime) -> list[Any]:
    return [_name(obj), obj.get("type"), len(obj.get("data") or ()), _age(obj, now)]


def _config_map(obj: JsonObject, now: dt.datetime) -> list[Any]:
    count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [_name(obj), count, _age(obj, now)]


def _event(obj: JsonObject, now: dt.datetime) -> list[Any]:
    about, source = obj.get("involvedObject") or {}, obj.get("source") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or first
    parts = [part for part in (source.get("component"), source.get("host")) if part]
    return [
        age(last, now),
        obj.get("type"),
        obj.get("reason"),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(parts) or obj.get("reportingComponent", ""),
        str(obj.get("message", "")).strip(),
        age(first, now),
        obj.get("count") or 1,
        _name(obj),
    ]


def _namespace(obj: JsonObject, now: dt.datetime) -> list[Any]:
    return [_name(obj), _status(obj).get("phase", ""), _age(obj, now)]


def _node(obj: JsonObject, now: dt.datetime) -> list[Any]:
    status, labels = _status(obj), obj["metadata"].get("labels") or {}
    info = status.get("nodeInfo") or {}
    addresses = {item["type"]: item["address"] for item in status.get("addresses") or ()}
    roles = [key.partition("/")[2] for key in sorted(labels) if key.startswith(_ROLE)]
    ready = {item["type"]: item["status"] for item in status.get("conditions") or ()}.get("Ready")
    shown = {"True": "Ready", "False": "NotReady"}.get(ready or "", "Unknown")
    if (obj.get("spec") or {}).get("unschedulable"):
        shown += ",SchedulingDisabled"
    return [
        _name(obj),
        shown,
        ",".join(roles) or _NONE,
        _age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


_ROLE = "node-role.kubernetes.io/"


def _account(obj: JsonObject, now: dt.datetime) -> list[Any]:
    return [_name(obj), len(obj.get("secrets") or ()), _age(obj, now)]


def _binding(obj: JsonObject, now: dt.datetime) -> list[Any]:
    role, subjects = obj["roleRef"], obj.get("subjects") or []
    users = [item["name"] for item in subjects if item["kind"] == "User"]
    groups = [item["name"] for item in subjects if item["kind"] == "Group"]
    accounts = [f"{item.get('namespace', '')}/{item['name']}" for item in subjects
                if item["kind"] == "ServiceAccount"]  # fmt: skip
    people = [", ".join(names) for names in (users, groups, accounts)]
    return [_name(obj), f"{role['kind']}/{role['name']}", _age(obj, now), *people]


def _webhooks(obj: JsonObject, now: dt.datetime) -> list[Any]:
    return [_name(obj), len(obj.get("webhooks") or ()), _age(obj, now)]


def _lease(obj: JsonObject, now: dt.datetime) -> list[Any]:
    return [_name(obj), (obj.get("spec") or {}).get("holderIdentity", ""), _age(obj, now)]


def _endpoints(obj: JsonObject, now: dt.datetime) -> list[Any]:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [_name(obj), ",".join(found[:3]) + more or _NONE, _age(obj, now)]


def _revision(obj: JsonObject, now: dt.datetime) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or []
    owner = next((item for item in owners if item.get("controller")), None)
    kind = f"{owner['kind'].lower()}.{owner['apiVersion'].partition('/')[0]}" if owner else ""
    controller = f"{kind}/{owner['name']}" if owner else _NONE
    return [_name(obj), controller, obj.get("revision"), _age(obj, now)]


def _storage_class(obj: JsonObject, now: dt.datetime) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        _name(obj) + (" (default)" if default else ""),
        obj.get("provisioner"),
        obj.get("reclaimPolicy"),
        obj.get("volumeBindingMode"),
        bool(obj.get("allowVolumeExpansion")),
        _age(obj, now),
    ]


_VOLUME_COLUMNS = "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass Reason Age"
_NODE_COLUMNS = "Internal-IP External-IP OS-Image Kernel-Version Container-Runtime"
_WIDE = "| Containers Images Selector"
_BY_KIND: dict[str, tuple[str, Cells]] = {
    "Pod": (
        "Name Ready Status Restarts:i Age | IP Node Nominated_Node Readiness_Gates",
        pod_columns.pod,
    ),
    "Deployment": (f"Name Ready Up-to-date Available Age {_WIDE}", _deployment),
    "StatefulSet": ("Name Ready Age | Containers Images", _stateful_set),
    "DaemonSet": (
        f"Name Desired:i Current:i Ready:i Up-to-date:i Available:i Node_Selector Age {_WIDE}",
        _daemon_set,
    ),
    "ReplicaSet": (f"Name Desired:i Current:i Ready:i Age {_WIDE}", _replica_set),
    "ReplicationController": (f"Name Desired:i Current:i Ready:i Age {_WIDE}", _replica_set),
    "Job": (f"Name Completions Duration Age {_WIDE}", _job),
    "CronJob": (f"Name Schedule Suspend:b Active:i Last_Schedule Age {_WIDE}", _cron_job),
    "PersistentVolumeClaim": (
        "Name Status Volume Capacity Access_Modes StorageClass Age | VolumeMode",
        _claim,
    ),
    "PersistentVolume": (
        f"{_VOLUME_COLUMNS} | VolumeMode",
        _volume,
    ),
    "Service": ("Name Type Cluster-IP External-IP Port(s) Age | Selector", _service),
    "Secret": ("Name Type Data Age", _secret),
    "ConfigMap": ("Name Data Age", _config_map),
    "Namespace": ("Name Status Age", _namespace),
    "Node": (
        f"Name Status Roles Age Version | {_NODE_COLUMNS}",
        _node,
    ),
    "ServiceAccount": ("Name Secrets Age", _account),
    "Role": ("Name Created_At:d", _created),
    "ClusterRole": ("Name Created_At:d", _created),
    "CustomResourceDefinition": ("Name Created_At:d", _created),
    "RoleBinding": ("Name Role Age | Users Groups ServiceAccounts", _binding),
    "ClusterRoleBinding": ("Name Role Age | Users Groups ServiceAccounts", _binding),
    "ValidatingWebhookConfiguration": ("Name Webhooks:i Age", _webhooks),
    "Lease": ("Name Holder Age", _lease),
    "Endpoints": ("Name Endpoints Age", _endpoints),
    "StorageClass": (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        _storage_class,
    ),
    "ControllerRevision": ("Name Controller Revision Age", _revision),
    "Event": ("", _event),
}
EVENT_COLUMNS = [("Last Seen", "string", 0), ("Type", "string", 0), ("Reason", "string", 0),
                 ("Object", "string", 0), ("Subobject", "string", 1), ("Source", "string", 1),
                 ("Message", "string", 0), ("First Seen", "string", 1), ("Count", "string", 1),
                 ("Name", "string", 1)]  # fmt: skip
"""An Event's columns: wide ones stand between the others."""
