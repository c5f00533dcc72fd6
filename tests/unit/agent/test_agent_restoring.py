"""Restores on a cluster in memory: the init container and the Job's steps, with the real restic."""

from __future__ import annotations

import json
import os
from typing import Any

import attrs
import pytest

from reconciler.agent import backup, job, restore_job, restoring
from reconciler.agent.init_container import Duty, InitContainer, Verdict, verdict
from reconciler.agent.turn import Target
from reconciler.agent.workshop import open_workshop
from reconciler.api import resources as r
from reconciler.errors import ApiUnavailable

WEB = Target("Deployment", "web")
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
MOUNTS = [{"name": "data", "mountPath": "/data"}]


def member(ref: dict[str, str] = REF, **target: Any) -> dict[str, Any]:
    whole = {"ref": ref, "rules": [{"snapshots": ["latest"]}], "volumeMounts": MOUNTS, **target}
    return {"target": whole}


def restore_session(phase: str = "Scheduled", hosts=("host-0",), **target: Any):
    """A RestoreSession ``back`` of the Deployment, as the operator leaves it."""
    claims = [{"hostname": name} for name in hosts]
    return {
        "metadata": {"name": "back"},
        "spec": {"repository": {"name": "repo"}, **member(**target)},
        "status": {"phase": "Running", "targetPhase": phase, "totalHosts": 1, "hosts": claims},
    }


def restore_batch(phase: str = "Scheduled"):
    """A RestoreBatch of two: the Deployment is its second member, so its host has an alias."""
    other = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "uploads"}
    entry = {"ref": REF, "phase": phase, "totalHosts": 1, "hosts": [{"hostname": "deploy-web"}]}
    rules = [{"snapshots": ["latest"], "sourceHost": "host-0"}]
    return {
        "metadata": {"name": "back"},
        "spec": {
            "repository": {"name": "repo"},
            "members": [member(other), member(rules=rules)],
        },
        "status": {"phase": "Running", "members": [{"ref": other, "phase": "Pending"}, entry]},
    }


@pytest.fixture
def lost(application):
    """The application whose data were backed up and are gone."""
    shop = open_workshop(application.tools, application.cluster.get(r.REPOSITORIES, "repo"))
    assert backup.paths(shop, "host-0", ["/data"]).stats.error == ""
    (application.data / "index.html").unlink()
    return application


def page(application) -> str | None:
    file = application.data / "index.html"
    return file.read_text() if file.exists() else None


def container(application, tools=None, resource=r.RESTORE_SESSIONS) -> InitContainer:
    duty = Duty("demo", resource, "back", WEB)
    return InitContainer(application.cluster.port, tools or application.tools, duty)


def of_pod(application, make, name, uid, **more):
    environ = make.environ(application.root, name, uid, **more)
    surroundings = type(application.tools.surroundings).of(environ)
    return attrs.evolve(application.tools, surroundings=surroundings)


def status(application, resource=r.RESTORE_SESSIONS):
    return application.cluster.get(resource, "back")["status"]


# -- the init container ---------------------------------------------------------------------------


def test_the_application_starts_when_its_data_are_back(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert container(lost).run() == 0
    assert page(lost) == "hello"
    (stat,) = status(lost)["stats"]
    assert (stat["hostname"], stat["phase"], stat.get("error")) == ("host-0", "Succeeded", None)
    assert status(lost)["hosts"][0]["runner"] == "web-abc"
    events = dict(lost.cluster.events())
    assert events["Host Restore Succeeded"].startswith("restore succeeded for host host-0")


def test_a_batch_of_several_restores_its_member_under_its_alias(lost) -> None:
    lost.cluster.put(r.RESTORE_BATCHES, restore_batch())
    assert container(lost, resource=r.RESTORE_BATCHES).run() == 0
    assert page(lost) == "hello"
    other, own = status(lost, r.RESTORE_BATCHES)["members"]
    assert (other.get("stats"), own["stats"][0]["hostname"]) == (None, "deploy-web")


def test_it_waits_for_its_turn(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session("Pending"))
    waiting = container(lost)
    assert waiting.step() is None
    assert page(lost) is None
    change = {**status(lost), "targetPhase": "Scheduled"}
    lost.cluster.port.update_status(r.RESTORE_SESSIONS, "demo", "back", lambda _: change)
    assert waiting.step() is None
    assert waiting.step() == 0
    assert page(lost) == "hello"


def test_a_failed_restore_keeps_the_application_from_starting_until_the_restore_is_gone(
    lost, caplog
) -> None:
    caplog.set_level("INFO")
    lost.cluster.put(
        r.RESTORE_SESSIONS, restore_session(rules=[{"paths": ["/data/none"], "sourceHost": "else"}])
    )
    waiting = container(lost)
    assert [waiting.step() for _ in range(3)] == [None] * 3
    (stat,) = status(lost)["stats"]
    assert stat["phase"] == "Failed"
    assert "no snapshot of host else" in stat["error"]
    assert caplog.text.count("the application is not started") == 1  # said once, not for ever
    assert "or delete it to start" in caplog.text
    assert dict(lost.cluster.events())["Host Restore Failed"].startswith(
        'restore failed for host "'
    )
    lost.cluster.port.delete(r.RESTORE_SESSIONS, "demo", "back")
    assert waiting.step() == 0


def test_a_restarted_container_does_not_restore_again(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert container(lost).run() == 0
    (lost.data / "index.html").write_text("newer than the backup")
    assert container(lost).run() == 0
    assert page(lost) == "newer than the backup"


def test_of_two_replicas_one_restores_and_both_start(lost, make) -> None:
    lost.cluster.put(r.PODS, pod("web-abc", "pod-1"))
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    uid = lost.cluster.port.get(r.PODS, "demo", "web-abc")["metadata"]["uid"]
    first = container(lost, of_pod(lost, make, "web-abc", uid))
    second = container(lost, of_pod(lost, make, "web-def", "pod-2"))
    claimed = {"hostname": "host-0", "runner": "web-abc", "runnerUID": uid}
    change = {**status(lost), "targetPhase": "Running", "hosts": [claimed]}
    lost.cluster.port.update_status(r.RESTORE_SESSIONS, "demo", "back", lambda _: change)
    assert second.step() is None
    assert page(lost) is None
    assert first.run() == 0
    assert second.step() == 0
    assert len(status(lost)["stats"]) == 1


def pod(name: str, uid: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "web", "image": "web"}]}
    return {"metadata": {"name": name, "uid": uid}, "spec": spec}


def test_the_next_pod_takes_over_from_one_that_is_gone_and_restores_the_whole(lost, make) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session("Running"))
    claimed = {"hostname": "host-0", "runner": "web-old", "runnerUID": "gone"}
    change = {**status(lost), "hosts": [claimed]}
    lost.cluster.port.update_status(r.RESTORE_SESSIONS, "demo", "back", lambda _: change)
    (lost.data / "index.html").write_text("half")
    assert container(lost).run() == 0
    assert page(lost) == "hello"
    assert status(lost)["hosts"][0]["earlierRunners"] == ["web-old"]


def test_told_to_stop_it_says_nothing_so_that_the_next_pod_restores(lost, make, scripts) -> None:
    tools = of_pod(lost, make, "web-abc", "pod-1", PATH=stopping(scripts))
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert container(lost, attrs.evolve(tools, stop=stopped(tools))).run() == 1
    assert status(lost).get("stats") is None


def stopping(scripts) -> str:
    folder = scripts("restic", "sleep 1000")
    return f"{folder}:{os.environ['PATH']}"


def stopped(tools):
    tools.stop.set()
    return tools.stop


def test_a_restore_that_was_made_anew_is_not_this_pods(lost, make) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    tools = of_pod(lost, make, "web-abc", "pod-1", RESTORE_UID="of-the-old-one")
    assert container(lost, tools).step() is None
    assert page(lost) is None
    assert "runner" not in status(lost)["hosts"][0]


def test_an_api_server_that_does_not_answer_is_waited_for(lost, monkeypatch) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    real, failures = type(lost.cluster.port).get, [ApiUnavailable("away")] * 2

    def get(self, *args, **more):
        if failures:
            raise failures.pop()
        return real(self, *args, **more)

    monkeypatch.setattr(type(lost.cluster.port), "get", get)
    monkeypatch.setattr("reconciler.agent.patience.Patience.again", lambda _: True)
    assert container(lost).run() == 0
    assert page(lost) == "hello"


@pytest.mark.parametrize(
    ("phase", "stat", "expected", "found"),
    [
        ("Running", None, True, Verdict.OPEN),
        ("Running", None, False, Verdict.OPEN),
        ("Running", "Succeeded", True, Verdict.RESTORED),
        ("Failed", "Succeeded", True, Verdict.RESTORED),
        ("Running", "Failed", True, Verdict.FAILED),
        ("Succeeded", None, False, Verdict.OVER),
        ("Skipped", None, False, Verdict.OVER),
        ("Failed", None, True, Verdict.FAILED),
        ("Failed", None, False, Verdict.NOT_OURS),
    ],
)
def test_what_a_restore_means_for_a_pod(phase, stat, expected, found) -> None:
    made = restore_session(hosts=("host-0",) if expected else ("host-9",))
    obj = {"kind": "RestoreSession", **made}
    obj["status"] = {**made["status"], "phase": phase}
    if stat:
        obj["status"]["stats"] = [{"hostname": "host-0", "phase": stat}]
    assert verdict(obj, WEB, "host-0") is found


def shell(line: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", line]}}


def with_hooks(**hooks: Any):
    made = restore_session()
    made["spec"]["hooks"] = hooks
    return made


def test_the_hooks_of_a_member_are_run_around_its_data(lost) -> None:
    data = lost.data
    pre, post = shell(f"ls {data} >{data}.before"), shell(f"ls {data} >{data}.after")
    lost.cluster.put(r.RESTORE_SESSIONS, with_hooks(preRestore=pre, postRestore=post))
    assert container(lost).run() == 0
    seen = [(data.parent / f"data.{when}").read_text() for when in ("before", "after")]
    assert seen == ["", "index.html\n"]
    assert status(lost)["hosts"][0]["hooks"] == {"pre": "Succeeded", "post": "Succeeded"}


def test_a_pre_hook_that_fails_leaves_the_data_as_they_are(lost) -> None:
    post = shell(f"echo >{lost.data}.after")
    lost.cluster.put(r.RESTORE_SESSIONS, with_hooks(preRestore=shell("exit 3"), postRestore=post))
    waiting = container(lost)
    assert [waiting.step(), waiting.step()] == [None, None]
    assert page(lost) is None
    (stat,) = status(lost)["stats"]
    assert (stat["phase"], "exit code 3" in stat["error"]) == ("Failed", True)
    assert (lost.data.parent / "data.after").exists()  # freeze and thaw belong together


def test_a_post_hook_that_fails_fails_the_host_whose_data_are_back(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, with_hooks(postRestore=shell("exit 4")))
    assert run(lost, report=True) == 0
    assert page(lost) == "hello"
    (stat,) = status(lost)["stats"]
    assert (stat["phase"], "exit code 4" in stat["error"]) == ("Failed", True)
    assert "backup" not in stat["error"]


# -- the Job --------------------------------------------------------------------------------------


def step(application, **more) -> job.Step:
    output = str(application.root / "output")
    return job.Step("demo", "back", WEB, output, resource=r.RESTORE_SESSIONS, **more)


def run(application, tools=None, change=None, **more) -> int:
    prepare = restoring.files(change) if change else restoring.files()
    own = tools or application.tools
    return restore_job.run(application.cluster.port, own, step(application, **more), prepare)


def publish(application) -> int:
    return job.publish(application.cluster.port, application.tools, step(application))


def test_the_data_step_hands_its_result_to_update_status(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert run(lost) == 0
    assert page(lost) == "hello"
    assert status(lost).get("stats") is None
    written = json.loads((lost.root / "output" / "output.json").read_text())
    assert written["targetStatus"]["stats"][0]["phase"] == "Succeeded"
    assert publish(lost) == 0
    assert status(lost)["stats"] == written["targetStatus"]["stats"]
    assert "Host Restore Succeeded" in dict(lost.cluster.events())


def test_a_job_of_one_step_reports_by_itself(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert run(lost, report=True) == 0
    assert status(lost)["stats"][0]["phase"] == "Succeeded"


def test_a_missing_repository_is_reported_by_name(lost) -> None:
    lost.cluster.port.delete(r.REPOSITORIES, "demo", "repo")
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert run(lost, report=True) == 0
    assert status(lost)["stats"][0]["error"] == "Repository demo/repo does not exist; create it"


def test_a_job_that_is_told_to_stop_leaves_the_claim_to_its_next_pod(lost, make) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    tools = of_pod(lost, make, "job-1", "pod-1")
    stopped(tools)
    assert run(lost, tools, report=True) == 1
    assert status(lost).get("stats") is None
    assert not (lost.root / "output").exists()


def test_a_job_of_another_restore_of_this_name_does_nothing(lost, make) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert run(lost, of_pod(lost, make, "job-1", "pod-1", RESTORE_UID="old")) == 0
    assert page(lost) is None


def test_a_set_of_claims_finds_its_host_by_its_ordinal(lost, make) -> None:
    rules = [{"snapshots": ["latest"], "sourceHost": "host-0"}]
    lost.cluster.put(
        r.RESTORE_SESSIONS, restore_session(hosts=("host-0", "host-1", "host-11"), rules=rules)
    )
    tools = of_pod(lost, make, "job-1", "pod-1", POD_ORDINAL="1")
    assert run(lost, tools, report=True) == 0
    assert [stat["hostname"] for stat in status(lost)["stats"]] == ["host-1"]


def test_flags_that_say_something_else_than_the_rule_count(lost) -> None:
    lost.cluster.put(r.RESTORE_SESSIONS, restore_session())
    assert run(lost, change=restoring.changes(paths="/none,/data"), report=True) == 0
    assert "/none is in no volume" in status(lost)["stats"][0]["error"]


def test_flags_that_repeat_the_rule_say_nothing_so_a_comma_is_whole() -> None:
    from reconciler.api.restore import Rule  # noqa: PLC0415 -- used by this test alone

    rule = Rule(paths=("/a,b", "/c"), snapshots=("1",), exclude=("x",))
    assert restoring.changes(paths="/a,b,/c", snapshots="1", exclude="x")(rule) == rule
    assert restoring.changes(include="*.a, *.b")(rule).include == ("*.a", "*.b")
    assert restoring.changes(source_host="h")(rule).source_host == "h"


def test_where_the_data_may_be_written() -> None:
    from reconciler.api.metadata import TargetRef  # noqa: PLC0415 -- used by this test alone
    from reconciler.api.restore import RestoreTarget  # noqa: PLC0415 -- used by this test alone

    claim = TargetRef(api_version="v1", kind="PersistentVolumeClaim", name="c")
    assert restoring.mounts(RestoreTarget(ref=claim)) == ("/stash-data",)
    mounted = RestoreTarget(ref=claim, volume_mounts=({"mountPath": "/data"},))
    assert restoring.mounts(mounted) == ("/data",)
    assert restoring.mounts(RestoreTarget()) == ()
