"""A session: when it runs, who runs its hosts, when a host is given up, and how it ends."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import BACKUP_BATCHES, Key
from reconciler.decisions import invoker, progress, session
from reconciler.decisions.plan import Apply, Create, Delete
from reconciler.manifests import labels, names, sidecar

KEY = Key("shop", "web-1")
MARK = "BackupBatch/web"


def decide(view, make, now=None, name="web-1"):
    return session.decide(Key("shop", name), view, now or make.now, make.settings)


def settle(view, make, now=None, name="web-1"):
    for _ in range(6):
        plan = decide(view, make, now, name)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view, name="web-1"):
    return view.at("BackupSession", name)["status"]


def target(view, index=0):
    return status(view)["targets"][index]


def reason(view, type_="Skipped", name="web-1"):
    return next(c for c in status(view, name)["conditions"] if c["type"] == type_)["reason"]


def admit(view, *sessions):
    view.set_status(
        "Repository", "repo", phase="Ready", activeSessions=list(sessions or ("web-1",))
    )


@pytest.fixture
def running(ready, make):
    """A batch of a Deployment with one ready pod, and a session that may run."""
    ready.add(make.batch(), make.session())
    deployment = ready.at("Deployment", "front")
    replicas = make.replica_set(deployment)
    ready.add(replicas)
    ready.add(make.pod("front-1", owner=ready.at("ReplicaSet", "front-abc"), mark=MARK))
    admit(ready)
    return ready


def claim(view, pod="front-1", *, index=0, host=0, uid=None):
    found = status(view)["targets"]
    entry = found[index]["hosts"][host]
    entry.update(runner=pod, runnerUID=uid or view.at("Pod", pod)["metadata"]["uid"])
    entry["startTime"] = "2026-03-02T02:30:00Z"
    view.set_status("BackupSession", "web-1", targets=found)


def report(view, phase="Succeeded", index=0, host="host-0", **more):
    found = status(view)["targets"]
    stats = found[index].get("stats") or []
    found[index]["stats"] = [*stats, {"hostname": host, "phase": phase, **more}]
    view.set_status("BackupSession", "web-1", targets=found)


def reasons(plan):
    return [event.reason for event in plan.events]


# -- may it run -----------------------------------------------------------------------------------


def test_a_session_that_is_gone_or_going_needs_nothing(ready, make):
    assert not decide(ready, make).writes
    ready.add(make.session())
    ready.set_meta("BackupSession", "web-1", deletionTimestamp="2026-03-02T02:30:00Z")
    assert not decide(ready, make).writes


@pytest.mark.parametrize(
    ("prepare", "expected", "words"),
    [
        (lambda v, m: v.remove("BackupBatch", "web"), "InvokerNotFound", "does not exist"),
        (
            lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp="2026-03-02T02:30:00Z"),
            "InvokerTerminating",
            "being deleted",
        ),
        (lambda v, m: v.set_spec("BackupBatch", "web", schedule="x"), "InvalidInvoker", "schedule"),
        (lambda v, m: v.set_spec("BackupBatch", "web", members=7), "InvalidInvoker", "members"),
        (lambda v, m: v.set_spec("BackupBatch", "web", paused=True), "Paused", "spec.paused"),
        (
            lambda v, m: v.add(m.session("web-0", age=dt.timedelta(hours=1))),
            "PreviousSessionRunning",
            "web-0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_session_that_must_not_run_is_skipped_with_a_reason(
    ready, make, prepare, expected, words
):
    ready.add(make.batch(), make.session(slot=True))
    prepare(ready, make)
    plan = decide(ready, make)
    assert reasons(plan) == ["BackupSession Skipped"]
    settle(ready, make)
    assert status(ready)["phase"] == "Skipped"
    assert reason(ready) == expected
    assert words in status(ready)["conditions"][0]["message"]
    assert "targets" not in status(ready)
    assert status(ready)["sessionDuration"] == "0s"


def test_of_an_unknown_kind_of_invoker_there_is_none(ready, make):
    ready.add(make.session(kind="Nonsense"))
    settle(ready, make)
    assert reason(ready) == "InvokerNotFound"


def test_a_session_made_by_hand_runs_while_the_batch_is_paused(running, make):
    running.set_spec("BackupBatch", "web", paused=True)
    settle(running, make)
    assert status(running)["phase"] == "Running"


def test_an_older_session_that_has_ended_is_in_nobodys_way(running, make):
    old = make.session("web-0", age=dt.timedelta(hours=1), status={"phase": "Failed"})
    running.add(old)
    settle(running, make)
    assert status(running)["phase"] == "Running"


def test_two_sessions_of_one_second_are_told_apart_by_name(ready, make):
    ready.add(make.batch(), make.session("web-1"), make.session("web-2"))
    admit(ready)
    settle(ready, make, name="web-1")
    settle(ready, make, name="web-2")
    assert status(ready, "web-1")["phase"] == "Running"
    assert reason(ready, name="web-2") == "PreviousSessionRunning"


def test_a_session_that_has_begun_is_not_overtaken_by_one_that_sorts_before_it(ready, make):
    """Creation times have a resolution of one second."""
    ready.add(make.batch(), make.session("web-1"), make.session("web-5"))
    admit(ready, "web-5")
    settle(ready, make, name="web-1")
    settle(ready, make, name="web-5")
    assert reason(ready, name="web-1") == "PreviousSessionRunning"
    assert status(ready, "web-5")["phase"] == "Running"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda v: v.remove("Repository", "repo"), "Repository repo does not exist"),
        (lambda v: v.set_status("Repository", "repo", phase="Ready"), "has not let the session in"),
        (lambda v: v.set_status("Repository", "repo", phase="Maintaining"), "is Maintaining"),
        (
            lambda v: v.set_status(
                "Repository",
                "repo",
                phase="Failed",
                conditions=[{"type": "X", "status": "False", "message": "wrong password."}],
            ),
            "is Failed: wrong password.",
        ),
        (lambda v: v.set_status("Repository", "repo", phase=None), "is Pending"),
    ],
)
def test_until_the_repository_lets_it_in_a_session_waits_and_says_for_what(
    ready, make, prepare, words
):
    ready.add(make.batch(), make.session())
    prepare(ready)
    settle(ready, make)
    assert status(ready)["phase"] == "Pending"
    assert target(ready)["phase"] == "Pending"
    assert target(ready)["reason"] == "WaitingForRepository"
    assert words in target(ready)["message"]


def test_while_it_waits_a_session_follows_the_spec(ready, make):
    ready.add(make.batch(), make.session())
    settle(ready, make)
    ready.set_spec("BackupBatch", "web", members=[make.member("Deployment", "other")])
    settle(ready, make)
    assert target(ready)["ref"]["name"] == "other"


def test_a_session_without_labels_and_owner_is_adopted(running, make):
    running.set_meta("BackupSession", "web-1", labels={}, ownerReferences=[])
    (write, *_) = decide(running, make).writes
    assert isinstance(write, Apply)
    assert not write.create
    settle(running, make)
    meta = running.at("BackupSession", "web-1")["metadata"]
    assert meta["labels"] == labels.of_invoker("BackupBatch", "web")
    assert meta["ownerReferences"][0]["name"] == "web"


def test_an_owner_that_is_there_stays(running, make):
    running.set_meta("BackupSession", "web-1", labels={})
    (write, *_) = decide(running, make).writes
    assert "ownerReferences" not in write.obj["metadata"]


# -- who runs it ----------------------------------------------------------------------------------


def test_a_session_goes_from_listed_to_succeeded_by_claim_and_report(running, make):
    plan = decide(running, make)
    assert reasons(plan) == ["BackupSession Running"]
    settle(running, make)
    assert target(running)["phase"] == "Scheduled"
    assert target(running)["hosts"] == [{"hostname": "host-0"}]
    assert target(running)["totalHosts"] == 1
    assert reason(running, "BackendRepositoryInitialized") == "BackendRepositoryFound"
    claim(running)
    settle(running, make)
    assert target(running)["phase"] == "Running"
    report(running)
    later = make.now + dt.timedelta(minutes=1, milliseconds=1500, microseconds=7)
    assert reasons(decide(running, make, later)) == ["BackupSession Succeeded"]
    settle(running, make, later)
    assert status(running)["phase"] == "Succeeded"
    assert status(running)["sessionDuration"] == "1m1.5s"
    assert target(running)["reason"] == "AllHostsSucceeded"


def test_a_failed_report_fails_the_target_and_the_session(running, make):
    settle(running, make)
    claim(running)
    report(running, "Failed", error="disk full")
    plan = decide(running, make)
    assert reasons(plan) == ["BackupSession Failed"]
    assert "disk full" in plan.events[0].message
    settle(running, make)
    assert target(running)["reason"] == "HostFailed"


def test_a_failed_report_without_words_is_told_too(running, make):
    settle(running, make)
    claim(running)
    report(running, "Failed")
    settle(running, make)
    assert target(running)["message"] == "Host host-0: it failed."


def test_a_final_session_never_changes(running, make):
    settle(running, make)
    claim(running)
    report(running)
    settle(running, make)
    running.remove("Deployment", "front")
    running.remove("BackupBatch", "web")
    assert not decide(running, make, make.now + dt.timedelta(days=9)).writes


def test_a_late_report_of_another_host_counts_for_nothing(running, make):
    settle(running, make)
    claim(running)
    report(running, "Succeeded", host="stranger")
    settle(running, make)
    assert status(running)["phase"] == "Running"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, m: v.remove("Pod", "front-1"), "has no pod for this host"),
        (
            lambda v, m: v.add(m.pod("front-1", owner=v.at("ReplicaSet", "front-abc"))),
            "has the stash sidecar of BackupBatch/web yet",
        ),
        (
            lambda v, m: v.add(
                m.pod("front-1", owner=v.at("ReplicaSet", "front-abc"), mark="BackupBatch/other")
            ),
            "has the stash sidecar of BackupBatch/web yet",
        ),
        (
            lambda v, m: v.add(
                m.pod("front-1", owner=v.at("ReplicaSet", "front-abc"), mark=MARK, ready=False)
            ),
            "front-1 is not ready",
        ),
        (
            lambda v, m: v.add(
                m.pod("front-1", owner=v.at("ReplicaSet", "front-abc"), mark=MARK, phase="Failed")
            ),
            "front-1 is not ready",
        ),
        (
            lambda v, m: v.set_meta("Pod", "front-1", deletionTimestamp="2026-03-02T02:30:00Z"),
            "has no pod for this host",
        ),
    ],
)
def test_without_a_ready_runner_a_host_waits_and_is_given_up_after_the_grace(
    running, make, change, words
):
    change(running, make)
    plan = settle(running, make)
    assert status(running)["phase"] == "Running"
    assert target(running)["phase"] == "Injecting"
    assert target(running)["reason"] == "RunnerNotReady"
    assert words in target(running)["message"]
    assert plan.wake_at == make.now + make.settings.runner_grace
    late = make.now + make.settings.runner_grace
    assert reasons(decide(running, make, late)) == ["Host Backup Failed", "BackupSession Failed"]
    settle(running, make, late)
    assert target(running)["phase"] == "Failed"
    assert words in target(running)["stats"][0]["error"]


def test_a_workload_that_another_batch_holds_fails_at_once_with_the_remedy(running, make):
    older = make.batch(name="older")
    older["metadata"]["creationTimestamp"] = make.stamp(make.now - dt.timedelta(days=1))
    running.add(older)
    settle(running, make)
    assert status(running)["phase"] == "Failed"
    assert "already has the sidecar of BackupBatch shop/older" in target(running)["message"]
    assert "take the target out of one of the two" in target(running)["message"]


def test_a_workload_that_has_our_sidecar_is_nobody_elses(running, make):
    decision = invoker.decide_for(BACKUP_BATCHES)
    running.carry_out(decision(Key("shop", "web"), running, make.now, make.settings))
    older = make.batch(name="older")
    older["metadata"]["creationTimestamp"] = make.stamp(make.now - dt.timedelta(days=1))
    running.add(older)
    settle(running, make)
    assert target(running)["phase"] == "Scheduled"


def test_what_keeps_a_pod_from_starting_is_told(running, make):
    pod = make.pod("front-1", owner=running.at("ReplicaSet", "front-abc"), mark=MARK, ready=False)
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    pod["status"]["containerStatuses"][1]["state"] = {"waiting": waiting}
    running.add(pod)
    settle(running, make)
    assert "stash: ImagePullBackOff: no such image" in target(running)["message"]


def test_the_grace_counts_from_the_latest_pod(running, make):
    created = make.stamp(make.now + dt.timedelta(minutes=4))
    owner = running.at("ReplicaSet", "front-abc")
    running.add(make.pod("front-1", owner=owner, mark=MARK, ready=False, created=created))
    settle(running, make)
    late = make.now + dt.timedelta(minutes=6)
    settle(running, make, late)
    assert target(running)["phase"] == "Injecting"
    settle(running, make, make.now + dt.timedelta(minutes=9))
    assert target(running)["phase"] == "Failed"


def test_a_runner_that_goes_before_it_claimed_leaves_the_host_to_another(running, make):
    settle(running, make)
    running.remove("Pod", "front-1")
    settle(running, make)
    assert target(running)["phase"] == "Injecting"
    running.add(make.pod("front-2", owner=running.at("ReplicaSet", "front-abc"), mark=MARK))
    settle(running, make)
    assert target(running)["phase"] == "Scheduled"


@pytest.mark.parametrize("gone", ["removed", "replaced"])
def test_a_claimed_pod_that_is_not_in_the_cache_is_dead_only_on_proof(running, make, gone):
    settle(running, make)
    claim(running, uid="another" if gone == "replaced" else None)
    if gone == "removed":
        running.remove("Pod", "front-1")
    plan = settle(running, make)
    assert target(running)["phase"] == "Running"
    proven = make.now + dt.timedelta(seconds=30)
    assert plan.wake_at == proven
    settle(running, make, proven)
    assert target(running)["phase"] == "Failed"
    assert target(running)["reason"] == "RunnerDied"


def test_a_claim_without_a_time_is_never_proven_dead_before_the_deadline(running, make):
    settle(running, make)
    claim(running)
    found = status(running)["targets"]
    del found[0]["hosts"][0]["startTime"]
    running.set_status("BackupSession", "web-1", targets=found)
    running.remove("Pod", "front-1")
    settle(running, make)
    assert target(running)["phase"] == "Running"


def test_a_claimed_pod_that_has_ended_is_dead_at_once(running, make):
    settle(running, make)
    claim(running)
    running.set_status("Pod", "front-1", phase="Failed")
    settle(running, make)
    assert target(running)["reason"] == "RunnerDied"


def test_the_deadline_ends_a_host_at_work(running, make):
    running.set_spec("BackupBatch", "web", timeOut="10m")
    settle(running, make)
    assert status(running)["sessionDeadline"] == make.stamp(make.now + dt.timedelta(minutes=10))
    claim(running)
    settle(running, make)
    late = make.now + dt.timedelta(minutes=10)
    plan = settle(running, make, late)
    assert "stats" not in target(running)  # its runner ends the tool, and has time to say so
    assert plan.wake_at == late + progress.REPORT_GRACE
    settle(running, make, plan.wake_at)
    assert target(running)["reason"] == "DeadlineExceeded"
    assert "had not finished" in target(running)["message"]
    assert reason(running, "DeadlineExceeded") == "DeadlineExceeded"


def test_a_deadline_once_written_stays_when_the_spec_changes(running, make):
    settle(running, make)
    first = status(running)["sessionDeadline"]
    running.set_spec("BackupBatch", "web", timeOut="1m")
    settle(running, make)
    assert status(running)["sessionDeadline"] == first


def test_a_time_out_that_cannot_be_read_is_no_deadline(ready, make):
    ready.add(make.batch(timeOut="soon"), make.session(slot=True))
    settle(ready, make)
    assert status(ready)["sessionDeadline"] == make.stamp(make.now + dt.timedelta(hours=24))


def test_a_spec_that_becomes_unreadable_in_a_session_gives_up_what_is_unclaimed(running, make):
    settle(running, make)
    running.set_spec("BackupBatch", "web", members="nonsense")
    settle(running, make)
    assert status(running)["phase"] == "Failed"
    assert target(running)["reason"] == "MemberRemoved"


def test_a_claimed_host_is_finished_even_when_its_batch_is_gone(running, make):
    settle(running, make)
    claim(running)
    running.remove("BackupBatch", "web")
    settle(running, make)
    assert status(running)["phase"] == "Running"
    report(running)
    settle(running, make)
    assert status(running)["phase"] == "Succeeded"


def test_a_member_that_names_no_target_concerns_no_session(running, make):
    settle(running, make)
    running.set_spec("BackupBatch", "web", members=[{"task": {"name": "x"}}, make.member()])
    settle(running, make)
    assert target(running)["phase"] == "Scheduled"


def test_a_started_target_without_hosts_goes_with_its_member(ready, make):
    ready.add(make.workload("StatefulSet", "cache", replicas=0))
    ready.add(make.batch(make.member("StatefulSet", "cache")), make.session())
    admit(ready)
    settle(ready, make)
    assert target(ready)["phase"] == "Injecting"
    ready.set_spec("BackupBatch", "web", members=[make.member()])
    settle(ready, make)
    assert target(ready)["reason"] == "MemberRemoved"


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_missing_target_of_several_hosts_fails_at_once(ready, make, kind):
    ready.add(make.batch(make.member(kind, "gone")), make.session())
    admit(ready)
    settle(ready, make)
    assert target(ready)["reason"] == "TargetNotFound"
    assert "totalHosts" not in target(ready)


def test_a_daemon_set_has_a_host_a_node_and_each_is_its_own_pods(ready, make):
    ready.add(make.workload("DaemonSet", "agent"))
    owner = ready.at("DaemonSet", "agent")
    ready.add(make.pod("agent-x", owner=owner, mark=MARK, node="n1"))
    ready.add(make.pod("agent-y", owner=owner, mark=MARK, node="n2", ready=False))
    ready.add(make.pod("agent-z", owner=owner, mark=MARK, node=""))
    ready.add(make.batch(make.member("DaemonSet", "agent")), make.session())
    admit(ready)
    settle(ready, make)
    assert target(ready)["hosts"] == [{"hostname": "n1"}, {"hostname": "n2"}]
    late = make.now + make.settings.runner_grace
    settle(ready, make, late)
    assert [stat["hostname"] for stat in target(ready)["stats"]] == ["n2"]
    assert target(ready)["phase"] == "Scheduled"


def test_scaling_in_a_session_neither_hangs_nor_grows_it(ready, make):
    ready.add(make.workload("StatefulSet", "cache", replicas=2))
    owner = ready.at("StatefulSet", "cache")
    for number in (0, 1):
        ready.add(make.pod(f"cache-{number}", owner=owner, mark=MARK))
    ready.add(make.batch(make.member("StatefulSet", "cache")), make.session())
    admit(ready)
    settle(ready, make)
    ready.set_spec("StatefulSet", "cache", replicas=5)
    settle(ready, make)
    assert target(ready)["totalHosts"] == 2


def test_a_sequence_starts_the_next_target_when_the_one_before_is_final(ready, make):
    ready.add(make.workload("StatefulSet", "cache", replicas=0))
    members = [make.member("StatefulSet", "cache"), make.member("Deployment", "gone")]
    ready.add(make.batch(*members, executionOrder="Sequential"), make.session())
    admit(ready)
    settle(ready, make)
    assert [t["phase"] for t in status(ready)["targets"]] == ["Injecting", "Pending"]
    settle(ready, make, make.now + make.settings.runner_grace)
    assert [t["phase"] for t in status(ready)["targets"]] == ["Failed", "Failed"]


# -- Jobs -----------------------------------------------------------------------------------------


@pytest.fixture
def claimable(ready, make):
    """A batch of one claim, and a session that may run."""
    ready.add(make.batch(make.member("PersistentVolumeClaim", "uploads")), make.session())
    admit(ready)
    return ready


JOB = "stash-backup-web-1-0"


def job_pod(view, make, name="job-pod", **status):
    pod = make.pod(name, owner=view.at("Job", JOB))
    pod["status"] = {"phase": "Running", **status}
    view.add(pod)


def end_job(view, type_="Failed", **more):
    view.set_status("Job", JOB, conditions=[{"type": type_, "status": "True", **more}])


def test_a_job_is_created_with_its_access_and_waited_for(claimable, make):
    plan = decide(claimable, make)
    assert [type(w).__name__ for w in plan.writes] == ["Apply", "Apply", "Create", "Status"]
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    assert "No pod of Job" in target(claimable)["message"]
    job_pod(claimable, make)
    settle(claimable, make)
    assert target(claimable)["phase"] == "Scheduled"


def test_a_pod_whose_first_step_runs_is_a_runner(claimable, make):
    settle(claimable, make)
    waiting = {"name": "pvc-backup-0", "state": {"waiting": {"reason": "PodInitializing"}}}
    job_pod(claimable, make, phase="Pending", initContainerStatuses=[waiting])
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    step = {"name": "pvc-backup-0", "state": {"running": {}}}
    job_pod(claimable, make, phase="Pending", initContainerStatuses=[step])
    settle(claimable, make)
    assert target(claimable)["phase"] == "Scheduled"


@pytest.mark.parametrize(
    ("status_", "words"),
    [
        (
            {
                "phase": "Pending",
                "containerStatuses": [
                    {
                        "name": "c",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "5s"}},
                    }
                ],
            },
            "c: CrashLoopBackOff",
        ),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "Other", "status": "False"},
                    {"type": "PodScheduled", "status": "False", "message": "no node fits"},
                ],
            },
            "no node fits",
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]},
            "cannot be scheduled",
        ),
        ({"phase": "Pending"}, "No pod of Job"),
    ],
)
def test_what_keeps_a_jobs_pod_from_running_is_told_and_its_job_ended(
    claimable, make, status_, words
):
    settle(claimable, make)
    job_pod(claimable, make, **status_)
    settle(claimable, make)
    assert words in target(claimable)["message"]
    plan = decide(claimable, make, make.now + make.settings.runner_grace)
    assert any(isinstance(w, Delete) and w.name == JOB for w in plan.writes)
    settle(claimable, make, make.now + make.settings.runner_grace)
    assert target(claimable)["phase"] == "Failed"


def test_a_job_that_failed_for_good_fails_its_host_with_its_words(claimable, make):
    settle(claimable, make)
    end_job(claimable, message="BackoffLimitExceeded")
    settle(claimable, make)
    assert target(claimable)["reason"] == "JobFailed"
    assert "BackoffLimitExceeded" in target(claimable)["message"]


def test_a_job_that_failed_without_words_is_told(claimable, make):
    settle(claimable, make)
    end_job(claimable)
    settle(claimable, make)
    assert "the Job failed" in target(claimable)["message"]


def test_a_job_that_ended_without_a_report_fails_its_host(claimable, make):
    settle(claimable, make)
    end_job(claimable, "Complete")
    settle(claimable, make)
    assert "without a report" in target(claimable)["message"]


def test_a_pod_that_failed_before_it_claimed_leaves_the_job_its_second_try(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make, name="first", phase="Failed")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    job_pod(claimable, make, name="second")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Scheduled"


def test_a_pod_that_died_with_its_claim_leaves_the_job_its_second_try(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make, name="first", phase="Failed")
    claim(claimable, "first")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Running"
    job_pod(claimable, make, name="second")
    claim(claimable, "second")
    report(claimable, "Succeeded")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Succeeded"


def test_a_claim_is_given_up_when_its_job_has_no_try_left(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make, name="first", phase="Failed")
    claim(claimable, "first")
    end_job(claimable, message="BackoffLimitExceeded")
    settle(claimable, make)
    assert target(claimable)["reason"] == "RunnerDied"


def test_a_job_of_somebody_else_is_not_touched_and_told(claimable, make):
    foreign = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": JOB}, "spec": {}}
    claimable.add(foreign)
    settle(claimable, make)
    assert target(claimable)["reason"] == "NameTaken"
    settle(claimable, make, make.now + make.settings.runner_grace)
    assert target(claimable)["phase"] == "Failed"
    assert claimable.at("Job", JOB)


def test_a_job_that_somebody_deletes_before_its_claim_is_made_anew(claimable, make):
    settle(claimable, make)
    claimable.remove("Job", JOB)
    settle(claimable, make)
    assert claimable.at("Job", JOB)


def test_a_job_of_a_claimed_host_is_not_made_anew(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make)
    claim(claimable, "job-pod")
    settle(claimable, make)
    claimable.remove("Job", JOB)
    settle(claimable, make)
    assert ("Job", "shop", JOB) not in claimable.objects


def test_a_failed_target_whose_host_was_claimed_keeps_its_job_for_its_logs(claimable, make):
    settle(claimable, make)
    job_pod(claimable, make)
    claim(claimable, "job-pod")
    report(claimable, "Failed", error="x")
    assert not [w for w in decide(claimable, make).writes if isinstance(w, Delete)]


def test_a_missing_task_is_waited_for_within_the_grace(claimable, make):
    task = claimable.at("Task", "pvc-backup")
    claimable.remove("Task", "pvc-backup")
    settle(claimable, make)
    assert target(claimable)["phase"] == "Injecting"
    assert target(claimable)["reason"] == "TaskNotAvailable"
    claimable.add(task)
    settle(claimable, make)
    assert claimable.at("Job", JOB)


def test_a_member_without_a_task_name_is_told(claimable, make):
    member = make.member("PersistentVolumeClaim", "uploads")
    settle(claimable, make)
    claimable.remove("Job", JOB)
    del member["task"]
    claimable.set_spec("BackupBatch", "web", members=[member])
    settle(claimable, make)
    assert "the Task '' does not exist" in target(claimable)["message"]


def test_without_its_repository_a_started_session_creates_nothing(claimable, make):
    settle(claimable, make)
    claimable.remove("Job", JOB)
    claimable.remove("Repository", "repo")
    assert not [w for w in decide(claimable, make).writes if isinstance(w, Create)]


def test_interim_data_gets_its_claim_before_the_job(ready, make):
    template = {"metadata": {"name": "interim"}, "spec": {}}
    member = make.member("PersistentVolumeClaim", "uploads", interimVolumeTemplate=template)
    ready.add(make.batch(member), make.session())
    admit(ready)
    created = [w.obj["kind"] for w in decide(ready, make).writes if isinstance(w, Create)]
    assert created == ["PersistentVolumeClaim", "Job"]


def test_a_waiting_sequence_is_ended_by_the_deadline_with_what_it_waited_for(running, make):
    running.add(make.claim())
    members = [make.member(), make.member("PersistentVolumeClaim", "uploads")]
    running.set_spec("BackupBatch", "web", members=members, executionOrder="Sequential")
    settle(running, make)
    assert target(running, 1)["reason"] == "WaitingForTurn"
    settle(running, make, make.now + dt.timedelta(hours=24))
    assert "turn had not come" in target(running, 1)["message"]
    assert status(running)["phase"] == "Failed"


def test_a_waiting_session_is_ended_by_the_deadline_with_what_it_waited_for(ready, make):
    ready.add(make.batch(timeOut="1m"), make.session())
    settle(ready, make)
    settle(ready, make, make.now + dt.timedelta(minutes=1))
    assert status(ready)["phase"] == "Failed"
    assert "has not let the session in" in target(ready)["message"]
    assert "totalHosts" not in target(ready)


def test_a_final_target_stays_as_it_is_while_another_runs(running, make):
    running.set_spec(
        "BackupBatch", "web", members=[make.member("Deployment", "gone"), make.member()]
    )
    settle(running, make)
    before = target(running, 0)
    assert (before["phase"], before["reason"]) == ("Failed", "TargetNotFound")
    claim(running, index=1)
    running.add(make.workload("Deployment", "gone"))
    later = make.now + dt.timedelta(minutes=1)
    settle(running, make, later)
    assert target(running, 0) == before
    assert target(running, 1)["phase"] == "Running"


# -- after the end --------------------------------------------------------------------------------


def ended(view, make, type_="Failed", conditions=()):
    stats = [{"hostname": "host-0", "phase": "Succeeded"}]
    targets = [{"ref": {"kind": "Deployment", "name": "front"}, "stats": stats}]
    status_ = {"phase": "Succeeded", "targets": targets, "conditions": list(conditions)}
    view.add(make.batch(), make.session(status=status_))
    uid = view.at("BackupSession", "web-1")["metadata"]["uid"]
    name = names.maintain_job("repo", uid)
    done = {"conditions": [{"type": type_, "status": "True"}]} if type_ else {}
    view.add({"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": name}, "status": done})


def test_maintenance_that_could_not_report_itself_is_reported(ready, make):
    ended(ready, make)
    settle(ready, make)
    assert reason(ready, "RetentionPolicyApplied") == "FailedToApplyRetentionPolicy"
    assert reason(ready, "RepositoryIntegrityVerified") == "FailedToVerifyRepositoryIntegrity"
    assert status(ready)["phase"] == "Succeeded"


def test_what_maintenance_has_reported_stays(ready, make):
    done = {
        "type": "RetentionPolicyApplied",
        "status": "True",
        "lastTransitionTime": "2026-03-02T02:00:00Z",
        "reason": "R",
        "message": "m",
    }
    ended(ready, make, conditions=[done])
    settle(ready, make)
    assert reason(ready, "RetentionPolicyApplied") == "R"
    assert reason(ready, "RepositoryIntegrityVerified") == "FailedToVerifyRepositoryIntegrity"


def test_maintenance_that_is_still_running_is_left_alone(ready, make):
    ended(ready, make, type_="")
    assert not decide(ready, make).writes


def test_a_session_without_a_good_host_is_never_maintained(ready, make):
    ready.add(make.batch(), make.session(status={"phase": "Failed"}))
    assert not decide(ready, make).writes


def test_a_session_whose_maintenance_has_no_job_yet_is_left_alone(ready, make):
    ended(ready, make)
    job = next(name for kind, _, name in ready.objects if kind == "Job")
    ready.remove("Job", job)
    assert not decide(ready, make).writes


def test_deciding_twice_gives_the_same_plan(running, make):
    assert decide(running, make) == decide(running, make)
    assert sidecar.SLOT.mark_of(running.at("Pod", "front-1")) == MARK
