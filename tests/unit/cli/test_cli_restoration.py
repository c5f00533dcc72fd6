"""A batch turned round: what ``tandem restore`` makes of it, without a cluster."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.decoding import decode
from reconciler.api.resources import RESTORE_BATCHES, RESTORE_SESSIONS
from reconciler.api.restore import RestoreBatch, RestoreSession
from reconciler.api.validation import validate
from reconciler.cli import restoration, snapshots
from reconciler.cli.snapshots import Filter, SnapshotLine
from reconciler.errors import NotFound, TerminalError

WEB = {
    "target": {
        "ref": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"},
        "paths": ["/data"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
}
DATABASE = {
    "target": {
        "ref": {
            "apiVersion": "appcatalog.appscode.com/v1alpha1",
            "kind": "AppBinding",
            "name": "db",
        },
        "alias": "books",
    },
    "task": {"name": "mysql-backup", "params": [{"name": "args", "value": "--databases a"}]},
    "tempDir": {"sizeLimit": "1Gi"},
}


def batch(*members, **spec):
    body = {"repository": {"name": "repo"}, "members": list(members), **spec}
    meta = {"name": "app", "namespace": "shop"}
    return {"kind": "BackupBatch", "metadata": meta, "spec": body}


def listed(*lines):
    """(id, hour, host) of snapshots, one path each."""
    return [
        SnapshotLine(name, f"2026-03-02T{hour:02}:00:00+01:00", host, (f"/{host}",))
        for name, hour, host in lines
    ]


def made(invoker, rules=restoration.latest, targets=()):
    wanted = restoration.chosen(restoration.members(invoker), targets)
    return restoration.manifest(invoker, wanted, rules, "back")


def test_every_member_comes_back_under_the_name_that_it_was_saved_by():
    resource, obj = made(batch(WEB, DATABASE, executionOrder="Sequential"))
    assert resource is RESTORE_BATCHES
    web, database = obj["spec"]["members"]
    assert web["target"] == {
        "alias": "sts-web",
        "ref": WEB["target"]["ref"],
        "rules": [{"snapshots": ["latest"]}],
        "volumeMounts": WEB["target"]["volumeMounts"],
    }
    assert database["target"]["alias"] == "books"
    assert database["task"] == {**DATABASE["task"], "name": "mysql-restore"}
    assert database["tempDir"] == {"sizeLimit": "1Gi"}
    assert obj["spec"]["executionOrder"] == "Sequential"
    assert validate(decode(RestoreBatch, obj)) == ()


def test_one_of_several_keeps_the_name_that_it_has_among_them():
    _, obj = made(batch(WEB, DATABASE), targets=["sts/web"])
    [member] = obj["spec"]["members"]
    assert member["target"]["alias"] == "sts-web"


def test_a_configuration_becomes_a_restore_session_of_its_only_target():
    configuration = {
        "kind": "BackupConfiguration",
        "metadata": {"name": "app", "namespace": "shop"},
        "spec": {"repository": {"name": "repo"}, **WEB},
    }
    resource, obj = made(configuration)
    assert resource is RESTORE_SESSIONS
    assert "alias" not in obj["spec"]["target"]
    assert validate(decode(RestoreSession, obj)) == ()


@pytest.mark.parametrize("text", ["web", "StatefulSet/web", "statefulset/web", "sts/web"])
def test_a_target_is_named_as_people_name_it(text):
    [found] = restoration.chosen(restoration.members(batch(WEB, DATABASE)), [text])
    assert found.ref.name == "web"


def test_a_target_that_the_batch_does_not_have_is_told_with_those_that_it_has():
    with pytest.raises(NotFound, match="it has StatefulSet/web, AppBinding/db"):
        restoration.chosen(restoration.members(batch(WEB, DATABASE)), ["deploy/web"])


def test_a_moment_takes_of_every_host_the_last_snapshot_until_then():
    found = listed(
        ("a1", 1, "sts-web-0"), ("a2", 2, "sts-web-0"), ("a3", 3, "sts-web-0"),
        ("b1", 1, "sts-web-1"), ("x", 2, "sts-website-0"),
    )  # fmt: skip
    rules = restoration.at(found, dt.datetime(2026, 3, 2, 1, 30, tzinfo=dt.UTC))  # 02:30 at +01:00
    _, obj = made(batch(WEB, DATABASE), rules, ["web"])
    assert obj["spec"]["members"][0]["target"]["rules"] == [
        {"targetHosts": ["sts-web-0"], "snapshots": ["a2"]},
        {"targetHosts": ["sts-web-1"], "snapshots": ["b1"]},
    ]


def test_a_moment_before_the_first_snapshot_is_told_with_its_time():
    early = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    [web] = restoration.members(batch(WEB))
    with pytest.raises(NotFound, match="its first one is of 2026-03-02T00:00:00Z"):
        restoration.at(listed(("a", 1, "host-0")), early)(web)
    with pytest.raises(NotFound, match="it has none"):
        restoration.at([], early)(web)


def test_a_snapshot_goes_to_the_target_whose_host_it_is_of():
    found = restoration.members(batch(WEB, DATABASE))
    one, rules = restoration.by_id(
        found, listed(("abcd", 1, "sts-web-1"), ("ef", 1, "books")), "AB"
    )
    assert str(one) == "StatefulSet/web"
    assert rules(one) == [{"targetHosts": ["sts-web-1"], "snapshots": ["abcd"]}]


def test_a_strangers_snapshot_needs_a_target_and_names_its_source():
    found = restoration.members(batch(WEB, DATABASE))
    strange = listed(("abcd", 1, "elsewhere"))
    with pytest.raises(TerminalError, match=r"of host elsewhere.* say with --target"):
        restoration.by_id(found, strange, "abcd")
    one, rules = restoration.by_id(found[:1], strange, "abcd")
    assert rules(one) == [{"sourceHost": "elsewhere", "snapshots": ["abcd"]}]


def test_an_id_that_is_not_there_or_is_not_clear_is_told():
    found = restoration.members(batch(WEB))
    with pytest.raises(NotFound, match="tandem snapshots lists them"):
        restoration.by_id(found, [], "abcd")
    with pytest.raises(TerminalError, match="2 begin so"):
        restoration.by_id(found, listed(("ab1", 1, "host-0"), ("ab2", 1, "host-0")), "ab")


def test_a_task_whose_name_does_not_tell_is_left_to_people():
    assert restoration.restore_task("postgres-backup-14.0") == "postgres-restore-14.0"
    with pytest.raises(TerminalError, match="write the RestoreBatch by hand"):
        restoration.restore_task("save-it")


def test_a_batch_of_volume_snapshots_has_no_repository_to_ask():
    with pytest.raises(TerminalError, match="kubectl get volumesnapshots"):
        snapshots.repository_of(batch(WEB, driver="VolumeSnapshotter", repository={}))


@pytest.mark.parametrize(
    ("host", "own"),
    [("sts-web-12", True), ("sts-web-x", False), ("books", True), ("books-1", False)],
)
def test_a_batch_owns_the_hosts_of_its_members(host, own):
    assert bool(snapshots.of_invoker(batch(WEB, DATABASE)).match(host)) is own


def test_a_path_takes_what_is_at_it_and_below_it():
    snapshot = SnapshotLine("a", "2026-03-02T01:00:00Z", "h", ("/data/www",), ("nightly",))
    assert Filter(paths=["/data"]).takes(snapshot)
    assert Filter(paths=["/data/www/"], tags=["nightly", "x"], hosts=["h"]).takes(snapshot)
    assert not Filter(paths=["/dat"]).takes(snapshot)
    assert not Filter(tags=["x"]).takes(snapshot)
    assert not Filter(hosts=["other"]).takes(snapshot)
