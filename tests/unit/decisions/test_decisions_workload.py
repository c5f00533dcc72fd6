"""Sidecars go when nobody wants them, and pods that do not roll are made anew one at a time."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api import resources as r
from reconciler.api.resources import Key
from reconciler.decisions import sidecars, workload, world
from reconciler.decisions.plan import Apply, Delete
from reconciler.manifests import labels

KINDS = {resource.kind: resource for resource in r.WORKLOADS}


LATER = dt.timedelta(minutes=1)


def decide(view, make, kind="Deployment", name="front", *, after=LATER):
    now = make.now + after
    return sidecars.decide_for(KINDS[kind])(Key("shop", name), view, now, make.settings)


def mark(view, kind="Deployment", by="BackupBatch/web"):
    view.set_meta(kind, "front", annotations={labels.SIDECAR_INVOKER: by})


def removed(plan):
    return any(isinstance(w, Apply) and not w.create for w in plan.writes)


@pytest.fixture
def marked(view, make):
    view.add(make.workload(), make.batch())
    mark(view)
    return view


def test_a_sidecar_that_is_wanted_stays(marked, make):
    assert not decide(marked, make).writes


def test_a_workload_without_ours_is_left_alone(view, make):
    view.add(make.workload())
    assert not decide(view, make).writes


def test_a_workload_that_is_gone_or_going_is_left_alone(marked, make):
    assert not decide(marked, make, name="other").writes
    marked.remove("BackupBatch", "web")
    marked.set_meta("Deployment", "front", deletionTimestamp=make.stamp(make.now))
    assert not decide(marked, make).writes


@pytest.mark.parametrize(
    "change",
    [
        lambda v, m: v.remove("BackupBatch", "web"),
        lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp=m.stamp(m.now)),
        lambda v, m: v.set_spec("BackupBatch", "web", members=[m.member("Deployment", "other")]),
    ],
    ids=["gone", "going", "edited"],
)
def test_a_sidecar_that_nobody_wants_any_more_goes(marked, make, change):
    change(marked, make)
    plan = decide(marked, make)
    assert removed(plan)
    assert plan.writes[0].obj["metadata"].keys() == {"name", "namespace", "uid"}
    assert [event.reason for event in plan.events] == ["Sidecar Deletion Succeeded"]


def test_a_batch_that_is_going_keeps_its_sidecar_while_its_session_runs(marked, make):
    marked.set_meta("BackupBatch", "web", deletionTimestamp=make.stamp(make.now))
    marked.add(make.session(status={"phase": "Running"}))
    assert not decide(marked, make).writes
    marked.set_status("BackupSession", "web-1", phase="Succeeded")
    assert removed(decide(marked, make))


def test_an_invalid_spec_that_still_names_it_keeps_the_sidecar(marked, make):
    marked.set_spec("BackupBatch", "web", schedule="nonsense")
    assert not decide(marked, make).writes


def test_a_sidecar_of_one_batch_stays_until_another_takes_its_place(marked, make):
    marked.remove("BackupBatch", "web")
    marked.add(make.configuration("other"))
    assert not decide(marked, make).writes


def test_the_older_of_two_holds_the_workload(view, make):
    view.add(make.workload(), make.batch(name="young"))
    old = make.configuration("old")
    old["metadata"]["creationTimestamp"] = make.stamp(make.now - dt.timedelta(days=1))
    view.add(old)
    found = workload.holder(view, "shop", "Deployment", "front")
    assert found["metadata"]["name"] == "old"
    front = view.at("Deployment", "front")
    assert workload.is_held_by(view, front, found) is None
    young = view.at("BackupBatch", "young")
    assert workload.is_held_by(view, front, young)["kind"] == "BackupConfiguration"
    mark(view, by="BackupBatch/young")
    marked = view.at("Deployment", "front")
    assert workload.is_held_by(view, marked, young) is None
    assert workload.is_held_by(view, marked, found)["metadata"]["name"] == "young"


def test_what_is_remembered_of_invokers_is_bounded_and_never_wrong(view, make, monkeypatch):
    monkeypatch.setattr(world, "_MOST_KNOWN", 2)
    for name in ("a", "b", "c", "d"):
        found = make.batch(make.member("Deployment", name))
        assert world.references(found) == {("Deployment", name)}
        assert world.references(found) == {("Deployment", name)}


def test_nobody_holds_what_nobody_wants(view, make):
    view.add(make.workload())
    front = view.at("Deployment", "front")
    assert workload.is_held_by(view, front, make.batch()) is None


# -- injection ------------------------------------------------------------------------------------


def applied(plan):
    return [w.obj["metadata"]["name"] for w in plan.writes if isinstance(w, Apply)]


def test_a_new_workload_gets_its_sidecar_and_the_access_for_it(ready, make):
    ready.add(make.batch())
    plan = decide(ready, make)
    assert applied(plan) == ["stash-sidecar-default", "front"]
    assert [event.reason for event in plan.events] == ["Sidecar Injection Succeeded"]
    ready.carry_out(plan)
    assert ready.carry_out(decide(ready, make)) == 0
    assert not decide(ready, make).events


def test_the_sidecars_of_a_new_batch_are_left_to_its_own_plan(ready, make):
    ready.add(make.batch())
    plan = decide(ready, make, after=dt.timedelta(0))
    assert not plan.writes
    assert plan.wake_at == make.now + dt.timedelta(seconds=10)


def test_a_sidecar_that_somebody_edits_is_applied_again_without_an_event(ready, make):
    ready.add(make.configuration())
    ready.carry_out(decide(ready, make))
    assert applied(decide(ready, make)) == ["front"]
    assert not decide(ready, make).events


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.remove("Secret", "backend"),
        lambda v: v.set_spec("BackupBatch", "web", schedule="x"),
        lambda v: v.set_spec("BackupBatch", "web", members=[{"target": {"ref": FRONT}}, 7]),
        lambda v: v.set_meta("Deployment", "front", ownerReferences=[{"controller": True}]),
    ],
    ids=["no secret", "invalid", "unreadable", "owned"],
)
def test_without_what_it_needs_no_sidecar_comes(ready, make, change):
    ready.add(make.batch())
    change(ready)
    assert not decide(ready, make).writes


FRONT = {"kind": "Deployment", "name": "front"}


# -- pods that do not roll ------------------------------------------------------------------------


@pytest.fixture
def replicas(view, make):
    """A ReplicaSet of its own with a sidecar in its template, and two old pods."""
    view.add(make.batch(make.member("ReplicaSet", "front"), schedule="nonsense"))
    found = make.workload("ReplicaSet", "front", replicas=2)
    found["spec"]["template"]["metadata"]["annotations"] = {labels.SIDECAR_HASH: "new"}
    view.add(found)
    mark(view, "ReplicaSet")
    for name in ("front-1", "front-2"):
        view.add(make.pod(name, owner=view.at("ReplicaSet", "front"), mark="m", fingerprint="old"))
    return view


def deleted(plan):
    return [w.name for w in plan.writes if isinstance(w, Delete)]


def test_one_outdated_pod_goes_while_all_others_are_ready(replicas, make):
    assert deleted(decide(replicas, make, "ReplicaSet")) == ["front-1"]


def test_while_a_pod_is_missing_the_others_stay(replicas, make):
    replicas.remove("Pod", "front-1")
    assert deleted(decide(replicas, make, "ReplicaSet")) == []


def test_while_a_pod_is_going_the_others_stay(replicas, make):
    replicas.set_meta("Pod", "front-1", deletionTimestamp=make.stamp(make.now))
    assert deleted(decide(replicas, make, "ReplicaSet")) == []


def test_an_outdated_pod_that_serves_nobody_goes_whatever_the_others_do(replicas, make):
    owner = replicas.at("ReplicaSet", "front")
    replicas.add(make.pod("front-2", owner=owner, mark="m", fingerprint="old", ready=False))
    assert deleted(decide(replicas, make, "ReplicaSet")) == ["front-2"]


def test_pods_of_the_present_template_stay(replicas, make):
    owner = replicas.at("ReplicaSet", "front")
    for name in ("front-1", "front-2"):
        replicas.add(make.pod(name, owner=owner, mark="m", fingerprint="new"))
    assert not decide(replicas, make, "ReplicaSet").writes


def test_a_replica_set_that_a_deployment_makes_is_left_alone(view, make):
    view.add(make.workload())
    owned = make.replica_set(view.at("Deployment", "front"))
    owned["spec"]["template"]["metadata"]["annotations"] = {labels.SIDECAR_HASH: "new"}
    view.add(owned)
    view.add(make.pod("p", owner=view.at("ReplicaSet", "front-abc"), mark="m", fingerprint="old"))
    assert not decide(view, make, "ReplicaSet", "front-abc").writes


# -- rolled out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("Deployment", {"updatedReplicas": 2, "readyReplicas": 2}, True),
        ("Deployment", {"updatedReplicas": 1, "readyReplicas": 2}, False),
        ("Deployment", {}, False),
        ("StatefulSet", {"updatedReplicas": 2, "readyReplicas": 1}, False),
        ("DeploymentConfig", {"updatedReplicas": 2, "readyReplicas": 2}, True),
        ("DeploymentConfig", {"updatedReplicas": 1, "readyReplicas": 2}, False),
        (
            "DaemonSet",
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3},
            True,
        ),
        (
            "DaemonSet",
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 2, "numberReady": 3},
            False,
        ),
        ("ReplicaSet", {"readyReplicas": 2}, True),
        ("ReplicationController", {"readyReplicas": 1}, False),
    ],
)
def test_a_rollout_is_over_when_every_pod_is_new_and_ready(view, make, kind, status, expected):
    view.add(make.workload(kind, "front", replicas=2))
    view.set_status(kind, "front", observedGeneration=1, **status)
    assert workload.rolled_out(view, view.at(kind, "front")) is expected


def test_a_rollout_that_its_controller_has_not_seen_is_not_over(view, make):
    view.add(make.workload(replicas=0))
    assert not workload.rolled_out(view, view.at("Deployment", "front"))


def test_outdated_pods_are_not_rolled_out(replicas, make):
    replicas.set_status("ReplicaSet", "front", observedGeneration=1, readyReplicas=2)
    assert not workload.rolled_out(replicas, replicas.at("ReplicaSet", "front"))


def test_the_service_account_of_pods_is_default_unless_they_say_otherwise(make):
    found = make.workload()
    assert workload.service_account(found) == "default"
    found["spec"]["template"]["spec"]["serviceAccountName"] = "mine"
    assert workload.service_account(found) == "mine"
    assert workload.service_account({"spec": {"template": {}}}) == "default"
