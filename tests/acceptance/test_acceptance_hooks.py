"""Stash's own scenarios of hooks in batches, by name: HTTP, exec, and every place that may fail."""

from __future__ import annotations

import pytest
from acceptance import batches as b
from acceptance.cluster import holds
from acceptance.place import Place, phase, phases

from reconciler.api.resources import JsonObject

OPERATOR = "operator"
"""The container of a batch's own hooks, as in Stash."""
SQL = "mariadb --socket=/tmp/mariadb.sock --user=root --skip-column-names --execute"
READ_ONLY = b.shell(f"{SQL} 'SET GLOBAL read_only = ON'", "mariadb")
WRITABLE = b.shell(f"{SQL} 'SET GLOBAL read_only = OFF'", "mariadb")


@pytest.mark.parametrize("when", ["preBackup", "postBackup"])
def test_http_hooks(place: Place, when: str) -> None:
    place.apply("pages.yaml", "backend.yaml")
    place.ready("StatefulSet", "pages")
    own, other = b.workload("StatefulSet", "pages"), b.workload("StatefulSet", "feeds")
    own["hooks"] = {when: b.http("httpGet", "/own/200")}
    other["hooks"] = {when: b.http("httpPost", "/other/200", f"pages.{place.namespace}.svc")}
    whole = {when: b.http("httpGet", "/whole/200", f"pages.{place.namespace}.svc")}
    place.apply(b.batch(own, other, hooks=whole))
    place.set_up()
    for name in ("pages", "feeds"):
        place.ready("StatefulSet", name)
    session = place.succeeded(place.trigger())
    assert _said_of_the_whole(session, when) == "True"
    heard = place.execute("pages-0", "cat /tmp/requests").split("\n")
    requests = [line.strip() for line in heard if line.strip()]
    assert sorted(requests) == ["GET /own/200", "GET /whole/200", "POST /other/200"]
    # the batch's own is the first of all, or the last
    assert requests[0 if when == "preBackup" else -1] == "GET /whole/200"


def test_exec_hooks_before_a_backup(place: Place) -> None:
    _shop_with_database(place, {"preBackup": READ_ONLY}, {"preBackup": b.shell("exit 0", OPERATOR)})
    session = place.succeeded(place.trigger())
    assert _said_of_the_whole(session, "preBackup") == "True"
    assert _is_read_only(place)


def test_exec_hooks_around_a_backup(place: Place) -> None:
    member = {"preBackup": READ_ONLY, "postBackup": WRITABLE}
    _shop_with_database(place, member, {"postBackup": b.shell("exit 0", OPERATOR)})
    place.succeeded(place.trigger())
    assert not _is_read_only(place)


def test_a_failed_hook_before_the_batch_keeps_everything_from_being_done(place: Place) -> None:
    whole = {"preBackup": b.shell("exit 1", OPERATOR)}
    _shop_with_database(place, {"preBackup": READ_ONLY}, whole)
    session = place.ended(place.trigger())
    assert phase(session) == "Failed"
    assert _said_of_the_whole(session, "preBackup") == "False"
    assert set(phases(session).values()) == {"Failed"}
    assert not _is_read_only(place)
    assert place.snapshots() == []


def test_a_failed_hook_after_the_batch_fails_the_session_alone(place: Place) -> None:
    whole = {"postBackup": b.shell("exit 1", OPERATOR)}
    _shop_with_database(place, {"preBackup": READ_ONLY}, whole)
    session = place.ended(place.trigger())
    assert phase(session) == "Failed"
    assert _said_of_the_whole(session, "postBackup") == "False"
    assert set(phases(session).values()) == {"Succeeded"}
    assert {host for host, _ in place.hosts_and_paths()} == {"web", "mariadb"}
    assert _is_read_only(place)


def test_the_hook_after_the_batch_runs_although_a_member_failed(place: Place) -> None:
    whole = {"postBackup": b.shell("exit 1", OPERATOR)}
    _shop_with_database(place, {}, whole, path="/data/invalid/path")
    session = place.ended(place.trigger())
    assert phase(session) == "Failed"
    assert phases(session) == {"Deployment/web": "Failed", "AppBinding/mariadb": "Succeeded"}
    assert _said_of_the_whole(session, "postBackup") == "False"


def test_a_failed_hook_before_a_member_keeps_its_data_from_being_read(place: Place) -> None:
    _shop_with_database(place, {"preBackup": b.shell("exit 3", "mariadb")}, None)
    session = place.ended(place.trigger())
    assert phases(session) == {"Deployment/web": "Succeeded", "AppBinding/mariadb": "Failed"}
    assert place.hosts_and_paths() == {("web", "/data")}


def _shop_with_database(
    place: Place, member: JsonObject, whole: JsonObject | None, path: str = "/data"
) -> None:
    """A Deployment and a MariaDB, whose member has hooks, in a batch that has hooks."""
    place.apply("workloads.yaml", "databases.yaml", "backend.yaml")
    place.ready("Deployment", "mariadb")
    database = b.database("mariadb", "mariadb-backup", hooks=member)
    hooks = {"hooks": whole} if whole else {}
    place.apply(b.batch(b.workload("Deployment", "web", path=path), database, **hooks))
    place.set_up()
    place.ready("Deployment", "web")


def _is_read_only(place: Place) -> bool:
    line = f"{SQL} 'SELECT @@global.read_only'"
    return place.execute(place.ready_pod("mariadb"), line, "mariadb").strip() == "1"


def _said_of_the_whole(session: JsonObject, when: str) -> str:
    """The status of the condition about the batch's own hook; "" without one."""
    type_ = f"Global{when[0].upper()}{when[1:]}HookSucceeded"
    return next((s for s in ("True", "False") if holds(session, type_, s)), "")
