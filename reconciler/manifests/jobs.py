"""The Jobs: backup of one target, initialisation of a repository, its maintenance.

Called by the session and repository decisions. Shape and names of the backup Job are Stash's
(spec 7.3, stash-data 6.4). Every Job has a deadline, so none outlives what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from reconciler.api.backup import Member
from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import JOBS, JsonObject
from reconciler.api.restore import RestoreMember
from reconciler.api.runtime import RuntimeSettings
from reconciler.errors import Fault
from reconciler.manifests import inputs, labels, names, runtime, security, tasks, volumes

TRIES = 1
"""``backoffLimit``: a pod that fails is tried once more, as in Stash."""


@attrs.frozen
class Built:
    """A Job with the claim it needs, or the faults because of which there is none."""

    job: JsonObject
    claim: JsonObject | None = None
    faults: tuple[Fault, ...] = ()


def backup(
    invoker: Invoker,
    index: int,
    repository: Repository,
    *,
    session: JsonObject,
    host: str,
    task: JsonObject,
    functions: Mapping[str, JsonObject],
    image: str,
    deadline_seconds: int,
) -> Built:
    """The Job that backs up member ``index`` in a session."""
    member = invoker.members[index]
    name = session["metadata"]["name"]
    variables = inputs.variables(invoker, member, repository, session=name, host=host, image=image)
    resolved = tasks.resolve(task, functions, variables)
    claim = interim_claim(
        member.interim_volume_template, session, lambda own: names.interim_claim(name, index, own)
    )
    fence = _fence(session)
    pod = pod_of_task(
        member, repository, resolved, claim, account=names.BACKUP_JOB_ACCOUNT, env=[fence]
    )
    job = job_of(
        names.backup_job(name, index),
        invoker.namespace,
        _backup_labels(invoker),
        session,
        security.with_defaults(pod, image),
        deadline_seconds=deadline_seconds,
    )
    return Built(job, claim, resolved.faults)


def snapshots(
    invoker: Invoker, index: int, *, session: JsonObject, image: str, deadline_seconds: int
) -> JsonObject:
    """The Job that makes the VolumeSnapshots of member ``index`` (Stash's spec 7.4)."""
    member = invoker.members[index]
    settings = member.runtime_settings or RuntimeSettings()
    ref = member.target.ref if member.target else None
    name = session["metadata"]["name"]
    container = {
        "name": names.SIDECAR,
        "image": image,
        "args": [
            "create-vs",
            f"--backupsession={name}",
            f"--target-kind={ref.kind if ref else ''}",
            f"--target-name={ref.name if ref else ''}",
            f"--namespace={invoker.namespace}",
        ],
        "env": [*volumes.runner_environment(), _fence(session)],
    }
    own = runtime.container(container, encode(settings.container) if settings.container else {})
    pod = runtime.pod(
        _pod([own], [], names.SNAPSHOT_JOB_ACCOUNT), encode(settings.pod) if settings.pod else {}
    )
    return job_of(
        names.snapshot_job(name, index),
        invoker.namespace,
        _backup_labels(invoker),
        session,
        security.with_defaults(pod, image),
        deadline_seconds=deadline_seconds,
    )


def _backup_labels(invoker: Invoker) -> dict[str, str]:
    return {
        **labels.offshoot(invoker.metadata.labels),
        **labels.of_invoker(invoker.kind, invoker.name),
        labels.TASK: "backup",
    }


def _fence(session: JsonObject) -> JsonObject:
    return {"name": "BACKUP_SESSION_UID", "value": session["metadata"]["uid"]}


def pod_of_task(
    member: Member | RestoreMember,
    repository: Repository,
    resolved: tasks.Resolved,
    claim: JsonObject | None,
    *,
    account: str,
    env: Sequence[JsonObject],
    more: Sequence[tuple[JsonObject, JsonObject | None]] = (),
) -> JsonObject:
    """The pod of a member's Task. ``more``: volumes of its own, each with its mount, if any."""
    settings = member.runtime_settings or RuntimeSettings()
    of_container = encode(settings.container) if settings.container else {}
    local = encode(repository.spec.backend).get("local")
    shared = [volumes.mount(volumes.TMP, volumes.TMP_PATH), *volumes.local_mount(local)]
    own = [volumes.temporary(encode(member.temp_dir) if member.temp_dir else {})]
    if claim:
        shared.append(volumes.mount(volumes.INTERIM, volumes.INTERIM_PATH))
        own.append(volumes.of_claim(volumes.INTERIM, claim["metadata"]["name"]))
    shared += [mount for _, mount in more if mount]
    own += [volume for volume, _ in more]
    every = [*volumes.runner_environment(), *env]
    steps = [
        runtime.container(_with(step, every, shared), of_container) for step in resolved.containers
    ]
    all_volumes = volumes.merged(list(resolved.volumes), [*own, *volumes.local_volume(local)])
    pod = _pod(steps, all_volumes, account)
    return runtime.pod(pod, encode(settings.pod) if settings.pod else {})


def _with(step: JsonObject, env: Sequence[JsonObject], mounts: Sequence[JsonObject]) -> JsonObject:
    """The container with what every container of ours has; the Function's own mounts win."""
    own = list(step.get("volumeMounts") or ())
    joined = own + volumes.without_paths_of(list(mounts), own)
    return {**step, "env": [*step.get("env", ()), *env], "volumeMounts": joined}


def _pod(
    steps: Sequence[JsonObject],
    pod_volumes: Sequence[JsonObject],
    account: str = names.BACKUP_JOB_ACCOUNT,
) -> JsonObject:
    """All steps but the last are init containers, so they run one after another."""
    first = {"initContainers": list(steps[:-1])} if len(steps) > 1 else {}
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        **first,
        "containers": list(steps[-1:]),
        "volumes": list(pod_volumes),
    }


def interim_claim(
    template: JsonObject | None, owner: JsonObject, name: Callable[[str], str]
) -> JsonObject | None:
    """The claim for data on its way; it lives and dies with its owner."""
    if not template:
        return None
    meta = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name(meta.get("name") or "interim"),
            "namespace": owner["metadata"]["namespace"],
            "labels": {**(meta.get("labels") or {}), **labels.COMMON},
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": [labels.owner(owner)],
        },
        "spec": template.get("spec") or {},
    }


def job_of(
    name: str,
    namespace: str,
    own: Mapping[str, str],
    owner: JsonObject,
    pod: JsonObject,
    *,
    deadline_seconds: int,
    annotations: Mapping[str, str] | None = None,
) -> JsonObject:
    extra = {"annotations": dict(annotations)} if annotations else {}
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(own),
            "ownerReferences": [labels.owner(owner)],
            **extra,
        },
        "spec": {
            "backoffLimit": TRIES,
            "activeDeadlineSeconds": max(1, deadline_seconds),
            "template": {"metadata": {"labels": dict(own), **extra}, "spec": pod},
        },
    }


@attrs.frozen
class Errand:
    """What a Job of a repository is to do: its name, its kind, its args and annotations."""

    name: str
    task: str
    args: tuple[str, ...]
    annotations: Mapping[str, str] = attrs.field(factory=dict)


def init(repository: Repository, *facts: str) -> Errand:
    """Find or create the restic repository. ``facts``: whatever must lead to a new Job."""
    meta = repository.metadata
    name = names.init_job(meta.name, meta.uid, str(meta.generation), *facts)
    return Errand(name, "init", ("init-repository", *_repository_args(repository)))


def maintain(repository: Repository, session: JsonObject) -> Errand:
    """Apply retention after a session and verify the repository."""
    meta = session["metadata"]
    name = names.maintain_job(repository.metadata.name, meta["uid"])
    args = ("maintain", *_repository_args(repository), f"--backupsession={meta['name']}")
    return Errand(name, "maintain", args, {labels.SESSION: meta["name"]})


def listing(repository: Repository, token: str) -> Errand:
    """Print the snapshots. ``token``: see ``names.errand_job``."""
    return _asked_for("snapshots", repository, token)


def unlocking(repository: Repository, token: str) -> Errand:
    """Remove the locks of the dead."""
    return _asked_for("unlock", repository, token)


def _asked_for(task: str, repository: Repository, token: str) -> Errand:
    name = names.errand_job(task, repository.metadata.name, token)
    return Errand(name, task, (task, *_repository_args(repository)))


def wipe(repository: Repository, *facts: str) -> Errand:
    """Remove the restic repository. ``facts``: whatever must lead to a new Job."""
    meta = repository.metadata
    name = names.wipe_job(meta.name, meta.uid, *facts)
    return Errand(name, "wipe", ("wipe-repository", *_repository_args(repository)))


def of_repository(
    repository: Repository,
    obj: JsonObject,
    errand: Errand,
    *,
    settings: RuntimeSettings | None,
    image: str,
    deadline_seconds: int,
) -> JsonObject:
    """The Job of an errand. ``obj`` is the Repository's JSON, ``settings`` those of the invoker."""
    own = {
        **labels.COMMON,
        labels.TASK: errand.task,
        labels.REPOSITORY: names.limited(repository.metadata.name),
    }
    pod = _repository_pod(repository, errand.args, settings or RuntimeSettings(), image)
    return job_of(
        errand.name,
        repository.metadata.namespace,
        own,
        obj,
        pod,
        deadline_seconds=deadline_seconds,
        annotations=errand.annotations,
    )


def _repository_args(repository: Repository) -> list[str]:
    return [
        f"--repository={repository.metadata.name}",
        f"--namespace={repository.metadata.namespace}",
        f"--secret-dir={volumes.JOB_SECRET_PATH}",
        f"--scratch-dir={volumes.TMP_PATH}",
        "--enable-cache=false",
        f"--max-connections={repository.spec.backend.max_connections}",
    ]


def _repository_pod(
    repository: Repository, args: Sequence[str], settings: RuntimeSettings, image: str
) -> JsonObject:
    local = encode(repository.spec.backend).get("local")
    container = {
        "name": names.SIDECAR,
        "image": image,
        "args": list(args),
        "env": volumes.runner_environment(),
        "volumeMounts": [
            volumes.mount(volumes.JOB_SECRET, volumes.JOB_SECRET_PATH),
            volumes.mount(volumes.TMP, volumes.TMP_PATH),
            *volumes.local_mount(local),
        ],
    }
    pod = _pod(
        [runtime.container(container, encode(settings.container) if settings.container else {})],
        [
            volumes.job_secret(repository.spec.backend.storage_secret_name),
            volumes.temporary({}),
            *volumes.local_volume(local),
        ],
    )
    pod = runtime.pod(pod, encode(settings.pod) if settings.pod else {})
    return security.with_defaults(pod, image)


def service_account(settings: RuntimeSettings | None) -> str:
    """The service account that the user named for the Job's pod, or ""."""
    return settings.pod.service_account_name if settings and settings.pod else ""
