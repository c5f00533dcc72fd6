"""The seed's ten steps, end to end: what its batch-backup-overview promises, one by one.

Everything is done with the stock kubectl and manifests that Stash v0.10 takes as they are.
"""

from __future__ import annotations

import datetime as dt

from acceptance.cluster import holds
from acceptance.place import Place, hosts, names, phase, phases, stats, targets

from reconciler.api.resources import JsonObject

WORKLOADS = {"Deployment": "web", "StatefulSet": "cache", "DaemonSet": "collector"}
FILES, CLAIM, DUMP = "/data", "/stash-data", "dumpfile.sql"


def test_the_ten_steps(place: Place) -> None:
    _the_application_runs(place)
    before = {name: place.get(kind, name) for kind, name in WORKLOADS.items()}
    (node,) = {pod["spec"]["nodeName"] for pod in place.pods("collector")}

    # 1. a user creates a backend Secret
    place.apply("ten-steps/1-secret.yaml")
    # 2. then a Repository: nothing is done to a backend that nobody uses
    place.apply("ten-steps/2-repository.yaml")
    assert set(place.table("repository")) == {"shop"}
    # 3. then a BackupBatch
    place.apply("ten-steps/3-batch.yaml")
    # 4. the operator sees it, and says what it thinks of it
    batch = place.becomes("BackupBatch", "shop", phase, "has a phase")
    assert phase(batch) in ("Injecting", "Scheduled")
    assert holds(batch, "RepositoryFound")
    assert holds(batch, "BackendSecretFound")
    row = place.table("backupbatch")["shop"]
    assert (row["SCHEDULE"], row["PAUSED"]) == ("* * * * *", "")

    # 5. the workloads get a sidecar named stash, and are otherwise as they were
    for kind, name in WORKLOADS.items():
        own, sidecar = _containers(place.ready(kind, name))
        assert own == before[name]["spec"]["template"]["spec"]["containers"]
        assert [each["name"] for each in sidecar] == ["stash"]
    place.becomes("BackupBatch", "shop", lambda b: phase(b) != "Injecting", "has its sidecars")
    # 6. there is a CronJob
    cron_job = place.cron_job()
    assert cron_job["spec"]["schedule"] == "* * * * *"
    assert not cron_job["spec"]["suspend"]

    # 7. it creates a BackupSession in each slot
    session = place.until(lambda: _first_of_a_slot(place), "a slot has its session")
    slot = session["metadata"]["annotations"]["tandem.appscode.com/slot"]
    when = dt.datetime.fromisoformat(slot)
    assert (when.second, session["metadata"]["name"]) == (0, f"shop-{int(when.timestamp())}")
    place.patch("BackupBatch", "shop", {"spec": {"paused": True}})  # one slot is enough

    # 8. and 9. the controllers see the session: sidecars take theirs, the others get a Job each
    name = session["metadata"]["name"]
    place.in_phase(name, "Running", "Succeeded")
    assert place.table("backupsession")[name]["INVOKER-NAME"] == "shop"
    jobs = {f"stash-backup-{name}-{member}" for member in (3, 4, 5)}
    place.until(lambda: jobs <= names(place.all("Job")), "the other three have a Job each")

    # 10. each target completes by itself and updates its own fields
    session = place.succeeded(name)
    assert set(phases(session).values()) == {"Succeeded"}
    assert place.table("backupsession")[name]["PHASE"] == "Succeeded"
    expected = {
        "Deployment/web": {"deploy-web"},
        "StatefulSet/cache": {"cache-0", "cache-1"},
        "DaemonSet/collector": {f"ds-collector-{node}"},
        "PersistentVolumeClaim/uploads": {"uploads"},
        "AppBinding/mariadb": {"orders"},
        "AppBinding/postgres": {"app-postgres"},
    }
    _each_has_written_its_own_fields(place, session, expected)

    # and the repository holds exactly what the batch says
    assert place.hosts_and_paths() == {
        ("deploy-web", FILES),
        ("cache-0", FILES),
        ("cache-1", FILES),
        (f"ds-collector-{node}", FILES),
        ("uploads", CLAIM),
        ("orders", f"/{DUMP}"),
        ("app-postgres", f"/{DUMP}"),
    }
    reported = {s["name"] for stat in stats(session) for s in stat["snapshots"]}
    assert {snapshot["short_id"] for snapshot in place.snapshots()} == reported

    place.maintained(name)
    row = place.table("repository")["shop"]
    assert (row["INTEGRITY"], row["SNAPSHOT-COUNT"]) == ("true", "7")
    assert place.table("backupbatch")["shop"]["PAUSED"] == "true"
    assert place.table("backupsession")[name]["PHASE"] == "Succeeded"


def _the_application_runs(place: Place) -> None:
    place.apply("workloads.yaml", "databases.yaml")
    for kind, name in WORKLOADS.items():
        place.ready(kind, name)
    for database in ("mariadb", "postgres"):
        place.ready("Deployment", database)
    place.becomes("Pod", "uploader", lambda pod: phase(pod) == "Succeeded", "has written")


def _each_has_written_its_own_fields(
    place: Place, session: JsonObject, expected: dict[str, set[str]]
) -> None:
    """The hosts of each target, by the runners that the target has; nobody ran twice."""
    found = targets(session)
    assert {
        name: {stat["hostname"] for stat in target["stats"]} for name, target in found.items()
    } == expected
    assert all(stat["phase"] == "Succeeded" for stat in stats(session))
    for app in WORKLOADS.values():
        (target,) = (t for t in found.values() if t["ref"]["name"] == app)
        pods = {pod["metadata"]["uid"] for pod in place.pods(app)}
        assert {host["runnerUID"] for host in target["hosts"]} == pods
    runners = [host["runnerUID"] for host in hosts(session)]
    assert len(set(runners)) == len(runners) == 7


def _containers(workload: JsonObject) -> tuple[list[JsonObject], list[JsonObject]]:
    """The workload's own containers, and the others."""
    found = workload["spec"]["template"]["spec"]["containers"]
    own = [each for each in found if each["name"] == "app"]
    return own, [each for each in found if each["name"] != "app"]


def _first_of_a_slot(place: Place) -> JsonObject | None:
    found = place.all("BackupSession")
    return next((s for s in found if s["metadata"].get("annotations")), None)
