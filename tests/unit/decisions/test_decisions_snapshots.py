"""The driver VolumeSnapshotter: claims are the hosts, a Job a target, no sidecar, no Repository."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api import resources as r
from reconciler.api.resources import BACKUP_BATCHES, Key
from reconciler.decisions import (
    invoker,
    restore,
    restores,
    session,
    sidecars,
    snapshot_work,
    targets,
    world,
)
from reconciler.decisions.plan import Create
from reconciler.manifests import names

KEY = Key("shop", "web")
HOUR = dt.timedelta(hours=1)
DRIVER = {"driver": "VolumeSnapshotter", "repository": {}}


def set_up(view, make, now=None):
    for _ in range(6):
        plan = invoker.decide_for(BACKUP_BATCHES)(KEY, view, now or make.now, make.settings)
        if view.carry_out(plan) == 0:
            return
    raise AssertionError("no rest")


def look(view, make, after=dt.timedelta(0)):
    plan = session.decide(Key("shop", "web-1"), view, make.now + after, make.settings)
    view.carry_out(plan)
    return plan


def target(view):
    return view.at("BackupSession", "web-1")["status"]["targets"][0]


def claiming(workload, *claims, templates=()):
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    workload["spec"]["template"]["spec"]["volumes"] += volumes
    if templates:
        found = [{"metadata": {"name": name}} for name in templates]
        workload["spec"]["volumeClaimTemplates"] = found
    return workload


def member(make, kind, name="front", **target):
    found = make.member(kind, name)
    return {"target": {"ref": found["target"]["ref"], **target}}


@pytest.fixture
def snapped(view, make):
    """A cluster with nothing but a Deployment of two claims and a batch that snapshots them."""
    view.add(claiming(make.workload(), "data", "logs", "data"))
    view.add(make.batch(member(make, "Deployment"), **DRIVER))
    view.set_spec("BackupBatch", "web", repository={})
    return view


def test_such_a_batch_needs_no_repository_and_puts_no_sidecar_in(snapped, make):
    before = snapped.at("Deployment", "front")
    set_up(snapped, make)
    status = snapped.at("BackupBatch", "web")["status"]
    assert status["phase"] == "Scheduled"
    assert [c["type"] for c in status["conditions"]] == ["Valid", "CronJobCreated"]
    (entry,) = status["memberConditions"]
    assert [c["type"] for c in entry["conditions"]] == ["BackupTargetFound"]
    assert snapped.at("CronJob", "stash-backup-web")
    assert snapped.at("Deployment", "front") == before


def test_a_batch_that_changes_to_snapshots_takes_its_sidecars_out(ready, make):
    ready.add(make.batch())
    set_up(ready, make)
    decide = sidecars.decide_for(r.DEPLOYMENTS)
    later = make.now + dt.timedelta(minutes=1)
    assert not decide(Key("shop", "front"), ready, later, make.settings).events
    ready.set_spec("BackupBatch", "web", driver="VolumeSnapshotter")
    plan = decide(Key("shop", "front"), ready, later, make.settings)
    assert [event.reason for event in plan.events] == ["Sidecar Deletion Succeeded"]


def test_one_job_makes_the_snapshots_of_all_claims_of_a_target(snapped, make):
    snapped.add(make.session())
    plan = look(snapped, make)
    assert [host["hostname"] for host in target(snapped)["hosts"]] == ["data", "logs"]
    (job,) = [w.obj for w in plan.writes if isinstance(w, Create) and w.resource == r.JOBS]
    assert job["metadata"]["name"] == "stash-vs-web-1-0"
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "stash-vs-job"
    (container,) = pod["containers"]
    assert container["args"] == [
        "create-vs",
        "--backupsession=web-1",
        "--target-kind=Deployment",
        "--target-name=front",
        "--namespace=shop",
    ]
    assert snapped.at("RoleBinding", "stash-vs-job")["roleRef"]["name"] == "stash-vs-job"
    look(snapped, make)
    assert not look(snapped, make).writes


def test_a_claim_whose_runner_has_died_has_failed(snapped, make):
    snapped.add(make.session())
    look(snapped, make)
    found = snapped.at("BackupSession", "web-1")["status"]["targets"]
    claimed = {"runner": "gone", "runnerUID": "x", "startTime": make.stamp(make.now)}
    found[0]["hosts"] = [{**host, **claimed} for host in found[0]["hosts"]]
    snapped.set_status("BackupSession", "web-1", targets=found)
    for kind, _, name in list(snapped.objects):
        if kind == "Job":
            snapped.remove(kind, name)
    look(snapped, make, dt.timedelta(minutes=2))
    assert {stat["phase"] for stat in target(snapped)["stats"]} == {"Failed"}


def test_a_service_account_that_the_user_names_is_bound_to_the_same_role(snapped, make):
    own = {**member(make, "Deployment"), "runtimeSettings": {"pod": {"serviceAccountName": "me"}}}
    snapped.set_spec("BackupBatch", "web", members=[own])
    snapped.add(make.session())
    look(snapped, make)
    assert snapped.at("RoleBinding", "stash-vs-job-me")["roleRef"]["name"] == "stash-vs-job"
    assert names.snapshot_binding("stash-vs-job") == "stash-vs-job"


def test_a_cluster_without_snapshots_fails_the_target_with_the_remedy(snapped, make):
    snapped.unserved = {r.VOLUME_SNAPSHOTS, r.VOLUME_SNAPSHOTS_V1BETA1}
    snapped.add(make.session())
    look(snapped, make)
    assert target(snapped)["phase"] == "Failed"
    assert target(snapped)["reason"] == "SnapshotsNotServed"
    assert "install the CRDs of VolumeSnapshots" in target(snapped)["message"]
    assert snapped.at("BackupSession", "web-1")["status"]["phase"] == "Failed"


def test_an_older_cluster_serves_them_as_v1beta1(snapped, make):
    snapped.unserved = {r.VOLUME_SNAPSHOTS}
    snapped.add(make.session())
    look(snapped, make)
    assert snapped.at("Job", "stash-vs-web-1-0")
    assert target(snapped)["phase"] == "Injecting"


def test_a_target_without_claims_fails_after_the_grace(snapped, make):
    snapped.add(make.workload())
    snapped.add(make.session())
    look(snapped, make)
    assert look(snapped, make, dt.timedelta(minutes=4)).wake_at
    look(snapped, make, dt.timedelta(minutes=6))
    assert target(snapped)["reason"] == "NoHosts"
    assert "has no claim to take a snapshot of" in target(snapped)["message"]


def claims(view, make, kind, **more):
    batch = make.batch(member(make, kind, **more), **DRIVER)
    batch["metadata"].update(namespace="shop", uid="u")
    typed, faults = world.read_invoker(batch)
    assert not faults
    (found,) = targets.read(view, batch, typed, None, "image")
    return snapshot_work.claims_of(found)


def test_the_claims_of_a_stateful_set_are_those_of_its_ordinals_and_of_its_template(view, make):
    found = claiming(make.workload("StatefulSet"), "shared", templates=("data", "wal"))
    found["spec"]["replicas"] = 2
    view.add(found)
    two = ("shared", "data-front-0", "wal-front-0", "data-front-1", "wal-front-1")
    assert claims(view, make, "StatefulSet") == two
    assert claims(view, make, "StatefulSet", replicas=1) == two[:3]
    assert claims(view, make, "StatefulSet", replicas=0) == ("shared",)


def test_a_claim_is_its_own_and_a_missing_workload_has_none(view, make):
    assert claims(view, make, "PersistentVolumeClaim", name="uploads") == ("uploads",)
    assert claims(view, make, "DaemonSet") == ()


def test_a_claim_that_is_missing_fails_its_target_at_once(view, make):
    view.add(make.batch(member(make, "PersistentVolumeClaim", "uploads"), **DRIVER))
    view.add(make.session())
    look(view, make)
    assert target(view)["reason"] == "TargetNotFound"


@pytest.mark.parametrize(
    ("ref", "more", "path"),
    [
        ({"kind": "AppBinding", "name": "db"}, {}, "spec.members[0].target.ref.kind"),
        (
            {"kind": "StatefulSet", "name": "db"},
            {"replicas": -1},
            "spec.members[0].target.replicas",
        ),
    ],
)
def test_what_cannot_be_snapshotted_is_refused(make, ref, more, path):
    api = "apps/v1" if ref["kind"] == "StatefulSet" else r.APP_BINDINGS.api_version
    batch = make.batch({"target": {"ref": {"apiVersion": api, **ref}, **more}}, **DRIVER)
    batch["metadata"].update(namespace="shop", uid="u")
    _, faults = world.read_invoker(batch)
    assert [fault.path for fault in faults] == [path]


def test_a_session_without_anything_readable_about_its_driver_waits_for_nothing(snapped, make):
    snapped.add(make.session())
    look(snapped, make)
    assert "message" in target(snapped)
    assert "Repository" not in target(snapped)["message"]


@pytest.mark.parametrize(
    ("session_name", "expected"),
    [("web-1772420400", "data-1772420400"), ("by-hand", None), ("web-1772420400-retry-1", None)],
)
def test_a_snapshot_is_named_by_its_claim_and_the_slot_else_by_a_hash(session_name, expected):
    found = names.volume_snapshot("data", session_name, "uid")
    assert found == (expected or f"data-{names.digest(session_name, 'uid')}")
    assert len(names.volume_snapshot("d" * 253, session_name, "uid")) <= 253


# -- restores -------------------------------------------------------------------------------------


def source(name="snap"):
    return {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}


def restore_of(*templates, **spec):
    found = [{"metadata": {"name": name}, "spec": {"dataSource": source()}} for name in templates]
    return {
        "apiVersion": r.RESTORE_SESSIONS.api_version,
        "kind": "RestoreSession",
        "metadata": {"name": "again"},
        "spec": {
            "driver": "VolumeSnapshotter",
            "target": {"replicas": 2, "volumeClaimTemplates": found, **spec},
        },
    }


def restoring(view, make):
    decide = restore.decide_for(r.RESTORE_SESSIONS)
    for _ in range(4):
        plan = decide(Key("shop", "again"), view, make.now, make.settings)
        if view.carry_out(plan) == 0:
            break
    return view.at("RestoreSession", "again")["status"]


def test_a_restore_of_snapshots_has_a_job_for_each_claim_and_needs_no_repository(view, make):
    view.add(restore_of("data-${POD_ORDINAL}", "logs-${POD_ORDINAL}"))
    status = restoring(view, make)
    assert [host["hostname"] for host in status["hosts"]] == [
        "data-0",
        "logs-0",
        "data-1",
        "logs-1",
    ]
    assert "RepositoryFound" not in [c["type"] for c in status["conditions"]]
    made = [obj for (kind, _, _), obj in view.objects.items() if kind == "Job"]
    assert len(made) == 4
    pod = made[0]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "stash-vs-restorer-job"
    assert pod["containers"][0]["args"][0] == "restore-vs"
    assert view.at("RoleBinding", "stash-vs-restorer-job")
    assert names.snapshot_restorer_binding("me") == "stash-vs-restorer-job-me"
    assert names.snapshot_restorer_binding("stash-vs-restorer-job") == "stash-vs-restorer-job"


def test_a_claim_whose_restorer_has_died_has_failed(view, make):
    view.add(restore_of("data-${POD_ORDINAL}"))
    found = restoring(view, make)
    claimed = {"runner": "gone", "runnerUID": "x", "startTime": make.stamp(make.now - HOUR)}
    hosts = [{**host, **claimed} for host in found["hosts"]]
    view.set_status("RestoreSession", "again", hosts=hosts)
    for kind, _, name in list(view.objects):
        if kind == "Job":
            view.remove(kind, name)
    assert restoring(view, make)["phase"] == "Failed"


def test_a_restore_of_snapshots_waits_for_a_session_that_backs_up_its_target(snapped, make):
    own = restore_of(
        "data-${POD_ORDINAL}", ref={"apiVersion": "apps/v1", "kind": "Deployment", "name": "front"}
    )
    snapped.add(make.session(status={"phase": "Running"}), own)
    status = restoring(snapped, make)
    assert status["phase"] == "Pending"
    assert "BackupSession web-1 backs up one of the targets" in status["message"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ({"volumeClaimTemplates": []}, "spec.target.volumeClaimTemplates"),
        (
            {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]},
            "spec.target.volumeClaimTemplates[0].spec.dataSource",
        ),
    ],
)
def test_a_restore_of_snapshots_needs_claims_that_name_one(target, path):
    obj = restore_of("data")
    obj["metadata"].update(namespace="shop", uid="u")
    obj["spec"]["target"].update(
        ref={"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "data"}, **target
    )
    _, faults = restores.read(obj)
    assert [fault.path for fault in faults] == [path]
