"""The demo tells each thing once in a pipe, and its waits have an end and a reason."""

from __future__ import annotations

import datetime as dt
import io
import threading

import attrs
import pytest
from rich.console import Console

from reconciler.api.resources import BACKUP_SESSIONS, PODS
from reconciler.cli import awaiting, summary
from reconciler.cli.demo import application
from reconciler.cli.demo.progress import PlainProgress
from reconciler.cli.demo.stage import Stage
from reconciler.cluster.client import Client
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.errors import TemporaryError

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REPOSITORY = summary.RepositoryLine("repo", "Ready", 0, "", None, ())


def batch(phase, *targets):
    session = summary.SessionLine("web-1", "Running", "", "", "", "", (), targets)
    return summary.Summary(
        *("BackupBatch", "demo", "web", phase, "* * * * *", False, "", "", ()),
        repository=REPOSITORY,
        sessions=(session,) if targets else (),
    )


def target(phase):
    return summary.TargetLine("Deployment", "web", phase, "", "", ())


@pytest.fixture
def told():
    """A plain progress and a function that gives the lines so far, without their times."""
    out = io.StringIO()
    progress = PlainProgress(Console(file=out, width=80), VirtualClock(START))
    return progress, lambda: [line[10:] for line in out.getvalue().splitlines()]


def test_a_phase_is_told_when_it_changes_and_not_again(told):
    progress, lines = told
    for phase in ("Running", "Running", "Succeeded"):
        progress.show(batch("Running", target(phase)))

    assert [line.strip() for line in lines()] == [
        "Repository repo: Ready",
        "BackupBatch web: Running",
        "BackupSession web-1: Running",
        "Deployment web: Running",
        "Deployment web: Succeeded",
    ]


def test_only_the_first_word_of_a_wait_is_told(told):
    progress, lines = told
    progress.step("Waiting")
    for text in ("in 3 s", "in 2 s", ""):
        progress.waiting(text)

    assert lines() == ["Waiting", "  in 3 s"]


@pytest.fixture
def stage(told):
    clock = VirtualClock(START)
    server = Server(clock)
    client = Client(server)
    application.apply(
        client,
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": application.NAMESPACE}}],
    )
    return Stage(client, server, clock, told[0], threading.Event())


def test_a_wait_ends_with_what_did_not_happen_and_what_the_pods_say(stage):
    pod = {
        "metadata": {"name": "db-0", "namespace": application.NAMESPACE},
        "spec": {"containers": [{"name": "db", "image": "db"}]},
    }
    stage.port.create(PODS, pod)
    entry = {
        "name": "db",
        "image": "db",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
    }
    stage.port.update_status(
        PODS, application.NAMESPACE, "db-0", lambda _: {"containerStatuses": [entry]}
    )

    with pytest.raises(TemporaryError) as late:
        stage.until(lambda: None, "the database is ready", 5)

    assert str(late.value) == (
        "the database is ready: not within 5 s; pod db-0 waits: ErrImagePull no such image"
    )


def test_a_wait_stops_when_the_user_says_so(stage):
    stage.told_to_stop.set()

    with pytest.raises(KeyboardInterrupt):
        stage.until(lambda: None, "anything", 5)


@attrs.define
class Sessions:
    """A reader whose session goes through these phases, one a look."""

    phases: list[str]

    def get(self, resource, namespace, name):
        return {
            "metadata": {"namespace": namespace, "name": name},
            "status": {"phase": self.phases.pop(0)},
        }


def test_a_trigger_waits_until_the_session_is_final():
    clock = VirtualClock(START)
    session = {"metadata": {"namespace": "demo", "name": "web-1"}}

    ended = awaiting.final(
        Sessions(["Pending", "Running", "Failed"]), clock, BACKUP_SESSIONS, session, 60
    )

    assert ended["status"]["phase"] == "Failed"
    assert clock.monotonic() == 3 * awaiting.INTERVAL
