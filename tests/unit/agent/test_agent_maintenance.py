"""Exclusive work: creating a repository only when there is none; retention; verification."""

from __future__ import annotations

import os
import shutil

import pytest

from reconciler.agent import backup, maintenance
from reconciler.agent.session import Duty, Sidecar
from reconciler.agent.turn import Target
from reconciler.agent.workshop import open_workshop
from reconciler.api import resources as r

WHEN = "2026-01-01T00:00:00Z"


def conditions(status) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["message"]) for item in status["conditions"]}


def init(application) -> int:
    return maintenance.init_repository(application.cluster.port, application.tools, "demo", "repo")


def maintain(application, **more) -> int:
    port = application.cluster.port
    return maintenance.maintain(port, application.tools, "demo", "repo", "s", **more)


def status(application):
    return application.cluster.get(r.REPOSITORIES, "repo")["status"]


def initialized(application) -> tuple[str, str]:
    return conditions(status(application))["BackendRepositoryInitialized"]


def test_a_repository_that_is_there_is_found(application) -> None:
    assert init(application) == 0
    assert initialized(application) == ("True", "Repository exist in the backend.")


def test_a_repository_that_is_not_there_is_created(application) -> None:
    shutil.rmtree(application.root / "repository")
    assert init(application) == 0
    assert initialized(application) == ("True", "Repository has been created in the backend.")
    assert (application.root / "repository" / "config").is_file()
    assert init(application) == 0


def test_a_wrong_password_creates_nothing_and_is_mended_by_the_next_try(application, make) -> None:
    (application.root / "secret" / "RESTIC_PASSWORD").write_text("not-this")
    before = sorted(application.root.joinpath("repository").rglob("*"))
    assert init(application) == 1
    held, message = initialized(application)
    assert held == "False"
    assert "wrong password" in message
    assert "correct Secret demo/backend, key RESTIC_PASSWORD" in message
    assert sorted(application.root.joinpath("repository").rglob("*")) == before
    make.tools(application.root, application.environ)
    assert init(application) == 0


def test_a_backend_that_does_not_answer_is_not_taken_for_an_empty_one(application) -> None:
    application.cluster.port.delete(r.REPOSITORIES, "demo", "repo")
    rest = {"storageSecretName": "backend", "rest": {"url": "http://127.0.0.1:1/x"}}
    application.cluster.put(
        r.REPOSITORIES, {"metadata": {"name": "repo"}, "spec": {"backend": rest}}
    )
    assert init(application) == 1
    held, message = initialized(application)
    assert (held, "connection refused" in message) == ("False", True)


def test_a_missing_key_in_the_secret_is_named(application) -> None:
    (application.root / "secret" / "RESTIC_PASSWORD").unlink()
    assert init(application) == 1
    assert "the Secret backend has no key RESTIC_PASSWORD" in initialized(application)[1]


def test_a_missing_restic_is_named(application, make, tmp_path) -> None:
    environ = make.environ(application.root, PATH=str(tmp_path))
    tools = make.tools(application.root, environ)
    assert maintenance.init_repository(application.cluster.port, tools, "demo", "repo") == 1
    assert "the program restic is not installed" in initialized(application)[1]


def backed_up(application, make, times: int = 3, host: str = "host-0") -> None:
    """So many snapshots of a host, then a session that succeeded."""
    repository = application.cluster.get(r.REPOSITORIES, "repo")
    shop = open_workshop(application.tools, repository)
    for _ in range(times - 1):
        assert backup.paths(shop, host, ["/data"]).stats.phase == "Succeeded"
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    duty = Duty("demo", "BackupBatch", "shop", Target("Deployment", "web"))
    assert Sidecar(application.cluster.port, application.tools, duty).step(0)


def test_after_a_session_the_policy_is_applied_and_the_repository_verified(
    application, make
) -> None:
    backed_up(application, make, 3)
    assert maintain(application) == 0
    assert len(application.snapshots()) == 2
    found = status(application)
    assert found["integrity"] is True
    assert (found["snapshotCount"], found["snapshotsRemovedOnLastCleanup"]) == (2, 1)
    assert found["totalSize"] == "10 B"
    assert found["lastMaintainedSession"] == "s"
    session = application.cluster.get(r.BACKUP_SESSIONS, "s")
    assert found["lastBackupTime"] == session["metadata"]["creationTimestamp"]
    assert found["firstBackupTime"] == found["lastBackupTime"]
    assert conditions(session["status"]) == {
        "RetentionPolicyApplied": ("True", "Successfully applied retention policy."),
        "RepositoryIntegrityVerified": ("True", "Repository integrity verification succeeded."),
    }


def test_the_policy_never_touches_hosts_of_other_invokers(application, make) -> None:
    repository = application.cluster.get(r.REPOSITORIES, "repo")
    shop = open_workshop(application.tools, repository)
    for _ in range(3):
        backup.paths(shop, "somebody-else", ["/data"])
    backed_up(application, make, 3)
    maintain(application)
    hosts = [item["hostname"] for item in application.snapshots()]
    assert sorted(hosts) == ["host-0"] * 2 + ["somebody-else"] * 3


def paths_of_others(application, *paths: str) -> None:
    """Snapshots that another invoker took under the same host name."""
    shop = open_workshop(application.tools, application.cluster.get(r.REPOSITORIES, "repo"))
    for path in paths:
        folder = application.root / path
        folder.mkdir(exist_ok=True)
        (folder / "own.txt").write_text(path)
        assert backup.paths(shop, "host-0", [str(folder)]).stats.phase == "Succeeded"


def test_two_invokers_with_hosts_of_one_name_keep_each_others_snapshots(application, make) -> None:
    paths_of_others(application, "theirs", "theirs", "theirs")
    backed_up(application, make, 3)
    maintain(application)
    kept = sorted(item["paths"] for item in application.snapshots())
    ours, theirs = [str(application.data)], [str(application.root / "theirs")]
    assert kept == sorted([ours] * 2 + [theirs] * 3)
    assert status(application)["snapshotsRemovedOnLastCleanup"] == 1


@pytest.mark.parametrize("prunes", [True, False])
def test_of_several_paths_the_data_goes_at_the_end_and_only_if_asked_for(
    application, make, prunes
) -> None:
    """Two paths of ours and one of somebody else: two calls that forget, then one that prunes."""
    policy = {"name": "p", "keepLast": 1, "prune": prunes}
    second = application.root / "second"
    second.mkdir()
    batch = make.batch(
        retentionPolicy=policy,
        members=[make.member("Deployment", "web", paths=["/data", str(second)])],
    )
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(r.BACKUP_BATCHES, batch)
    shop = open_workshop(application.tools, application.cluster.get(r.REPOSITORIES, "repo"))
    (second / "goes").write_bytes(os.urandom(200_000))
    backup.paths(shop, "host-0", [str(second)])
    (second / "goes").unlink()
    paths_of_others(application, "theirs", "theirs")
    backed_up(application, make, 2)
    maintain(application)
    assert len(application.snapshots()) == 4
    assert status(application)["snapshotsRemovedOnLastCleanup"] == 2
    stored = application.root.joinpath("repository", "data").rglob("*")
    size = sum(file.stat().st_size for file in stored if file.is_file())
    assert (size < 200_000) is prunes


def test_where_the_snapshots_cannot_be_listed_none_is_removed(application, make, scripts) -> None:
    backed_up(application, make, 3)
    real = shutil.which("restic")
    body = f'case "$1" in snapshots) echo no >&2; exit 1;; *) exec {real} "$@";; esac'
    path = f"{scripts('restic', body)}:{os.environ['PATH']}"
    tools = make.tools(application.root, make.environ(application.root, PATH=path))
    maintenance.maintain(application.cluster.port, tools, "demo", "repo", "s")
    held, message = conditions(application.cluster.session())["RetentionPolicyApplied"]
    assert (held, "listing the snapshots failed" in message) == ("False", True)
    assert len(application.snapshots()) == 3


def test_a_host_that_failed_in_the_session_keeps_all_its_snapshots(application, make) -> None:
    repository = application.cluster.get(r.REPOSITORIES, "repo")
    shop = open_workshop(application.tools, repository)
    for _ in range(3):
        backup.paths(shop, "host-0", ["/data"])
    failed = make.session()
    failed["status"]["targets"][0]["stats"] = [{"hostname": "host-0", "phase": "Failed"}]
    application.cluster.put(r.BACKUP_SESSIONS, failed)
    maintain(application)
    assert len(application.snapshots()) == 3


def test_a_policy_that_keeps_nothing_removes_nothing_and_says_why(application, make) -> None:
    application.cluster.port.delete(r.BACKUP_BATCHES, "demo", "shop")
    application.cluster.put(
        r.BACKUP_BATCHES, make.batch(retentionPolicy={"name": "p", "prune": True})
    )
    backed_up(application, make, 2)
    assert maintain(application) == 0
    assert len(application.snapshots()) == 2
    found = conditions(application.cluster.session())
    held, message = found["RetentionPolicyApplied"]
    assert held == "False"
    assert "BackupBatch demo/shop: spec.retentionPolicy: keeps nothing" in message
    assert found["RepositoryIntegrityVerified"][0] == "True"
    assert status(application)["lastMaintainedSession"] == "s"


def test_a_damaged_repository_is_found_out(application, make) -> None:
    backed_up(application, make, 1)
    for index in (application.root / "repository" / "index").iterdir():
        index.unlink()
    assert maintain(application) == 0
    held, message = conditions(application.cluster.session())["RepositoryIntegrityVerified"]
    assert held == "False"
    assert message.startswith("Repository integrity verification failed. Reason: ")
    assert status(application)["integrity"] is False


def test_a_wrong_password_at_maintenance_says_nothing_about_integrity(application, make) -> None:
    backed_up(application, make, 1)
    (application.root / "secret" / "RESTIC_PASSWORD").write_text("not-this")
    assert maintain(application) == 0
    assert "integrity" not in status(application)
    found = conditions(application.cluster.session())
    assert {held for held, _ in found.values()} == {"False"}


def test_a_deleted_session_lets_maintenance_come_to_an_end(application) -> None:
    assert maintain(application) == 0
    assert status(application)["lastMaintainedSession"] == "s"


def test_the_status_of_others_is_kept(application) -> None:
    own = {"type": "Valid", "status": "True", "reason": "R", "message": "m"}
    foreign = {"phase": "Ready", "conditions": [{**own, "lastTransitionTime": WHEN}]}
    application.cluster.port.update_status(r.REPOSITORIES, "demo", "repo", lambda _: foreign)
    init(application)
    found = status(application)
    assert found["phase"] == "Ready"
    assert set(conditions(found)) == {"Valid", "BackendRepositoryInitialized"}


def test_the_moment_of_a_condition_changes_with_its_status_alone(application) -> None:
    old = {"type": "BackendRepositoryInitialized", "status": "True", "reason": "R", "message": "m"}
    stored = {"conditions": [{**old, "lastTransitionTime": WHEN}]}
    application.cluster.port.update_status(r.REPOSITORIES, "demo", "repo", lambda _: stored)
    init(application)
    assert status(application)["conditions"][0]["lastTransitionTime"] == WHEN
    (application.root / "secret" / "RESTIC_PASSWORD").unlink()
    init(application)
    assert status(application)["conditions"][0]["lastTransitionTime"] != WHEN


def test_unlock_has_nothing_to_say_about_a_free_repository(application) -> None:
    port = application.cluster.port
    assert maintenance.unlock(port, application.tools, "demo", "repo") == 0


def test_hosts_can_be_chosen_by_hand(application, make) -> None:
    backed_up(application, make, 2)
    maintain(application, hosts=["none-of-these"])
    assert len(application.snapshots()) == 2
