"""Watches of the embedded server: nothing is missed, nothing is seen twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reconciler.cluster.transport import Request, StreamEnded
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound


def drained(watch: Any) -> list[tuple[str, str]]:
    found = []
    while (event := watch.next(0)) is not None:
        found.append((event.type, event.object["metadata"].get("name", "")))
    return found


def test_a_watch_continues_where_a_list_ended(api: Any) -> None:
    api.create("", {"metadata": {"name": "a"}})
    version = api.get("")["metadata"]["resourceVersion"]
    api.create("", {"metadata": {"name": "b"}})
    watch = api.watch("", resourceVersion=version)
    api.merge("b", {"data": {"k": "v"}})
    api.delete("a")
    assert drained(watch) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]


def test_a_watch_from_nothing_begins_with_what_is_there(api: Any) -> None:
    api.create("", {"metadata": {"name": "a"}})
    assert drained(api.watch("", resourceVersion="0")) == [("ADDED", "a")]


def test_an_object_that_leaves_the_selection_is_seen_to_go(api: Any) -> None:
    watch = api.watch("", labelSelector="a=b")
    api.create("", {"metadata": {"name": "x", "labels": {"a": "b"}}})
    api.create("", {"metadata": {"name": "y"}})
    api.merge("x", {"metadata": {"labels": {"a": "c"}}})
    api.merge("y", {"metadata": {"labels": {"a": "b"}}})
    assert drained(watch) == [("ADDED", "x"), ("DELETED", "x"), ("ADDED", "y")]


def test_a_deletion_has_a_version_to_continue_from(api: Any) -> None:
    made = api.create("", {"metadata": {"name": "a"}})
    watch = api.watch("", resourceVersion=made["metadata"]["resourceVersion"])
    api.delete("a")
    version = watch.next(0).object["metadata"]["resourceVersion"]
    assert int(version) > int(made["metadata"]["resourceVersion"])
    assert drained(api.watch("", resourceVersion=version)) == []


def test_a_version_that_is_compacted_away_is_gone(api: Any) -> None:
    made = api.create("", {"metadata": {"name": "a"}})
    api.create("", {"metadata": {"name": "b"}})
    api.server.compact()
    watch = api.watch("", resourceVersion=made["metadata"]["resourceVersion"])
    event = watch.next(0)
    assert (event.type, event.object["code"]) == ("ERROR", 410)
    with pytest.raises(StreamEnded):
        watch.next(0)


def test_a_watch_ends_at_its_timeout_with_a_bookmark(api: Any) -> None:
    watch = api.watch("", timeoutSeconds="5", allowWatchBookmarks="true")
    api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "elsewhere"}})
    version = api.get("")["metadata"]["resourceVersion"]
    assert watch.next(0) is None
    api.clock.advance(5)
    event = watch.next(0)
    assert (event.type, event.object["metadata"]["resourceVersion"]) == ("BOOKMARK", version)
    with pytest.raises(StreamEnded):
        watch.next(0)


def test_a_quiet_watch_gets_bookmarks_only_if_it_asked(api: Any) -> None:
    asked = api.watch("", allowWatchBookmarks="true")
    other = api.watch("")
    api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "elsewhere"}})
    api.clock.advance(61)
    assert drained(asked) == [("BOOKMARK", "")]
    assert drained(other) == []


def test_the_initial_events_end_with_a_marked_bookmark(api: Any) -> None:
    api.create("", {"metadata": {"name": "a"}})
    watch = api.watch("", sendInitialEvents="true", allowWatchBookmarks="true")
    assert watch.next(0).type == "ADDED"
    annotations = watch.next(0).object["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


def test_watching_what_nobody_serves_raises(api: Any) -> None:
    with pytest.raises(NotFound):
        api.watch("/api/v1/namespaces/default/gadgets")


def test_a_waiting_reader_is_woken_by_a_write_and_by_close() -> None:
    server = Server(SystemClock())
    path = "/api/v1/namespaces/default/configmaps"
    watch = server.watch(Request("GET", path, {"watch": "true", "resourceVersion": "0"}))
    seen: list[Any] = []
    something = threading.Event()

    def read() -> None:
        try:
            while True:
                event = watch.next(None)
                assert event is not None
                seen.append(event.object["metadata"]["name"])
                something.set()
        except StreamEnded:
            seen.append("ended")

    reader = threading.Thread(target=read)
    reader.start()
    server.send(Request("POST", path, body={"metadata": {"name": "a"}}))
    assert something.wait(10)
    watch.close()
    reader.join(10)
    assert seen == ["a", "ended"]


def test_an_event_is_the_readers_own_copy(api: Any) -> None:
    first, second = api.watch(""), api.watch("")
    api.create("", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    first.next(0).object["data"]["k"] = "changed"
    assert second.next(0).object["data"] == {"k": "v"}
