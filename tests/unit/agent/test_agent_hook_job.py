"""``run-hook``: hooks in Jobs of their own, and what they leave in the session."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from reconciler.agent import hook_job
from reconciler.agent.hook_job import Order
from reconciler.agent.turn import Target
from reconciler.api import resources as r
from reconciler.errors import ApiUnavailable, TerminalError

WEB = Target("Deployment", "web")


def shell(script: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", script]}}


def hooked(application, make, *, whole: Any = None, member: Any = None, **session: Any) -> None:
    """A batch with these hooks and its running session."""
    one = make.member("Deployment", "web")
    spec: dict[str, Any] = {"members": [{**one, "hooks": member} if member else one]}
    if whole:
        spec["hooks"] = whole
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(r.BACKUP_BATCHES, make.batch(**spec))
    claimed = [
        {
            "hostname": "host-0",
            "runner": "dead",
            "runnerUID": "x",
            "startTime": "2026-01-01T00:00:00Z",
        }
    ]
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Running", claimed, **session))


def run(application, order: Order, tools=None) -> int:
    return hook_job.run(application.cluster.port, tools or application.tools, order)


def condition(application, type_: str) -> Any:
    found = application.cluster.session().get("conditions") or []
    return next((item for item in found if item["type"] == type_), None)


def claimed(application) -> Any:
    return application.cluster.session()["targets"][0]["hosts"][0]


# -- of the whole ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook_type", "type_", "reason", "words"),
    [
        (
            "preBackup",
            "GlobalPreBackupHookSucceeded",
            "GlobalPreBackupHookExecutedSuccessfully",
            "Global PreBackup hook has been executed successfully",
        ),
        (
            "postBackup",
            "GlobalPostBackupHookSucceeded",
            "GlobalPostBackupHookExecutedSuccessfully",
            "Global PostBackup hook has been executed successfully",
        ),
    ],
)
def test_success_is_told_in_stashs_words(  # noqa: PLR0917 -- a table
    application, make, hook_type, type_, reason, words
) -> None:
    done = application.root / "done"
    hooked(application, make, whole={hook_type: shell(f"touch {done}")})

    assert run(application, Order("demo", "s", hook_type)) == 0

    assert done.exists()
    found = condition(application, type_)
    assert (found["status"], found["reason"], found["message"]) == ("True", reason, words)


def test_a_failure_is_told_and_does_not_fail_the_job(application, make) -> None:
    hooked(application, make, whole={"preBackup": shell("echo no quorum >&2; exit 3")})

    assert run(application, Order("demo", "s", "preBackup")) == 0

    found = condition(application, "GlobalPreBackupHookSucceeded")
    assert (found["status"], found["reason"]) == ("False", "GlobalPreBackupHookExecutionFailed")
    assert found["message"] == (
        "Failed to execute global PreBackup Hook. Reason: "
        'failed to execute "exec" probe. Error: command terminated with exit code 3.'
        " Response: no quorum."
    )


def test_a_pre_hook_does_not_start_after_the_deadline_and_a_post_hook_does(
    application, make
) -> None:
    both = {"preBackup": shell("true"), "postBackup": shell("true")}
    hooked(application, make, whole=both, sessionDeadline=make.in_hours(-1))
    for hook_type in both:
        run(application, Order("demo", "s", hook_type))

    assert condition(application, "GlobalPreBackupHookSucceeded")["status"] == "False"
    assert condition(application, "GlobalPostBackupHookSucceeded")["status"] == "True"


def test_a_pre_hook_whose_pod_is_stopped_is_left_to_the_jobs_next_pod(application, make) -> None:
    hooked(application, make, whole={"preBackup": shell("sleep 20")})
    application.tools.stop.set()

    assert run(application, Order("demo", "s", "preBackup")) == 1
    assert condition(application, "GlobalPreBackupHookSucceeded") is None


def test_a_session_of_the_same_name_made_anew_is_not_touched(application, make) -> None:
    hooked(application, make, whole={"preBackup": shell("exit 1")})
    environ = make.environ(application.root, BACKUP_SESSION_UID="another")
    surroundings = type(application.tools.surroundings).of(environ)
    tools = attrs.evolve(application.tools, surroundings=surroundings)

    assert run(application, Order("demo", "s", "preBackup"), tools) == 0
    assert run(application, Order("demo", "gone", "preBackup")) == 0
    assert condition(application, "GlobalPreBackupHookSucceeded") is None


@pytest.mark.parametrize(("script", "status"), [("true", "True"), ("exit 1", "False")])
def test_a_hook_of_a_restore_is_told_in_the_restore(application, script, status) -> None:
    obj = {
        "apiVersion": r.RESTORE_BATCHES.api_version,
        "kind": "RestoreBatch",
        "metadata": {"name": "back", "namespace": "demo"},
        "spec": {"repository": {"name": "repo"}, "hooks": {"preRestore": shell(script)}},
    }
    application.cluster.put(r.RESTORE_BATCHES, obj)

    assert run(application, Order("demo", "back", "preRestore", resource=r.RESTORE_BATCHES)) == 0
    assert run(application, Order("demo", "back", "postRestore", resource=r.RESTORE_BATCHES)) == 0

    found = application.cluster.port.get(r.RESTORE_BATCHES, "demo", "back")["status"]["conditions"]
    assert [(item["type"], item["status"]) for item in found] == [
        ("GlobalPreRestoreHookSucceeded", status),
        ("GlobalPostRestoreHookSucceeded", "True"),
    ]
    with pytest.raises(TerminalError, match="preRestore or postRestore"):
        run(application, Order("demo", "back", "preBackup", resource=r.RESTORE_BATCHES))


def test_another_type_of_hook_is_refused_by_name(application, make) -> None:
    hooked(application, make)
    with pytest.raises(TerminalError, match="preBackup or postBackup, found 'between'"):
        run(application, Order("demo", "s", "between"))


# -- of a member ----------------------------------------------------------------------------------


def test_an_owed_post_hook_is_run_and_settled_beside_the_claim(application, make) -> None:
    thawed = application.root / "thawed"
    hooked(
        application, make, member={"postBackup": {**shell(f"touch {thawed}"), "containerName": "x"}}
    )
    order = Order("demo", "s", "postBackup", WEB, "host-0")

    assert run(application, order) == 0

    assert thawed.exists()
    assert claimed(application)["hooks"] == {"post": "Succeeded"}
    assert condition(application, "PostBackupHookExecuted") is None


def test_it_is_run_in_the_pod_that_the_operator_has_chosen(application, make, monkeypatch) -> None:
    hooked(application, make, member={"postBackup": {**shell("thaw"), "containerName": "app"}})
    asked = []

    def execute(self, namespace, pod, container, command, *, timeout):
        asked.append((pod, container, tuple(command)))
        return type("Done", (), {"exit_code": 0, "stdout": "", "stderr": ""})

    monkeypatch.setattr(type(application.cluster.port), "exec", execute)
    run(application, Order("demo", "s", "postBackup", WEB, "host-0", "web-xyz"))

    assert asked == [("web-xyz", "app", ("sh", "-c", "thaw"))]
    assert claimed(application)["hooks"] == {"post": "Succeeded"}


def test_an_owed_hook_that_fails_is_named_in_a_condition(application, make) -> None:
    hooked(application, make, member={"postBackup": shell("exit 9")})
    order = Order("demo", "s", "postBackup", WEB, "host-0")
    assert run(application, order) == 0

    assert claimed(application)["hooks"] == {"post": "Failed"}
    message = condition(application, "PostBackupHookExecuted")["message"]
    assert message.startswith("Deployment web, host host-0: failed to execute")
    assert "exit code 9" in message


def test_a_hook_that_is_settled_is_not_run_again(application, make) -> None:
    calls = application.root / "calls"
    hooked(application, make, member={"postBackup": shell(f"echo x >> {calls}")})
    order = Order("demo", "s", "postBackup", WEB, "host-0")
    assert [run(application, order), run(application, order)] == [0, 0]
    assert run(application, Order("demo", "s", "postBackup", WEB, "unknown")) == 0

    assert calls.read_text() == "x\n"


def test_a_member_that_has_left_the_batch_has_nothing_to_run(application, make) -> None:
    hooked(application, make)
    assert run(application, Order("demo", "s", "postBackup", WEB, "host-0")) == 0
    assert claimed(application)["hooks"] == {"post": "Succeeded"}


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("false", 1)])
def test_a_pre_hook_by_itself_just_runs(application, make, script, code) -> None:
    hooked(application, make, member={"preBackup": shell(script)})
    assert run(application, Order("demo", "s", "preBackup", WEB, "host-0")) == code
    assert "hooks" not in claimed(application)


def test_the_result_waits_for_the_api_server_and_ends_with_the_pod(
    application, make, monkeypatch
) -> None:
    hooked(application, make, member={"postBackup": shell("true")})
    port = type(application.cluster.port)
    real = port.update_status
    failures = [ApiUnavailable("down")]

    def update_status(self, *arguments):
        if failures:
            raise failures.pop()
        return real(self, *arguments)

    monkeypatch.setattr(port, "update_status", update_status)
    monkeypatch.setattr("reconciler.agent.patience.Patience.rest", lambda *_: None)
    order = Order("demo", "s", "postBackup", WEB, "host-0")
    assert run(application, order) == 0
    assert claimed(application)["hooks"] == {"post": "Succeeded"}
