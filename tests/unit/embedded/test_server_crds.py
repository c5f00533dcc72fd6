"""CustomResourceDefinitions: served at once, validated, pruned, defaulted, gone with all theirs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reconciler.cluster import transport

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
CRD: dict[str, Any] = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Since", "type": "date", "jsonPath": ".status.since"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string", "minLength": 2},
                                    "size": {"type": "integer", "default": 3, "maximum": 9},
                                    "free": {
                                        "type": "object",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                    },
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["id"],
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "id": {"type": "string"},
                                                "weight": {"type": "integer"},
                                            },
                                        },
                                    },
                                },
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str = "w", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"name": "abc", **spec},
    }


@pytest.fixture
def served(api: Any) -> Any:
    api.create(CRDS, copy.deepcopy(CRD))
    return api


def causes(answer: Any) -> list[str]:
    assert answer.status == 422, answer.body
    found = answer.body["details"]["causes"]
    return [f"{cause['field']}: {cause['message']}" for cause in found]


def test_a_crd_is_served_as_soon_as_it_is_made(served: Any) -> None:
    crd = served.get(f"{CRDS}/widgets.example.com")
    conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert served.get(WIDGETS)["kind"] == "WidgetList"


def test_unknown_fields_are_pruned_and_absent_ones_defaulted(served: Any) -> None:
    made = served.create(WIDGETS, widget(colour="red", size=None, free={"x": {"y": None}}))
    assert made["spec"] == {"name": "abc", "size": 3, "free": {"x": {"y": None}}}


def test_faults_are_told_with_their_paths(served: Any) -> None:
    body = widget(size="big", parts=[{"id": "a"}, {"id": "a"}, {"weight": 1}])
    body["spec"]["name"] = "x"
    assert sorted(causes(served.send("POST", WIDGETS, body))) == [
        'spec.name: Invalid value: "x": spec.name in body should be at least 2 chars long',
        'spec.parts[1]: Duplicate value: map[string]interface {}{"id":"a"}',
        "spec.parts[2].id: Required value",
        'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
    ]


def test_a_default_that_comes_later_is_seen_in_older_objects(served: Any) -> None:
    served.create(WIDGETS, widget())
    version = served.get(f"{WIDGETS}/w")["metadata"]["resourceVersion"]
    fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    operations = [
        {"op": "add", "path": f"{fields}/mode", "value": {"type": "string", "default": "fast"}}
    ]
    served.ok(served.patch(f"{CRDS}/widgets.example.com", operations, transport.JSON_PATCH))
    after = served.get(f"{WIDGETS}/w")
    assert after["spec"]["mode"] == "fast"
    assert after["metadata"]["resourceVersion"] == version


def test_the_spec_and_the_status_do_not_touch_each_other(served: Any) -> None:
    served.create(WIDGETS, {**widget(), "status": {"phase": "ignored"}})
    served.merge(f"{WIDGETS}/w/status", {"spec": {"size": 9}, "status": {"phase": "Ready"}})
    after = served.merge(f"{WIDGETS}/w", {"spec": {"size": 4}, "status": {"phase": "ignored"}})
    assert (after["spec"]["size"], after["status"]) == (4, {"phase": "Ready"})


def test_applied_lists_are_merged_by_their_keys(served: Any) -> None:
    served.apply(f"{WIDGETS}/w", widget(parts=[{"id": "a", "weight": 1}]), "one")
    served.apply(f"{WIDGETS}/w", widget(parts=[{"id": "b", "weight": 2}]), "two")
    after = served.ok(served.apply(f"{WIDGETS}/w", widget(), "one"))
    assert after["spec"]["parts"] == [{"id": "b", "weight": 2}]


def test_tables_have_the_printer_columns(served: Any) -> None:
    served.create(WIDGETS, widget(size=5))
    served.merge(f"{WIDGETS}/w/status", {"status": {"since": "2026-01-01T00:00:00Z"}})
    served.clock.advance(90)
    answer = served.send("GET", WIDGETS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in answer.body["columnDefinitions"]] == [
        "Name",
        "Size",
        "Since",
    ]
    assert answer.body["rows"][0]["cells"] == ["w", 5, "90s"]


def test_a_strategic_patch_is_refused(served: Any) -> None:
    served.create(WIDGETS, widget())
    answer = served.patch(f"{WIDGETS}/w", {"spec": {}}, transport.STRATEGIC_MERGE_PATCH)
    assert answer.status == 415


def test_a_replace_needs_the_version_that_was_read(served: Any) -> None:
    served.create(WIDGETS, widget())
    assert causes(served.send("PUT", f"{WIDGETS}/w", widget())) == [
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    ]


def test_a_crd_takes_its_objects_with_it(served: Any) -> None:
    served.create(WIDGETS, widget())
    watch = served.watch(WIDGETS)
    assert watch.next(0).type == "ADDED"
    served.delete(f"{CRDS}/widgets.example.com")
    assert watch.next(0).type == "DELETED"
    assert served.send("GET", WIDGETS).status == 404
    assert served.send("GET", f"{CRDS}/widgets.example.com").status == 404


def test_a_crd_waits_for_an_object_that_is_held_by_a_finalizer(served: Any) -> None:
    body = widget()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    served.create(WIDGETS, body)
    served.delete(f"{CRDS}/widgets.example.com")
    assert "deletionTimestamp" in served.get(f"{WIDGETS}/w")["metadata"]
    served.merge(f"{WIDGETS}/w", {"metadata": {"finalizers": None}})
    assert served.send("GET", f"{CRDS}/widgets.example.com").status == 404


def test_a_crd_under_another_name_than_its_resource_is_refused(api: Any) -> None:
    crd = copy.deepcopy(CRD)
    crd["metadata"]["name"] = "gadgets.example.com"
    fault = 'Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group'
    assert causes(api.send("POST", CRDS, crd)) == [f"metadata.name: {fault}"]


def test_a_second_version_shows_the_same_objects(api: Any) -> None:
    crd = copy.deepcopy(CRD)
    second = copy.deepcopy(crd["spec"]["versions"][0])
    second.update(name="v2", storage=False)
    crd["spec"]["versions"].append(second)
    api.create(CRDS, crd)
    api.create(WIDGETS, widget())
    found = api.get(WIDGETS.replace("/v1/", "/v2/") + "/w")
    assert (found["apiVersion"], found["spec"]["name"]) == ("example.com/v2", "abc")
