"""Controller revisions: which template a Pod of a StatefulSet or DaemonSet was made from.

Called by those two controllers; pure. The hash covers the Pod template alone, so a change of
anything else moves no Pod. Each template is kept as a ControllerRevision, as Kubernetes does.
"""

from __future__ import annotations

from reconciler.api.resources import CONTROLLER_REVISIONS, JsonObject, Resource
from reconciler.decisions.plan import Create, Delete, View, Write
from reconciler.embedded.controllers import ownership

LABEL = "controller-revision-hash"


def current(owner: JsonObject) -> str:
    """The revision hash of the owner's template."""
    return ownership.digest(owner["spec"]["template"], 10)


def name(owner: JsonObject) -> str:
    """The name of the current ControllerRevision, as ``status.updateRevision`` shows it."""
    return ownership.child_name(owner["metadata"]["name"], current(owner))


def of(pod: JsonObject) -> str:
    """The revision hash that the Pod carries ("" for an adopted Pod without one)."""
    return str((pod["metadata"].get("labels") or {}).get(LABEL, ""))


def record(resource: Resource, owner: JsonObject, view: View) -> tuple[Write, ...]:
    """Create the current revision's object; drop the oldest beyond ``revisionHistoryLimit``."""
    kept = sorted(
        ownership.owned(view, CONTROLLER_REVISIONS, owner), key=lambda obj: int(obj["revision"])
    )
    wanted = name(owner)
    number = max((int(obj["revision"]) for obj in kept), default=0) + 1
    writes: list[Write] = []
    if wanted not in {obj["metadata"]["name"] for obj in kept}:
        writes.append(Create(CONTROLLER_REVISIONS, _revision(resource, owner, wanted, number)))
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    old = [obj for obj in kept if obj["metadata"]["name"] != wanted]
    for obj in old[: max(0, len(old) - limit)]:
        meta = obj["metadata"]
        place = meta.get("namespace", "")
        writes.append(Delete(CONTROLLER_REVISIONS, place, meta["name"], meta["uid"]))
    return tuple(writes)


def _revision(resource: Resource, owner: JsonObject, wanted: str, number: int) -> JsonObject:
    template = owner["spec"]["template"]
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": wanted,
            "namespace": owner["metadata"].get("namespace", ""),
            "labels": {
                **(template.get("metadata", {}).get("labels") or {}),
                LABEL: current(owner),
            },
            "ownerReferences": [ownership.controller_reference(resource, owner)],
        },
        "data": {"spec": {"template": template}},
        "revision": number,
    }
