"""The client sends what Kubernetes expects and gives back values or typed errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api.resources import (
    BACKUP_SESSIONS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
)
from reconciler.cluster.client import STATUS_ATTEMPTS, Client
from reconciler.cluster.transport import APPLY_PATCH, Request, Response, WatchStream
from reconciler.errors import (
    AlreadyExists,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Gone,
    NamespaceTerminating,
    NotFound,
    Rejected,
    TandemError,
)

Answer = Callable[[Request], Response]


class Scripted:
    """A transport that answers from a function and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answer(request)

    def watch(self, request: Request) -> WatchStream:
        self.asked.append(request)
        raise Gone("too old")


def always(status: int, body: Any) -> Scripted:
    return Scripted(lambda request: Response(status, body))


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (400, "BadRequest", Rejected),
        (401, "Unauthorized", Forbidden),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", Rejected),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (415, "UnsupportedMediaType", Rejected),
        (422, "Invalid", Rejected),
        (429, "TooManyRequests", ApiUnavailable),
        (500, "InternalError", ApiUnavailable),
        (503, "ServiceUnavailable", ApiUnavailable),
        (504, "Timeout", ApiUnavailable),
    ],
)
def test_each_kind_of_refusal_is_an_error_of_its_own(
    code: int, reason: str, error: type[TandemError]
) -> None:
    client = Client(always(code, {"kind": "Status", "reason": reason, "message": "the words"}))
    with pytest.raises(error, match="the words") as raised:
        client.get(CONFIG_MAPS, "n", "a")
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"causes": [{"reason": "NamespaceTerminating"}]}, NamespaceTerminating),
        ({"causes": [{"reason": "Other"}, "odd"]}, Forbidden),
        ({"causes": None}, Forbidden),
        ("odd", Forbidden),
        (None, Forbidden),
    ],
)
def test_the_end_of_a_namespace_is_told_from_a_missing_permission(
    details: object, error: type[TandemError]
) -> None:
    body = {"kind": "Status", "reason": "Forbidden", "message": "the words", "details": details}
    with pytest.raises(error, match="the words") as raised:
        Client(always(403, body)).get(CONFIG_MAPS, "n", "a")
    assert type(raised.value) is error


def test_an_error_page_of_an_intermediate_is_an_error_too() -> None:
    with pytest.raises(ApiUnavailable, match="502"):
        Client(always(502, "<html>bad gateway</html>")).get(CONFIG_MAPS, "n", "a")


def test_a_list_is_read_page_by_page_and_its_items_know_their_kind() -> None:
    pages = {
        None: {
            "metadata": {"resourceVersion": "7", "continue": "more"},
            "items": [{"metadata": {"name": "a"}}],
        },
        "more": {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]},
    }
    transport = Scripted(lambda request: Response(200, pages[request.query.get("continue")]))
    listing = Client(transport).list(DEPLOYMENTS, "n", label_selector="x=y")
    assert [each["metadata"]["name"] for each in listing.items] == ["a", "b"]
    assert {(each["apiVersion"], each["kind"]) for each in listing.items} == {
        ("apps/v1", "Deployment")
    }
    assert listing.resource_version == "7"
    assert all(request.query["labelSelector"] == "x=y" for request in transport.asked)
    assert transport.asked[0].path == "/apis/apps/v1/namespaces/n/deployments"


def test_an_empty_list_may_come_as_null() -> None:
    listing = Client(always(200, {"metadata": {"resourceVersion": "7"}, "items": None})).list(
        DEPLOYMENTS
    )
    assert listing.items == []


def test_an_apply_names_its_manager_and_takes_fields_over() -> None:
    transport = always(200, {"metadata": {}})
    Client(transport).apply(
        CLUSTER_ROLES, {"metadata": {"name": "r"}}, field_manager="tandem", dry_run=True
    )
    (request,) = transport.asked
    assert (request.method, request.content_type) == ("PATCH", APPLY_PATCH)
    assert request.path == "/apis/rbac.authorization.k8s.io/v1/clusterroles/r"
    assert request.query == {"fieldManager": "tandem", "force": "true", "dryRun": "All"}


def test_a_deletion_carries_its_preconditions() -> None:
    transport = always(200, {})
    Client(transport).delete(
        CONFIG_MAPS, "n", "a", uid="u", propagation="Foreground", grace_period_seconds=0
    )
    (request,) = transport.asked
    assert request.body["preconditions"] == {"uid": "u"}
    assert request.body["propagationPolicy"] == "Foreground"
    assert request.body["gracePeriodSeconds"] == 0


def test_an_empty_name_never_becomes_a_request_for_all_objects() -> None:
    transport = always(200, {})
    with pytest.raises(ValueError, match="empty"):
        Client(transport).delete(CONFIG_MAPS, "n", "")
    assert transport.asked == []


def test_discovery_is_asked_once_for_what_is_there_and_again_for_what_is_not() -> None:
    served: list[str] = []

    def answer(request: Request) -> Response:
        assert request.path == "/apis/batch/v1"
        if not served:
            return Response(404, {"reason": "NotFound"})
        return Response(200, {"resources": [{"name": name} for name in served]})

    transport = Scripted(answer)
    client = Client(transport)
    assert not client.serves(CRON_JOBS)
    served.append("jobs")
    assert not client.serves(CRON_JOBS)
    served.append("cronjobs")
    assert client.serves(CRON_JOBS)
    asked = len(transport.asked)
    assert client.serves(CRON_JOBS)
    assert len(transport.asked) == asked


def test_the_core_group_has_a_root_of_its_own() -> None:
    transport = always(200, {"resources": [{"name": "configmaps"}]})
    assert Client(transport).serves(CONFIG_MAPS)
    assert transport.asked[0].path == "/api/v1"


class Contended:
    """A session whose status somebody else changes before each of the first writes."""

    def __init__(self, rivals: int) -> None:
        self.rivals = rivals
        self.session: dict[str, Any] = {
            "metadata": {"name": "s", "namespace": "n", "resourceVersion": "1"},
            "status": {"stats": []},
        }

    def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            return Response(200, self.session)
        if self.rivals:
            self.rivals -= 1
            self.write({"stats": [*self.session["status"]["stats"], "a rival's"]})
        if request.body["metadata"]["resourceVersion"] != self.version:
            return Response(409, {"reason": "Conflict", "message": "modified"})
        self.write(request.body["status"])
        return Response(200, self.session)

    @property
    def version(self) -> str:
        return str(self.session["metadata"]["resourceVersion"])

    def write(self, status: dict[str, Any]) -> None:
        meta = {**self.session["metadata"], "resourceVersion": str(int(self.version) + 1)}
        self.session = {"metadata": meta, "status": status}


def report(session: dict[str, Any]) -> dict[str, Any]:
    session["status"]["stats"].append("ours")
    status: dict[str, Any] = session["status"]
    return status


def test_several_writers_of_one_status_lose_nothing() -> None:
    world = Contended(rivals=3)
    written = Client(Scripted(world)).update_status(BACKUP_SESSIONS, "n", "s", report)
    assert written["status"]["stats"] == ["a rival's"] * 3 + ["ours"]


def test_a_status_that_never_stays_put_is_given_up() -> None:
    world = Contended(rivals=STATUS_ATTEMPTS)
    with pytest.raises(ApiUnavailable, match="changed under us"):
        Client(Scripted(world)).update_status(BACKUP_SESSIONS, "n", "s", report)


def test_a_status_that_need_not_change_is_not_written() -> None:
    transport = Scripted(Contended(rivals=0))
    Client(transport).update_status(BACKUP_SESSIONS, "n", "s", lambda session: None)
    assert [request.method for request in transport.asked] == ["GET"]
