"""Locks of the dead are removed, locks of the living never: and who holds one is named."""

from __future__ import annotations

import json
import os
import shutil

import attrs
import pytest

from reconciler.agent import backup, locks, maintenance
from reconciler.agent.owners import Owners
from reconciler.agent.parsing import Lock
from reconciler.agent.runner import Runner
from reconciler.agent.workshop import open_workshop
from reconciler.api import resources as r
from reconciler.errors import ApiUnavailable, Forbidden

TAKEN = "2026-03-01T03:00:07.123456789Z"


def lock(host: str = "web-1", taken: str = TAKEN) -> Lock:
    return Lock(host, 7, taken, exclusive=False)


@pytest.fixture
def owners(cluster, make) -> Owners:
    """A cluster in which the pod web-1 had claimed a host."""
    claim = {"hostname": "host-0", "runner": "web-1", "runnerUID": "u",
             "startTime": "2026-03-01T03:00:00Z"}  # fmt: skip
    cluster.put(r.BACKUP_SESSIONS, make.session("Running", [claim]))
    return Owners(cluster.port, "demo")


class Pods:
    """A port that knows one pod, and for the rest is the cluster's."""

    def __init__(self, owners: Owners, **pod) -> None:
        self.port = owners.port
        self.pod = pod

    def list(self, *args, **more):
        return self.port.list(*args, **more)

    def get(self, *_):
        return self.pod


def pod(created: str = "2026-03-01T00:00:00Z", started: str = "2026-03-01T00:00:01Z", **status):
    running = {"name": "stash", "state": {"running": {"startedAt": started}}}
    return {
        "metadata": {"name": "web-1", "creationTimestamp": created},
        "status": {"phase": "Running", "containerStatuses": [running], **status},
    }


def test_a_pod_that_is_gone_holds_no_lock(owners) -> None:
    assert owners.is_gone(lock())


def test_a_running_pod_holds_its_lock(owners) -> None:
    assert not Owners(Pods(owners, **pod()), "demo").is_gone(lock())


@pytest.mark.parametrize(
    "changed",
    [
        {"phase": "Failed"},
        {"phase": "Succeeded"},
        {"created": "2026-03-01T03:05:00Z"},  # made anew under its name
        {"started": "2026-03-01T03:05:00Z"},  # the container was restarted
    ],
)
def test_a_process_that_cannot_be_running_any_more_is_gone(owners, changed) -> None:
    assert Owners(Pods(owners, **pod(**changed)), "demo").is_gone(lock())


@pytest.mark.parametrize("host", ["laptop", "node-7", "web-2", ""])
def test_a_machine_that_is_no_runner_of_ours_may_be_alive(owners, host) -> None:
    assert not owners.is_gone(lock(host))


def test_a_lock_that_is_older_than_the_claim_may_be_of_another_cluster(owners) -> None:
    assert not owners.is_gone(lock(taken="2026-03-01T02:00:00Z"))


def test_a_pod_that_has_lost_its_claim_to_another_holds_no_lock(cluster, make) -> None:
    claim = {"hostname": "host-0", "runner": "web-2", "runnerUID": "v",
             "startTime": "2026-03-01T03:05:00Z", "earlierRunners": ["web-1"]}  # fmt: skip
    cluster.put(r.BACKUP_SESSIONS, make.session("Running", [claim]))
    (session,) = cluster.port.list(r.BACKUP_SESSIONS, "demo").items
    began = session["metadata"]["creationTimestamp"]
    owners = Owners(cluster.port, "demo")
    assert owners.is_gone(lock(taken=began.replace("Z", ".5Z")))
    assert not owners.is_gone(lock(taken="2001-01-01T00:00:00Z"))


@pytest.mark.parametrize("kind", ["session", "batch"])
def test_the_pod_of_a_restore_is_ours_too(cluster, kind) -> None:
    claim = {"hostname": "host-0", "runner": "web-1", "runnerUID": "u",
             "startTime": "2026-03-01T03:00:00Z"}  # fmt: skip
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    target = {"ref": ref, "rules": [{"snapshots": ["latest"]}]}
    spec = {"repository": {"name": "repo"}}
    if kind == "session":
        spec |= {"target": target}
        status = {"phase": "Running", "targetPhase": "Running", "hosts": [claim]}
    else:
        spec |= {"members": [{"target": target}]}
        status = {"phase": "Running", "members": [{"ref": ref, "hosts": [claim]}]}
    resource = r.RESTORE_SESSIONS if kind == "session" else r.RESTORE_BATCHES
    cluster.put(resource, {"metadata": {"name": "back"}, "spec": spec, "status": status})
    owners = Owners(cluster.port, "demo")
    assert owners.is_gone(lock())
    assert not owners.is_gone(lock("web-2"))


def test_an_init_container_that_was_started_again_holds_no_lock_of_before(owners) -> None:
    again = {"name": "stash-init", "state": {"running": {"startedAt": "2026-03-01T04:00:00Z"}}}
    restarted = pod(containerStatuses=[], initContainerStatuses=[again])
    assert Owners(Pods(owners, **restarted), "demo").is_gone(lock())


def test_what_may_not_be_listed_hides_nothing_else(owners, cluster) -> None:
    def refused(request, proceed):
        if "restore" in request.path:
            raise Forbidden("restoresessions is forbidden")
        return proceed(request)

    cluster.server.intercept(refused)
    assert owners.is_gone(lock())


@pytest.mark.parametrize("taken", ["", "yesterday", "2026-03-01T03:00:07"])
def test_a_lock_without_a_moment_proves_nothing(owners, taken) -> None:
    assert not owners.is_gone(lock(taken=taken))


def test_the_pod_of_a_maintenance_job_is_ours(owners) -> None:
    assert owners.is_gone(lock("stash-maintain-repo-0a1b2c3d-x7x7x"))


def test_a_cluster_that_does_not_answer_proves_nothing(owners, cluster) -> None:
    def away(_request, _proceed):
        raise ApiUnavailable("no answer")

    cluster.server.intercept(away)
    assert not owners.is_gone(lock())


def stubborn(place_or_app, scripts, held: list[dict]) -> dict[str, str]:
    """A restic whose locks are these, of other machines, until --remove-all."""
    real = shutil.which("restic")
    state = place_or_app.root / "foreign-locks"
    state.mkdir()
    for number, item in enumerate(held):
        (state / str(number)).write_text(json.dumps(item))
    folder = scripts(
        "restic",
        f"""cd {state}
        case "$*" in
        "list locks"*) ls;;
        "cat lock "*) cat "$3";;
        "unlock --remove-all"*) rm -f *;;
        unlock*) ;;
        forget*|backup*|check*)
          if [ "$(ls)" ]; then echo 'repository is already locked' >&2; exit 1; fi
          exec {real} "$@";;
        *) exec {real} "$@";;
        esac""",
    )
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def held_by(host: str) -> dict:
    return {"time": TAKEN, "exclusive": True, "hostname": host, "pid": 12}


def test_a_backup_goes_on_after_the_lock_of_a_dead_runner(place, scripts, tmp_path) -> None:
    environ = stubborn(place, scripts, [held_by("web-1")])
    runner = Runner({**os.environ, **environ}, place.clock)
    shop = attrs.evolve(place.shop, runner=runner, is_gone=lambda lock: lock.host == "web-1")
    (tmp_path / "d").mkdir()
    assert backup.paths(shop, "h", [str(tmp_path / "d")]).stats.phase == "Succeeded"


def test_one_living_owner_keeps_all_locks_and_is_named(place, scripts, tmp_path) -> None:
    environ = stubborn(place, scripts, [held_by("web-1"), held_by("web-2")])
    runner = Runner({**os.environ, **environ}, place.clock)
    shop = attrs.evolve(place.shop, runner=runner, is_gone=lambda lock: lock.host == "web-1")
    report = backup.paths(shop, "h", [str(tmp_path)])
    assert report.stats.phase == "Failed"
    assert "exclusive lock of process 12 on web-2" in report.stats.error
    assert "wait until its owner is done" in report.stats.error
    assert len(locks.held(shop.restic, runner)) == 2


@pytest.mark.parametrize(("host", "held"), [("web-abc", "True"), ("laptop", "False")])
def test_maintenance_gets_past_the_dead_and_waits_for_the_living(
    application, make, scripts, host, held
) -> None:
    claim = {"hostname": "host-0", "runner": "web-abc", "runnerUID": "u",
             "startTime": "2026-03-01T03:00:00Z"}  # fmt: skip
    made = make.session("Succeeded", [claim])
    made["status"]["targets"][0]["stats"] = [{"hostname": "host-0", "phase": "Succeeded"}]
    application.cluster.put(r.BACKUP_SESSIONS, made)
    environ = make.environ(application.root, **stubborn(application, scripts, [held_by(host)]))
    tools = make.tools(application.root, environ)
    port = application.cluster.port
    assert maintenance.maintain(port, tools, "demo", "repo", "s") == 0
    found = {c["type"]: c for c in application.cluster.session()["conditions"]}
    assert found["RetentionPolicyApplied"]["status"] == held
    if held == "False":
        assert (
            "exclusive lock of process 12 on laptop" in found["RetentionPolicyApplied"]["message"]
        )


def test_unlock_names_who_is_left(application, make, scripts, caplog) -> None:
    environ = make.environ(application.root, **stubborn(application, scripts, [held_by("x")]))
    tools = make.tools(application.root, environ)
    assert maintenance.unlock(application.cluster.port, tools, "demo", "repo") == 1
    assert "still there: exclusive lock of process 12 on x" in caplog.text


def test_a_workshop_without_a_cluster_takes_no_owner_for_dead(application) -> None:
    repository = application.cluster.get(r.REPOSITORIES, "repo")
    shop = open_workshop(application.tools, repository)
    assert not shop.is_gone(lock("stash-maintain-repo-0a1b2c3d-x"))
