"""Figures about backups come from the objects, so that a restart loses none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_SESSIONS,
    CONFIG_MAPS,
    REPOSITORIES,
    JsonObject,
    Key,
    Resource,
)
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Plan, Settings, View
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.engine.controller import Controller
from reconciler.engine.loop import Loop
from reconciler.observability import metrics

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Objects:
    """A View of literal objects."""

    def __init__(self, objects: Mapping[Resource, Sequence[JsonObject]]) -> None:
        self.objects = objects

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        raise NotImplementedError

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        return self.objects.get(resource, ())

    def serves(self, resource: Resource) -> bool:
        return True


def named(name: str, **rest: Any) -> JsonObject:
    return {"metadata": {"name": name, "namespace": "ns", **rest.pop("meta", {})}, **rest}


def session(name: str, phase: str, created: str) -> JsonObject:
    invoker = {"kind": "BackupBatch", "name": "b"}
    return named(
        name,
        meta={"creationTimestamp": created},
        spec={"invoker": invoker},
        status={"phase": phase},
    )


def test_phases_and_moments_are_read_from_the_objects() -> None:
    status = {"phase": "Failed", "nextSessionTime": "2026-01-01T00:00:00Z"}
    view = Objects(
        {
            BACKUP_BATCHES: [named("b", status=status), named("new")],
            BACKUP_SESSIONS: [
                session("s1", "Succeeded", "2026-01-01T00:00:01Z"),
                session("s2", "Succeeded", "2026-01-01T00:00:02Z"),
                session("s3", "Failed", "2026-01-01T00:00:03Z"),
            ],
            REPOSITORIES: [named('r"', status={"phase": "Ready"})],
        }
    )
    lines = metrics.render([metrics.of_backups(view)]).splitlines()
    labels = 'kind="BackupBatch",namespace="ns",name="b"'
    assert f'tandem_backup_phase{{{labels},phase="Failed"}} 1' in lines
    assert f"tandem_backup_next_session_timestamp_seconds{{{labels}}} 1767225600" in lines
    labels = 'namespace="ns",kind="BackupBatch",name="b"'
    assert f"tandem_backup_last_success_timestamp_seconds{{{labels}}} 1767225602" in lines
    assert r'tandem_repository_phase{namespace="ns",name="r\"",phase="Ready"} 1' in lines
    assert "# TYPE tandem_backup_phase gauge" in lines


def test_the_engine_tells_what_it_did() -> None:
    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        return Plan()

    clock = VirtualClock(START)
    user = Client(Server(clock))
    loop = Loop(user, clock, [Controller("test", CONFIG_MAPS, decide)], Settings())
    user.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
    loop.settle()
    text = metrics.render([metrics.of_loop(loop)])
    assert 'tandem_reconciles_total{controller="test",outcome="ok"} 1\n' in text
    assert "tandem_queue_length 0\n" in text
