"""The Jobs of a session: data step, update-status, and the repair of what died in between."""

from __future__ import annotations

import json

import attrs
import pytest

from reconciler.agent import job, output, report
from reconciler.agent.report import Address, Delivery, HostReport
from reconciler.agent.turn import Target
from reconciler.api import resources as r
from reconciler.api.session import HostBackupStats
from reconciler.errors import InvalidObject, NotFound

WEB = Target("Deployment", "web")


def step(application, **more) -> job.Step:
    return job.Step("demo", "s", WEB, str(application.root / "output"), **more)


def back_up(application, tools=None, paths="/data", **more) -> int:
    prepare = job.files(WEB, paths, "")
    own = tools or application.tools
    return job.back_up(application.cluster.port, own, step(application, **more), prepare)


def publish(application, tools=None) -> int:
    return job.publish(application.cluster.port, tools or application.tools, step(application))


def stats(application):
    return application.cluster.session()["targets"][0].get("stats") or []


def of_pod(application, make, name, uid, **more):
    environ = make.environ(application.root, name, uid, **more)
    surroundings = type(application.tools.surroundings).of(environ)
    return attrs.evolve(application.tools, surroundings=surroundings)


def test_the_data_step_hands_its_result_to_update_status(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert back_up(application) == 0
    assert stats(application) == []
    written = json.loads((application.root / "output" / "output.json").read_text())
    target = written["targetStatus"]
    assert target["ref"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert target["stats"][0]["hostname"] == "host-0"
    assert publish(application) == 0
    assert stats(application) == target["stats"]
    assert "Host Backup Succeeded" in dict(application.cluster.events())


def test_a_one_step_function_reports_by_itself(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert back_up(application, report=True) == 0
    assert stats(application)[0]["phase"] == "Succeeded"
    assert publish(application) == 0
    assert len(stats(application)) == 1


def test_failed_data_is_reported_and_does_not_fail_the_pod(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert back_up(application, paths="/none") == 0
    assert publish(application) == 0
    assert stats(application)[0]["phase"] == "Failed"


def test_a_missing_repository_is_reported_by_name(application, make) -> None:
    application.cluster.port.delete(r.REPOSITORIES, "demo", "repo")
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert back_up(application) == 0
    assert publish(application) == 0
    assert stats(application)[0]["error"] == "Repository demo/repo does not exist; create it"


def test_the_jobs_next_pod_repairs_a_crash_between_the_two_steps(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    first = of_pod(application, make, "job-1", "uid-1")
    assert back_up(application, first) == 0
    (application.root / "output" / "output.json").unlink()  # the pod's tmp dies with it
    second = of_pod(application, make, "job-2", "uid-2")
    assert back_up(application, second) == 0
    assert publish(application, second) == 0
    assert [item["phase"] for item in stats(application)] == ["Succeeded"]
    assert application.cluster.session()["targets"][0]["hosts"][0]["runner"] == "job-2"


@pytest.mark.parametrize(
    ("pod", "takes_over"),
    [({"uid": "uid-1", "phase": "Failed"}, True), ({"uid": "uid-9", "phase": "Running"}, True),
     ({"uid": "uid-1", "phase": "Running"}, False)],
)  # fmt: skip
def test_a_claim_is_taken_over_only_from_a_pod_that_is_certainly_dead(
    application, make, pod, takes_over, monkeypatch
) -> None:
    port = type(application.cluster.port)
    real_get = port.get
    found = {"metadata": {"uid": pod["uid"]}, "status": {"phase": pod["phase"]}}

    def get(self, resource, namespace, name, **more):
        if resource == r.PODS:
            return found
        return real_get(self, resource, namespace, name, **more)

    monkeypatch.setattr(port, "get", get)
    claimed = [{"hostname": "host-0", "runner": "job-1", "runnerUID": "uid-1"}]
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Running", claimed))
    tools = of_pod(application, make, "job-2", "uid-2")
    monkeypatch.setattr("reconciler.agent.patience.Patience.again", lambda _: False)
    assert back_up(application, tools) == 0
    host = application.cluster.session()["targets"][0]["hosts"][0]
    assert host["runnerUID"] == ("uid-2" if takes_over else "uid-1")
    assert host.get("earlierRunners", []) == (["job-1"] if takes_over else [])


def test_a_finished_host_is_not_backed_up_again_by_the_jobs_next_pod(application, make) -> None:
    made = make.session("Running")
    made["status"]["targets"][0]["stats"] = [{"hostname": "host-0", "phase": "Failed"}]
    application.cluster.put(r.BACKUP_SESSIONS, made)
    assert back_up(application) == 0
    assert publish(application) == 0
    assert application.snapshots() == []
    assert len(stats(application)) == 1


def test_the_job_waits_until_the_operator_lets_it_go(application, make, monkeypatch) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Injecting"))
    waits = []

    def rest(_patience, seconds):
        waits.append(seconds)
        if len(waits) == 3:

            def go(current):
                current["status"]["targets"][0]["phase"] = "Scheduled"
                return current["status"]

            application.cluster.port.update_status(r.BACKUP_SESSIONS, "demo", "s", go)

    monkeypatch.setattr("reconciler.agent.patience.Patience.rest", rest)
    assert back_up(application) == 0
    assert len(waits) == 3
    assert publish(application) == 0
    assert stats(application)[0]["phase"] == "Succeeded"


def test_a_job_of_a_session_that_was_made_anew_does_nothing(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    tools = of_pod(application, make, "job-1", "uid-1", BACKUP_SESSION_UID="of-another")
    assert back_up(application, tools) == 0
    assert application.snapshots() == []


def test_a_job_of_a_deleted_session_does_nothing(application) -> None:
    assert back_up(application) == 0
    assert publish(application) == 0


def test_update_status_without_a_result_fails_so_that_the_job_tries_again(
    application, make
) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert publish(application) == 1


def test_a_result_of_another_session_is_not_published(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert back_up(application) == 0
    application.cluster.port.delete(r.BACKUP_SESSIONS, "demo", "s")
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert publish(application) == 1
    assert stats(application) == []


def test_a_job_that_is_stopped_reports_before_it_ends(application, make, monkeypatch) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    real = job.open_workshop

    def stopped(*args, **more):
        application.tools.stop.set()
        return real(*args, **more)

    monkeypatch.setattr(job, "open_workshop", stopped)
    back_up(application)
    assert "its pod is being stopped" in stats(application)[0]["error"]


def test_a_path_with_a_comma_stays_whole_when_the_invoker_says_the_same(application, make) -> None:
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    member = make.member("Deployment", "web", paths=["/data/a,b"])
    application.cluster.put(r.BACKUP_BATCHES, make.batch(members=[member]))
    (application.data / "a,b").mkdir()
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    back_up(application, paths="/data/a,b", report=True)
    assert stats(application)[0]["snapshots"][0]["path"] == "/data/a,b"


def test_output_of_another_image_is_understood(tmp_path) -> None:
    stash = {"targetStatus": {"ref": {}, "stats": [{"hostname": "h", "phase": "Failed",
                                                    "error": "e"}]}}  # fmt: skip
    (tmp_path / "output.json").write_text(json.dumps(stash))
    (report,), uid = output.read(str(tmp_path))
    assert (report.host, report.stats.error, report.incomplete, uid) == ("h", "e", "", "")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"targetStatus": {"stats": [3]}}'])
def test_output_that_is_not_what_it_should_be_is_a_typed_error(tmp_path, text) -> None:
    (tmp_path / "output.json").write_text(text)
    with pytest.raises(InvalidObject, match=r"output\.json"):
        output.read(str(tmp_path))


def test_missing_output_is_a_typed_error(tmp_path) -> None:
    with pytest.raises(NotFound, match="data step"):
        output.read(str(tmp_path))


def test_what_the_hooks_did_is_handed_on_and_settled_beside_the_claim(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Running"))
    stat = HostBackupStats(hostname="host-0", phase="Succeeded")
    done = HostReport(stat, hooks={"pre": "Succeeded", "post": "Skipped"})
    uid = application.cluster.get(r.BACKUP_SESSIONS, "s")["metadata"]["uid"]
    output.write(str(application.root / "output"), {}, [done], uid)

    assert publish(application) == 0

    (host,) = application.cluster.session()["targets"][0]["hosts"]
    assert host["hooks"] == {"pre": "Succeeded", "post": "Skipped"}


def test_hooks_are_settled_though_the_host_has_a_report_and_never_twice(application, make) -> None:
    made = make.session("Running")
    made["status"]["targets"][0]["stats"] = [{"hostname": "host-0", "phase": "Failed"}]
    session = application.cluster.put(r.BACKUP_SESSIONS, made)
    address = Address("demo", "s", session["metadata"]["uid"], WEB)
    stat = HostBackupStats(hostname="host-0", phase="Succeeded")
    now = application.tools.clock.now()
    for post in ("Succeeded", "Failed"):
        late = HostReport(stat, hooks={"post": post})
        assert report.publish(application.cluster.port, address, [late], now) is Delivery.LATE

    (target,) = application.cluster.session()["targets"]
    assert target["hosts"][0]["hooks"] == {"post": "Succeeded"}
    assert [item["phase"] for item in target["stats"]] == ["Failed"]
