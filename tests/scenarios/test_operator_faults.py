"""Bad input and bad luck: a condition that names object, field and remedy; the others unharmed;
recovery by itself once mended."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import BACKUP_SESSIONS, JOBS, PODS
from reconciler.engine import operator


def web(shop, manifests, **spec):
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.database("db"),
        manifests.batch(
            manifests.member("Deployment", "front"),
            manifests.member("AppBinding", "db"),
            **spec,
        ),
    )
    shop.cluster.settle()


def test_a_secret_that_is_created_late_lets_everything_go_on(shop, manifests):
    shop.delete("Secret", "backend")
    web(shop, manifests)
    shop.run_to(3, 5)
    assert shop.sessions() == {}
    found = shop.condition("BackupBatch", "web", "BackendSecretFound")
    assert found["status"] == "False"
    assert "Secret shop/backend does not exist" in found["message"]
    assert shop.get("Repository", "repo")["status"]["phase"] == "Pending"
    shop.apply(manifests.secret())
    shop.run(days=1)
    assert list(shop.sessions().values()) == ["Succeeded"]


def test_a_wrong_password_is_told_and_a_mended_secret_heals_by_itself(shop, manifests):
    shop.data.wrong_password = True
    web(shop, manifests)
    shop.run(minutes=1)
    assert shop.get("Repository", "repo")["status"]["phase"] == "Failed"
    found = shop.condition("Repository", "repo", "BackendRepositoryInitialized")
    assert "wrong password" in found["message"]
    shop.trigger("by-hand")
    shop.run(minutes=2)
    assert shop.sessions() == {"by-hand": "Pending"}
    assert "wrong password" in shop.target("by-hand", "db")["message"]
    shop.data.wrong_password = False
    shop.apply(manifests.secret(RESTIC_PASSWORD="right"))
    shop.run(minutes=1)
    assert shop.get("Repository", "repo")["status"]["phase"] == "Ready"
    assert shop.sessions() == {"by-hand": "Succeeded"}


def test_a_backend_that_was_down_is_tried_again_without_any_change(shop, manifests):
    shop.data.wrong_password = True
    web(shop, manifests)
    shop.run(minutes=1)
    assert shop.get("Repository", "repo")["status"]["phase"] == "Failed"
    shop.data.wrong_password = False
    shop.run(minutes=10)
    assert shop.get("Repository", "repo")["status"]["phase"] == "Ready"


def test_a_missing_target_fails_alone(shop, manifests):
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.batch(
            manifests.member("Deployment", "front"),
            manifests.member("Deployment", "gone"),
            manifests.member("AppBinding", "nowhere"),
        ),
    )
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Succeeded", "gone": "Failed", "nowhere": "Failed"}
    assert shop.target(name, "gone")["reason"] == "TargetNotFound"
    assert "Deployment shop/gone does not exist" in shop.target(name, "gone")["message"]
    shop.apply(manifests.workload("Deployment", "gone"), manifests.database("nowhere"))
    shop.run(days=1)
    assert list(shop.sessions().values())[-1] == "Succeeded"


def test_a_target_that_is_deleted_in_a_session_fails_alone(shop, manifests):
    web(shop, manifests)
    shop.data.seconds = {"front": 60, "db": 60}
    shop.run_to(3, 0, 20)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Running", "db": "Running"}
    shop.delete("Deployment", "front")
    shop.run_to(3, 5)
    assert shop.phases(name) == {"front": "Failed", "db": "Succeeded"}
    assert shop.target(name, "front")["reason"] == "RunnerDied"
    assert "is gone" in shop.target(name, "front")["message"]


def test_a_runner_that_dies_fails_its_host_and_nothing_else(shop, manifests):
    web(shop, manifests)
    shop.data.seconds = {"front": 60, "db": 90}
    shop.run_to(3, 0, 20)
    (name,) = shop.sessions()
    runner = shop.target(name, "front")["hosts"][0]["runner"]
    shop.delete("Pod", runner)
    shop.run_to(3, 5)
    assert shop.phases(name) == {"front": "Failed", "db": "Succeeded"}
    assert runner in shop.target(name, "front")["message"]
    assert "Host Backup Failed" in [reason for reason, _ in shop.events]
    shop.run(days=1)
    assert list(shop.sessions().values())[-1] == "Succeeded"


def test_a_job_that_fails_for_good_fails_its_target(shop, manifests):
    web(shop, manifests)
    shop.data.crashes = {"db"}
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Succeeded", "db": "Failed"}
    assert shop.target(name, "db")["reason"] in ("JobFailed", "RunnerDied")


def test_a_workload_without_pods_is_given_up_after_the_grace(shop, manifests):
    shop.apply(
        manifests.workload("Deployment", "front", replicas=0),
        manifests.workload("StatefulSet", "cache", replicas=0),
        manifests.database("db"),
        manifests.batch(
            manifests.member("Deployment", "front"),
            manifests.member("StatefulSet", "cache"),
            manifests.member("AppBinding", "db"),
        ),
    )
    shop.run_to(3, 4)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Injecting", "cache": "Injecting", "db": "Succeeded"}
    shop.run_to(3, 6)
    assert shop.phases(name) == {"front": "Failed", "cache": "Failed", "db": "Succeeded"}
    assert shop.target(name, "front")["reason"] == "RunnerNotReady"
    assert shop.target(name, "cache")["reason"] == "NoHosts"
    assert "scale it up" in shop.target(name, "front")["message"]


def test_the_deadline_ends_what_never_reports(shop, manifests):
    web(shop, manifests, timeOut="10m", executionOrder="Sequential")
    shop.data.deaf = {"front"}
    shop.run_to(3, 9)
    (name,) = shop.sessions()
    assert shop.sessions() == {name: "Running"}
    shop.run_to(3, 11)
    assert shop.sessions() == {name: "Failed"}
    assert shop.phases(name) == {"front": "Failed", "db": "Failed"}
    assert shop.target(name, "front")["reason"] == "DeadlineExceeded"
    assert shop.target(name, "db")["reason"] == "DeadlineExceeded"
    assert shop.condition("BackupSession", name, "DeadlineExceeded")["status"] == "True"
    assert shop.session(name)["sessionDuration"].startswith("10m")
    shop.data.deaf = set()
    shop.run(days=1)
    assert list(shop.sessions().values())[-1] == "Succeeded"


def test_a_session_that_waits_for_its_repository_ends_at_the_deadline(shop, manifests):
    shop.data.wrong_password = True
    web(shop, manifests, timeOut="3m")
    shop.trigger("by-hand")
    shop.run(minutes=2)
    assert shop.sessions() == {"by-hand": "Pending"}
    shop.run(minutes=2)
    assert shop.sessions() == {"by-hand": "Failed"}
    assert "wrong password" in shop.target("by-hand", "front")["message"]


def test_a_batch_deleted_in_a_session_finishes_it_and_leaves_the_workload_as_it_was(
    shop, manifests
):
    shop.apply(manifests.workload("Deployment", "front"))
    shop.cluster.settle()
    before = shop.get("Deployment", "front")
    web(shop, manifests)
    shop.data.seconds = {"front": 60}
    shop.run_to(3, 0, 20)
    shop.delete("BackupBatch", "web")
    shop.run(seconds=10)
    assert shop.get("BackupBatch", "web")["status"]["phase"] == "Terminating"
    assert list(shop.sessions().values()) == ["Running"]
    shop.run(minutes=5)
    assert ("BackupSession Succeeded", "Every target was backed up.") in shop.events
    assert shop.find("BackupBatch", "web") is None
    assert shop.find("CronJob", "stash-backup-web") is None
    assert shop.sessions() == {}
    after = shop.get("Deployment", "front")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("annotations", {}).keys() <= {"deployment.kubernetes.io/revision"}


def test_of_two_batches_on_one_workload_the_older_backs_it_up(shop, manifests):
    web(shop, manifests)
    shop.run(seconds=5)
    shop.apply(
        manifests.batch(
            manifests.member("Deployment", "front"),
            manifests.member("AppBinding", "db"),
            name="rival",
        )
    )
    shop.run_to(3, 2)  # nobody waits for a sidecar that cannot come
    assert list(shop.sessions().values()) == ["Succeeded"]
    assert list(shop.sessions("rival").values()) == ["Failed"]
    (session,) = shop.sessions("rival")
    assert shop.phases(session) == {"front": "Failed", "db": "Succeeded"}
    assert shop.target(session, "front")["reason"] == "SidecarInjectionFailed"
    assert shop.target(session, "front")["message"] == (
        "Host deploy-front: SidecarInjectionFailed: Deployment shop/front already has the sidecar "
        "of BackupBatch shop/web; take the target out of one of the two."
    )
    found = shop.member_condition("rival", "front", "StashSidecarInjected")
    assert "already has the sidecar of BackupBatch shop/web" in found["message"]
    shop.delete("BackupBatch", "web")
    shop.run(days=1)
    assert list(shop.sessions("rival").values())[-1] == "Succeeded"


def test_a_member_taken_out_of_the_spec_loses_its_sidecar_at_once(shop, manifests):
    web(shop, manifests)
    shop.change("BackupBatch", "web", {"spec": {"members": [manifests.member("AppBinding", "db")]}})
    shop.cluster.settle()
    found = shop.get("Deployment", "front")
    assert [c["name"] for c in found["spec"]["template"]["spec"]["containers"]] == ["app"]
    assert [v["name"] for v in found["spec"]["template"]["spec"]["volumes"]] == ["data"]


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])
def test_pods_of_kinds_that_do_not_roll_are_made_anew_one_at_a_time(shop, manifests, kind):
    shop.apply(manifests.workload(kind, "front", replicas=3))
    shop.cluster.settle()
    shop.apply(manifests.batch(manifests.member(kind, "front")))
    shop.run(minutes=5)
    pods = [p for p in shop.all("Pod") if p["metadata"]["name"].startswith("front")]
    assert len(pods) == 3
    assert all(len(p["spec"]["containers"]) == 2 for p in pods)
    shop.delete("BackupBatch", "web")
    shop.run(minutes=5)
    pods = [p for p in shop.all("Pod") if p["metadata"]["name"].startswith("front")]
    assert [len(p["spec"]["containers"]) for p in pods] == [1, 1, 1]


def test_a_member_removed_in_a_session_is_given_up_and_the_others_go_on(shop, manifests):
    web(shop, manifests, executionOrder="Sequential")
    shop.data.seconds = {"front": 60}
    shop.run_to(3, 0, 20)
    (name,) = shop.sessions()
    shop.change(
        "BackupBatch", "web", {"spec": {"members": [manifests.member("Deployment", "front")]}}
    )
    shop.run_to(3, 5)
    assert shop.phases(name) == {"front": "Succeeded", "db": "Failed"}
    assert shop.target(name, "db")["reason"] == "MemberRemoved"


def test_an_invalid_edit_skips_sessions_until_it_is_mended(shop, manifests):
    web(shop, manifests)
    shop.change("BackupBatch", "web", {"spec": {"timeOut": "soon"}})
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.sessions() == {name: "Skipped"}
    reason = shop.condition("BackupSession", name, "Skipped")
    assert reason["reason"] == "InvalidInvoker"
    assert "spec.timeOut" in reason["message"]
    shop.change("BackupBatch", "web", {"spec": {"timeOut": "1h"}})
    shop.run(days=1)
    assert list(shop.sessions().values())[-1] == "Succeeded"


def test_a_task_that_is_missing_for_a_moment_is_waited_for(shop, manifests):
    web(shop, manifests)
    task = shop.get("Task", "mysql-backup")
    shop.client.delete(_resource(shop, "Task"), "", "mysql-backup")
    shop.run_to(3, 2)
    (name,) = shop.sessions()
    assert shop.target(name, "db")["phase"] == "Injecting"
    assert "Task 'mysql-backup' does not exist" in shop.target(name, "db")["message"]
    task["metadata"] = {"name": "mysql-backup"}
    shop.apply(task)
    shop.run_to(3, 5)
    assert shop.sessions() == {name: "Succeeded"}


def _resource(shop, kind):
    from reconciler.api import resources  # noqa: PLC0415 -- by kind, in one place

    return next(
        v for v in vars(resources).values() if isinstance(v, resources.Resource) and v.kind == kind
    )


def test_maintenance_that_fails_blocks_nobody_and_is_told(shop, manifests):
    web(shop, manifests, schedule="*/10 * * * *", backupHistoryLimit=5)
    shop.data.maintenance_fails = True
    shop.run_to(2, 58)
    first, second = shop.sessions()
    assert shop.sessions()[second] == "Succeeded"
    found = shop.condition("BackupSession", first, "RetentionPolicyApplied")
    assert (found["status"], found["reason"]) == ("False", "FailedToApplyRetentionPolicy")
    assert "ended without a report" in found["message"]
    assert shop.get("Repository", "repo")["status"]["phase"] == "Ready"


def test_an_operator_that_is_replaced_at_any_moment_goes_on(shop, manifests):
    web(shop, manifests)
    shop.data.seconds = {"front": 30, "db": 30}
    end = shop.clock.now() + dt.timedelta(minutes=40)
    while shop.clock.now() < end:
        shop.cluster._parts.remove(shop.loop)
        shop.loop = operator.build(shop.client, shop.clock, shop.settings)
        shop.cluster.add_loop(shop.loop)
        shop.run(seconds=37)
    assert list(shop.sessions().values()) == ["Succeeded"]
    (session,) = shop.client.list(BACKUP_SESSIONS).items
    jobs = [j for j in shop.client.list(JOBS).items if "stash-backup-web-" in j["metadata"]["name"]]
    assert [j for j in jobs if j["metadata"]["ownerReferences"][0]["kind"] == "BackupSession"]
    assert session["status"]["phase"] == "Succeeded"
    assert not [p for p in shop.client.list(PODS).items if p["status"]["phase"] == "Failed"]


def test_names_of_two_kinds_with_one_name_are_told_and_neither_takes_from_the_other(
    shop, manifests
):
    web(shop, manifests)
    shop.apply(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": "BackupConfiguration",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "repository": {"name": "repo"},
                "schedule": "0 5 * * *",
                "retentionPolicy": {"name": "x", "keepLast": 1, "prune": False},
                **manifests.member("AppBinding", "db"),
            },
        }
    )
    shop.cluster.settle()
    found = shop.condition("BackupConfiguration", "web", "CronJobCreated")
    assert (found["status"], found["reason"]) == ("False", "NameTaken")
    assert shop.get("CronJob", "stash-backup-web")["spec"]["schedule"] == "0 3 * * *"


def test_a_mount_that_the_workload_does_not_have_is_told_and_harms_nobody_else(shop, manifests):
    wrong = manifests.member("Deployment", "front")
    wrong["target"]["volumeMounts"][0]["name"] = "datta"
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.database("db"),
        manifests.batch(wrong, manifests.member("AppBinding", "db")),
    )
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Failed", "db": "Succeeded"}
    assert "spec.members[0].target.volumeMounts[0].name" in shop.target(name, "front")["message"]
    found = shop.member_condition("web", "front", "StashSidecarInjected")
    assert "name one of its volumes (data)" in found["message"]


def test_a_sidecar_that_the_api_server_refuses_is_told_and_harms_nobody_else(shop, manifests):
    refused = manifests.member("Deployment", "front")
    limits = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    refused["runtimeSettings"] = {"container": {"resources": limits, "env": [{"name": ""}]}}
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.workload("Deployment", "back"),
        manifests.batch(refused, manifests.member("Deployment", "back")),
    )
    shop.run_to(3, 10)
    (name,) = shop.sessions()
    assert shop.phases(name) == {"front": "Failed", "back": "Succeeded"}
    found = shop.member_condition("web", "front", "StashSidecarInjected")
    assert (found["status"], found["reason"]) == ("False", "SidecarInjectionFailed")
    assert "the API server refuses it" in found["message"]


def test_a_lost_access_rule_is_made_anew(shop, manifests):
    web(shop, manifests)
    shop.delete("RoleBinding", "stash-cron-job")
    shop.delete("ServiceAccount", "stash-cron-job")
    shop.cluster.settle()
    assert shop.find("RoleBinding", "stash-cron-job")
    assert shop.find("ServiceAccount", "stash-cron-job")


def test_a_cron_job_that_somebody_deletes_or_edits_is_made_anew(shop, manifests):
    web(shop, manifests)
    shop.delete("CronJob", "stash-backup-web")
    shop.cluster.settle()
    shop.change("CronJob", "stash-backup-web", {"spec": {"schedule": "* * * * *"}})
    shop.cluster.settle()
    assert shop.get("CronJob", "stash-backup-web")["spec"]["schedule"] == "0 3 * * *"
