"""What was backed up comes back: into the same workload, claim and database."""

from __future__ import annotations

from acceptance import batches as b
from acceptance.place import Place, phase

from reconciler.api.resources import JsonObject

SQL = "mariadb --socket=/tmp/mariadb.sock --user=root --skip-column-names --execute"


def test_a_batch_lost_and_restored(place: Place) -> None:
    """Stash's WordPress example: files, a claim and a database, restored in sequence."""
    place.apply("shop-workloads.yaml", "databases.yaml", "backend.yaml")
    place.apply(
        b.batch(
            b.workload("StatefulSet", "cache"),
            b.claim("uploads"),
            b.database("mariadb", "mariadb-backup"),
        )
    )
    place.ready("Deployment", "mariadb")
    place.set_up()
    place.ready("StatefulSet", "cache")
    place.ready("Deployment", "web")
    place.execute(place.ready_pod("web"), "echo precious > /uploads/letter")
    for pod in ("cache-0", "cache-1"):
        place.execute(pod, "echo $HOSTNAME > /data/own")
    place.maintained(_backed_up(place))

    # everything is lost
    place.execute(place.ready_pod("web"), "rm /uploads/letter")
    _sql(place, "DROP DATABASE shop")
    place.apply(
        b.restore(
            b.back("AppBinding", "mariadb", {"snapshots": ["latest"]}, task=_MARIADB),
            b.back("PersistentVolumeClaim", "uploads"),
            b.back("StatefulSet", "cache", {"paths": ["/data"]}),
            executionOrder="Sequential",
        )
    )
    found = place.becomes("RestoreBatch", "back", _is_final, "has ended")
    assert phase(found) == "Succeeded", place.story()
    assert [member["phase"] for member in found["status"]["members"]] == ["Succeeded"] * 3

    # and everything is back, each pod's own files too: they lay in folders that died with the pods
    assert place.execute(place.ready_pod("web"), "cat /uploads/letter") == "precious\n"
    assert _sql(place, "SELECT COUNT(*) FROM shop.orders").strip() == "500"
    place.ready("StatefulSet", "cache")
    for pod in ("cache-0", "cache-1"):
        assert place.execute(pod, "cat /data/own") == f"{pod}\n"


def test_a_restore_of_what_was_never_backed_up_fails(place: Place) -> None:
    place.apply("shop-workloads.yaml", "backend.yaml", b.batch(b.claim("uploads")))
    place.set_up()
    place.ready("Deployment", "web")
    place.maintained(_backed_up(place))
    unknown = b.back("PersistentVolumeClaim", "uploads", {"sourceHost": "nobody"})
    place.apply(b.restore(unknown))
    found = place.becomes("RestoreBatch", "back", _is_final, "has ended")
    assert phase(found) == "Failed"
    (stat,) = found["status"]["members"][0]["stats"]
    assert "nobody" in stat["error"]


def test_an_operator_killed_in_a_restore(place: Place) -> None:
    place.apply("shop-workloads.yaml", "backend.yaml", b.batch(b.claim("uploads")))
    place.set_up()
    place.ready("Deployment", "web")
    place.maintained(_backed_up(place))
    place.execute(place.ready_pod("web"), "rm /uploads/name; touch /uploads/.hold")
    held = b.shell("while [ -e /stash-data/.hold ]; do sleep 0.2; done")
    uploads = b.back("PersistentVolumeClaim", "uploads", hooks={"preRestore": held})
    place.apply(b.restore({**uploads, "runtimeSettings": b.ROOT}))
    place.becomes("RestoreBatch", "back", lambda o: phase(o) == "Running", "is Running")
    place.cluster.kill_operator()
    place.execute(place.ready_pod("web"), "rm /uploads/.hold")
    found = place.becomes("RestoreBatch", "back", _is_final, "has ended")
    assert phase(found) == "Succeeded", place.story()
    assert place.execute(place.ready_pod("web"), "cat /uploads/name") == "uploads\n"


_MARIADB = {"name": "mariadb-restore"}


def _backed_up(place: Place) -> str:
    session = place.trigger()
    place.succeeded(session)
    return session


def _is_final(restore: JsonObject) -> bool:
    return phase(restore) in ("Succeeded", "Failed", "Skipped")


def _sql(place: Place, statement: str) -> str:
    return place.execute(place.ready_pod("mariadb"), f"{SQL} '{statement}'", "mariadb")
