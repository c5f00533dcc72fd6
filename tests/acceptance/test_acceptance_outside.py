"""Outside the happy path: what else may happen to a cluster while a backup is under way."""

from __future__ import annotations

import json

import pytest
from acceptance import batches as b
from acceptance.cluster import CLOCK, holds
from acceptance.place import MakePlace, Place, phase, stats
from acceptance.shop import Shop, held

from reconciler.api.resources import JsonObject

OUTAGE = 60.0
"""Seconds."""


@pytest.mark.alone("the API server is away for all")
def test_the_api_server_is_away_for_a_minute_in_a_backup(place: Place) -> None:
    shop = Shop.opened(place)
    shop.hold("web", "uploads")
    session = place.trigger()
    place.becomes("BackupSession", session, lambda s: held(s, "Deployment/web"), "is held")
    with place.cluster.api_server_away():
        CLOCK.sleep(OUTAGE)  # the length of the outage is what the scenario is about
    shop.go_on()
    shop.ends_well(session)


def test_a_namespace_deleted_in_a_session(places: MakePlace) -> None:
    place, other = places("a"), places("b")
    shop = Shop.opened(place)
    shop.hold("web")
    session = place.trigger()
    place.becomes("BackupSession", session, lambda s: held(s, "Deployment/web"), "is held")
    place.cluster.kubectl("delete", "namespace", place.namespace, "--wait=false")
    place.until(
        lambda: (
            not place.cluster.kubectl(
                "get", "namespace", place.namespace, "--ignore-not-found", "-o", "name"
            )
        ),
        "the namespace is gone",
    )
    # and others have not noticed
    Shop.opened(other).ends_well(other.trigger())


def test_a_secret_that_is_wrong_and_mended(place: Place) -> None:
    shop = Shop.opened(place)
    shop.ends_well(place.trigger())
    _password(place, "another-one")
    place.becomes("Repository", "shop", lambda o: phase(o) == "Failed", "is Failed")
    session = place.trigger()
    waiting = place.becomes("BackupSession", session, _says_why, "says what it waits for")
    said = json.dumps([waiting["status"], place.get("Repository", "shop")["status"]])
    assert "RESTIC_PASSWORD" in said
    assert "another-one" not in said
    assert "not-to-be-found" not in said
    _password(place, "not-to-be-found")
    shop.ends_well(session)


def test_one_backend_shared_by_batches_of_two_namespaces(places: MakePlace) -> None:
    """Each keeps its own history: neither's policy removes the other's snapshots."""
    one, two = places("one"), places("two")
    for place in (one, two):
        place.apply("workloads.yaml", "backend.yaml")
        url = f"http://storage.{one.namespace}.svc:8000/shop"
        place.patch("Repository", "shop", {"spec": {"backend": {"rest": {"url": url}}}})
        claim = b.claim("uploads")
        claim["target"]["alias"] = f"uploads-{'one' if place is one else 'two'}"
        policy = {"name": "keep-last-1", "keepLast": 1, "prune": True}
        place.apply(b.batch(claim, retentionPolicy=policy))
        place.set_up()
    for place in (one, two, one):
        session = place.trigger()
        place.succeeded(session)
        place.maintained(session)
    assert {host for host, _ in one.hosts_and_paths()} == {"uploads-one", "uploads-two"}
    assert len(one.snapshots()) == 2


@pytest.mark.only_on_a_node("access rules")
@pytest.mark.alone("the operator has no rights anywhere")
def test_rights_withdrawn_and_given_back(place: Place) -> None:
    shop = Shop.opened(place)
    binding = json.loads(
        place.cluster.kubectl("get", "clusterrolebinding", "tandem-operator", "-o", "json")
    )
    kept = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
    kept["metadata"] = {"name": "tandem-operator", "labels": binding["metadata"]["labels"]}
    place.cluster.kubectl("delete", "clusterrolebinding", "tandem-operator")
    try:
        session = place.trigger()
        place.becomes("BackupSession", session, lambda s: not phase(s), "is looked at by nobody")
    finally:
        place.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(kept))
    shop.ends_well(session)


def test_a_member_without_its_task_fails_and_says_so(place: Place) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    strange = b.claim("uploads")
    strange["task"] = {"name": "no-such-task"}
    place.apply(b.batch(strange, timeOut="30s"))
    place.set_up()
    found = place.ended(place.trigger())
    assert phase(found) == "Failed"
    assert "no-such-task" in json.dumps(found["status"])
    assert not holds(found, "Skipped")
    assert [stat["phase"] for stat in stats(found)] == ["Failed"]


def _says_why(session: JsonObject) -> bool:
    found = (session.get("status") or {}).get("targets") or ()
    return any("RESTIC_PASSWORD" in target.get("message", "") for target in found)


def _password(place: Place, text: str) -> None:
    place.patch("Secret", "backend", {"stringData": {"RESTIC_PASSWORD": text}})
