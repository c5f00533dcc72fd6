"""The sidecar: whose turn it is, what it does in its turn, and what becomes of the result."""

from __future__ import annotations

import shutil

import attrs
import pytest

from reconciler.agent import backup, session
from reconciler.agent.session import Duty, Sidecar
from reconciler.agent.turn import Target
from reconciler.api import resources as r
from reconciler.cluster.transport import Response
from reconciler.errors import ApiUnavailable, Gone, TerminalError

WEB = Target("Deployment", "web")


def sidecar(application, environ=None, target=WEB) -> Sidecar:
    tools = application.tools
    if environ is not None:
        tools = attrs.evolve(tools, surroundings=type(tools.surroundings).of(environ))
    return Sidecar(application.cluster.port, tools, Duty("demo", "BackupBatch", "shop", target))


def stats(application):
    return application.cluster.session()["targets"][0].get("stats") or []


def test_a_session_that_lets_the_target_go_is_backed_up_and_reported(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert sidecar(application).step(0) is True
    target = application.cluster.session()["targets"][0]
    (stat,) = target["stats"]
    assert (stat["hostname"], stat["phase"]) == ("host-0", "Succeeded")
    assert stat["snapshots"][0]["path"] == "/data"
    assert stat["snapshots"][0]["fileStats"]["totalFiles"] == 1
    assert target["hosts"][0]["runner"] == "web-abc"
    assert target["hosts"][0]["runnerUID"] == "pod-1"
    (snapshot,) = application.snapshots()
    assert snapshot["hostname"] == "host-0"
    assert snapshot["id"].startswith(stat["snapshots"][0]["name"])
    said = ("Host Backup Succeeded", 'backup succeeded for host host-0 of "Deployment"/"web".')
    assert said in application.cluster.events()


def test_it_is_done_once(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    runner = sidecar(application)
    assert [runner.step(0) for _ in range(3)] == [True, False, False]
    assert sidecar(application).step(0) is False
    assert len(application.snapshots()) == 1


@pytest.mark.parametrize("phase", ["Pending", "Injecting", "Succeeded", "Failed"])
def test_a_target_that_may_not_go_is_left_alone(application, make, phase) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session(phase))
    assert sidecar(application).step(0) is False
    assert "runner" not in application.cluster.session()["targets"][0]["hosts"][0]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Skipped"])
def test_a_session_that_is_over_is_left_alone(application, make, phase) -> None:
    over = make.session()
    over["status"]["phase"] = phase
    application.cluster.put(r.BACKUP_SESSIONS, over)
    assert sidecar(application).step(0) is False


def test_a_session_past_its_deadline_is_left_alone(application, make) -> None:
    late = make.session(sessionDeadline=make.in_hours(-1))
    application.cluster.put(r.BACKUP_SESSIONS, late)
    assert sidecar(application).step(0) is False


def test_the_operator_lets_go_while_the_sidecar_watches(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Injecting"))
    runner = sidecar(application)
    assert runner.step(0) is False

    def go(current):
        current["status"]["targets"][0]["phase"] = "Scheduled"
        return current["status"]

    application.cluster.port.update_status(r.BACKUP_SESSIONS, "demo", "s", go)
    assert runner.step(0) is True
    assert stats(application)[0]["phase"] == "Succeeded"


def test_of_two_replicas_the_first_to_claim_runs(application, make) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    second = sidecar(application, make.environ(application.root, "web-2", "pod-2"))
    assert sidecar(application).step(0) is True
    assert second.step(0) is False
    assert len(application.snapshots()) == 1


def test_a_host_that_another_pod_has_claimed_is_not_touched(application, make) -> None:
    claimed = [{"hostname": "host-0", "runner": "web-x", "runnerUID": "pod-x"}]
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Running", claimed))
    assert sidecar(application).step(0) is False


def test_a_restarted_container_takes_its_own_claim_over(application, make) -> None:
    mine = [{"hostname": "host-0", "runner": "web-abc", "runnerUID": "pod-1"}]
    application.cluster.put(r.BACKUP_SESSIONS, make.session("Running", mine))
    assert sidecar(application).step(0) is True
    assert stats(application)[0]["phase"] == "Succeeded"


def test_each_pod_of_a_stateful_set_backs_up_its_own_host(application, make) -> None:
    batch = make.batch(members=[make.member("StatefulSet", "db", alias="db")])
    batch["metadata"]["name"] = "shop"
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(r.BACKUP_BATCHES, batch)
    made = make.session(hosts=[{"hostname": "db-0"}, {"hostname": "db-1"}])
    made["status"]["targets"][0]["ref"] = {"apiVersion": "apps/v1", "kind": "StatefulSet",
                                           "name": "db"}  # fmt: skip
    application.cluster.put(r.BACKUP_SESSIONS, made)
    target = Target("StatefulSet", "db")
    for ordinal in (1, 0):
        environ = make.environ(application.root, f"db-{ordinal}", f"pod-{ordinal}")
        assert sidecar(application, environ, target).step(0) is True
    assert [item["hostname"] for item in stats(application)] == ["db-1", "db-0"]
    assert {item["hostname"] for item in application.snapshots()} == {"db-0", "db-1"}


def test_two_members_of_a_batch_do_not_share_a_host(application, make) -> None:
    members = [make.member("Deployment", "web"), make.member("Deployment", "api")]
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(r.BACKUP_BATCHES, make.batch(members=members))
    application.cluster.put(r.BACKUP_SESSIONS, make.session(hosts=[{"hostname": "deploy-web"}]))
    assert sidecar(application).step(0) is True
    assert stats(application)[0]["hostname"] == "deploy-web"


def test_a_session_of_another_invoker_is_not_ours(application, make) -> None:
    other = make.session()
    other["spec"]["invoker"]["name"] = "other"
    application.cluster.put(r.BACKUP_SESSIONS, other)
    assert sidecar(application).step(0) is False


def test_a_wrong_password_fails_the_host_and_is_mended_in_the_next_session(
    application, make
) -> None:
    (application.root / "secret" / "RESTIC_PASSWORD").write_text("not-this")
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    runner = sidecar(application)
    assert runner.step(0) is True
    (stat,) = stats(application)
    assert stat["phase"] == "Failed"
    assert "wrong password" in stat["error"]
    assert "Host Backup Failed" in [reason for reason, _ in application.cluster.events()]
    application.cluster.port.delete(r.BACKUP_SESSIONS, "demo", "s")
    make.tools(application.root, application.environ)
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert runner.step(0) is True
    assert stats(application)[0]["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("repository", "Repository demo/repo does not exist; create it"),
        ("secret", "the Secret backend has no key RESTIC_PASSWORD"),
    ],
)
def test_what_is_missing_fails_the_host_with_its_name(application, make, broken, said) -> None:
    if broken == "repository":
        application.cluster.port.delete(r.REPOSITORIES, "demo", "repo")
    else:
        shutil.rmtree(application.root / "secret")
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert sidecar(application).step(0) is True
    (stat,) = stats(application)
    assert (stat["phase"], said in stat["error"]) == ("Failed", True)


def test_a_result_is_kept_until_the_api_server_is_back(application, make, monkeypatch) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    outage = Outage(application.cluster, monkeypatch)
    assert sidecar(application).step(0) is True
    assert stats(application)[0]["phase"] == "Succeeded"
    assert outage.refused == 5


class Outage:
    """Refuses all requests from the end of the backup on, and comes back after five of them."""

    def __init__(self, cluster, monkeypatch, requests: int = 5) -> None:
        self.left = 0
        self.refused = 0
        cluster.server.intercept(self._answer)
        real = backup.paths

        def then_gone(*args, **more):
            report = real(*args, **more)
            self.left = requests
            return report

        monkeypatch.setattr(backup, "paths", then_gone)
        monkeypatch.setattr("reconciler.agent.patience.Patience.rest", lambda *_: None)

    def _answer(self, request, proceed) -> Response:
        if self.left <= 0:
            return proceed(request)
        self.left -= 1
        self.refused += 1
        raise ApiUnavailable("no answer")


def test_a_late_report_changes_nothing_and_is_told(application, make, monkeypatch) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    given_up = {"hostname": "host-0", "phase": "Failed", "error": "the runner is lost"}

    def meanwhile():
        def give_up(current):
            current["status"]["targets"][0]["stats"] = [given_up]
            return current["status"]

        application.cluster.port.update_status(r.BACKUP_SESSIONS, "demo", "s", give_up)

    after_backup(monkeypatch, meanwhile)
    assert sidecar(application).step(0) is True
    assert stats(application) == [given_up]
    (dropped,) = [
        m for reason, m in application.cluster.events() if reason == "Host Report Dropped"
    ]
    assert application.snapshots()[0]["short_id"] in dropped


def test_a_report_never_reaches_another_session_of_the_same_name(
    application, make, monkeypatch
) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())

    def meanwhile():
        application.cluster.port.delete(r.BACKUP_SESSIONS, "demo", "s")
        application.cluster.put(r.BACKUP_SESSIONS, make.session("Pending"))

    after_backup(monkeypatch, meanwhile)
    sidecar(application).step(0)
    assert stats(application) == []


def test_a_deleted_session_does_not_disturb_the_sidecar(application, make, monkeypatch) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    port = application.cluster.port
    after_backup(monkeypatch, lambda: port.delete(r.BACKUP_SESSIONS, "demo", "s"))
    runner = sidecar(application)
    assert runner.step(0) is True
    assert runner.step(0) is False


def after_backup(monkeypatch, happening) -> None:
    real = backup.paths

    def then(*args, **more):
        report = real(*args, **more)
        happening()
        return report

    monkeypatch.setattr(backup, "paths", then)


def test_incomplete_backups_are_a_condition_of_the_session(application, make, monkeypatch) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    real = backup.paths
    monkeypatch.setattr(
        backup, "paths", lambda *a, **m: attrs.evolve(real(*a, **m), incomplete="2 files")
    )
    sidecar(application).step(0)
    (condition,) = application.cluster.session()["conditions"]
    assert (condition["type"], condition["status"]) == ("BackupIncomplete", "True")
    assert condition["message"] == "host-0: 2 files"


def test_a_stop_ends_the_backup_reports_it_and_ends_the_sidecar(
    application, make, monkeypatch
) -> None:
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    (application.data / "big").write_bytes(b"x" * 1000)
    stop = application.tools.stop
    real = session.open_workshop

    def stopped(*args, **more):
        stop.set()
        return real(*args, **more)

    monkeypatch.setattr(session, "open_workshop", stopped)
    sidecar(application).run()
    (stat,) = stats(application)
    assert stat["phase"] == "Failed"
    assert "its pod is being stopped" in stat["error"]


def test_the_sidecar_outlives_an_api_server_that_is_away(application, monkeypatch) -> None:
    asked = []

    def away(request, _proceed):
        asked.append(request.path)
        if len(asked) == 6:
            application.tools.stop.set()
        raise ApiUnavailable("no answer")

    application.cluster.server.intercept(away)
    monkeypatch.setattr("reconciler.agent.patience.Patience.rest", lambda *_: None)
    sidecar(application).run()
    assert len(asked) >= 6


def test_its_start_is_an_event_of_the_invoker(application) -> None:
    application.tools.stop.set()
    sidecar(application).run()
    assert "BackupSession Controller Started" in [r for r, _ in application.cluster.events()]


def test_an_invoker_kind_that_starts_no_backups_is_refused_at_start(application) -> None:
    duty = Duty("demo", "Deployment", "shop", WEB)
    with pytest.raises(TerminalError, match="BackupBatch or BackupConfiguration, found 'Deploy"):
        Sidecar(application.cluster.port, application.tools, duty)


def test_a_pod_that_is_done_asks_nothing_while_its_set_goes_on(application, make) -> None:
    cluster, target = application.cluster, Target("StatefulSet", "db")
    cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    members = [make.member("StatefulSet", "db", alias="db")]
    cluster.put(r.BACKUP_BATCHES, make.batch(members=members))
    made = make.session(hosts=[{"hostname": "db-0"}, {"hostname": "db-1"}])
    made["status"]["targets"][0]["ref"] = {"kind": "StatefulSet", "name": "db"}
    cluster.put(r.BACKUP_SESSIONS, made)
    runner = sidecar(application, make.environ(application.root, "db-0", "pod-0"), target)
    assert runner.step(0) is True
    runner.step(0)
    asked = []

    def watch(request, proceed):
        asked.append(request.path)
        return proceed(request)

    cluster.server.intercept(watch)
    for _ in range(5):
        assert runner.step(0) is False
    assert asked == []


def test_a_watch_that_is_too_old_leads_to_a_new_list(application, make, monkeypatch) -> None:
    runner = sidecar(application)
    runner.step(0)
    stream = runner._sessions._stream
    application.cluster.put(r.BACKUP_SESSIONS, make.session())

    def gone(_seconds):
        raise Gone("too old")

    monkeypatch.setattr(type(stream), "next", lambda *_: gone(0) if _[0] is stream else None)
    assert runner.step(0) is True
    assert stats(application)[0]["phase"] == "Succeeded"
