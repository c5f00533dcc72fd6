"""A Repository is initialised, and shared by sessions."""

from __future__ import annotations

import datetime as dt

import pytest
from repository_steps import (
    decide,
    end,
    jobs_of,
    settle,
    status,
)


def condition(view, type_):
    return next((c for c in status(view)["conditions"] if c["type"] == type_), None)


def test_a_repository_that_is_gone_needs_nothing(view, make):
    assert not decide(view, make).writes


def test_once_wanted_and_with_its_secret_it_is_initialised(wanted, make):
    plan = decide(wanted, make)
    assert [type(w).__name__ for w in plan.writes] == ["Apply", "Apply", "Create", "Status"]
    settle(wanted, make)
    assert status(wanted)["phase"] == "Initializing"
    (job,) = jobs_of(wanted, "init")
    end(wanted, job)
    assert [e.reason for e in decide(wanted, make).events] == ["Repository Initialized"]
    settle(wanted, make)
    assert status(wanted)["phase"] == "Ready"


def test_nobody_wants_it_so_nothing_is_done(view, make):
    view.add(make.secret(), make.repository())
    settle(view, make)
    assert status(view)["phase"] == "Pending"
    assert not jobs_of(view, "init")


def test_a_batch_that_names_another_repository_does_not_want_this_one(view, make):
    view.add(make.secret(), make.repository(), make.batch(repository={"name": "another"}))
    settle(view, make)
    assert status(view)["phase"] == "Pending"


@pytest.mark.parametrize(
    ("change", "type_", "words"),
    [
        (lambda v, m: v.remove("Secret", "backend"), "BackendSecretFound", "does not exist"),
        (
            lambda v, m: v.add(m.secret("OTHER")),
            "BackendSecretFound",
            "has no key RESTIC_PASSWORD",
        ),
        (
            lambda v, m: v.set_spec("Repository", "repo", backend={"storageSecretName": "backend"}),
            "Valid",
            "spec.backend",
        ),
        (lambda v, m: v.set_spec("Repository", "repo", backend=None), "Valid", "spec.backend"),
        (
            lambda v, m: v.set_spec("Repository", "repo", wipeOut="yes"),
            "Valid",
            "spec.wipeOut",
        ),
    ],
)
def test_what_it_lacks_is_a_condition_and_heals_by_itself(wanted, make, change, type_, words):
    before = [wanted.at("Repository", "repo"), wanted.at("Secret", "backend")]
    change(wanted, make)
    settle(wanted, make)
    assert status(wanted)["phase"] == "Pending"
    assert condition(wanted, type_)["status"] == "False"
    assert words in condition(wanted, type_)["message"]
    wanted.add(*before)
    settle(wanted, make)
    assert status(wanted)["phase"] == "Initializing"


def test_a_changed_secret_is_tried_at_once_and_the_old_job_goes(usable, make):
    (old,) = jobs_of(usable, "init")
    usable.add(make.secret())
    settle(usable, make)
    (new,) = jobs_of(usable, "init")
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert status(usable)["phase"] == "Initializing"


def test_a_failed_initialisation_is_told_and_tried_again(wanted, make):
    settle(wanted, make)
    (job,) = jobs_of(wanted, "init")
    end(wanted, job, "Failed", message="no pod", lastTransitionTime=make.stamp(make.now))
    plan = decide(wanted, make)
    assert [e.reason for e in plan.events] == ["Repository Initialization Failed"]
    assert plan.wake_at == make.now + dt.timedelta(minutes=5)
    settle(wanted, make)
    assert status(wanted)["phase"] == "Failed"
    assert "no pod" in condition(wanted, "BackendRepositoryInitialized")["message"]
    later = make.now + dt.timedelta(minutes=5)
    assert [type(w).__name__ for w in decide(wanted, make, later).writes] == ["Delete"]
    settle(wanted, make, later)
    assert status(wanted)["phase"] == "Initializing"


def test_a_job_that_does_not_say_when_it_failed_is_tried_again_too(wanted, make):
    settle(wanted, make)
    (job,) = jobs_of(wanted, "init")
    end(wanted, job, "Failed")
    assert decide(wanted, make).wake_at == make.now + dt.timedelta(minutes=5)


def test_the_agents_own_words_are_kept(wanted, make):
    settle(wanted, make)
    said = {
        "type": "BackendRepositoryInitialized",
        "status": "False",
        "reason": "R",
        "message": "wrong password",
        "lastTransitionTime": make.stamp(make.now),
    }
    wanted.set_status("Repository", "repo", conditions=[said])
    (job,) = jobs_of(wanted, "init")
    end(wanted, job, "Failed")
    settle(wanted, make)
    assert condition(wanted, "BackendRepositoryInitialized") == said


def test_the_job_of_a_batch_uses_the_batchs_service_account(wanted, make):
    settings = {"pod": {"serviceAccountName": "mine"}}
    wanted.set_spec("BackupBatch", "web", runtimeSettings=settings)
    settle(wanted, make)
    (job,) = jobs_of(wanted, "init")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    assert wanted.at("RoleBinding", "stash-backup-job-mine")


def test_an_unreadable_batch_still_has_its_repository_initialised(wanted, make):
    wanted.set_spec("BackupBatch", "web", members="nonsense")
    settle(wanted, make)
    assert jobs_of(wanted, "init")


# -- sessions -------------------------------------------------------------------------------------


def test_waiting_sessions_are_let_in_the_oldest_of_each_batch(usable, make):
    usable.add(make.batch(name="other"))
    usable.add(make.session("web-1"), make.session("web-2", age=dt.timedelta(minutes=-1)))
    usable.add(make.session("other-1", batch="other"))
    settle(usable, make)
    assert status(usable)["activeSessions"] == ["other-1", "web-1"]


def test_a_session_that_will_be_skipped_is_not_let_in(usable, make):
    usable.set_spec("BackupBatch", "web", paused=True)
    usable.add(make.session(slot=True))
    settle(usable, make)
    assert "activeSessions" not in status(usable)


@pytest.mark.parametrize("how", ["listed", "running"])
def test_beside_a_session_that_has_begun_none_of_the_same_batch_is_let_in(usable, make, how):
    usable.add(make.session("web-5"))
    if how == "listed":
        settle(usable, make)
    else:
        usable.set_status("BackupSession", "web-5", phase="Running")
    usable.add(make.session("web-1"))
    settle(usable, make)
    assert "web-1" not in status(usable).get("activeSessions", [])


@pytest.mark.parametrize("how", ["final", "gone"])
def test_a_session_that_has_ended_gives_its_place_back(usable, make, how):
    usable.add(make.session())
    settle(usable, make)
    if how == "gone":
        usable.remove("BackupSession", "web-1")
    else:
        usable.set_status("BackupSession", "web-1", phase="Failed")
    settle(usable, make)
    assert "activeSessions" not in status(usable)


def test_before_it_is_initialised_no_session_is_let_in(wanted, make):
    wanted.add(make.session())
    settle(wanted, make)
    assert "activeSessions" not in status(wanted)


def test_a_backup_configuration_uses_a_repository_too(view, make):
    view.add(make.secret(), make.repository(), make.configuration(), make.workload())
    settle(view, make)
    (job,) = jobs_of(view, "init")
    end(view, job)
    view.add(make.session(kind="BackupConfiguration"))
    settle(view, make)
    assert status(view)["activeSessions"] == ["web-1"]


# -- as a whole -----------------------------------------------------------------------------------


def test_a_repository_that_is_being_deleted_lets_nobody_in(usable, make):
    usable.set_meta("Repository", "repo", deletionTimestamp=make.stamp(make.now))
    usable.add(make.session())
    settle(usable, make)
    assert status(usable)["phase"] == "Terminating"
    assert "activeSessions" not in status(usable)


def test_a_lost_status_is_restored(usable, make):
    before = status(usable)
    usable.add({**usable.at("Repository", "repo"), "status": {}})
    settle(usable, make)
    assert status(usable) == before


def test_a_wrong_phase_heals(usable, make):
    usable.set_status("Repository", "repo", phase="Nonsense")
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"


def test_what_the_agent_knows_about_the_repository_stays(usable, make):
    usable.set_status("Repository", "repo", totalSize="1 GiB", snapshotCount=3)
    usable.add(make.session())
    settle(usable, make)
    assert status(usable)["totalSize"] == "1 GiB"
    assert status(usable)["snapshotCount"] == 3


def test_a_second_look_writes_nothing(usable, make):
    usable.add(make.session())
    settle(usable, make)
    assert not decide(usable, make).writes


# -- what changes meanwhile -----------------------------------------------------------------------


def test_mended_settings_make_another_initialisation_at_once(wanted, make):
    settle(wanted, make)
    (first,) = jobs_of(wanted, "init")
    pod = {"serviceAccountName": "backup"}
    wanted.set_spec("BackupBatch", "web", runtimeSettings={"pod": pod})
    settle(wanted, make)
    (second,) = jobs_of(wanted, "init")
    assert second["metadata"]["name"] == first["metadata"]["name"]
    assert second["spec"]["template"]["spec"]["serviceAccountName"] == "backup"
    end(wanted, second, "Failed", lastTransitionTime=make.stamp(make.now))
    settle(wanted, make)
    assert status(wanted)["phase"] == "Failed"
    wanted.set_spec("BackupBatch", "web", runtimeSettings={"pod": {"nodeName": "n2"}})
    settle(wanted, make)
    assert status(wanted)["phase"] == "Initializing"
    (third,) = jobs_of(wanted, "init")
    assert third["spec"]["template"]["spec"]["nodeName"] == "n2"


def test_other_settings_do_not_initialise_again_what_is_initialised(usable, make):
    (before,) = jobs_of(usable, "init")
    usable.set_spec("BackupBatch", "web", runtimeSettings={"pod": {"nodeName": "n2"}})
    settle(usable, make)
    assert jobs_of(usable, "init") == [before]
    assert status(usable)["phase"] == "Ready"


def test_a_session_is_maintained_where_its_snapshots_are(usable, make):
    stat = {"hostname": "host-0", "phase": "Succeeded"}
    target = {"ref": {"kind": "Deployment", "name": "front"}, "stats": [stat]}
    done = {"phase": "Succeeded", "targets": [target]}
    usable.add(make.session(status={**done, "repository": "another"}))
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert not jobs_of(usable, "maintain")
    usable.add(make.session(status={**done, "repository": "repo"}))
    settle(usable, make)
    assert jobs_of(usable, "maintain")
