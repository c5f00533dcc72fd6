"""Laws of the embedded server: what holds for every request and every history of writes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.cluster import transport
from reconciler.cluster.transport import Request
from reconciler.embedded import fieldsets, patches
from reconciler.embedded.server import Server
from reconciler.embedded.structure import ANY, builtin
from reconciler.engine.clock import VirtualClock

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "spec", "metadata", "labels", "containers", "template", "status", "data",
                 "finalizers", "ownerReferences", "$patch", "annotations", "replicas", "volumes",
                 "managedFields", "selector", "matchLabels", "env", "ports", "image"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip
TYPES = (transport.MERGE_PATCH, transport.JSON_PATCH, transport.STRATEGIC_MERGE_PATCH,
         transport.APPLY_PATCH)  # fmt: skip


def new_server() -> Server:
    return Server(VirtualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)))


SERVER = new_server()


@given(JSON, st.sampled_from([PODS, DEPLOYMENTS, CONFIG_MAPS]))
@example({"metadata": {"name": [None]}}, PODS)
@example({"metadata": {"name": 5, "namespace": {}}}, DEPLOYMENTS)
def test_no_body_breaks_a_create(body: Any, path: str) -> None:
    answer = SERVER.send(Request("POST", path, body=body))
    assert answer.status in (201, 400, 409, 422), answer.body


@given(JSON, st.sampled_from([PODS, DEPLOYMENTS, CONFIG_MAPS]), st.sampled_from(TYPES))
def test_no_body_breaks_a_patch(body: Any, path: str, kind: str) -> None:
    server = new_server()
    server.send(Request("POST", path, body=EXAMPLES[path]))
    query = {"fieldManager": "m"}
    request = Request("PATCH", f"{path}/x", query, body, content_type=kind)
    answer = server.send(request)
    assert answer.status in (200, 400, 409, 422, 500), answer.body
    assert server.send(Request("GET", f"{path}/x")).body["metadata"]["name"] == "x"


POD = {"containers": [{"name": "c", "image": "i"}]}
EXAMPLES: dict[str, Any] = {
    PODS: {"metadata": {"name": "x"}, "spec": POD},
    CONFIG_MAPS: {"metadata": {"name": "x"}, "data": {"a": "b"}},
    DEPLOYMENTS: {
        "metadata": {"name": "x"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
        },
    },
}

POINTERS = st.lists(
    st.sampled_from(["metadata", "data", "labels", "a", "-", "0", "9", "-1", "~1"]), max_size=3
).map(lambda steps: "".join(f"/{step}" for step in steps))
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={"path": POINTERS, "from": POINTERS, "value": JSON},
)


@given(st.lists(OPERATIONS | JSON, max_size=3))
def test_no_json_patch_breaks_the_server(operations: Any) -> None:
    server = new_server()
    server.send(Request("POST", CONFIG_MAPS, body=EXAMPLES[CONFIG_MAPS]))
    request = Request(
        "PATCH", f"{CONFIG_MAPS}/x", body=operations, content_type=transport.JSON_PATCH
    )
    assert server.send(request).status in (200, 400, 409, 422)


WRITES = st.tuples(
    st.sampled_from(["create", "merge", "apply", "delete", "release"]),
    st.sampled_from("abc"),
    st.sampled_from("abc"),
    st.sampled_from("12"),
)


@given(st.lists(WRITES, max_size=30), st.integers(0, 30))
def test_a_list_and_the_watch_from_it_tell_the_whole_story(writes: Any, at: int) -> None:
    server = new_server()
    known: dict[str, Any] = {}
    stream = None
    for number, write in enumerate([*writes, None]):
        if number == min(at, len(writes)):
            listing = server.send(Request("GET", CONFIG_MAPS)).body
            known = {item["metadata"]["name"]: item for item in listing["items"]}
            version = listing["metadata"]["resourceVersion"]
            stream = server.watch(Request("GET", CONFIG_MAPS, {"resourceVersion": version}))
        if write is not None:
            server.send(written(*write))
    assert stream is not None
    last = 0
    while (event := stream.next(0)) is not None:
        version = int(event.object["metadata"]["resourceVersion"])
        assert version > last
        last = version
        name = event.object["metadata"]["name"]
        assert (name in known) is (event.type != "ADDED")
        if event.type == "DELETED":
            del known[name]
        else:
            known[name] = event.object
    now = server.send(Request("GET", CONFIG_MAPS)).body["items"]
    assert [bare(item) for _, item in sorted(known.items())] == now


def bare(obj: Any) -> Any:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def written(verb: str, name: str, key: str, value: str) -> Request:
    path = f"{CONFIG_MAPS}/{name}"
    meta = {"name": name, **({"finalizers": ["x.io/y"]} if value == "2" else {})}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {key: value}}
    if verb == "create":
        return Request("POST", CONFIG_MAPS, body=body)
    if verb == "merge":
        return Request(
            "PATCH", path, body={"data": {key: value}}, content_type=transport.MERGE_PATCH
        )
    if verb == "apply":
        query = {"fieldManager": key, "force": "true"}
        return Request("PATCH", path, query, body, content_type=transport.APPLY_PATCH)
    if verb == "delete":
        return Request("DELETE", path)
    body = {"metadata": {"finalizers": None}}
    return Request("PATCH", path, body=body, content_type=transport.MERGE_PATCH)


SETS = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "."]), inner, max_size=3).map(
        lambda found: {**found, **({".": {}} if "." in found else {})}
    ),
    max_leaves=8,
)


def members(trie: Any) -> set[str]:
    return set(fieldsets.paths(trie))


@given(SETS, SETS)
def test_field_sets_are_sets(left: Any, right: Any) -> None:
    assert members(fieldsets.union(left, right)) == members(left) | members(right)
    assert members(fieldsets.minus(left, right)) == members(left) - members(right)
    assert members(fieldsets.both(left, right)) == members(left) & members(right)


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_nothing_changes_between_a_value_and_itself(value: Any) -> None:
    assert fieldsets.difference(ANY, value, value) == ({}, {})


@given(JSON, JSON)
def test_a_merge_patch_leaves_no_null_of_its_own(target: Any, patch: Any) -> None:
    once = patches.merge(target, patch)
    assert patches.merge(once, patch) == once


def test_every_type_of_the_built_in_kinds_is_known() -> None:
    types = builtin()
    for name in types.document["types"]:
        assert types.resolve(name).shape in ("struct", "map", "list", "scalar", "any")
