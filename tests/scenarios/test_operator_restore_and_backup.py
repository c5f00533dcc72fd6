"""A restore among backups, maintenance and other restores: who waits for whom, on one clock."""

from __future__ import annotations

import pytest


@pytest.fixture
def web(shop, manifests):
    """A batch of a Deployment and a claim, set up."""
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.claim("uploads"),
        manifests.batch(manifests.member("Deployment", "front")),
    )
    shop.run(minutes=1)
    return shop


def restore(shop, name="back"):
    return shop.get("RestoreBatch", name)["status"]


def init_containers(shop):
    pod = shop.get("Deployment", "front")["spec"]["template"]["spec"]
    return [each["name"] for each in pod.get("initContainers") or ()]


def test_a_slot_waits_for_the_restore_of_its_target_and_then_runs(web, manifests):
    web.data.seconds = {"front": 300}
    web.run_to(2, 59)
    web.apply(manifests.restore_batch(manifests.restored("Deployment", "front")))
    web.run_to(3, 1)
    (name,) = web.sessions()
    assert web.sessions() == {name: "Pending"}
    assert "RestoreBatch back restores" in web.target(name, "front")["message"]

    web.run_to(3, 20)
    assert restore(web)["phase"] == "Succeeded"
    assert web.sessions() == {name: "Succeeded"}
    assert [what for what, _, _ in web.data.history][:2] == ["restore begins", "backup begins"]


def test_a_restore_waits_for_the_backup_of_its_target_and_its_maintenance(web, manifests):
    web.data.seconds = {"front": 120}
    web.run_to(3, 1)
    web.apply(manifests.restore_batch(manifests.restored("Deployment", "front")))
    web.run(seconds=10)
    (name,) = web.sessions()
    assert f"BackupSession {name} backs up" in restore(web)["members"][0]["message"]
    assert init_containers(web) == []

    web.run_to(3, 20)
    assert restore(web)["phase"] == "Succeeded"
    assert web.sessions() == {name: "Succeeded"}
    repository = web.get("Repository", "repo")["status"]
    assert "activeRestores" not in repository
    assert repository["lastMaintainedSession"] == name


def test_a_finished_restore_restarts_nobody_until_it_is_deleted(web, manifests):
    web.apply(manifests.restore_batch(manifests.restored("Deployment", "front")))
    web.run(minutes=3)
    assert restore(web)["phase"] == "Succeeded"
    generation = web.get("Deployment", "front")["metadata"]["generation"]
    web.run(minutes=30)
    assert web.get("Deployment", "front")["metadata"]["generation"] == generation

    web.delete("RestoreBatch", "back")
    web.run(minutes=1)
    assert web.find("RestoreBatch", "back") is None
    assert init_containers(web) == []
    assert web.get("Deployment", "front")["metadata"]["generation"] == generation + 1


def test_a_restore_that_is_deleted_under_way_leaves_nothing(web, manifests):
    web.data.seconds = {"front": 600, "uploads": 600}
    web.apply(
        manifests.restore_batch(
            manifests.restored("Deployment", "front"),
            manifests.restored("PersistentVolumeClaim", "uploads"),
        )
    )
    web.run(minutes=1)
    assert restore(web)["phase"] == "Running"
    assert init_containers(web) == ["stash-init"]

    web.delete("RestoreBatch", "back")
    web.run(minutes=2)
    assert web.find("RestoreBatch", "back") is None
    assert init_containers(web) == []
    assert [j for j in web.all("Job") if "stash-restore" in j["metadata"]["name"]] == []
    assert "activeRestores" not in web.get("Repository", "repo")["status"]


def test_a_restore_that_cannot_end_ends_by_its_deadline_and_lets_backups_go_on(web, manifests):
    web.data.seconds = {"front": 100_000}
    back = manifests.restore_batch(manifests.restored("Deployment", "front"), timeOut="40m")
    web.apply(back)
    web.run_to(3, 5)
    (name,) = web.sessions()
    assert web.sessions() == {name: "Pending"}
    web.data.seconds = {}
    web.run_to(3, 20)
    assert restore(web)["phase"] == "Failed"
    assert restore(web)["members"][0]["reason"] == "DeadlineExceeded"
    assert web.condition("RestoreBatch", "back", "DeadlineExceeded")["status"] == "True"


def test_hooks_run_around_the_whole_restore(web, manifests):
    hook = {"exec": {"command": ["true"]}, "containerName": "operator"}
    hooks = {"preRestore": hook, "postRestore": hook}
    web.apply(manifests.restore_batch(manifests.restored("Deployment", "front"), hooks=hooks))
    web.run(minutes=10)
    for which in ("Pre", "Post"):
        told = web.condition("RestoreBatch", "back", f"Global{which}RestoreHookSucceeded")
        assert told["status"] == "True"
    assert restore(web)["phase"] == "Succeeded"
    seen = [each for each, _, _ in web.data.history]
    assert seen.index("preRestore") < seen.index("restore begins") < seen.index("postRestore")
