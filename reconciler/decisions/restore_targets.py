"""The members of a restore as they are in the world, as ``targets`` says it of an invoker's.

Called by the restore decision and by ``injecting``. Reads and builds; decides nothing about time.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.repository import Repository
from reconciler.api.restore import RestoreTarget
from reconciler.api.restore_invoker import RestoreInvoker
from reconciler.decisions import targets, workload, world
from reconciler.decisions.plan import View
from reconciler.decisions.targets import Target
from reconciler.errors import Fault
from reconciler.manifests import init_container, inputs, tasks
from reconciler.manifests.injection import Part


def read(
    view: View, restore: RestoreInvoker, repository: Repository | None, image: str
) -> Iterator[Target]:
    """Every member with a target."""
    for index, member in enumerate(restore.members):
        if member.target is not None:
            yield _read_one(view, restore, index, member.target, repository, image)


def _read_one(  # noqa: PLR0917 -- private, and called once
    view: View,
    restore: RestoreInvoker,
    index: int,
    target: RestoreTarget,
    repository: Repository | None,
    image: str,
) -> Target:
    ref = restore.ref(index)
    # Claims of templates are made by the restore, so there is nothing to look for.
    resource = world.TARGETS.get(ref.kind) if target.ref.name else None
    found = view.get(resource, restore.namespace, ref.name) if resource else None
    is_workload = ref.kind in world.SIDECAR_KINDS and not restore.takes_snapshots
    owned = bool(found and is_workload and workload.is_owned(found))
    at = f"{restore.member_path(index)}.target"
    problem = (
        targets.mount_problem(found, target.volume_mounts, at) if found and is_workload else ""
    )
    free = is_workload and not owned and not problem
    part: Part | None = None
    if found is not None and free and repository is not None:
        part = init_container.part(
            found, restore=restore, index=index, repository=repository, image=image
        )
    return Target(
        index=index,
        member=restore.members[index],
        ref=ref,
        resource=resource,
        obj=found,
        is_served=targets.is_served(view, resource),
        holder="",
        owned=owned,
        mount_problem=problem,
        part=part,
        by_snapshots=restore.takes_snapshots,
        task_faults=()
        if is_workload or restore.takes_snapshots
        else tuple(_task_faults(view, restore, index, repository, image)),
    )


def _task_faults(
    view: View, restore: RestoreInvoker, index: int, repository: Repository | None, image: str
) -> Iterator[Fault]:
    """What keeps the member from being turned into a Job; claim templates need no Task."""
    member = restore.members[index]
    named = bool(member.task and member.task.name)
    if not named and member.target and member.target.volume_claim_templates:
        return
    found = targets.task(view, member)
    if found is None:
        yield targets.missing_task(member, f"{restore.member_path(index)}.task.name")
    elif repository is not None:
        variables = inputs.restore_variables(restore, index, repository, host="", image=image)
        yield from tasks.resolve(found, targets.functions_of(view, found), variables).faults
