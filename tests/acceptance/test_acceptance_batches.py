"""Stash's own scenarios of batches, by name: many kinds of targets, pause, what may go wrong."""

from __future__ import annotations

from acceptance import batches as b
from acceptance.cluster import holds
from acceptance.place import Place, names, phase, phases, stats, targets

from reconciler.api.resources import JsonObject


def test_heterogeneous_targets(place: Place) -> None:
    place.apply("workloads.yaml", "databases.yaml", "backend.yaml")
    place.apply(
        b.batch(
            b.workload("Deployment", "web"),
            b.claim("uploads"),
            b.database("mariadb", "mysql-backup"),
        )
    )
    place.ready("Deployment", "mariadb")
    place.set_up()
    place.succeeded(place.trigger())
    assert place.hosts_and_paths() == {
        ("web", "/data"),
        ("uploads", "/stash-data"),
        ("mariadb", "/dumpfile.sql"),
    }


def test_workloads_backed_up_side_by_side(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    place.kubectl("scale", "statefulset/cache", "--replicas=3")
    place.ready("StatefulSet", "cache")
    kinds = {"Deployment": "web", "StatefulSet": "cache", "DaemonSet": "collector"}
    settings = {"runtimeSettings": b.ROOT}
    place.apply(b.batch(*(b.workload(kind, name, **settings) for kind, name in kinds.items())))
    place.set_up()
    for kind, name in kinds.items():
        place.ready(kind, name)
    session = place.succeeded(place.trigger())
    found = {stat["hostname"] for stat in stats(session)}
    assert len(found) == 5
    assert {"web", "cache-0", "cache-1", "cache-2"} < found
    assert {host for host, _ in place.hosts_and_paths()} == found


def test_a_paused_batch(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    place.apply(b.batch(b.workload("Deployment", "web"), schedule=b.EVERY_MINUTE))
    first = place.until(lambda: _of_a_slot(place), "a slot has its session")

    # paused: no more slots, what runs ends well, and a session by hand is still made
    place.patch("BackupBatch", "shop", {"spec": {"paused": True}})
    place.until(lambda: place.cron_job()["spec"]["suspend"], "the CronJob is suspended")
    place.succeeded(next(iter(first)))
    place.succeeded(place.trigger())
    before = _of_a_slot(place)

    # unpaused: the slots go on
    place.patch("BackupBatch", "shop", {"spec": {"paused": False}})
    place.until(lambda: not place.cron_job()["spec"]["suspend"], "the CronJob goes on")
    fresh = place.until(lambda: _of_a_slot(place) - before, "another slot has its session")
    place.succeeded(next(iter(fresh)))


def test_a_member_that_fails_fails_alone(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    bad = b.workload("Deployment", "web", path="/data/invalid/path")
    place.apply(b.batch(bad, b.claim("uploads")))
    place.set_up()
    place.ready("Deployment", "web")
    session = place.ended(place.trigger())
    assert phase(session) == "Failed"
    assert phases(session) == {
        "Deployment/web": "Failed",
        "PersistentVolumeClaim/uploads": "Succeeded",
    }
    (stat,) = targets(session)["Deployment/web"]["stats"]
    assert "/data/invalid/path" in stat["error"]
    assert place.hosts_and_paths() == {("uploads", "/stash-data")}


def test_members_in_sequence(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    members = b.claim("uploads"), b.workload("Deployment", "web")
    place.apply(b.batch(*members, executionOrder="Sequential"))
    place.set_up()
    place.ready("Deployment", "web")
    session = place.succeeded(place.trigger())
    first, second = targets(session).values()
    assert first["hosts"][0]["startTime"] <= second["startTime"]
    assert second["startTime"] <= second["hosts"][0]["startTime"]


def test_a_session_ends_at_its_time_out(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    endless = b.workload("Deployment", "web")
    endless["hooks"] = {"preBackup": b.shell("sleep 600", "stash")}
    place.apply(b.batch(endless, b.claim("uploads"), timeOut="60s"))
    place.set_up()
    place.ready("Deployment", "web")
    session = place.ended(place.trigger())
    assert phases(session) == {
        "Deployment/web": "Failed",
        "PersistentVolumeClaim/uploads": "Succeeded",
    }


def test_history_beyond_its_limit_goes(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    place.apply(b.batch(b.claim("uploads"), backupHistoryLimit=2))
    place.set_up()
    sessions = [place.trigger() for _ in range(1)]
    for _ in range(3):
        place.succeeded(sessions[-1])
        place.maintained(sessions[-1])
        sessions.append(place.trigger())
    place.succeeded(sessions[-1])
    place.until(lambda: names(place.all("BackupSession")) == set(sessions[-2:]), "two are left")
    # retention is per host: three are kept of four
    place.maintained(sessions[-1])
    assert len(place.snapshots()) == 3


def test_a_session_beside_one_that_runs_is_skipped(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    slow = b.workload("Deployment", "web")
    slow["hooks"] = {"preBackup": b.shell("until [ -e /data/go ]; do sleep 0.2; done", "stash")}
    place.apply(b.batch(slow))
    place.set_up()
    place.ready("Deployment", "web")
    running = place.trigger()
    place.in_phase(running, "Running")
    beside = place.ended(place.trigger())
    assert (phase(beside), holds(beside, "Skipped")) == ("Skipped", True)
    place.execute(place.ready_pod("web"), "touch /data/go")
    place.succeeded(running)


def test_a_failed_session_is_tried_again(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    place.apply(b.batch(b.claim("gone-for-now"), retryConfig={"maxRetry": 1, "delay": "5s"}))
    place.set_up("Pending", "Scheduled", "Failed")
    first = place.trigger()
    place.in_phase(first, "Failed")
    again = f"{first}-retry-1"
    place.until(lambda: place.find("BackupSession", again), "it is tried again")
    assert phase(place.ended(again)) == "Failed"
    assert f"{first}-retry-2" not in names(place.all("BackupSession"))


def _of_a_slot(place: Place) -> set[str]:
    found: list[JsonObject] = place.all("BackupSession")
    return {
        s["metadata"]["name"]
        for s in found
        if "tandem.appscode.com/slot" in (s["metadata"].get("annotations") or {})
    }
