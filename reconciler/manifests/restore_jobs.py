"""The Jobs of a restore, one a host, and the claims that a restore makes.

Called by the restore decision. Shape and names are Stash's (spec 8.3): a member's Task is resolved
as for a backup; a member with claim templates and no Task is restored by one container, into
claims that are made for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.api.decoding import encode
from reconciler.api.repository import Repository
from reconciler.api.resources import APP_BINDINGS, PERSISTENT_VOLUME_CLAIMS, JsonObject
from reconciler.api.restore import RestoreMember, RestoreTarget
from reconciler.api.restore_invoker import ORDINAL, RestoreInvoker
from reconciler.api.runtime import RuntimeSettings
from reconciler.errors import Fault
from reconciler.manifests import functions as variables
from reconciler.manifests import (
    init_container,
    inputs,
    jobs,
    labels,
    names,
    runtime,
    security,
    tasks,
    volumes,
)


def restore(
    invoker: RestoreInvoker,
    index: int,
    repository: Repository,
    *,
    obj: JsonObject,
    host: str,
    ordinal: str | None,
    task: JsonObject | None,
    functions: Mapping[str, JsonObject],
    image: str,
    deadline_seconds: int,
) -> jobs.Built:
    """The Job that restores a host of member ``index``. ``obj`` is the restore's JSON.

    ``ordinal``: which set of claims it restores into; None for a target without claim templates.
    """
    member = invoker.members[index]
    resolved = (
        _of_task(invoker, index, repository, host, task, functions, image)
        if task is not None
        else _plain(invoker, index, repository, image)
    )
    claim = jobs.interim_claim(
        member.interim_volume_template,
        obj,
        lambda own: names.interim_claim(invoker.name, index, own, ordinal),
    )
    env = [{"name": "RESTORE_UID", "value": invoker.metadata.uid}]
    if ordinal is not None:
        env.append({"name": "POD_ORDINAL", "value": ordinal})
    pod = jobs.pod_of_task(
        member,
        repository,
        resolved,
        claim,
        account=names.RESTORE_JOB_ACCOUNT,
        env=env,
        more=_claimed(member.target or RestoreTarget(), ordinal),
    )
    job = jobs.job_of(
        names.restore_job(invoker.name, index, ordinal),
        invoker.namespace,
        _own_labels(invoker),
        obj,
        security.with_defaults(pod, image, as_root=_writes_files(member)),
        deadline_seconds=deadline_seconds,
    )
    return jobs.Built(job, claim, resolved.faults)


def of_snapshot(
    invoker: RestoreInvoker,
    index: int,
    *,
    obj: JsonObject,
    host: str,
    image: str,
    deadline_seconds: int,
) -> JsonObject:
    """The Job that makes the claim ``host`` of member ``index`` from a VolumeSnapshot."""
    settings = invoker.members[index].runtime_settings or RuntimeSettings()
    ref = invoker.ref(index)
    container = {
        "name": names.SIDECAR,
        "image": image,
        "args": [
            "restore-vs",
            f"--invoker-kind={invoker.kind}",
            f"--invoker-name={invoker.name}",
            f"--target-kind={ref.kind}",
            f"--target-name={ref.name}",
            f"--hostname={host}",
            f"--namespace={invoker.namespace}",
        ],
        "env": [
            *volumes.runner_environment(),
            {"name": "RESTORE_UID", "value": invoker.metadata.uid},
        ],
    }
    own = runtime.container(container, encode(settings.container) if settings.container else {})
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": names.SNAPSHOT_RESTORER_ACCOUNT,
        "containers": [own],
    }
    pod = runtime.pod(pod, encode(settings.pod) if settings.pod else {})
    return jobs.job_of(
        names.snapshot_restore_job(invoker.name, index, host),
        invoker.namespace,
        _own_labels(invoker),
        obj,
        security.with_defaults(pod, image),
        deadline_seconds=deadline_seconds,
    )


def _own_labels(invoker: RestoreInvoker) -> dict[str, str]:
    return {
        **labels.offshoot(invoker.metadata.labels, labels.OF_RESTORE),
        **labels.of_invoker(invoker.kind, invoker.name),
        labels.TASK: "restore",
    }


def _writes_files(member: RestoreMember) -> bool:
    """Only root may give files back to their owners; a database is reached by its client."""
    target = member.target or RestoreTarget()
    return target.ref.kind != APP_BINDINGS.kind


def claims(invoker: RestoreInvoker, index: int, ordinal: str) -> tuple[JsonObject, ...]:
    """The claims of one set. They outlive the restore: they are what it was for.

    The annotation says whose they are, so that a claim of somebody else is never written to.
    """
    target = invoker.members[index].target or RestoreTarget()
    return tuple(_claim(invoker, template, ordinal) for template in target.volume_claim_templates)


def is_own(claim: JsonObject, invoker: RestoreInvoker) -> bool:
    """Whether the restore made the claim."""
    annotations = claim["metadata"].get("annotations") or {}
    return bool(annotations.get(labels.RESTORE_UID) == invoker.metadata.uid)


def _claim(invoker: RestoreInvoker, template: JsonObject, ordinal: str) -> JsonObject:
    found = _with_ordinal(template, ordinal)
    meta = found.get("metadata") or {}
    return {
        "apiVersion": PERSISTENT_VOLUME_CLAIMS.api_version,
        "kind": PERSISTENT_VOLUME_CLAIMS.kind,
        "metadata": {
            "name": meta.get("name", ""),
            "namespace": invoker.namespace,
            "labels": {**(meta.get("labels") or {}), **labels.OF_RESTORE},
            "annotations": {
                **(meta.get("annotations") or {}),
                labels.RESTORE_UID: invoker.metadata.uid,
            },
        },
        "spec": found.get("spec") or {},
    }


def _with_ordinal(template: JsonObject, ordinal: str) -> JsonObject:
    """As Stash, with POD_ORDINAL alone; any other variable is left to stand as it is written."""
    faults: list[Fault] = []
    found: JsonObject = variables.substitute(template, {"POD_ORDINAL": ordinal}, "", faults)
    return found


def volume_name(template: JsonObject) -> str:
    """How volumeMounts call the volume of a claim template: its name without the ordinal."""
    name = str((template.get("metadata") or {}).get("name") or "")
    return name.replace(f"-{ORDINAL}", "").replace(ORDINAL, "")


def _claimed(
    target: RestoreTarget, ordinal: str | None
) -> list[tuple[JsonObject, JsonObject | None]]:
    """The volumes of the claims, each with the mount that names it."""
    if ordinal is None:
        return []
    mounts = {item.get("name"): dict(item) for item in target.volume_mounts}
    found: list[tuple[JsonObject, JsonObject | None]] = []
    for template in target.volume_claim_templates:
        name = volume_name(template)
        claim = _with_ordinal(template, ordinal).get("metadata") or {}
        found.append((volumes.of_claim(name, claim.get("name", "")), mounts.get(name)))
    return found


def _of_task(  # noqa: PLR0917 -- private, and called once
    invoker: RestoreInvoker,
    index: int,
    repository: Repository,
    host: str,
    task: JsonObject,
    functions: Mapping[str, JsonObject],
    image: str,
) -> tasks.Resolved:
    known = inputs.restore_variables(invoker, index, repository, host=host, image=image)
    return tasks.resolve(task, functions, known)


def _plain(
    invoker: RestoreInvoker, index: int, repository: Repository, image: str
) -> tasks.Resolved:
    """One container that restores by itself, for a member without a Task."""
    secret = volumes.JOB_SECRET_PATH
    args = init_container.args(
        invoker, index, repository, secret_dir=secret, scratch=volumes.TMP_PATH
    )
    container = {
        "name": names.SIDECAR,
        "image": image,
        "args": [*args, "--restore-model=job"],
        "volumeMounts": [volumes.mount(volumes.JOB_SECRET, secret)],
    }
    backend = repository.spec.backend
    return tasks.Resolved((container,), (volumes.job_secret(backend.storage_secret_name),))
