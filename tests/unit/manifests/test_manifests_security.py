"""Every pod of Tandem's fulfils the Pod Security Standard *restricted*, or what its user says."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import manifests
from reconciler.api.decoding import decode
from reconciler.api.invoker import decode_invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import CRON_JOBS
from reconciler.api.restore_invoker import decode_restore
from reconciler.api.runtime import RuntimeSettings
from reconciler.manifests import (
    catalog,
    cron_job,
    hook_jobs,
    init_container,
    injection,
    installation,
    jobs,
    restore_jobs,
    security,
    sidecar,
    webhook,
)

IMAGE = "registry.example/tandem:1"
OTHER = "registry.example/addon:1"
# what the standard lets a container add under baseline
BASELINE = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def violations(pod):
    """What kubernetes.io/docs/concepts/security/pod-security-standards forbids under restricted."""
    whole = pod.get("securityContext") or {}
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    for volume in pod.get("volumes") or ():
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    for each in (*(pod.get("initContainers") or ()), *pod["containers"]):
        for problem in violations_of_container(each, whole):
            yield f"{each['name']}: {problem}"


def violations_of_container(container, whole):
    own = container.get("securityContext") or {}
    context = {**whole, **own}
    capabilities = own.get("capabilities") or {}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "capabilities.drop"
    if not set(capabilities.get("add") or ()) <= {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if context.get("runAsUser") == 0:
        yield "runAsUser"
    if (context.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    if any("hostPort" in port for port in container.get("ports") or ()):
        yield "hostPort"


def invoker(*, settings=None, task="pvc-backup"):
    member = {
        "target": {"ref": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "data"}},
        "task": {"name": task},
    }
    own = {"runtimeSettings": settings} if settings else {}
    return decode_invoker(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": "BackupBatch",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
            "spec": {
                "repository": {"name": "repo"},
                "schedule": "0 3 * * *",
                "retentionPolicy": {"name": "p", "keepLast": 1, "prune": False},
                "members": [{**member, **own}],
                **own,
            },
        }
    )


def repository():
    return decode(
        Repository,
        {
            "apiVersion": "stash.appscode.com/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": "repo", "namespace": "shop", "uid": "r", "generation": 1},
            "spec": {
                "backend": {
                    "storageSecretName": "secret",
                    "local": {"persistentVolumeClaim": {"claimName": "r"}, "mountPath": "/safe"},
                }
            },
        },
    )


def workload(**pod):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "w"},
        "spec": {"template": {"spec": {"containers": [{"name": "app"}], **pod}}},
    }


SESSION = {
    "apiVersion": "stash.appscode.com/v1beta1",
    "kind": "BackupSession",
    "metadata": {"name": "web-1", "namespace": "shop", "uid": "s"},
}


def trigger(settings=None):
    made = cron_job.build(
        invoker(settings=settings), resource=CRON_JOBS, image=IMAGE, suspended=False
    )
    return made["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def beside(settings=None, **pod):
    invoking = invoker(settings=settings)
    of = workload(**pod)
    part = sidecar.part(
        of,
        invoker=invoking,
        member=invoking.members[0],
        repository=repository(),
        image=IMAGE,
    )
    made = injection.compose(of, part)
    return made["spec"]["template"]["spec"]


def of_repository(settings=None):
    made = jobs.of_repository(
        repository(),
        {"apiVersion": "v1", "kind": "Repository", "metadata": {"name": "repo", "uid": "r"}},
        jobs.init(repository()),
        settings=decode(RuntimeSettings, settings) if settings else None,
        image=IMAGE,
        deadline_seconds=60,
    )
    return made["spec"]["template"]["spec"]


def backup(settings=None, task="pvc-backup", functions=None):
    tasks = {each["metadata"]["name"]: each for each in catalog.tasks()}
    built_in = {each["metadata"]["name"]: each for each in catalog.functions(IMAGE)}
    made = jobs.backup(
        invoker(settings=settings, task=task),
        0,
        repository(),
        session=SESSION,
        host="host-0",
        task=tasks[task],
        functions={**built_in, **(functions or {})},
        image=IMAGE,
        deadline_seconds=60,
    )
    return made.job["spec"]["template"]["spec"]


def snapshot(settings=None):
    made = jobs.snapshots(
        invoker(settings=settings), 0, session=SESSION, image=IMAGE, deadline_seconds=60
    )
    return made["spec"]["template"]["spec"]


def hook(settings=None):
    own = decode(RuntimeSettings, settings) if settings else None
    owner = hook_jobs.Owner(SESSION, "BackupBatch", "web", own)
    made = hook_jobs.of_whole(owner, "pre", "preBackup", image=IMAGE, seconds=60)
    return made["spec"]["template"]["spec"]


def restoring(ref, settings=None):
    own = {"runtimeSettings": settings} if settings else {}
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "RestoreSession",
        "metadata": {"name": "back", "namespace": "shop", "uid": "x"},
        "spec": {
            "repository": {"name": "repo"},
            "target": {"ref": ref, "rules": [{"paths": ["/data"]}]},
            **own,
        },
    }


CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "data"}
DATABASE = {"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding", "name": "db"}


def restore_job(task="pvc-restore", ref=None, settings=None):
    obj = restoring(ref or CLAIM, settings)
    made = restore_jobs.restore(
        decode_restore(obj),
        0,
        repository(),
        obj=obj,
        host="host-0",
        ordinal=None,
        task=next(each for each in catalog.tasks() if each["metadata"]["name"] == task),
        functions={each["metadata"]["name"]: each for each in catalog.functions(IMAGE)},
        image=IMAGE,
        deadline_seconds=60,
    )
    return made.job["spec"]["template"]["spec"]


def before(settings=None, **pod):
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    made = init_container.part(
        workload(**pod),
        restore=decode_restore(restoring(ref, settings)),
        index=0,
        repository=repository(),
        image=IMAGE,
    )
    return {**made.pod, "containers": made.pod["initContainers"]}


def context(pod):
    return pod["containers"][0]["securityContext"]


EVERY_BUILDER = pytest.mark.parametrize(
    "build", [trigger, beside, of_repository, backup, snapshot, hook]
)


def container_settings(**given):
    return {"container": {"securityContext": given}}


@EVERY_BUILDER
def test_where_the_user_says_nothing_a_pod_fulfils_the_restricted_profile(build):
    assert list(violations(build())) == []


TASKS = [each["metadata"]["name"] for each in catalog.tasks()]


@pytest.mark.parametrize("task", [name for name in TASKS if name.endswith("-backup")])
def test_so_does_the_job_of_each_task_that_takes_a_backup(task):
    assert list(violations(backup(task=task))) == []


DATABASES = [name for name in TASKS if name.endswith("-restore") and name != "pvc-restore"]


@pytest.mark.parametrize("task", DATABASES)
def test_so_does_the_restore_of_a_database_which_is_written_to_through_its_client(task):
    assert list(violations(restore_job(task, DATABASE))) == []


@pytest.mark.parametrize("build", [restore_job, before])
def test_a_restore_of_files_runs_as_root_within_the_baseline_profile(build):
    found = build()
    for each in (*found["initContainers"], *found["containers"]):
        own = each["securityContext"]
        assert own["runAsUser"] == 0
        assert set(own["capabilities"]["add"]) <= BASELINE
    assert {problem.partition(": ")[2] for problem in violations(found)} == {
        "runAsNonRoot",
        "runAsUser",
        "capabilities.add",
    }


@pytest.mark.parametrize("build", [restore_job, before])
def test_a_restore_of_files_fulfils_the_restricted_profile_for_a_user_who_is_named(build):
    own = container_settings(runAsUser=1000)
    assert list(violations(build(settings=own))) == []


def test_an_init_container_keeps_no_pod_out_of_a_namespace_that_lets_the_application_in():
    assert list(violations(before(securityContext={"runAsNonRoot": True}))) == []
    assert list(violations(before(containers=[app(runAsNonRoot=True)]))) == []


def test_so_do_the_operator_and_its_webhook():
    (webhooks,) = [each for each in webhook.objects() if each["kind"] == "Deployment"]
    for each in (installation.deployment(), webhooks):
        assert list(violations(each["spec"]["template"]["spec"])) == []


def test_every_module_that_makes_a_pod_gives_it_its_security_contexts():
    (folder,) = manifests.__path__
    makers = {
        path.stem for path in Path(folder).glob("*.py") if '"containers": [' in path.read_text()
    }
    # these two make parts of pods, or a pod that has its contexts written out
    for name in makers - {"security", "installation"}:
        assert "security.with_defaults(" in Path(folder, f"{name}.py").read_text(), name


@EVERY_BUILDER
def test_what_the_user_says_of_a_container_wins_field_by_field(build):
    found = context(build(container_settings(readOnlyRootFilesystem=False, runAsUser=1000)))
    assert found == {**security.RESTRICTED, "readOnlyRootFilesystem": False, "runAsUser": 1000}


@EVERY_BUILDER
def test_a_user_who_asks_for_root_gets_what_reading_all_files_needs_and_no_contradiction(build):
    found = context(build(container_settings(runAsUser=0)))
    assert "runAsNonRoot" not in found
    assert found["capabilities"] == {"drop": ["ALL"], "add": list(security.FILES_OF_OTHERS)}
    assert found["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("build", [trigger, of_repository, backup])
def test_root_for_the_whole_pod_means_root_for_our_container(build):
    found = build({"pod": {"securityContext": {"runAsUser": 0}}})
    assert "runAsNonRoot" not in context(found)


def test_a_sidecar_runs_as_the_user_of_its_pod_and_so_reads_the_files_of_the_application():
    assert "runAsUser" not in context(beside())
    assert context(beside(securityContext={"runAsUser": 999})) == security.RESTRICTED
    assert "runAsNonRoot" not in context(beside(securityContext={"runAsUser": 0}))


def app(**given):
    return {"name": "app", "securityContext": given}


def test_it_does_so_too_where_each_container_of_the_pod_says_the_user_for_itself():
    found = context(beside(containers=[app(runAsUser=999, runAsGroup=7), app(runAsUser=999)]))
    assert found == {**security.RESTRICTED, "runAsUser": 999}
    found = context(beside(containers=[app(runAsUser=0)]))
    assert found["runAsUser"] == 0
    assert "runAsNonRoot" not in found


def test_containers_that_disagree_or_say_nothing_are_followed_by_nobody():
    assert context(beside(containers=[app(runAsUser=1), app(runAsUser=2)])) == security.RESTRICTED
    assert context(beside(containers=[app(runAsUser=1), app()])) == security.RESTRICTED
    assert context(beside(containers=None)) == security.RESTRICTED


def test_a_user_named_for_the_sidecar_wins_over_that_of_the_containers():
    found = context(beside(container_settings(runAsUser=7), containers=[app(runAsUser=0)]))
    assert found == {**security.RESTRICTED, "runAsUser": 7}


def test_our_own_container_is_not_asked_who_it_is():
    old = {"name": "stash", "securityContext": {"runAsUser": 5}}
    found = context(beside(containers=[app(runAsUser=9), old]))
    assert found["runAsUser"] == 9


def test_an_init_container_beside_containers_without_root_has_none_either():
    around = security.Surroundings(beside=(app(runAsNonRoot=True),))
    found = security.with_defaults(FILES, IMAGE, around=around, as_root=True)
    assert context(found) == security.RESTRICTED


def test_a_users_own_user_wins_over_root_of_the_pod():
    found = context(beside(container_settings(runAsUser=7), securityContext={"runAsUser": 0}))
    assert found["runAsNonRoot"] is True
    assert found["capabilities"] == {"drop": ["ALL"]}


def test_a_seccomp_profile_of_the_whole_pod_is_left_in_force():
    profile = {"type": "Localhost", "localhostProfile": "own.json"}
    found = beside(securityContext={"seccompProfile": profile})
    assert "seccompProfile" not in context(found)


@pytest.mark.parametrize(
    "given", [{"privileged": True}, {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}]
)
def test_what_the_api_server_refuses_together_is_never_put_together(given):
    assert "allowPrivilegeEscalation" not in context(beside(container_settings(**given)))


def test_a_function_of_another_image_is_left_as_its_author_wrote_it():
    own = {"metadata": {"name": "pvc-backup"}, "spec": {"image": OTHER, "args": ["go"]}}
    first = backup(functions={"pvc-backup": own})["initContainers"][0]
    assert first["image"] == OTHER
    assert "securityContext" not in first


FILES = {"containers": [{"name": "stash", "image": IMAGE}]}


def test_what_writes_files_of_others_runs_as_root_unless_told_otherwise():
    found = context(security.with_defaults(FILES, IMAGE, as_root=True))
    assert (found["runAsUser"], found["runAsGroup"]) == (0, 0)
    assert "runAsNonRoot" not in found
    assert found["capabilities"]["add"] == list(security.FILES_OF_OTHERS)


@pytest.mark.parametrize("whole", [{"runAsNonRoot": True}, {"runAsUser": 999}])
def test_who_says_who_it_runs_as_gets_that_and_no_root(whole):
    pod = {**FILES, "securityContext": whole}
    assert context(security.with_defaults(pod, IMAGE, as_root=True)) == security.RESTRICTED


def test_the_given_pod_is_not_changed():
    security.with_defaults(FILES, IMAGE)
    assert FILES == {"containers": [{"name": "stash", "image": IMAGE}]}
