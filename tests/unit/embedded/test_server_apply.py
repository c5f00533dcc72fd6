"""Patches and server-side apply: who owns what, and what goes when nobody does."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cluster import transport

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def deployment(containers: list[Any], **spec: Any) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}
    base = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    return {**base, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod, **spec}}


def owners(obj: Any) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def test_what_is_no_longer_applied_goes(api: Any) -> None:
    assert api.apply("a", config(x="1", y="2"), "me").status == 201
    after = api.ok(api.apply("a", config(x="1"), "me"))
    assert after["data"] == {"x": "1"}


def test_what_another_one_owns_stays(api: Any) -> None:
    api.apply("a", config(x="1", y="2"), "me")
    api.apply("a", config(y="2"), "other")
    after = api.ok(api.apply("a", config(x="1"), "me"))
    assert after["data"] == {"x": "1", "y": "2"}


def test_a_value_of_another_owner_is_a_conflict_and_force_takes_it(api: Any) -> None:
    api.apply("a", config(x="1"), "one")
    answer = api.apply("a", config(x="2"), "two")
    assert answer.status == 409
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert api.get("a")["data"] == {"x": "1"}
    forced = api.ok(api.apply("a", config(x="2"), "two", force=True))
    assert forced["data"] == {"x": "2"}
    assert "one" not in owners(forced)


def test_the_same_apply_again_writes_nothing(api: Any) -> None:
    first = api.ok(api.apply("a", config(x="1"), "me"))
    api.clock.advance(3600)
    again = api.ok(api.apply("a", config(x="1"), "me"))
    assert again == first


def test_a_sidecar_comes_and_goes_and_the_rest_stays(api: Any) -> None:
    api.create(DEPLOYMENTS, deployment([{"name": "app", "image": "app:1"}]), fieldManager="owner")
    before = api.get(f"{DEPLOYMENTS}/d")["spec"]
    sidecar = {"name": "stash", "image": "t", "ports": [{"containerPort": 80}]}
    wish = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "annotations": {"x": "y"}},
        "spec": {"template": {"spec": {"containers": [sidecar]}}},
    }
    after = api.ok(api.apply(f"{DEPLOYMENTS}/d", wish, "tandem"))
    names = [item["name"] for item in after["spec"]["template"]["spec"]["containers"]]
    assert names == ["app", "stash"]
    nothing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    gone = api.ok(api.apply(f"{DEPLOYMENTS}/d", nothing, "tandem"))
    assert gone["spec"] == before
    assert "annotations" not in gone["metadata"]


def test_an_update_owns_what_it_changed_and_no_more(api: Any) -> None:
    api.apply("a", config(x="1", y="2"), "one")
    after = api.merge("a", {"data": {"y": "3"}}, fieldManager="two")
    assert owners(after) == {
        "one": {"f:data": {"f:x": {}}},
        "two": {"f:data": {"f:y": {}}},
    }


def test_a_status_has_owners_of_its_own(api: Any) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    api.create(PODS, pod, fieldManager="maker")
    after = api.merge(f"{PODS}/p/status", {"status": {"message": "hi"}}, fieldManager="kubelet")
    found = [each for each in after["metadata"]["managedFields"] if each.get("subresource")]
    assert [each["manager"] for each in found] == ["kubelet"]
    assert found[0]["fieldsV1"] == {"f:status": {"f:message": {}}}


def test_applied_fields_that_the_kind_does_not_have_are_refused(api: Any) -> None:
    answer = api.apply("a", {**config(), "colour": "red"}, "me")
    assert ".colour: field not declared in schema" in answer.body["message"]


@pytest.mark.parametrize(
    ("target", "patch", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ],
)
def test_merge_patch_follows_its_rfc(api: Any, target: Any, patch: Any, wanted: Any) -> None:
    api.create("", config(**target))
    assert api.merge("a", {"data": patch})["data"] == wanted


@pytest.mark.parametrize(
    ("operations", "wanted"),
    [
        ([{"op": "add", "path": "/data/z", "value": "1"}], {"x": "1", "z": "1"}),
        ([{"op": "remove", "path": "/data/x"}], None),
        ([{"op": "replace", "path": "/data/x", "value": "2"}], {"x": "2"}),
        ([{"op": "move", "from": "/data/x", "path": "/data/y"}], {"y": "1"}),
        ([{"op": "copy", "from": "/data/x", "path": "/data/y"}], {"x": "1", "y": "1"}),
        ([{"op": "test", "path": "/data/x", "value": "1"}], {"x": "1"}),
        ([{"op": "add", "path": "/data/a~1b", "value": "1"}], 422),
        ([{"op": "replace", "path": "/data/none", "value": "1"}], 422),
        ([{"op": "test", "path": "/data/x", "value": "2"}], 422),
        ([{"op": "sing", "path": "/data/x"}], 422),
    ],
)
def test_json_patch_follows_its_rfc(api: Any, operations: Any, wanted: Any) -> None:
    api.create("", config(x="1"))
    answer = api.patch("a", operations, transport.JSON_PATCH)
    if wanted == 422:
        assert answer.status == 422
        assert api.get("a")["data"] == {"x": "1"}
    else:
        assert api.ok(answer).get("data") == wanted


def containers(api: Any, patch: list[Any], **more: Any) -> list[str]:
    body = {"spec": {"template": {"spec": {"containers": patch, **more}}}}
    answer = api.patch(f"{DEPLOYMENTS}/d", body, transport.STRATEGIC_MERGE_PATCH)
    found = api.ok(answer)["spec"]["template"]["spec"]["containers"]
    return [f"{item['name']}={item['image']}" for item in found]


def test_a_strategic_patch_merges_containers_by_name(api: Any) -> None:
    api.create(DEPLOYMENTS, deployment([{"name": n, "image": "1"} for n in ("a", "b")]))
    assert containers(api, [{"name": "b", "image": "2"}]) == ["a=1", "b=2"]
    assert containers(api, [{"name": "c", "image": "3"}]) == ["c=3", "a=1", "b=2"]
    assert containers(api, [{"name": "a", "$patch": "delete"}]) == ["c=3", "b=2"]
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}]}
    assert containers(api, [{"name": "c", "image": "4"}], **order) == ["b=2", "c=4"]
    assert containers(api, [{"$patch": "replace"}, {"name": "z", "image": "9"}]) == ["z=9"]
