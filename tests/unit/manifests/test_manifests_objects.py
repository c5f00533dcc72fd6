"""The objects that Tandem makes: names, settings of users, volumes, access."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.api.decoding import decode
from reconciler.api.invoker import decode_invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import CRON_JOBS
from reconciler.manifests import (
    access,
    catalog,
    cron_job,
    injection,
    jobs,
    labels,
    names,
    runtime,
    sidecar,
)

IMAGE = "tandem/tandem:test"
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,80}[a-z0-9])?", fullmatch=True)


def batch(member=None, **spec):
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "front"}
    mounts = [{"name": "data", "mountPath": "/data", "readOnly": True, "subPath": "x"}]
    default = {"target": {"ref": ref, "paths": ["/data"], "volumeMounts": mounts}}
    return decode_invoker(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": "BackupBatch",
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": "u",
                "labels": {"team": "web", "stash.appscode.com/invoker-name": "evil"},
            },
            "spec": {
                "repository": {"name": "repo"},
                "schedule": "0 3 * * *",
                "retentionPolicy": {"name": "p", "keepLast": 1, "prune": False},
                "members": [{**default, **(member or {})}],
                **spec,
            },
        }
    )


def repository(**backend):
    backend = backend or {"s3": {"endpoint": "http://e", "bucket": "b"}}
    return decode(
        Repository,
        {
            "apiVersion": "stash.appscode.com/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": "repo", "namespace": "shop", "uid": "r", "generation": 1},
            "spec": {"backend": {"storageSecretName": "secret", **backend}},
        },
    )


LOCAL = {"local": {"hostPath": {"path": "/b"}, "mountPath": "/backups", "subPath": "shop"}}
WORKLOAD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "front", "namespace": "shop", "uid": "w", "labels": {"a": "b"}},
    "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}},
}


def applied(invoker=None, repo=None):
    invoker = invoker or batch()
    member, repo = invoker.members[0], repo or repository()
    part = sidecar.part(WORKLOAD, invoker=invoker, member=member, repository=repo, image=IMAGE)
    return injection.compose(WORKLOAD, part)


def container(obj):
    return sidecar.SLOT.of(obj)


def mounts(item):
    return {mount["mountPath"]: mount for mount in item["volumeMounts"]}


# -- names ----------------------------------------------------------------------------------------


@given(NAMES, NAMES)
@example("a" * 80, "a" * 81)
@example("a.b", "a-b")
def test_names_fit_and_two_owners_never_share_one(one, other):
    for make, limit in ((names.cron_job, 52), (names.sidecar_binding, 63)):
        assert len(make(one)) <= limit
        same = one.replace(".", "-") == other.replace(".", "-")
        assert (make(one) == make(other)) == same or one == other


@given(NAMES, st.integers(min_value=0, max_value=200))
def test_a_jobs_name_fits_into_a_label(session, index):
    name = names.backup_job(session, index)
    assert len(name) <= 63
    assert name != names.backup_job(session, index + 1)


def test_the_well_known_names_are_those_of_the_contract():
    assert names.cron_job("web") == "stash-backup-web"
    assert names.backup_job("web-1", 2) == "stash-backup-web-1-2"
    assert names.init_job("repo", "a").startswith("stash-init-repo-")
    assert names.maintain_job("repo", "a").startswith("stash-maintain-repo-")
    assert names.init_job("repo", "a") != names.init_job("repo", "b")


# -- labels ---------------------------------------------------------------------------------------


def test_a_users_label_never_passes_for_one_of_ours():
    found = labels.offshoot({"team": "web", "stash.appscode.com/delete-me": "true"})
    assert found == {"team": "web", **labels.COMMON}


def test_the_users_labels_are_not_changed():
    mine = {"team": "web"}
    labels.offshoot(mine)
    assert mine == {"team": "web"}
    assert labels.offshoot(None) == dict(labels.COMMON)


def test_the_controlling_owner_is_the_one_that_counts():
    references = [{"uid": "a"}, {"uid": "b", "controller": True}]
    obj = {"metadata": {"ownerReferences": references}}
    assert labels.controller_uid(obj) == "b"
    assert labels.is_controlled_by(obj, "b")
    assert labels.controller_uid({"metadata": {"ownerReferences": references[:1]}}) is None


# -- runtime settings -----------------------------------------------------------------------------


def test_container_settings_replace_and_variables_are_joined_by_name():
    base = {"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}
    settings = {
        "resources": {"requests": {"cpu": "1"}},
        "env": [{"name": "B", "value": "2"}],
        "envFrom": [{"secretRef": {"name": "s"}}],
        "nice": {"adjustment": 0},
        "ionice": {"class": 2, "classData": 4},
        "securityContext": {},
    }
    assert runtime.container(base, settings) == {
        "name": "c",
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "2"},
            {"name": "NICE_ADJUSTMENT", "value": "0"},
            {"name": "IONICE_CLASS", "value": "2"},
            {"name": "IONICE_CLASS_DATA", "value": "4"},
        ],
        "envFrom": [{"secretRef": {"name": "s"}}],
        "resources": {"requests": {"cpu": "1"}},
    }


def test_without_settings_a_container_stays_as_it_is():
    assert runtime.container({"name": "c"}, {}) == {"name": "c"}


def test_pod_settings_replace_where_they_say_something():
    settings = {"priority": 0, "nodeSelector": {}, "automountServiceAccountToken": False}
    found = runtime.pod({"serviceAccountName": "a"}, settings)
    assert found == {
        "serviceAccountName": "a",
        "priority": 0,
        "automountServiceAccountToken": False,
    }


# -- the sidecar ----------------------------------------------------------------------------------


def test_a_users_mount_is_taken_whole():
    assert mounts(container(applied()))["/data"] == {
        "name": "data",
        "mountPath": "/data",
        "readOnly": True,
        "subPath": "x",
    }


def test_a_local_backend_is_mounted_into_the_sidecar():
    found = applied(repo=repository(**LOCAL))
    assert mounts(container(found))["/backups"]["subPath"] == "shop"
    volume = found["spec"]["template"]["spec"]["volumes"][-1]
    assert volume == {"name": "stash-local", "hostPath": {"path": "/b"}}


def test_a_local_backend_without_a_sub_path_is_mounted_whole():
    local = {"local": {"hostPath": {"path": "/b"}, "mountPath": "/backups"}}
    assert "subPath" not in mounts(container(applied(repo=repository(**local))))["/backups"]


def test_no_path_is_mounted_twice_and_slash_tmp_can_be_backed_up():
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "front"}
    users = [
        {"name": "t", "mountPath": "/tmp"},
        {"name": "t", "mountPath": "/etc/stash"},
    ]
    found = container(applied(batch({"target": {"ref": ref, "volumeMounts": users}})))
    paths = [mount["mountPath"] for mount in found["volumeMounts"]]
    assert len(paths) == len(set(paths))
    assert mounts(found)["/tmp"]["name"] == "t"
    assert mounts(found)["/etc/stash"]["name"] == "stash-podinfo"
    assert "--scratch-dir=/stash-tmp" in found["args"]


def test_temp_dir_and_container_settings_reach_the_sidecar():
    member = {
        "tempDir": {"medium": "Memory", "sizeLimit": "1Gi", "disableCaching": True},
        "runtimeSettings": {"container": {"resources": {"requests": {"cpu": "1"}}}},
    }
    found = applied(batch(member))
    assert "--enable-cache=false" in container(found)["args"]
    assert container(found)["resources"] == {"requests": {"cpu": "1"}}
    volume = found["spec"]["template"]["spec"]["volumes"][0]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


def fingerprint(found):
    return sidecar.SLOT.fingerprint_of(found["spec"]["template"])


def test_the_fingerprint_changes_with_what_the_sidecar_depends_on_and_with_nothing_else():
    first = fingerprint(applied())
    assert fingerprint(applied(batch(schedule="1 1 * * *"))) == first
    assert fingerprint(applied(batch(paused=True))) == first
    assert fingerprint(applied(batch({"tempDir": {"disableCaching": True}}))) != first
    assert fingerprint(applied(repo=repository(**LOCAL))) != first


def test_removal_applies_nothing_but_the_identity():
    assert injection.removal(WORKLOAD) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "front", "namespace": "shop", "uid": "w"},
    }


def test_a_workload_or_pod_without_ours_says_so():
    assert sidecar.SLOT.of(WORKLOAD) is None
    assert sidecar.SLOT.of({"spec": {"containers": [{"name": "stash"}]}}) == {"name": "stash"}
    assert sidecar.SLOT.mark_of(WORKLOAD) == sidecar.SLOT.fingerprint_of(WORKLOAD) == ""


# -- the trigger ----------------------------------------------------------------------------------


def test_every_pod_setting_of_the_batch_reaches_its_trigger():
    settings = {
        "pod": {"serviceAccountName": "mine", "tolerations": [{"key": "k"}]},
        "container": {"env": [{"name": "A", "value": "1"}]},
    }
    invoker = batch(runtimeSettings=settings)
    found = cron_job.build(invoker, resource=CRON_JOBS, image=IMAGE, suspended=True)
    pod = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "mine" == cron_job.service_account(invoker)
    assert pod["tolerations"] == [{"key": "k"}]
    assert [env["name"] for env in pod["containers"][0]["env"]] == ["JOB_NAME", "A"]
    assert found["spec"]["suspend"] is True
    assert cron_job.service_account(batch()) == ""


# -- Jobs -----------------------------------------------------------------------------------------

SESSION = {
    "apiVersion": "stash.appscode.com/v1beta1",
    "kind": "BackupSession",
    "metadata": {"name": "web-1", "namespace": "shop", "uid": "s"},
}
REPOSITORY = {
    "apiVersion": "stash.appscode.com/v1alpha1",
    "kind": "Repository",
    "metadata": {"name": "repo", "namespace": "shop", "uid": "r"},
}


def backup(member=None, repo=None, task="pvc-backup", deadline=60):
    ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "uploads"}
    found = batch({"target": {"ref": ref}, "task": {"name": task}, **(member or {})})
    known = {f["metadata"]["name"]: f for f in catalog.functions(IMAGE)}
    return jobs.backup(
        found,
        0,
        repo or repository(),
        session=SESSION,
        host="host-0",
        task=next(t for t in catalog.tasks() if t["metadata"]["name"] == task),
        functions=known,
        image=IMAGE,
        deadline_seconds=deadline,
    )


def pod_of(job):
    return job["spec"]["template"]["spec"]


def test_a_backup_job_runs_its_steps_one_after_another():
    found = pod_of(backup().job)
    assert [c["name"] for c in found["initContainers"]] == ["pvc-backup-0"]
    assert [c["name"] for c in found["containers"]] == ["update-status-1"]
    assert found["restartPolicy"] == "Never"
    for step in (*found["initContainers"], *found["containers"]):
        assert mounts(step)["/tmp"]["name"] == "tmp-dir"
        env = {item["name"] for item in step["env"]}
        assert {"POD_NAME", "POD_UID", "BACKUP_SESSION_UID"} <= env


@pytest.mark.parametrize("task", ["mysql-backup", "mariadb-backup", "postgres-backup"])
def test_a_database_job_finds_its_app_binding(task):
    built = backup(task=task)
    assert not built.faults
    (step,) = pod_of(built.job)["initContainers"]
    assert "--appbinding=uploads" in step["args"]


def test_a_jobs_deadline_is_never_zero():
    assert backup(deadline=-5).job["spec"]["activeDeadlineSeconds"] == 1


def test_a_local_backend_is_mounted_into_every_step():
    found = pod_of(backup(repo=repository(**LOCAL)).job)
    for step in (*found["initContainers"], *found["containers"]):
        assert mounts(step)["/backups"]["name"] == "stash-local"
    assert [v["name"] for v in found["volumes"]][-1] == "stash-local"


def test_interim_data_gets_a_claim_of_its_own_for_each_member():
    template = {
        "metadata": {"name": "interim", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }
    built = backup({"interimVolumeTemplate": template, "tempDir": {"medium": "Memory"}})
    meta = built.claim["metadata"]
    assert meta["name"] == "web-1-0-interim"
    assert meta["ownerReferences"][0]["uid"] == "s"
    assert meta["labels"]["a"] == "b"
    found = pod_of(built.job)
    sources = {v["name"]: v for v in found["volumes"]}
    assert sources["stash-interim-volume"]["persistentVolumeClaim"]["claimName"] == meta["name"]
    assert sources["tmp-dir"]["emptyDir"] == {"medium": "Memory"}
    for step in (*found["initContainers"], *found["containers"]):
        assert "/stash-interim-volume" in mounts(step)


def test_a_members_own_settings_reach_its_job():
    settings = {
        "pod": {"serviceAccountName": "mine"},
        "container": {"resources": {"requests": {"cpu": "1"}}},
    }
    found = pod_of(backup({"runtimeSettings": settings}).job)
    assert found["serviceAccountName"] == "mine"
    assert found["containers"][0]["resources"] == {"requests": {"cpu": "1"}}


def repository_job(errand, settings=None, repo=None):
    return jobs.of_repository(
        repo or repository(),
        REPOSITORY,
        errand,
        settings=settings,
        image=IMAGE,
        deadline_seconds=60,
    )


def test_a_repository_job_says_what_it_is_for():
    found = repository_job(jobs.init(repository(), "secret-1"))
    assert pod_of(found)["containers"][0]["args"][0] == "init-repository"
    assert found["metadata"]["labels"][labels.TASK] == "init"
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Repository"
    found = repository_job(jobs.maintain(repository(), SESSION), repo=repository(**LOCAL))
    (only,) = pod_of(found)["containers"]
    assert only["args"][0] == "maintain"
    assert only["args"][-1] == "--backupsession=web-1"
    assert found["metadata"]["annotations"] == {labels.SESSION: "web-1"}
    assert mounts(only)["/backups"]["name"] == "stash-local"


@pytest.mark.parametrize(
    ("make", "task"), [(jobs.listing, "snapshots"), (jobs.unlocking, "unlock")]
)
def test_a_job_that_somebody_asks_for_is_another_one_each_time(make, task):
    first, second = make(repository(), "now"), make(repository(), "later")
    assert first.name != second.name
    assert first.name.startswith(f"tandem-{task}-repo-")
    found = repository_job(first, repo=repository(**LOCAL))
    (only,) = pod_of(found)["containers"]
    assert only["args"][:2] == [task, "--repository=repo"]
    assert found["metadata"]["labels"][labels.TASK] == task
    assert mounts(only)["/backups"]["name"] == "stash-local"


def test_a_changed_secret_gives_another_init_job():
    first, second = jobs.init(repository(), "1"), jobs.init(repository(), "2")
    assert first.name != second.name


def test_a_batchs_settings_reach_the_repositorys_jobs():
    settings = batch(
        runtimeSettings={
            "pod": {"serviceAccountName": "mine"},
            "container": {"env": [{"name": "A", "value": "1"}]},
        }
    ).runtime_settings
    found = pod_of(repository_job(jobs.init(repository()), settings))
    assert found["serviceAccountName"] == "mine" == jobs.service_account(settings)
    assert {"name": "A", "value": "1"} in found["containers"][0]["env"]


# -- access ---------------------------------------------------------------------------------------


def test_every_rule_of_a_cluster_role_has_a_reason():
    for role in access.CLUSTER_ROLES:
        told = access.reasons(role["metadata"]["name"])
        assert len(told) == len(role["rules"])
        assert all(what and why for what, why in told)


def test_no_role_of_ours_may_do_everything():
    for role in access.CLUSTER_ROLES:
        for rule in role["rules"]:
            assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])


def test_no_role_of_the_data_side_may_change_specs_and_that_of_hooks_alone_runs_commands():
    *data_side, operators = access.CLUSTER_ROLES
    assert operators["metadata"]["name"] == "tandem-operator"
    for role in data_side:
        for rule in role["rules"]:
            writes = {"update", "patch", "delete"} & set(rule["verbs"])
            free = ("events", "volumesnapshots")  # a snapshot of ours goes by the policy
            allowed = all("/status" in item or item in free for item in rule["resources"])
            assert allowed or not writes
            runs_commands = "pods/exec" in rule["resources"]
            assert runs_commands is (rule["resources"] == ["pods/exec"])
            assert not runs_commands or role["metadata"]["name"] == "stash-hooks"


def test_only_jobs_of_databases_read_secrets_because_databases_have_logins():
    readers = [
        role["metadata"]["name"]
        for role in access.CLUSTER_ROLES
        if any("secrets" in rule["resources"] for rule in role["rules"])
    ]
    assert readers == ["stash-backup-job", "stash-restore-job", "tandem-operator"]


def test_the_operator_binds_the_roles_of_the_data_side_and_no_others():
    *data_side, operators = access.CLUSTER_ROLES
    (binds,) = [rule for rule in operators["rules"] if "bind" in rule["verbs"]]
    assert binds["resourceNames"] == [role["metadata"]["name"] for role in data_side]
    assert binds["resources"] == ["clusterroles"]


def test_a_service_account_for_restores_is_bound_to_their_role():
    (only,) = access.restore_job_access("shop", "mine")
    assert only["metadata"]["name"] == "stash-restore-job-mine"
    assert only["roleRef"]["name"] == "stash-restore-job"


def test_a_service_account_of_the_user_is_bound_and_not_created():
    (only,) = access.job_access("shop", "mine")
    assert only["kind"] == "RoleBinding"
    assert only["metadata"]["name"] == "stash-backup-job-mine"
    assert only["roleRef"]["name"] == "stash-backup-job"
    account, binding = access.cron_job_access("shop")
    assert account["metadata"]["name"] == "stash-cron-job"
    assert binding["metadata"]["name"] == "stash-cron-job"
    assert access.cron_job_access("shop", "mine")[0]["metadata"]["name"] == "stash-cron-job-mine"
    assert access.job_access("shop", "stash-backup-job")[0]["metadata"]["name"] == (
        "stash-backup-job"
    )
    assert access.cron_job_access("shop", "stash-cron-job")[0]["kind"] == "RoleBinding"


def test_everything_built_in_resolves():
    known = {f["metadata"]["name"] for f in catalog.functions(IMAGE)}
    for task in catalog.tasks():
        assert {step["name"] for step in task["spec"]["steps"]} <= known
