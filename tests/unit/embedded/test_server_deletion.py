"""Deletion: finalizers, grace, preconditions, propagation, namespaces."""

from __future__ import annotations

from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


def test_a_finalizer_holds_an_object_until_it_is_taken_away(api: Any) -> None:
    api.create("", {"metadata": {"name": "a", "finalizers": ["x.io/y"]}})
    marked = api.delete("a")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    api.merge("a", {"metadata": {"finalizers": None}})
    assert api.send("GET", "a").status == 404


def test_an_object_stays_while_one_of_its_finalizers_does(api: Any) -> None:
    api.create("", {"metadata": {"name": "a", "finalizers": ["x.io/y", "x.io/z"]}})
    api.delete("a")
    api.merge("a", {"metadata": {"labels": {"still": "here"}}})
    api.merge("a", {"metadata": {"finalizers": ["x.io/z"]}})
    assert api.get("a")["metadata"]["labels"] == {"still": "here"}


def test_deleting_twice_does_not_move_the_deadline(api: Any) -> None:
    api.create("", {"metadata": {"name": "a", "finalizers": ["x.io/y"]}})
    first = api.delete("a")
    api.clock.advance(60)
    assert api.delete("a") == first


def test_a_pod_on_a_node_is_given_its_grace(api: Any) -> None:
    api.create(PODS, pod(nodeName="n", terminationGracePeriodSeconds=20))
    meta = api.delete(f"{PODS}/p")["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 20
    assert meta["deletionTimestamp"] == "2026-01-01T00:00:20Z"
    api.delete(f"{PODS}/p", gracePeriodSeconds="0")
    assert api.send("GET", f"{PODS}/p").status == 404


def test_a_pod_that_no_node_has_or_that_is_over_goes_at_once(api: Any) -> None:
    api.create(PODS, pod("unbound"))
    api.create(PODS, pod("over", nodeName="n"))
    api.merge(f"{PODS}/over/status", {"status": {"phase": "Succeeded"}})
    for name in ("unbound", "over"):
        api.delete(f"{PODS}/{name}")
        assert api.send("GET", f"{PODS}/{name}").status == 404


def test_a_grace_of_zero_takes_a_bound_pod_at_once(api: Any) -> None:
    api.create(PODS, pod(nodeName="n"))
    api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert api.send("GET", f"{PODS}/p").status == 404


def test_another_objects_uid_is_a_conflict(api: Any) -> None:
    api.create("", {"metadata": {"name": "a"}})
    answer = api.send("DELETE", "a", {"preconditions": {"uid": "another"}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    uid = api.get("a")["metadata"]["uid"]
    api.delete("a", {"preconditions": {"uid": uid}})


def test_propagation_is_left_to_the_collector_as_a_finalizer(api: Any) -> None:
    for name, policy, finalizer in (
        ("f", "Foreground", "foregroundDeletion"),
        ("o", "Orphan", "orphan"),
    ):
        api.create("", {"metadata": {"name": name}})
        marked = api.delete(name, propagationPolicy=policy)
        assert marked["metadata"]["finalizers"] == [finalizer]
    api.create("", {"metadata": {"name": "b"}})
    assert api.delete("b", propagationPolicy="Background")["status"] == "Success"


def test_dependents_are_found_by_their_owners_uid(api: Any) -> None:
    owner = api.create("", {"metadata": {"name": "a"}})
    uid = owner["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": uid}
    api.create("", {"metadata": {"name": "b", "ownerReferences": [reference]}})
    assert [each["metadata"]["name"] for each in api.server.dependents(uid)] == ["b"]
    api.merge("b", {"metadata": {"ownerReferences": None}})
    assert api.server.dependents(uid) == []


def test_a_collection_is_deleted_by_selector(api: Any) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        api.create("", {"metadata": {"name": name, "labels": {"l": label}}})
    api.delete("", labelSelector="l=x")
    assert [each["metadata"]["name"] for each in api.get("")["items"]] == ["c"]


def test_a_namespace_waits_for_its_controller_and_takes_nothing_new(api: Any) -> None:
    api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert api.delete("/api/v1/namespaces/n")["status"]["phase"] == "Terminating"
    answer = api.send("POST", "/api/v1/namespaces/n/configmaps", {"metadata": {"name": "a"}})
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    body = {"metadata": {"name": "n"}, "spec": {"finalizers": []}}
    assert api.send("PUT", "/api/v1/namespaces/n/finalize", body).status == 200
    assert api.send("GET", "/api/v1/namespaces/n").status == 404


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_the_namespaces_that_every_cluster_has_cannot_be_deleted(api: Any, name: str) -> None:
    answer = api.send("DELETE", f"/api/v1/namespaces/{name}")
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    )
    assert "deletionTimestamp" not in api.send("GET", f"/api/v1/namespaces/{name}").body["metadata"]


def test_a_dry_deletion_deletes_nothing(api: Any) -> None:
    api.create("", {"metadata": {"name": "a"}})
    api.delete("a", dryRun="All")
    api.delete("a", {"dryRun": ["All"]})
    assert api.get("a")
