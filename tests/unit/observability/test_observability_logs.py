"""Log lines are for people or machines, carry their facts, and no secret."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.api.resources import BACKUP_SESSIONS, CONFIG_MAPS, RESTORE_SESSIONS
from reconciler.engine.clock import VirtualClock
from reconciler.observability import logs, transitions

CLOCK = VirtualClock(dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_for_people_has_time_level_message_and_facts(stream: io.StringIO) -> None:
    logs.configure(CLOCK, stream=stream)
    logging.getLogger("x").warning("slow %s", "disk", extra={"key": "ns/a", "why": "two words"})
    assert stream.getvalue() == '12:00:00 WARNING slow disk key=ns/a why="two words"\n'


def test_a_line_for_machines_is_one_json_object(stream: io.StringIO) -> None:
    logs.configure(CLOCK, stream=stream, style="json")
    error = ValueError("two\nlines")
    logging.getLogger("x").error("failed", exc_info=error, extra={"key": "ns/a", "count": 3})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["time"] == "2026-01-01T12:00:00.000+00:00"
    assert (entry["level"], entry["message"]) == ("error", "failed")
    assert (entry["key"], entry["count"]) == ("ns/a", 3)
    assert "ValueError" in entry["traceback"]


def test_libraries_do_not_chatter(stream: io.StringIO) -> None:
    logs.configure(CLOCK, stream=stream)
    logging.getLogger("urllib3.connectionpool").info("GET /")
    logging.getLogger("x").debug("detail")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "message",
    [
        "RESTIC_PASSWORD=canary",
        "env AWS_SECRET_ACCESS_KEY='canary' restic",
        'body {"password": "canary"}',
        "Authorization: Bearer canary",
        "rest:http://user:canary@host/repo",
        "--token=canary",
    ],
)
def test_what_looks_like_a_secret_is_masked(
    stream: io.StringIO, style: logs.Style, message: str
) -> None:
    logs.configure(CLOCK, stream=stream, style=style)
    logging.getLogger("x").error(message)
    assert "canary" not in stream.getvalue()
    assert "***" in stream.getvalue()


@pytest.mark.parametrize(
    "message",
    [
        "Repository ns/r: spec.backend.storageSecretName: no Secret of that name",
        "Secret ns/s: data.RESTIC_PASSWORD: the key is missing; add it",
        "https://host:8080/path",
    ],
)
def test_messages_about_secrets_are_left_alone(message: str) -> None:
    assert logs.guarded(message) == message


def session(phase: str, target: str) -> dict[str, object]:
    ref = {"kind": "Deployment", "name": "web"}
    return {
        "metadata": {"namespace": "ns", "name": "s"},
        "status": {"phase": phase, "targets": [{"ref": ref, "phase": target, "reason": "Died"}]},
    }


def test_the_target_of_a_restore_session_has_a_line_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def restore(target_phase: str) -> dict[str, Any]:
        ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        return {
            "kind": "RestoreSession",
            "metadata": {"namespace": "ns", "name": "r"},
            "spec": {"target": {"ref": ref}},
            "status": {"phase": "Running", "targetPhase": target_phase, "reason": "HostClaimed"},
        }

    transitions.log_phases(RESTORE_SESSIONS, restore("Scheduled"), restore("Running"))
    assert [record.getMessage() for record in caplog.records] == [
        "RestoreSession ns/r target Deployment/web: Scheduled → Running (HostClaimed)"
    ]


def test_every_change_of_a_phase_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pending, failed = session("Pending", "Pending"), session("Failed", "Failed")
    transitions.log_phases(BACKUP_SESSIONS, None, pending)
    transitions.log_phases(BACKUP_SESSIONS, pending, pending)
    transitions.log_phases(BACKUP_SESSIONS, pending, failed)
    transitions.log_phases(BACKUP_SESSIONS, failed, None)
    transitions.log_phases(CONFIG_MAPS, pending, failed)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "BackupSession ns/s: Pending → Failed"),
        ("WARNING", "BackupSession ns/s target Deployment/web: Pending → Failed (Died)"),
    ]
