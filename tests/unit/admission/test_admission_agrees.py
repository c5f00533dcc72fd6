"""What the webhook denies, the operator tells: a cluster without the webhook hides no fault."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from reconciler.admission import review
from reconciler.api import conditions as c
from reconciler.api import resources as r
from reconciler.api.crds import KINDS, crds
from reconciler.api.resources import JsonObject, Resource
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.embedded.server import Server
from reconciler.engine import operator
from reconciler.engine.clock import VirtualClock

START = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)
RESOURCES: dict[str, Resource] = {kind.resource.kind: kind.resource for kind in KINDS}
TYPES = {kind.resource.kind: kind.cls for kind in KINDS}
KEEP = {"name": "keep", "keepLast": 5, "prune": True}
CLAIM = {"ref": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "files"}}


def obj(kind: str, **spec: Any) -> JsonObject:
    return {
        "apiVersion": RESOURCES[kind].api_version,
        "kind": kind,
        "metadata": {"name": "broken", "namespace": "default"},
        "spec": spec,
    }


BROKEN = {
    "a batch of nothing": obj("BackupBatch", retentionPolicy=KEEP),
    "a batch with a member without task, and a schedule in words": obj(
        "BackupBatch",
        schedule="at night",
        repository={"name": "repo"},
        retentionPolicy={**KEEP, "keepLast": -1},
        timeOut="soon",
        members=[{"target": CLAIM}, {"target": CLAIM}, {}],
    ),
    "a configuration of a workload without paths": obj(
        "BackupConfiguration",
        schedule="@hourly",
        repository={"name": "repo"},
        retentionPolicy=KEEP,
        target={"ref": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    ),
    "a repository without a backend": obj("Repository", backend={}),
    "a repository that cannot be wiped": obj(
        "Repository",
        backend={"storageSecretName": "s", "rest": {"url": "http://backup:8000"}},
        wipeOut=True,
    ),
    "a restore of nothing into nothing": obj("RestoreBatch", repository={"name": "repo"}),
    "a restore with rules in two places": obj(
        "RestoreSession",
        repository={"name": "repo"},
        rules=[{"snapshots": ["latest"], "paths": ["/data"]}],
        target={**CLAIM, "rules": [{"snapshots": ["latest"]}]},
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_denied_object_that_is_stored_all_the_same_says_each_fault_in_a_condition(
    name: str,
) -> None:
    clock = VirtualClock(START)
    client = Client(Server(clock))
    for definition in crds():
        client.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition)
    broken = BROKEN[name]
    resource = RESOURCES[broken["kind"]]
    denied = review.faults(TYPES[broken["kind"]], broken)
    assert denied

    client.create(resource, broken)
    operator.build(client, clock, Settings(), 1).settle()

    stored = client.get(resource, "default", "broken")
    (valid,) = [each for each in stored["status"]["conditions"] if each["type"] == c.VALID]
    assert valid["status"] == "False"
    for fault in denied:
        assert str(fault) in valid["message"]


def test_a_session_that_is_denied_is_skipped_and_says_why() -> None:
    clock = VirtualClock(START)
    client = Client(Server(clock))
    for definition in crds():
        client.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition)
    session = obj("BackupSession", invoker={"kind": "BackupBatches", "name": "nightly"})
    assert review.faults(TYPES["BackupSession"], session)

    client.create(r.BACKUP_SESSIONS, session)
    operator.build(client, clock, Settings(), 1).settle()

    status = client.get(r.BACKUP_SESSIONS, "default", "broken")["status"]
    assert status["phase"] == "Skipped"
    assert "BackupBatches" in str(status["conditions"])
