"""Whatever the order of arrival, a shelf holds the newest state of each object."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cluster.objects import Objects

Obj = dict[str, Any]


def make(name: str, version: int, *, uid: str = "", namespace: str = "n", **meta: Any) -> Obj:
    uid = uid or f"uid-of-{name}"
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": str(version),
            **meta,
        }
    }


class Shelf(Objects):
    """Objects that remember what they told."""

    def __init__(self) -> None:
        self.told: list[tuple[Obj | None, Obj | None]] = []
        super().__init__(lambda old, new: self.told.append((old, new)))

    def names(self, **query: Any) -> list[str]:
        query = {"namespace": None, "labels": None, "owner_uid": None} | query
        return [each["metadata"]["name"] for each in self.select(**query)]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_an_older_state_changes_nothing(shelf: Shelf) -> None:
    new = make("a", 9)
    shelf.put(new)
    shelf.put(make("a", 8))
    assert shelf.get("n", "a") is new
    assert len(shelf.told) == 1


def test_versions_are_compared_as_numbers(shelf: Shelf) -> None:
    shelf.put(make("a", 9))
    shelf.put(make("a", 10))
    found = shelf.get("n", "a")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"


def test_the_same_state_twice_is_told_once(shelf: Shelf) -> None:
    shelf.put(make("a", 1))
    shelf.put(make("a", 1))
    assert len(shelf.told) == 1


def test_an_echo_does_not_bring_back_what_we_deleted(shelf: Shelf) -> None:
    obj = make("a", 5)
    shelf.put(obj)
    shelf.bury(obj)
    shelf.put(make("a", 4))
    shelf.put(make("a", 5))
    assert shelf.get("n", "a") is None
    assert shelf.told == [(None, obj), (obj, None)]


def test_a_new_object_of_the_same_name_replaces_a_buried_one(shelf: Shelf) -> None:
    old = make("a", 5, uid="old")
    shelf.put(old)
    shelf.bury(old)
    new = make("a", 7, uid="new")
    shelf.put(new)
    shelf.remove(make("a", 6, uid="old"))
    assert shelf.get("n", "a") is new, "the late word of the old one's end is not about the new one"


def test_a_list_removes_what_it_lacks(shelf: Shelf) -> None:
    shelf.put(make("a", 1))
    shelf.put(make("b", 2))
    shelf.replace([make("b", 2)], "5")
    assert shelf.names() == ["b"]
    assert len(shelf.told) == 3, "what has not changed is not told again"


def test_a_list_does_not_remove_what_was_written_after_it_was_made(shelf: Shelf) -> None:
    shelf.put(make("mine", 9))
    shelf.replace([], "5")
    assert shelf.names() == ["mine"]


def test_an_object_that_terminates_is_shown_so_until_it_is_gone(shelf: Shelf) -> None:
    obj = make("a", 5)
    shelf.put(obj)
    shelf.mark_terminating(obj, "2026-01-01T00:00:00Z")
    shelf.put(make("a", 5))
    found = shelf.get("n", "a")
    assert found is not None
    assert found["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert "deletionTimestamp" not in obj["metadata"], "shared objects are not changed"
    shelf.remove(make("a", 6))
    assert shelf.get("n", "a") is None


def test_a_selection_is_sorted_and_holds_to_the_namespace(shelf: Shelf) -> None:
    for namespace, name in [("m", "z"), ("n", "b"), ("n", "a"), ("n-1", "c"), ("o", "a")]:
        shelf.put(make(name, 1, namespace=namespace))
    assert shelf.names(namespace="n") == ["a", "b"]
    assert shelf.names() == ["z", "a", "b", "c", "a"]


def test_labels_are_found_before_and_after_a_change(shelf: Shelf) -> None:
    shelf.put(make("a", 1, labels={"x": "1"}))
    assert shelf.names(labels={"x": "1"}) == ["a"]
    shelf.put(make("b", 2, labels={"x": "1", "y": "1"}))
    assert shelf.names(labels={"x": "1"}) == ["a", "b"]
    assert shelf.names(labels={"x": "1", "y": "1"}) == ["b"]
    shelf.put(make("a", 3, labels={"x": "2"}))
    assert shelf.names(labels={"x": "1"}) == ["b"]
    assert shelf.names(labels={"x": "2"}) == ["a"]
    shelf.remove(make("b", 4))
    assert shelf.names(labels={"x": "1"}) == []


def test_only_controllers_count_as_owners(shelf: Shelf) -> None:
    shelf.put(make("a", 1, ownerReferences=[{"uid": "o", "controller": True}]))
    shelf.put(make("b", 1, ownerReferences=[{"uid": "o"}]))
    assert shelf.names(owner_uid="o") == ["a"]
    assert shelf.names(owner_uid="o", namespace="elsewhere") == []


def test_a_resource_that_is_not_served_any_more_is_empty(shelf: Shelf) -> None:
    shelf.put(make("a", 1))
    shelf.clear()
    assert shelf.names() == []
    assert shelf.told[-1][1] is None
