"""Objects in the embedded server: what is stored, what is refused, what a list shows."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reconciler.cluster import transport
from reconciler.cluster.transport import Request, Response
from reconciler.errors import ApiUnavailable


def named(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def test_a_new_object_has_an_identity_and_a_version(api: Any) -> None:
    made = api.create("", named("a", k="v"))
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert made["metadata"]["resourceVersion"] == api.get("a")["metadata"]["resourceVersion"]


def test_the_same_seed_gives_the_same_uids_and_names(api: Any) -> None:
    other = type(api)()
    body = {"metadata": {"generateName": "x-"}}
    assert api.create("", body)["metadata"] == other.create("", body)["metadata"]


def test_what_the_caller_does_with_an_answer_does_not_reach_the_store(api: Any) -> None:
    body = named("a", k="v")
    api.create("", body)["data"]["k"] = "changed"
    body["data"]["k"] = "changed too"
    api.get("a")["data"]["k"] = "changed as well"
    assert api.get("a")["data"] == {"k": "v"}


def test_a_write_from_an_old_read_is_refused(api: Any) -> None:
    old = api.create("", named("a", k="1"))
    api.merge("a", {"data": {"k": "2"}})
    answer = api.send("PUT", "a", old)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert api.get("a")["data"] == {"k": "2"}


def test_a_write_that_changes_nothing_makes_no_new_version(api: Any) -> None:
    made = api.create("", named("a", k="1"))
    api.clock.advance(100)
    again = api.merge("a", {"data": {"k": "1"}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_dry_run_answers_and_stores_nothing(api: Any) -> None:
    assert api.create("", named("a"), dryRun="All")["metadata"]["name"] == "a"
    assert api.send("GET", "a").status == 404


def test_only_a_change_of_the_spec_counts_as_a_new_generation(api: Any) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    pod = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": pod}
    assert (
        api.create(path, {"metadata": {"name": "d"}, "spec": spec})["metadata"]["generation"] == 1
    )
    assert (
        api.merge(f"{path}/d", {"metadata": {"labels": {"x": "y"}}})["metadata"]["generation"] == 1
    )
    status = api.merge(f"{path}/d/status", {"status": {"replicas": 1}, "spec": {"replicas": 9}})
    assert status["metadata"]["generation"] == 1
    assert status["spec"]["replicas"] == 1
    changed = api.merge(f"{path}/d", {"spec": {"replicas": 2}, "status": {"replicas": 7}})
    assert changed["metadata"]["generation"] == 2
    assert changed["status"] == {"replicas": 1}


def test_pages_show_one_moment_although_objects_come_and_go(api: Any) -> None:
    for name in "abcde":
        api.create("", named(name))
    page = api.get("", limit="2")
    seen = [item["metadata"]["name"] for item in page["items"]]
    assert page["metadata"]["remainingItemCount"] == 3
    api.delete("d")
    api.create("", named("bb"))
    while token := page["metadata"].get("continue"):
        page = api.get("", limit="2", **{"continue": token})
        seen += [item["metadata"]["name"] for item in page["items"]]
    assert seen == list("abcde")


def test_a_forgotten_page_asks_to_begin_again(api: Any) -> None:
    for name in "abc":
        api.create("", named(name))
    token = api.get("", limit="1")["metadata"]["continue"]
    for _ in range(300):
        api.get("", limit="1")
    answer = api.send("GET", "", query={"limit": "1", "continue": token})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("tier=front", "ab"),
        ("tier==front,app!=one", "b"),
        ("tier in (front, back)", "abc"),
        ("tier notin (front)", "cd"),
        ("tier", "abc"),
        ("!tier", "d"),
        ("size > 1", "b"),
    ],
)
def test_label_selectors_select(api: Any, selector: str, wanted: str) -> None:
    labels = {
        "a": {"tier": "front", "app": "one"},
        "b": {"tier": "front", "app": "two", "size": "2"},
        "c": {"tier": "back", "size": "1"},
        "d": {"size": "x"},
    }
    for name, found in labels.items():
        api.create("", {"metadata": {"name": name, "labels": found}})
    items = api.get("", labelSelector=selector)["items"]
    assert "".join(item["metadata"]["name"] for item in items) == wanted


def test_a_namespace_that_is_not_there_takes_nothing(api: Any) -> None:
    answer = api.send("POST", "/api/v1/namespaces/nowhere/configmaps", named("a"))
    assert (answer.status, answer.body["message"]) == (404, 'namespaces "nowhere" not found')


def test_an_interceptor_can_lose_the_reply_of_a_write_that_was_made(api: Any) -> None:
    def lossy(request: Request, proceed: Any) -> Response:
        proceed(request)
        raise ApiUnavailable("the connection broke")

    undo = api.server.intercept(lossy)
    with pytest.raises(ApiUnavailable):
        api.create("", named("a"))
    undo()
    assert api.get("a")["metadata"]["name"] == "a"


def test_an_interceptor_can_answer_instead(api: Any) -> None:
    api.server.intercept(lambda request, _: Response(503, {"kind": "Status", "code": 503}))
    assert api.send("GET", "a").status == 503


def test_writers_in_several_threads_lose_nothing(api: Any) -> None:
    api.create("", named("a"))

    def write(who: int) -> None:
        for number in range(50):
            api.merge("a", {"data": {f"{who}-{number}": "x"}})

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(api.get("a")["data"]) == 200


def test_a_secret_written_as_text_is_stored_encoded(api: Any) -> None:
    path = "/api/v1/namespaces/default/secrets"
    made = api.create(path, {"metadata": {"name": "s"}, "stringData": {"p": "word"}})
    assert made["data"] == {"p": "d29yZA=="}
    assert "stringData" not in made


def test_services_get_addresses_of_their_own(api: Any) -> None:
    path = "/api/v1/namespaces/default/services"
    spec = {"ports": [{"port": 80}]}
    made = [api.create(path, {"metadata": {"name": f"s{n}"}, "spec": spec}) for n in range(20)]
    assert len({service["spec"]["clusterIP"] for service in made}) == 20


def test_a_strict_write_names_the_unknown_field(api: Any) -> None:
    body = {"metadata": {"name": "a"}, "dta": {"k": "v"}}
    answer = api.send("POST", "", body, query={"fieldValidation": "Strict"})
    assert answer.status == 400
    assert 'unknown field "dta"' in answer.body["message"]


def test_a_value_of_the_wrong_type_names_its_field(api: Any) -> None:
    answer = api.send("POST", "", {"metadata": {"name": "a"}, "data": {"k": 5}})
    assert answer.status == 400
    assert "data.k" in answer.body["message"]


def test_discovery_lists_what_is_served(api: Any) -> None:
    found = api.get("/apis/batch/v1")["resources"]
    assert {"jobs", "jobs/status", "cronjobs"} <= {item["name"] for item in found}
    assert api.get("/version")["gitVersion"].endswith("+tandem")
    assert api.send("GET", "/apis/nobody.example.org/v1").status == 404


def test_logs_come_from_whoever_runs_the_pod(api: Any) -> None:
    path = "/api/v1/namespaces/default/pods"
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    api.create(path, {"metadata": {"name": "p"}, "spec": spec})
    api.server.on_logs(lambda namespace, pod, container, follow: [b"one\n", b"two\n"])
    assert api.get(f"{path}/p/log") == "one\ntwo\n"
    assert api.get(f"{path}/p/log", tailLines="1") == "two\n"
    answer = api.send("GET", f"{path}/p/log", query={"container": "nope"})
    assert answer.body["message"] == "container nope is not valid for pod p"


def test_an_unknown_patch_type_is_refused(api: Any) -> None:
    api.create("", named("a"))
    assert api.patch("a", {}, "text/plain").status == 415
    assert api.patch("a", {}, transport.MERGE_PATCH).status == 200
