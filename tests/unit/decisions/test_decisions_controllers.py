"""What wakes which decision: every object that a decision reads wakes it when it changes."""

from __future__ import annotations

import pytest

from reconciler.api import resources as r
from reconciler.api.resources import Key
from reconciler.decisions import catalog
from reconciler.decisions.controllers import CONTROLLERS
from reconciler.manifests import labels

BY_NAME = {controller.name: controller for controller in CONTROLLERS}


def woken(view, controller, obj):
    return {
        (controller, str(key))
        for watched in BY_NAME[controller].watches
        if watched.resource.kind == obj["kind"]
        for key in watched.keys(obj, view)
    }


@pytest.fixture
def world(ready, make):
    ready.add(
        make.batch(make.member(), make.member("PersistentVolumeClaim", "uploads")),
        make.configuration("other", **make.member("Deployment", "back")),
        make.session("web-1"),
        make.session("done", status={"phase": "Failed"}),
    )
    return ready


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("Deployment", "front", {"backupbatches shop/web", "backupsessions shop/web-1"}),
        (
            "PersistentVolumeClaim",
            "uploads",
            {"backupbatches shop/web", "backupsessions shop/web-1"},
        ),
        (
            "Repository",
            "repo",
            {
                "backupbatches shop/web",
                "backupconfigurations shop/other",
                "backupsessions shop/web-1",
            },
        ),
        (
            "Secret",
            "backend",
            {
                "backupbatches shop/web",
                "backupconfigurations shop/other",
                "repositories shop/repo",
            },
        ),
        (
            "BackupSession",
            "web-1",
            {"backupbatches shop/web", "backupsessions shop/web-1", "repositories shop/repo"},
        ),
        (
            "BackupBatch",
            "web",
            {
                "backupbatches shop/web",
                "backupsessions shop/web-1",
                "repositories shop/repo",
                "deployments shop/front",
            },
        ),
        (
            "BackupConfiguration",
            "other",
            {
                "backupconfigurations shop/other",
                "repositories shop/repo",
                "deployments shop/back",
            },
        ),
        ("Task", "pvc-backup", {"backupbatches shop/web", "backupsessions shop/web-1"}),
        ("Function", "pvc-backup", {"backupbatches shop/web", "backupsessions shop/web-1"}),
    ],
)
def test_a_change_wakes_whatever_depends_on_the_object(world, kind, name, expected):
    obj = world.at(kind, name)
    found = {f"{c} {key}" for c in BY_NAME for c, key in woken(world, c, obj)}
    assert found == expected


@pytest.fixture
def restoring(world, make):
    finished = make.restore_batch(name="old")
    finished["status"] = {"phase": "Succeeded"}
    world.add(make.restore_batch(), finished)
    return world


@pytest.mark.parametrize(
    ("kind", "name", "woken_restores"),
    [
        ("Deployment", "front", {"restorebatches shop/back"}),
        ("Repository", "repo", {"restorebatches shop/back"}),
        ("Secret", "backend", {"restorebatches shop/back"}),
        ("BackupSession", "web-1", {"restorebatches shop/back"}),
        ("Task", "pvc-restore", {"restorebatches shop/back"}),
        ("BackupBatch", "web", set()),
    ],
)
def test_a_change_wakes_the_restores_that_are_not_finished(restoring, kind, name, woken_restores):
    obj = restoring.at(kind, name)
    found = {f"{c} {key}" for c in BY_NAME for c, key in woken(restoring, c, obj)}
    assert {each for each in found if each.startswith("restore")} == woken_restores


def test_a_restore_wakes_its_workload_its_repository_and_the_sessions_that_wait(restoring):
    found = {
        f"{c} {key}"
        for c in BY_NAME
        for c, key in woken(restoring, c, restoring.at("RestoreBatch", "back"))
    }
    assert found == {
        "backupsessions shop/web-1",
        "repositories shop/repo",
        "restorebatches shop/back",
        "deployments shop/front",
    }


def test_a_restore_wakes_the_repositories_that_list_it_or_whose_batch_waits_for_it(restoring, make):
    for name in ("listing", "of-the-batch", "of-nobody"):
        other = make.repository(activeRestores=["RestoreBatch/back"] if name == "listing" else [])
        other["metadata"]["name"] = name
        restoring.add(other)
    restoring.set_spec("BackupBatch", "web", repository={"name": "of-the-batch"})
    keys = woken(restoring, "repositories", restoring.at("RestoreBatch", "back"))
    assert {key for _, key in keys} == {"shop/repo", "shop/listing", "shop/of-the-batch"}


def test_a_workload_wakes_the_restore_whose_init_container_it_carries(restoring):
    mark = {labels.RESTORE_INVOKER: "RestoreBatch/old"}
    restoring.set_meta("Deployment", "front", annotations=mark)
    keys = woken(restoring, "restorebatches", restoring.at("Deployment", "front"))
    assert ("restorebatches", "shop/old") in keys


def test_a_restore_that_is_gone_wakes_the_workloads_that_it_has_marked(restoring, make):
    obj = restoring.at("RestoreBatch", "back")
    restoring.add(make.workload(name="marked"))
    restoring.set_meta(
        "Deployment", "marked", annotations={labels.RESTORE_INVOKER: "RestoreBatch/back"}
    )
    assert ("deployments", "shop/marked") not in woken(restoring, "deployments", obj)
    restoring.remove("RestoreBatch", "back")
    assert ("deployments", "shop/marked") in woken(restoring, "deployments", obj)


@pytest.mark.parametrize(
    ("task", "restore", "wakes"),
    [("restore", "", True), ("", "RestoreBatch/back", True), ("backup", "", False)],
)
def test_only_pods_that_restore_wake_restores(restoring, make, task, restore, wakes):
    pod = make.pod("p", owner=restoring.at("Deployment", "front"), restore=restore)
    pod["metadata"]["labels"] = {labels.TASK: task}
    pod["metadata"]["namespace"] = "shop"
    assert bool(woken(restoring, "restorebatches", pod)) is wakes


def test_every_resource_that_a_decision_reads_is_watched(restoring, make):
    world = restoring

    class Recording:
        def __init__(self, view):
            self.view, self.read = view, set()

        def get(self, resource, *args):
            self.read.add(resource)
            return self.view.get(resource, *args)

        def list(self, resource, *args, **more):
            self.read.add(resource)
            return self.view.list(resource, *args, **more)

        def serves(self, resource):
            return self.view.serves(resource)

    for controller in CONTROLLERS:
        recording = Recording(world)
        for (kind, namespace, name), _ in list(world.objects.items()):
            if kind == controller.primary.kind:
                controller.decide(Key(namespace, name), recording, make.now, make.settings)
        assert recording.read <= set(controller.resources), controller.name


def test_a_workload_wakes_the_batch_whose_sidecar_it_still_carries(world):
    world.set_meta("Deployment", "front", annotations={labels.SIDECAR_INVOKER: "BackupBatch/gone"})
    keys = woken(world, "backupbatches", world.at("Deployment", "front"))
    assert ("backupbatches", "shop/gone") in keys


def test_a_batch_that_is_going_or_gone_wakes_the_workloads_it_has_marked(world, make):
    obj = {**world.at("BackupBatch", "web")}
    obj["spec"] = {**obj["spec"], "members": []}
    mark = {labels.SIDECAR_INVOKER: "BackupBatch/web"}
    world.set_meta("Deployment", "front", annotations=mark)
    assert woken(world, "deployments", obj) == set()
    world.remove("BackupBatch", "web")
    assert woken(world, "deployments", obj) == {("deployments", "shop/front")}


def test_the_last_session_of_a_batch_that_is_going_wakes_its_workloads(world, make):
    mark = {labels.SIDECAR_INVOKER: "BackupBatch/web"}
    world.set_meta("Deployment", "front", annotations=mark)
    session = world.at("BackupSession", "web-1")
    assert woken(world, "deployments", session) == set()
    world.set_meta("BackupBatch", "web", deletionTimestamp=make.stamp(make.now))
    world.add(make.workload("Deployment", "unmarked"))
    assert woken(world, "deployments", session) == {("deployments", "shop/front")}


def test_only_pods_that_run_something_of_ours_wake_sessions(world, make):
    owner = world.at("Deployment", "front")
    plain = make.pod("p", owner=owner)
    plain["metadata"]["namespace"] = "shop"
    assert woken(world, "backupsessions", plain) == set()
    ours = make.pod("p", owner=owner, mark="m")
    ours["metadata"]["namespace"] = "shop"
    assert woken(world, "backupsessions", ours) == {("backupsessions", "shop/web-1")}
    plain["metadata"]["labels"] = {labels.TASK: "backup"}
    assert woken(world, "backupsessions", plain) == {("backupsessions", "shop/web-1")}


def test_a_maintenance_job_wakes_its_session_and_its_repository(world):
    repo = world.at("Repository", "repo")
    job = {
        "kind": "Job",
        "metadata": {
            "name": "m",
            "namespace": "shop",
            "annotations": {labels.SESSION: "done"},
            "ownerReferences": [labels.owner(repo)],
        },
    }
    assert woken(world, "backupsessions", job) == {("backupsessions", "shop/done")}
    assert woken(world, "repositories", job) == {("repositories", "shop/repo")}


def test_what_concerns_nobody_wakes_nobody(world, make):
    world.add(make.workload("Deployment", "lonely"))
    assert woken(world, "backupbatches", world.at("Deployment", "lonely")) == set()
    job = {"kind": "Job", "metadata": {"name": "x", "namespace": "shop"}}
    assert woken(world, "backupsessions", job) == set()
    other = make.session("x-1", batch="x")
    other["metadata"]["namespace"] = "shop"
    assert woken(world, "backupsessions", other) == set()
    repo = make.repository()
    repo["metadata"].update(name="unused", namespace="shop")
    assert woken(world, "backupbatches", repo) == set()


def test_a_pod_of_maintenance_wakes_its_repository(world):
    own = {labels.TASK: "maintain", labels.REPOSITORY: "repo"}
    pod = {"kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "labels": own}}
    pod["spec"] = {}
    assert woken(world, "repositories", pod) == {("repositories", "shop/repo")}
    own[labels.REPOSITORY] = "other"
    assert woken(world, "repositories", pod) == set()
    del own[labels.TASK]
    assert woken(world, "repositories", pod) == set()


def test_a_session_whose_batch_is_gone_still_wakes_the_repository_that_lists_it(world):
    world.remove("BackupBatch", "web")
    session = world.at("BackupSession", "web-1")
    assert woken(world, "repositories", session) == set()
    world.set_status("Repository", "repo", activeSessions=["web-1"])
    assert woken(world, "repositories", session) == {("repositories", "shop/repo")}


def test_a_batch_without_a_repository_wakes_none(world):
    world.set_spec("BackupBatch", "web", repository={})
    assert woken(world, "repositories", world.at("BackupBatch", "web")) == set()


def test_a_secret_that_nobody_uses_wakes_nobody(world, make):
    stranger = make.secret()
    stranger["metadata"] = {"name": "stranger", "namespace": "shop"}
    assert woken(world, "backupbatches", stranger) == set()


def test_an_access_rule_wakes_batches_only_when_it_is_gone(world, make):
    for kind in ("ServiceAccount", "RoleBinding"):
        obj = {"kind": kind, "apiVersion": "v1", "metadata": {"name": "stash-cron-job"}}
        if kind == "RoleBinding":
            obj["roleRef"] = {}
        world.add(obj)
        present = world.at(kind, "stash-cron-job")
        assert woken(world, "backupbatches", present) == set()
        world.remove(kind, "stash-cron-job")
        assert woken(world, "backupbatches", present) == {("backupbatches", "shop/web")}
    foreign = {"kind": "ServiceAccount", "metadata": {"name": "mine", "namespace": "shop"}}
    assert woken(world, "backupbatches", foreign) == set()


def test_batches_without_tasks_are_not_woken_by_tasks(world):
    assert ("backupconfigurations", "shop/other") not in woken(
        world, "backupconfigurations", world.at("Task", "pvc-backup")
    )


def test_what_is_built_in_is_applied_as_functions_before_tasks(make):
    kinds = [write.obj["kind"] for write in catalog.plan(make.settings).writes]
    functions = kinds.count("Function")
    assert kinds == ["Function"] * functions + ["Task"] * (functions - 1)


def test_each_controller_has_a_name_of_its_own():
    assert len(BY_NAME) == len(CONTROLLERS) == 2 + 1 + 1 + 2 + len(r.WORKLOADS)
