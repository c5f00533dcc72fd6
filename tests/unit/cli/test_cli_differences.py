"""A plan's differences: what was decided, by whom, and never a secret."""

from __future__ import annotations

from reconciler.cli import differences


def config_map(name="a", namespace="demo", **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "uid": "1", "resourceVersion": "7"},
        "data": data,
    }


def compared(before, after, author="operator"):
    return differences.compare(differences.by_name(before), differences.by_name(after), author)


def test_objects_that_differ_only_in_what_the_server_writes_are_the_same():
    before, after = config_map(k="v"), config_map(k="v")
    after["metadata"] |= {"uid": "2", "resourceVersion": "9", "generation": 3}
    after["status"] = {"phase": "New"}

    assert compared([before], [after]) == []


def test_created_changed_and_deleted_objects_are_told_apart():
    changes = compared(
        [config_map("changed", k="old"), config_map("deleted")],
        [config_map("changed", k="new"), config_map("created")],
    )

    assert {(change.name, change.action) for change in changes} == {
        ("changed", "change"),
        ("created", "create"),
        ("deleted", "delete"),
    }


def test_the_diff_of_a_change_shows_the_old_and_the_new_line():
    [change] = compared([config_map(k="old")], [config_map(k="new")])

    assert "-  k: old" in change.diff
    assert "+  k: new" in change.diff


def test_cluster_wide_objects_come_before_those_of_namespaces():
    role = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "z"}}

    assert [change.kind for change in compared([], [config_map(), role])] == [
        "Namespace",
        "ConfigMap",
    ]


def test_the_values_of_a_secret_are_hidden_and_its_keys_are_not():
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "demo"},
        "data": {"RESTIC_PASSWORD": "Y2FuYXJ5"},
    }

    [change] = compared([], [secret])

    assert "RESTIC_PASSWORD" in change.diff
    assert "Y2FuYXJ5" not in change.diff
