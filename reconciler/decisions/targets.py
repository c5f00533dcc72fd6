"""The members of an invoker as they are in the world: the target, its sidecar, its Task.

Called by the invoker decision for conditions and sidecars, and by the session decision for what a
target lacks. Reads and builds; decides nothing about time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from reconciler.api import conditions as c
from reconciler.api.backup import BackupTarget, Member
from reconciler.api.invoker import Invoker
from reconciler.api.metadata import TargetRef
from reconciler.api.repository import Repository
from reconciler.api.resources import FUNCTIONS, OPTIONAL, TASKS, JsonObject, Resource
from reconciler.api.restore import RestoreMember
from reconciler.decisions import conditions, workload, world
from reconciler.decisions.conditions import Condition
from reconciler.decisions.plan import View
from reconciler.errors import Fault
from reconciler.manifests import inputs, sidecar, tasks
from reconciler.manifests.injection import Part


@attrs.frozen
class Target:
    """One member with a target, and what the world says about it."""

    index: int
    member: Member | RestoreMember
    ref: TargetRef
    resource: Resource | None
    """None for a kind that Tandem cannot look up: its Task may still know it."""
    obj: JsonObject | None
    holder: str
    """The invoker that keeps this one out of the workload, as words; or ""."""
    owned: bool
    """A workload that another one makes (a Deployment's ReplicaSet)."""
    mount_problem: str
    """A volume mount of the member that the workload has no volume for, as words; or ""."""
    part: Part | None
    """What a workload may carry for the member now: the sidecar, or a restore's init container."""
    task_faults: tuple[Fault, ...]
    is_served: bool = True
    """Whether the cluster has the kind at all."""
    by_snapshots: bool = False
    """Its claims are snapshotted by a Job: it has no sidecar and no Task, whatever its kind."""

    @property
    def is_workload(self) -> bool:
        """Whether sidecars take its hosts."""
        return self.ref.kind in world.SIDECAR_KINDS and not self.by_snapshots

    @property
    def is_missing(self) -> bool:
        return self.resource is not None and self.obj is None

    def absence(self, namespace: str, remedy: str) -> str:
        """Why a missing target is not there, and what would help: ``remedy``, if its kind is."""
        what = f"{self.ref.kind} {namespace}/{self.ref.name} does not exist"
        if self.is_served or self.resource is None:
            return f"{what}; {remedy}"
        kind = f"{self.resource.api_version} {self.resource.kind}"
        return (
            f"{what}: {kind} is not served here; name a target of another kind, or restart the "
            "operator when it is."
        )

    @property
    def is_injected(self) -> bool:
        """Whether the workload's template has the part as it is wanted now."""
        return self.obj is not None and self.part is not None and self.part.is_in(self.obj)

    @property
    def is_marked(self) -> bool:
        """Whether the workload carries our part at all, perhaps an older one."""
        return (
            self.obj is not None
            and self.part is not None
            and self.part.slot.mark_of(self.obj) == self.part.mark
            and self.part.slot.of(self.obj) is not None
        )


def read(
    view: View, obj: JsonObject, invoker: Invoker, repository: Repository | None, image: str
) -> Iterator[Target]:
    """Every member with a target. ``obj`` is the invoker's JSON."""
    for index, member in enumerate(invoker.members):
        if member.target is not None and invoker.takes_snapshots:
            yield _read_for_snapshots(view, invoker, index, member, member.target)
        elif member.target is not None:
            yield _read_one(view, obj, invoker, index, member, member.target, repository, image)


def _read_for_snapshots(
    view: View, invoker: Invoker, index: int, member: Member, target: BackupTarget
) -> Target:
    resource = world.TARGETS.get(target.ref.kind)
    return Target(
        index=index,
        member=member,
        ref=target.ref,
        resource=resource,
        obj=view.get(resource, invoker.namespace, target.ref.name) if resource else None,
        is_served=is_served(view, resource),
        holder="",
        owned=False,
        mount_problem="",
        part=None,
        task_faults=(),
        by_snapshots=True,
    )


def _read_one(  # noqa: PLR0917 -- private, and called once
    view: View,
    obj: JsonObject,
    invoker: Invoker,
    index: int,
    member: Member,
    target: BackupTarget,
    repository: Repository | None,
    image: str,
) -> Target:
    resource = world.TARGETS.get(target.ref.kind)
    found = view.get(resource, invoker.namespace, target.ref.name) if resource else None
    is_workload = target.ref.kind in world.SIDECAR_KINDS
    other = workload.is_held_by(view, found, obj) if found and is_workload else None
    owned = bool(found and is_workload and workload.is_owned(found))
    at = f"{invoker.member_path(index)}.target"
    problem = mount_problem(found, target.volume_mounts, at) if found and is_workload else ""
    free = found is not None and is_workload and other is None and not owned and not problem
    return Target(
        index=index,
        member=member,
        ref=target.ref,
        resource=resource,
        obj=found,
        is_served=is_served(view, resource),
        holder=f"{other['kind']} {invoker.namespace}/{world.name_of(other)}" if other else "",
        owned=owned,
        mount_problem=problem,
        part=(
            sidecar.part(found, invoker=invoker, member=member, repository=repository, image=image)
            if free and found is not None and repository is not None
            else None
        ),
        task_faults=()
        if is_workload
        else tuple(task_faults(view, invoker, index, repository, image)),
    )


def is_served(view: View, resource: Resource | None) -> bool:
    """Whether the cluster has a kind that not every cluster has; the others are taken for there."""
    return resource not in OPTIONAL or view.serves(resource)


def mount_problem(obj: JsonObject, mounts: Sequence[JsonObject], path: str) -> str:
    """The first volume mount that names a volume which the workload does not have."""
    pod = obj["spec"]["template"].get("spec") or {}
    claims = obj["spec"].get("volumeClaimTemplates") or ()
    known = [item["name"] for item in pod.get("volumes") or ()]
    known += [item["metadata"]["name"] for item in claims]
    for index, mount in enumerate(mounts):
        if mount.get("name") not in known:
            problem = f"{obj['kind']} {world.name_of(obj)} has no such volume"
            remedy = f"name one of its volumes ({', '.join(known) or 'it has none'})"
            return str(
                Fault(f"{path}.volumeMounts[{index}].name", problem, remedy, mount.get("name"))
            )
    return ""


# -- tasks ----------------------------------------------------------------------------------------


def task(view: View, member: Member | RestoreMember) -> JsonObject | None:
    return view.get(TASKS, "", member.task.name) if member.task and member.task.name else None


def functions_of(view: View, found: JsonObject) -> dict[str, JsonObject]:
    """The Functions that the Task's steps name, as far as they exist."""
    steps = (found.get("spec") or {}).get("steps") or ()
    known = {step["name"]: view.get(FUNCTIONS, "", step["name"]) for step in steps}
    return {name: function for name, function in known.items() if function is not None}


def task_faults(
    view: View, invoker: Invoker, index: int, repository: Repository | None, image: str
) -> Iterator[Fault]:
    """What keeps the member's Task from being turned into a Job."""
    member = invoker.members[index]
    path = f"{invoker.member_path(index)}.task.name"
    found = task(view, member)
    if found is None:
        yield missing_task(member, path)
        return
    if repository is None:
        return
    variables = inputs.variables(invoker, member, repository, session="", host="", image=image)
    yield from tasks.resolve(found, functions_of(view, found), variables).faults


def missing_task(member: Member | RestoreMember, path: str) -> Fault:
    name = member.task.name if member.task else ""
    return Fault(path, f"the Task {name!r} does not exist", "create it, or name another one")


# -- conditions -----------------------------------------------------------------------------------


def conditions_of(target: Target, namespace: str, repository_problem: str) -> list[Condition]:
    """The conditions of one member."""
    found = [_found(target, namespace)]
    if target.is_workload:
        found.append(_injected(target, namespace, repository_problem))
    elif not target.by_snapshots:
        found.append(_resolved(target))
    return found


def _found(target: Target, namespace: str) -> Condition:
    what = f"{target.ref.kind} {namespace}/{target.ref.name}"
    if target.is_missing:
        remedy = "create it, or take the member out of the spec."
        message = target.absence(namespace, remedy)
    elif target.resource is None:
        message = f"{what} is left to its Task: Tandem does not look up this kind."
    else:
        message = f"{what} exists."
    return Condition.of(
        c.BACKUP_TARGET_FOUND,
        holds=not target.is_missing,
        reason=c.TARGET_NOT_AVAILABLE if target.is_missing else c.TARGET_AVAILABLE,
        message=message,
    )


def _injected(target: Target, namespace: str, repository_problem: str) -> Condition:
    problem = _injection_problem(target, namespace, repository_problem)
    what = f"{target.ref.kind} {namespace}/{target.ref.name}"
    return Condition.of(
        c.STASH_SIDECAR_INJECTED,
        holds=not problem,
        reason=c.SIDECAR_INJECTION_FAILED if problem else c.SIDECAR_INJECTION_SUCCEEDED,
        message=problem or f"The stash sidecar is in the pod template of {what}.",
    )


def _injection_problem(target: Target, namespace: str, repository_problem: str) -> str:
    if target.obj is None:
        return target.absence(namespace, "create it.")
    if target.is_marked:
        return ""
    return obstacle(target, namespace) or repository_problem


def obstacle(target: Target, namespace: str) -> str:
    """Why an existing workload cannot have our sidecar before somebody changes something, or ""."""
    what = f"{target.ref.kind} {namespace}/{target.ref.name}"
    if target.is_marked:
        return ""
    if target.owned:
        return f"{what} belongs to another object; name its owner as the target instead."
    if target.mount_problem:
        return target.mount_problem
    if target.holder:
        return (
            f"{what} already has the sidecar of {target.holder}; "
            "take the target out of one of the two."
        )
    return ""


def _resolved(target: Target) -> Condition:
    return Condition.of(
        conditions.TASK_RESOLVED,
        holds=not target.task_faults,
        reason=(conditions.TASK_NOT_AVAILABLE if target.task_faults else conditions.TASK_AVAILABLE),
        message=world.told(target.task_faults) or "The Task and its Functions exist.",
    )
