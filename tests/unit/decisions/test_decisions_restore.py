"""A restore: when it begins, who restores its hosts, what it waits for, and how it ends."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api import resources as r
from reconciler.api.resources import Key
from reconciler.api.restore_invoker import entries
from reconciler.decisions import invoker, repository, restore, restores, session, sidecars, workload
from reconciler.decisions.plan import Apply, Create, Delete, Finalizers
from reconciler.manifests import labels, names

RESOURCES = {"RestoreBatch": r.RESTORE_BATCHES, "RestoreSession": r.RESTORE_SESSIONS}
LATER = dt.timedelta(minutes=1)


def decide(view, make, now=None, *, kind="RestoreBatch", name="back"):
    decision = restore.decide_for(RESOURCES[kind])
    return decision(Key("shop", name), view, now or make.now, make.settings)


def settle(view, make, now=None, **which):
    for _ in range(6):
        plan = decide(view, make, now, **which)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def admit(view, make):
    """The Repository looks, and is initialised if it asks for that."""
    for _ in range(2):
        view.carry_out(repository.decide(Key("shop", "repo"), view, make.now, make.settings))
        for name in [name for name in jobs(view) if name.startswith("stash-init-")]:
            view.set_status("Job", name, conditions=[{"type": "Complete", "status": "True"}])
    return view.at("Repository", "repo")["status"]


def status(view, kind="RestoreBatch", name="back"):
    return view.at(kind, name)["status"]


def entry(view, index=0, kind="RestoreBatch", name="back"):
    return entries(view.at(kind, name))[index]


def condition(found, type_):
    return next((c for c in found.get("conditions") or () if c["type"] == type_), None)


def says(found, type_):
    item = condition(found, type_)
    return item and item["status"]


def start(view, make, **which):
    """Until its targets have begun."""
    settle(view, make, **which)
    admit(view, make)
    return settle(view, make, **which)


def change(view, kind="RestoreBatch", name="back", index=0, *, hosts=None, stats=None):
    """What an agent writes."""
    found = entries(view.at(kind, name))
    found[index] = {**found[index]}
    if hosts:
        claim = {"runner": hosts[0], "runnerUID": hosts[1], "startTime": "2026-03-02T02:30:00Z"}
        found[index]["hosts"] = [{**h, **claim} for h in found[index]["hosts"]]
    if stats:
        found[index]["stats"] = stats
    if kind == "RestoreBatch":
        view.set_status(kind, name, members=found)
    else:
        rest = {k: v for k, v in found[index].items() if k in ("hosts", "stats")}
        view.set_status(kind, name, **rest)


def done(view, phase="Succeeded", index=0, kind="RestoreBatch", **more):
    stats = [
        {"hostname": h["hostname"], "phase": phase, "duration": "1s", **more}
        for h in entry(view, index, kind)["hosts"]
    ]
    change(view, kind, index=index, stats=stats)


def pod_of(view, make, name="front-1", mark="RestoreBatch/back", **more):
    deployment = view.at("Deployment", "front")
    view.add(make.replica_set(deployment))
    found = make.pod(name, owner=view.at("ReplicaSet", "front-abc"), restore=mark, **more)
    view.add(found)
    return view.at("Pod", name)


def jobs(view):
    return sorted(o["metadata"]["name"] for (k, _, _), o in view.objects.items() if k == "Job")


def restore_jobs(view):
    return [name for name in jobs(view) if name.startswith("stash-restore-")]


def reasons(plan):
    return [event.reason for event in plan.events]


# -- when it begins -------------------------------------------------------------------------------


def test_a_restore_that_is_gone_needs_nothing(ready, make):
    assert not decide(ready, make).writes


@pytest.mark.parametrize("kind", ["RestoreBatch", "RestoreSession"])
def test_a_restore_waits_until_the_repository_lists_it(ready, make, kind):
    ready.add(make.restore_batch() if kind == "RestoreBatch" else make.restore_session())
    settle(ready, make, kind=kind)
    assert status(ready, kind)["phase"] == "Pending"
    assert entry(ready, kind=kind)["reason"] == "WaitingForRepository"
    assert "has not let the restore in" in entry(ready, kind=kind)["message"]

    assert admit(ready, make)["activeRestores"] == [f"{kind}/back"]
    plan = settle(ready, make, kind=kind)

    assert status(ready, kind)["phase"] == "Running"
    assert entry(ready, kind=kind)["phase"] == "Injecting"
    assert [h["hostname"] for h in entry(ready, kind=kind)["hosts"]] == ["host-0"]
    assert plan.wake_at == make.now + make.settings.runner_grace


def test_a_phase_of_a_restore_session_is_not_its_targets(ready, make):
    ready.add(make.restore_session())
    start(ready, make, kind="RestoreSession")

    found = status(ready, "RestoreSession")

    assert (found["phase"], found["targetPhase"]) == ("Running", "Injecting")
    assert says(found, "RestoreTargetFound") == "True"


def test_a_restore_gets_its_finalizer_first(ready, make):
    obj = make.restore_batch()
    del obj["metadata"]["finalizers"]
    ready.add(obj)

    plan = decide(ready, make)

    assert isinstance(plan.writes[0], Finalizers)
    assert plan.writes[0].finalizers == (names.FINALIZER,)


def test_a_restore_waits_for_each_of_its_targets_and_says_so(ready, make):
    ready.remove("Deployment", "front")
    ready.add(
        make.restore_batch(make.restored(), make.restored("PersistentVolumeClaim", "uploads"))
    )
    settle(ready, make)
    assert says(entry(ready, 0), "RestoreTargetFound") == "False"
    assert says(entry(ready, 1), "RestoreTargetFound") == "True"
    assert condition(status(ready), "ReadyToStart")["message"].startswith("Deployment front does")
    assert "activeRestores" not in admit(ready, make)

    ready.add(make.workload())
    start(ready, make)

    assert status(ready)["phase"] == "Running"
    assert condition(status(ready), "ReadyToStart") is None
    assert restore_jobs(ready) == ["stash-restore-back-1"]


def test_a_restore_waits_for_its_repository(ready, make):
    ready.remove("Repository", "repo")
    ready.add(make.restore_batch())
    settle(ready, make)
    assert says(status(ready), "RepositoryFound") == "False"
    assert entry(ready)["message"] == "Repository repo does not exist."

    ready.add(make.repository(phase="Initializing"))
    settle(ready, make)
    assert says(status(ready), "RepositoryFound") == "True"
    assert entry(ready)["message"] == "Repository repo is Initializing."


def test_what_is_wrong_with_repository_or_secret_is_a_condition(ready, make):
    ready.remove("Secret", "backend")
    ready.add(make.restore_batch())
    settle(ready, make)
    assert says(status(ready), "BackendSecretFound") == "False"
    ready.set_spec("Repository", "repo", backend=7)
    settle(ready, make)
    assert "is not valid" in condition(status(ready), "RepositoryFound")["message"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"members": 7}, "spec.members"),
        ({"members": []}, "spec.members"),
        ({"driver": "VolumeSnapshotter"}, "volumeClaimTemplates: is empty"),
        ({"timeOut": "x"}, "spec.timeOut"),
    ],
)
def test_an_invalid_restore_says_what_is_wrong_and_waits_to_be_mended(ready, make, spec, words):
    ready.add(make.restore_batch(**spec))
    settle(ready, make)
    assert says(status(ready), "Valid") == "False"
    assert words in condition(status(ready), "Valid")["message"]
    assert status(ready)["phase"] == "Pending"
    assert "activeRestores" not in admit(ready, make)

    mended = make.restore_batch()
    mended["status"] = status(ready)
    ready.add(mended)
    start(ready, make)
    assert status(ready)["phase"] == "Running"


def test_a_restore_whose_deadline_passes_while_it_waits_has_failed(ready, make):
    ready.remove("Deployment", "front")
    ready.add(make.restore_batch(timeOut="1h"))
    assert settle(ready, make).wake_at == make.now + dt.timedelta(hours=1)

    plan = decide(ready, make, make.now + dt.timedelta(hours=1))
    ready.carry_out(plan)

    assert status(ready)["phase"] == "Failed"
    assert says(status(ready), "DeadlineExceeded") == "True"
    assert "The restore's deadline" in entry(ready)["message"]
    assert reasons(plan) == ["Restore Failed"]
    assert status(ready)["sessionDuration"] == "1h0m0s"


# -- beside others --------------------------------------------------------------------------------


def test_the_second_of_two_restores_into_one_target_is_skipped(ready, make):
    old = make.restore_session("first")
    old["metadata"]["creationTimestamp"] = make.stamp(make.now - LATER)
    ready.add(old, make.restore_batch())

    plan = decide(ready, make)
    ready.carry_out(plan)

    assert status(ready)["phase"] == "Skipped"
    assert "RestoreSession/first" in condition(status(ready), "Skipped")["message"]
    assert reasons(plan) == ["Restore Skipped"]
    assert not decide(ready, make).writes


def test_a_restore_that_has_begun_is_not_skipped_for_an_older_one(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    old = make.restore_session("first")
    old["metadata"]["creationTimestamp"] = make.stamp(make.now - LATER)
    ready.add(old)

    settle(ready, make)
    settle(ready, make, kind="RestoreSession", name="first")

    assert status(ready)["phase"] == "Running"
    assert status(ready, "RestoreSession", "first")["phase"] == "Skipped"


def test_an_invalid_restore_is_in_nobodys_way(ready, make):
    old = make.restore_batch(name="broken", timeOut="x")
    old["metadata"]["creationTimestamp"] = make.stamp(make.now - LATER)
    ready.add(old, make.restore_batch())
    start(ready, make)
    assert status(ready)["phase"] == "Running"


def test_restores_into_different_targets_run_side_by_side(ready, make):
    other = make.restore_batch(make.restored("PersistentVolumeClaim", "uploads"), name="other")
    ready.add(make.restore_batch(), other)
    start(ready, make)
    settle(ready, make, name="other")
    assert admit(ready, make)["activeRestores"] == ["RestoreBatch/back", "RestoreBatch/other"]


def test_a_restore_that_is_being_deleted_is_waited_for(ready, make):
    ready.add(make.restore_batch(name="old"))
    start(ready, make, name="old")
    ready.set_meta("RestoreBatch", "old", deletionTimestamp=make.stamp(make.now))
    ready.add(make.restore_batch())
    settle(ready, make)
    assert "RestoreBatch/old restores one of the targets" in entry(ready)["message"]
    assert admit(ready, make)["activeRestores"] == ["RestoreBatch/old"]

    ready.remove("RestoreBatch", "old")
    start(ready, make)
    assert admit(ready, make)["activeRestores"] == ["RestoreBatch/back"]


def test_a_restore_waits_for_the_session_that_backs_up_its_target(ready, make):
    ready.add(make.batch(), make.session(status={"phase": "Running"}), make.restore_batch())
    settle(ready, make)
    assert "BackupSession web-1 backs up" in entry(ready)["message"]
    assert "activeRestores" not in admit(ready, make)

    ready.set_status("BackupSession", "web-1", phase="Failed")
    start(ready, make)
    assert status(ready)["phase"] == "Running"


def test_a_backup_waits_for_the_restore_into_its_target_and_says_so(ready, make):
    ready.add(make.batch(), make.session(), make.restore_batch())
    settle(ready, make)
    found = admit(ready, make)
    assert (found["activeRestores"], found.get("activeSessions")) == (["RestoreBatch/back"], None)

    decision = session.decide(Key("shop", "web-1"), ready, make.now, make.settings)
    ready.carry_out(decision)
    waiting = ready.at("BackupSession", "web-1")["status"]["targets"][0]
    assert waiting["message"].startswith("RestoreBatch back restores one of the targets")

    ready.set_status("RestoreBatch", "back", phase="Succeeded")
    found = admit(ready, make)
    assert (found.get("activeRestores"), found["activeSessions"]) == (None, ["web-1"])


def test_a_backup_of_other_targets_runs_beside_a_restore(ready, make):
    other = make.batch(make.member("PersistentVolumeClaim", "uploads"))
    ready.add(other, make.session(), make.restore_batch())
    settle(ready, make)
    found = admit(ready, make)
    assert (found["activeRestores"], found["activeSessions"]) == (["RestoreBatch/back"], ["web-1"])
    start(ready, make)
    assert status(ready)["phase"] == "Running"


def test_a_restore_from_another_repository_is_not_listed(ready, make):
    ready.add(make.restore_batch(repository={"name": "other"}), make.batch())
    assert "activeRestores" not in admit(ready, make)


def test_maintenance_waits_for_restores_and_restores_for_maintenance(ready, make):
    ready.add(make.batch(make.member("PersistentVolumeClaim", "uploads")), make.restore_batch())
    start(ready, make)
    good = {"targets": [{"stats": [{"hostname": "a", "phase": "Succeeded"}]}]}
    ready.add(make.session(status={"phase": "Succeeded", **good}))
    assert "maintaining" not in admit(ready, make)

    other = make.restore_batch(make.restored("PersistentVolumeClaim", "uploads"), name="other")
    ready.add(other)
    settle(ready, make, name="other")
    assert admit(ready, make)["activeRestores"] == ["RestoreBatch/back"]

    ready.set_status("RestoreBatch", "back", phase="Succeeded")
    admit(ready, make)
    assert admit(ready, make)["maintaining"] == "web-1"


def test_a_restore_alone_makes_the_repository_ready(view, make):
    view.add(make.secret(), make.repository(), make.workload(), make.restore_batch())
    assert admit(view, make)["phase"] == "Ready"


# -- workloads ------------------------------------------------------------------------------------


def test_an_init_container_that_runs_is_told_to_go(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    assert "has no pod for this host" in entry(ready)["message"]

    pod_of(ready, make, "old", mark="")
    settle(ready, make)
    assert "has the stash-init container of RestoreBatch/back yet" in entry(ready)["message"]

    pod = pod_of(ready, make, state={"waiting": {"reason": "ErrImagePull"}})
    settle(ready, make)
    assert entry(ready)["message"].endswith("does not run: stash-init: ErrImagePull")

    pod_of(ready, make)
    settle(ready, make)
    assert entry(ready)["phase"] == "Scheduled"

    change(ready, hosts=("front-1", pod["metadata"]["uid"]))
    settle(ready, make)
    assert entry(ready)["phase"] == "Running"

    done(ready)
    plan = decide(ready, make)
    ready.carry_out(plan)
    assert (status(ready)["phase"], entry(ready)["phase"]) == ("Succeeded", "Succeeded")
    assert entry(ready)["message"] == "Every host was restored."
    assert reasons(plan) == ["Restore Succeeded"]


def test_an_init_container_that_has_not_begun_is_no_runner(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    pod_of(ready, make, state={"terminated": {"exitCode": 0}})
    settle(ready, make)
    assert entry(ready)["message"] == "The stash-init container of pod front-1 does not run."


@pytest.fixture
def lost(ready, make):
    """The pod that had claimed the host of a Deployment is gone."""
    ready.add(make.restore_batch())
    start(ready, make)
    change(ready, hosts=("gone", "uid-gone"))
    return ready


def test_the_next_pod_goes_on_with_the_host_of_one_that_is_gone(lost, make):
    settle(lost, make, make.now + LATER)
    assert entry(lost)["phase"] == "Running"
    pod = pod_of(lost, make)
    settle(lost, make, make.now + LATER)
    change(lost, hosts=("front-1", pod["metadata"]["uid"]))
    done(lost)
    settle(lost, make, make.now + LATER)
    assert status(lost)["phase"] == "Succeeded"


def test_a_next_pod_that_does_not_begin_in_time_is_not_waited_for(lost, make):
    pod_of(lost, make, state={"waiting": {"reason": "CrashLoopBackOff"}})
    grace = make.settings.runner_grace
    plan = settle(lost, make, make.now + LATER)
    assert plan.wake_at == make.now + grace
    plan = decide(lost, make, make.now + grace)
    lost.carry_out(plan)
    assert status(lost)["phase"] == "Failed"
    assert reasons(plan) == ["Host Restore Failed", "Restore Failed"]
    assert entry(lost)["stats"][0]["error"].startswith("RunnerDied")


def test_nobody_goes_on_where_the_workload_is_gone_or_cannot_have_the_container(lost, make):
    lost.set_spec("Deployment", "front", template={"spec": {}})
    settle(lost, make, make.now + LATER)
    assert status(lost)["phase"] == "Failed"


@pytest.mark.parametrize("of", ["claim", "spec"])
def test_the_host_of_a_job_that_has_died_has_failed(ready, make, of):
    ready.add(make.restore_batch(uploads(make)))
    start(ready, make)
    change(ready, hosts=("gone", "uid-gone"))
    ready.remove("Job", "stash-restore-back-0")
    if of == "spec":
        ready.set_spec("RestoreBatch", "back", members=7)
    settle(ready, make, make.now + LATER)
    assert status(ready)["phase"] == "Failed"


def test_pods_of_a_set_are_waited_for_one_after_another(ready, make):
    ready.add(make.workload("StatefulSet", "db", replicas=2))
    ready.add(make.restore_batch(make.restored("StatefulSet", "db")))
    start(ready, make)
    assert [h["hostname"] for h in entry(ready)["hosts"]] == ["host-0", "host-1"]
    owner = ready.at("StatefulSet", "db")
    ready.add(make.pod("db-1", owner=owner, restore="RestoreBatch/back"))
    settle(ready, make)
    found = entries(ready.at("RestoreBatch", "back"))
    uid = ready.at("Pod", "db-1")["metadata"]["uid"]
    claim = {"runner": "db-1", "runnerUID": uid, "startTime": make.stamp(make.now)}
    found[0]["hosts"][1].update(claim)
    ready.set_status("RestoreBatch", "back", members=found)

    # host-1 takes longer than a missing runner is waited for
    long = make.now + dt.timedelta(hours=1)
    settle(ready, make, long)
    assert not entry(ready).get("stats")

    found[0]["stats"] = [{"hostname": "host-1", "phase": "Succeeded", "duration": "1h0m0s"}]
    ready.set_status("RestoreBatch", "back", members=found)
    settle(ready, make, long + make.settings.runner_grace - LATER)
    assert len(entry(ready)["stats"]) == 1
    settle(ready, make, long + make.settings.runner_grace)
    assert entry(ready)["stats"][1]["phase"] == "Failed"


def test_a_duration_that_cannot_be_read_counts_as_none(ready, make):
    ready.add(make.workload("StatefulSet", "db", replicas=2))
    ready.add(make.restore_batch(make.restored("StatefulSet", "db")))
    start(ready, make)
    found = entries(ready.at("RestoreBatch", "back"))
    found[0]["hosts"][1].update(runner="db-1", runnerUID="u", startTime=make.stamp(make.now))
    found[0]["stats"] = [{"hostname": "host-1", "phase": "Succeeded", "duration": "soon"}]
    ready.set_status("RestoreBatch", "back", members=found)
    settle(ready, make, make.now + make.settings.runner_grace)
    assert [stat["phase"] for stat in entry(ready)["stats"]] == ["Succeeded", "Failed"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda v, m: v.set_spec("Deployment", "front", template={"spec": {}}), "volumeMounts[0]"),
        (
            lambda v, m: v.set_meta(
                "Deployment",
                "front",
                ownerReferences=[{"kind": "X", "uid": "x", "controller": True}],
            ),
            "belongs to another object",
        ),
    ],
    ids=["no volume", "owned"],
)
def test_a_workload_that_cannot_have_the_init_container_fails_at_once(ready, make, spoil, words):
    spoil(ready, make)
    ready.add(make.restore_batch())
    start(ready, make)
    assert status(ready)["phase"] == "Failed"
    assert words in entry(ready)["message"]
    assert says(entry(ready), "StashInitContainerInjected") == "False"


def test_a_target_that_is_deleted_meanwhile_fails(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    ready.remove("Deployment", "front")
    settle(ready, make)
    assert entry(ready)["reason"] == "TargetNotFound"
    assert status(ready)["phase"] == "Failed"


def test_a_spec_that_is_broken_meanwhile_starts_nothing_new(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    ready.set_spec("RestoreBatch", "back", members=7)
    settle(ready, make)
    assert status(ready)["phase"] == "Failed"
    assert entry(ready)["reason"] == "MemberRemoved"


# -- the init container in the workload -----------------------------------------------------------


def workloads(view, make, now=None, kind="Deployment", name="front"):
    resource = next(each for each in r.WORKLOADS if each.kind == kind)
    return sidecars.decide_for(resource)(
        Key("shop", name), view, now or make.now + LATER, make.settings
    )


def test_the_init_container_comes_with_the_targets_turn_and_goes_with_the_restore(ready, make):
    ready.add(make.restore_batch())
    assert not workloads(ready, make).writes
    start(ready, make)

    plan = workloads(ready, make)
    ready.carry_out(plan)
    assert reasons(plan) == ["Init-Container Injection Succeeded"]
    template = ready.at("Deployment", "front")["spec"]["template"]
    assert [c["name"] for c in template["spec"]["initContainers"]] == ["stash-init"]
    assert [c["name"] for c in template["spec"]["containers"]] == ["app"]
    binding = ready.at("RoleBinding", "stash-restore-init-container-default")
    assert binding["roleRef"]["name"] == "stash-restore-init-container"
    settle(ready, make)
    assert says(entry(ready), "StashInitContainerInjected") == "True"

    # A finished restore causes no second rollout.
    ready.set_status("RestoreBatch", "back", phase="Succeeded")
    assert ready.carry_out(workloads(ready, make)) == 0

    ready.set_meta("RestoreBatch", "back", deletionTimestamp=make.stamp(make.now))
    assert not decide(ready, make).writes
    plan = workloads(ready, make)
    assert reasons(plan) == ["Init-Container Deletion Succeeded"]
    assert "spec" not in plan.writes[-1].obj

    ready.add(make.workload())
    (last,) = decide(ready, make).writes
    assert last.finalizers == ()
    ready.carry_out(decide(ready, make))
    assert not decide(ready, make).writes


def test_a_workload_made_anew_gets_no_init_container_of_a_finished_restore(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    ready.set_status("RestoreBatch", "back", phase="Succeeded")
    assert not workloads(ready, make).writes


def test_sidecar_and_init_container_are_one_apply(ready, make):
    ready.add(make.batch(), make.restore_batch())
    start(ready, make)

    (*_, apply) = workloads(ready, make).writes
    pod = apply.obj["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["containers"]] == ["stash"]
    assert [c["name"] for c in pod["initContainers"]] == ["stash-init"]
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert len(volumes) == len(set(volumes)) == 5

    ready.carry_out(workloads(ready, make))
    ready.remove("BackupBatch", "web")
    plan = workloads(ready, make)
    assert reasons(plan) == ["Sidecar Deletion Succeeded"]
    assert "containers" not in plan.writes[-1].obj["spec"]["template"]["spec"]


def test_a_new_batch_puts_its_sidecar_beside_the_init_container(ready, make):
    ready.add(make.restore_batch())
    start(ready, make)
    ready.carry_out(workloads(ready, make))
    ready.add(make.batch())

    def applied():
        decision = invoker.decide_for(r.BACKUP_BATCHES)
        plan = decision(Key("shop", "web"), ready, make.now, make.settings)
        return [w.obj for w in plan.writes if isinstance(w, Apply) and w.resource == r.DEPLOYMENTS]

    (obj,) = applied()
    assert obj["spec"]["template"]["spec"].keys() == {"containers", "initContainers", "volumes"}
    ready.set_spec("RestoreBatch", "back", repository={"name": "gone"})
    assert applied() == []


@pytest.mark.parametrize("of", ["batch", "restore"])
def test_a_part_that_cannot_be_built_now_is_not_taken_out_for_the_other(ready, make, of):
    ready.add(make.batch(), make.restore_batch())
    start(ready, make)
    ready.carry_out(workloads(ready, make))
    other = make.repository(phase="Ready")
    other["metadata"]["name"] = "other"
    ready.add(other)
    kind, name = ("BackupBatch", "web") if of == "batch" else ("RestoreBatch", "back")
    ready.set_spec(kind, name, repository={"name": "gone"})
    assert not workloads(ready, make).writes


@pytest.mark.parametrize(
    "members", [7, [{}], [{"target": {"ref": {"kind": "Deployment", "name": "x"}, "rules": [{}]}}]]
)
def test_a_restore_that_names_the_workload_no_more_leaves_it_as_it_is(ready, make, members):
    ready.add(make.restore_batch())
    start(ready, make)
    ready.carry_out(workloads(ready, make))
    ready.set_spec("RestoreBatch", "back", members=members)
    assert not workloads(ready, make).writes


def test_a_restore_that_cannot_be_built_yet_does_not_keep_the_sidecar_out(ready, make):
    ready.add(make.batch(), make.restore_batch())
    start(ready, make)
    ready.set_spec("RestoreBatch", "back", repository={"name": "gone"})
    assert reasons(workloads(ready, make)) == ["Sidecar Injection Succeeded"]


def test_pods_without_the_init_container_are_made_anew_where_kubernetes_does_not(ready, make):
    ready.add(make.workload("ReplicaSet", "old"))
    ready.add(make.restore_batch(make.restored("ReplicaSet", "old")))
    start(ready, make)
    ready.add(make.pod("old-1", owner=ready.at("ReplicaSet", "old")))
    ready.carry_out(workloads(ready, make, kind="ReplicaSet", name="old"))
    # The applier spares what is so already; here the apply is carried out and changes nothing.
    found = ready.at("ReplicaSet", "old")
    mark = found["spec"]["template"]["metadata"]["annotations"][labels.RESTORE_HASH]
    assert [p["metadata"]["name"] for p in workload.outdated(ready, found)] == ["old-1"]
    ready.add(make.pod("old-1", owner=found, restore="RestoreBatch/back", fingerprint=mark))
    assert workload.outdated(ready, found) == []


# -- Jobs -----------------------------------------------------------------------------------------


def uploads(make, **more):
    return make.restored("PersistentVolumeClaim", "uploads", **more)


def test_a_claim_is_restored_by_a_job_of_its_task(ready, make):
    template = {"metadata": {"name": "dump"}, "spec": {"a": 1}}
    ready.add(make.restore_batch(uploads(make, interimVolumeTemplate=template)))
    start(ready, make)

    job = ready.at("Job", "stash-restore-back-0")
    assert job["metadata"]["ownerReferences"][0]["kind"] == "RestoreBatch"
    assert ready.at("ServiceAccount", "stash-restore-job")
    assert ready.at("PersistentVolumeClaim", "back-0-dump")["spec"] == {"a": 1}
    assert says(entry(ready), "RestoreJobCreated") == "True"

    pod = make.pod("p", owner=job)
    pod["metadata"]["labels"] = {labels.TASK: "restore"}
    ready.add(pod)
    settle(ready, make)
    assert entry(ready)["phase"] == "Scheduled"


def test_a_missing_task_is_waited_for_and_told(ready, make):
    ready.remove("Task", "pvc-restore")
    ready.add(make.restore_batch(uploads(make)))
    start(ready, make)
    assert not restore_jobs(ready)
    assert says(entry(ready), "RestoreJobCreated") == "False"
    assert "pvc-restore" in condition(entry(ready), "RestoreJobCreated")["message"]


def test_no_job_is_made_while_the_repository_is_gone(ready, make):
    ready.add(make.restore_batch(uploads(make)))
    settle(ready, make)
    admit(ready, make)
    ready.carry_out(decide(ready, make))
    ready.remove("Job", "stash-restore-back-0")
    ready.remove("Repository", "repo")
    settle(ready, make)
    assert not restore_jobs(ready)


def test_a_foreign_job_of_the_name_is_told(ready, make):
    ready.add(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "stash-restore-back-0"}}
    )
    ready.add(make.restore_batch(uploads(make)))
    start(ready, make)
    assert "belongs to something else" in condition(entry(ready), "RestoreJobCreated")["message"]


def test_members_of_a_sequence_are_restored_one_after_another(ready, make):
    ready.add(make.restore_batch(uploads(make), make.restored(), executionOrder="Sequential"))
    start(ready, make)
    assert entry(ready, 1)["reason"] == "WaitingForTurn"
    assert not workloads(ready, make).writes

    done(ready, "Failed", error="x")
    settle(ready, make)
    assert [e["phase"] for e in entries(ready.at("RestoreBatch", "back"))] == [
        "Failed",
        "Injecting",
    ]
    assert workloads(ready, make).writes


def templates(*names_, **target):
    found = [
        {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"]}} for name in names_
    ]
    return {"target": {"volumeClaimTemplates": found, "rules": [{}], **target}}


def test_claim_templates_make_a_job_and_claims_an_ordinal(ready, make):
    mounts = [{"name": "data", "mountPath": "/data"}]
    ready.add(
        make.restore_batch(templates("data-${POD_ORDINAL}", "x", replicas=2, volumeMounts=mounts))
    )
    settle(ready, make)
    assert entry(ready)["ref"] == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "name": "data",
    }
    start(ready, make)

    assert restore_jobs(ready) == ["stash-restore-back-0-0", "stash-restore-back-0-1"]
    assert [h["hostname"] for h in entry(ready)["hosts"]] == ["host-0", "host-1"]
    assert ready.at("PersistentVolumeClaim", "data-1")["metadata"]["annotations"]
    (container,) = ready.at("Job", "stash-restore-back-0-1")["spec"]["template"]["spec"][
        "containers"
    ]
    assert {"name": "POD_ORDINAL", "value": "1"} in container["env"]
    assert settle(ready, make).writes == ()


def test_a_claim_of_somebody_else_is_never_written_to(ready, make):
    ready.add(make.claim("data-1"))
    ready.add(make.restore_batch(templates("data-${POD_ORDINAL}", replicas=2)))
    start(ready, make)
    assert restore_jobs(ready) == ["stash-restore-back-0-0"]
    assert "data-1 is there already" in entry(ready)["stats"][0]["error"]

    change(ready, stats=[*entry(ready)["stats"], {"hostname": "host-0", "phase": "Succeeded"}])
    settle(ready, make)
    assert status(ready)["phase"] == "Failed"
    assert says(entry(ready), "RestoreJobCreated") == "False"


def test_a_job_whose_host_is_given_up_unclaimed_goes(ready, make):
    ready.add(make.restore_batch(uploads(make)))
    start(ready, make)
    plan = decide(ready, make, make.now + make.settings.runner_grace)
    assert any(isinstance(write, Delete) for write in plan.writes)
    assert not any(isinstance(write, Create) for write in plan.writes)


# -- hooks around the whole -----------------------------------------------------------------------

EXEC = {"exec": {"command": ["true"], "containerName": "operator"}}


def hook_told(view, which, holds):
    item = {
        "type": f"Global{which}RestoreHookSucceeded",
        "status": str(holds),
        "lastTransitionTime": "2026-03-02T02:30:00Z",
        "reason": "Told",
        "message": "told",
    }
    view.set_status("RestoreBatch", "back", conditions=[*status(view)["conditions"], item])


@pytest.fixture
def hooked(ready, make):
    ready.add(make.restore_batch(uploads(make), hooks={"preRestore": EXEC, "postRestore": EXEC}))
    start(ready, make)
    return ready


def test_no_target_is_begun_before_the_pre_hook_has_ended_well(hooked, make):
    assert status(hooked)["phase"] == "Running"
    assert entry(hooked)["message"] == "The restore's preRestore hook has not ended."
    job = hooked.at("Job", "stash-hook-back-pre")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "stash-restore-job"
    assert not restore_jobs(hooked)

    hook_told(hooked, "Pre", holds=True)
    settle(hooked, make)
    assert restore_jobs(hooked) == ["stash-restore-back-0"]


def test_a_failed_pre_hook_restores_nothing_and_the_post_hook_runs(hooked, make):
    hook_told(hooked, "Pre", holds=False)
    settle(hooked, make)
    assert entry(hooked)["reason"] == "GlobalPreRestoreHookFailed"
    assert status(hooked)["phase"] == "Running"
    assert hooked.at("Job", "stash-hook-back-post")
    assert not restore_jobs(hooked)

    hook_told(hooked, "Post", holds=True)
    settle(hooked, make)
    assert status(hooked)["phase"] == "Failed"


def test_a_failed_post_hook_fails_the_restore_and_leaves_the_targets_as_they_are(hooked, make):
    hook_told(hooked, "Pre", holds=True)
    settle(hooked, make)
    done(hooked)
    settle(hooked, make)
    assert status(hooked)["phase"] == "Running"

    hook_told(hooked, "Post", holds=False)
    plan = decide(hooked, make)
    hooked.carry_out(plan)
    assert (status(hooked)["phase"], entry(hooked)["phase"]) == ("Failed", "Succeeded")
    assert [event.message for event in plan.events] == [
        "See condition GlobalPostRestoreHookSucceeded."
    ]


def test_a_hook_whose_job_cannot_tell_is_told_by_the_operator(hooked, make):
    hooked.set_status(
        "Job",
        "stash-hook-back-pre",
        conditions=[
            {
                "type": "Failed",
                "status": "True",
                "message": "no image",
                "lastTransitionTime": make.stamp(make.now),
            }
        ],
    )
    settle(hooked, make, make.now + LATER)
    assert "no image" in condition(status(hooked), "GlobalPreRestoreHookSucceeded")["message"]
    assert "no image" in entry(hooked)["message"]


def test_a_hook_of_the_users_account_is_bound_to_the_role_of_restores(ready, make):
    member = uploads(make, hooks={"preRestore": EXEC})
    ready.add(make.restore_batch(member, make.restored(hooks={"preRestore": EXEC})))
    start(ready, make)
    ready.carry_out(workloads(ready, make))
    bound = {
        found["subjects"][0]["name"]
        for found in ready.list(r.ROLE_BINDINGS, "shop")
        if found["roleRef"]["name"] == names.HOOKS_ROLE
    }
    assert bound == {"stash-restore-job", "default"}


# -- reading --------------------------------------------------------------------------------------


def test_what_is_no_restore_is_found_nowhere(ready, make):
    assert restores.labelled(ready, "shop", "BackupBatch/web") is None
    ready.add(make.restore_batch(7))
    assert restores.references(ready.at("RestoreBatch", "back")) == frozenset()
