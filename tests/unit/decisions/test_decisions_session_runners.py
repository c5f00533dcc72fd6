"""A session: who runs its hosts, and when a host is given up."""

from __future__ import annotations

import datetime as dt

import pytest
from session_steps import (
    MARK,
    admit,
    claim,
    decide,
    reason,
    reasons,
    report,
    settle,
    status,
    target,
)

from reconciler.api.resources import BACKUP_BATCHES, Key
from reconciler.decisions import invoker, progress

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
