"""What ``tandem status`` knows and shows of a batch."""

from __future__ import annotations

import datetime as dt

from rich.console import Console

from reconciler.api import crds
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_SESSIONS,
    CUSTOM_RESOURCE_DEFINITIONS,
    REPOSITORIES,
)
from reconciler.cli import screens, summary
from reconciler.cluster.client import Client
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.manifests import labels

NOW = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=dt.UTC)


def batch(**status):
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "metadata": {"name": "wordpress", "namespace": "default"},
        "spec": {
            "schedule": "* * * * *",
            "repository": {"name": "repo"},
            "retentionPolicy": {"name": "keep", "prune": True},
        },
        "status": status,
    }


def session(name, *, invoker="wordpress", slot="", **status):
    annotations = {labels.SLOT: slot} if slot else {}
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupSession",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels.of_invoker("BackupBatch", invoker),
            "annotations": annotations,
        },
        "spec": {"invoker": {"kind": "BackupBatch", "name": invoker}},
        "status": status,
    }


def gathered(*sessions, repository=None, **status):
    clock = VirtualClock(NOW)
    client = Client(Server(clock))
    for definition in crds.crds():
        client.create(CUSTOM_RESOURCE_DEFINITIONS, definition)
    for obj in sessions:
        store(client, BACKUP_SESSIONS, obj)
        clock.advance(1)
    if repository is not None:
        store(client, REPOSITORIES, repository)
    return summary.gather(client, BACKUP_BATCHES, store(client, BACKUP_BATCHES, batch(**status)))


def store(client, resource, obj):
    client.create(resource, obj)
    meta = obj["metadata"]
    return client.update_status(
        resource, meta["namespace"], meta["name"], lambda _: obj.get("status") or {}
    )


def shown(found):
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 -- a sink
    with console.file:
        console.print(screens.summary_tree(found, NOW))
    return console.export_text()


def test_sessions_of_the_batch_come_newest_first_and_others_do_not_come():
    found = gathered(session("old"), session("new"), session("alien", invoker="other"))

    assert [line.name for line in found.sessions] == ["new", "old"]


def test_a_host_without_stats_is_running_once_it_is_claimed():
    target = {
        "ref": {"kind": "Deployment", "name": "web"},
        "phase": "Running",
        "hosts": [{"hostname": "host-0", "runner": "web-1"}, {"hostname": "host-1"}],
    }
    [line] = gathered(session("s", phase="Running", targets=[target])).sessions

    assert [(host.name, host.phase) for host in line.targets[0].hosts] == [
        ("host-0", "Running"),
        ("host-1", "Running"),
    ]


def test_a_reported_host_shows_its_snapshot():
    stat = {
        "hostname": "host-0",
        "phase": "Succeeded",
        "duration": "2s",
        "snapshots": [
            {
                "name": "abcd1234",
                "path": "/data",
                "totalSize": "1 MiB",
                "fileStats": {"totalFiles": 7},
            }
        ],
    }
    target = {
        "ref": {"kind": "Deployment", "name": "web"},
        "phase": "Succeeded",
        "hosts": [{"hostname": "host-0", "runner": "web-1"}],
        "stats": [stat],
    }
    found = gathered(session("s", phase="Succeeded", targets=[target]))

    assert "snapshot abcd1234 of /data: 1 MiB, 7 files" in shown(found)


def test_a_skipped_session_says_why():
    condition = {
        "type": "Skipped",
        "status": "True",
        "reason": "PreviousSessionRunning",
        "message": "wordpress-1 is still running",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    found = gathered(session("s", phase="Skipped", conditions=[condition]))

    assert "PreviousSessionRunning" in shown(found)


def test_a_condition_that_does_not_hold_is_shown_with_its_message():
    condition = {
        "type": "RepositoryFound",
        "status": "False",
        "reason": "RepositoryNotAvailable",
        "message": "create Repository default/repo",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    text = shown(gathered(phase="Pending", conditions=[condition]))

    assert "✗ RepositoryFound" in text
    assert "create Repository default/repo" in text


def test_a_missing_repository_is_shown_as_not_found():
    assert "Repository repo  NotFound" in shown(gathered())


def test_times_are_shown_with_their_distance():
    text = shown(
        gathered(lastSessionTime="2026-01-01T12:00:00Z", nextSessionTime="2026-01-01T12:01:00Z")
    )

    assert "last 12:00:00 UTC (30 s ago)" in text
    assert "next 12:01:00 UTC (in 30 s)" in text


def test_text_of_an_object_is_not_taken_for_markup():
    found = gathered(session("s", phase="Failed", targets=[
        {"ref": {"kind": "Deployment", "name": "web"}, "phase": "Failed", "reason": "Broken",
         "message": "unexpected [/red] in output"}
    ]))  # fmt: skip

    assert "unexpected [/red] in output" in shown(found)
