"""A Repository is initialised, shared by sessions, and maintained alone."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import Key
from reconciler.decisions import repository
from reconciler.decisions.plan import Create, Delete
from reconciler.manifests import labels

KEY = Key("shop", "repo")


def decide(view, make, now=None):
    return repository.decide(KEY, view, now or make.now, make.settings)


def settle(view, make, now=None):
    for _ in range(8):
        plan = decide(view, make, now)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view):
    return view.at("Repository", "repo")["status"]


def condition(view, type_):
    return next((c for c in status(view)["conditions"] if c["type"] == type_), None)


def jobs_of(view, task):
    return [
        obj
        for (kind, _, _), obj in view.objects.items()
        if kind == "Job" and obj["metadata"].get("labels", {}).get(labels.TASK) == task
    ]


def end(view, job, type_="Complete", **more):
    done = {"type": type_, "status": "True", **more}
    view.set_status("Job", job["metadata"]["name"], conditions=[done])


@pytest.fixture
def wanted(view, make):
    """A Repository with its Secret and a batch that names it."""
    view.add(make.secret(), make.repository(), make.batch(), make.workload())
    return view


@pytest.fixture
def usable(wanted, make):
    """The same, initialised."""
    settle(wanted, make)
    (job,) = jobs_of(wanted, "init")
    end(wanted, job)
    settle(wanted, make)
    return wanted


def good(name="web-1", **more):
    """The status of a finished session with a good host."""
    stats = [{"hostname": "h", "phase": "Succeeded"}]
    targets = [{"ref": {"kind": "Deployment", "name": "front"}, "stats": stats}]
    return {"phase": "Succeeded", "targets": targets, **more}


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


# -- maintenance ----------------------------------------------------------------------------------


def maintained(view, name="web-1"):
    done = {"type": "RetentionPolicyApplied", "status": "True"}
    view.set_status("BackupSession", name, conditions=[done])


def test_after_a_good_session_the_lock_is_taken_before_the_job_exists(usable, make):
    usable.add(make.session(status=good()))
    first = decide(usable, make)
    assert not [w for w in first.writes if isinstance(w, Create)]
    usable.carry_out(first)
    assert status(usable)["phase"] == "Maintaining"
    assert status(usable)["maintaining"] == "web-1"
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    assert job["metadata"]["annotations"] == {labels.SESSION: "web-1"}
    end(usable, job)
    maintained(usable)
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert "maintaining" not in status(usable)
    assert status(usable)["lastMaintainedSession"] == "web-1"


def test_while_a_session_is_let_in_maintenance_waits_and_no_other_is_let_in(usable, make):
    usable.add(make.session("web-0", age=dt.timedelta(hours=1), status=good()))
    usable.set_status("Repository", "repo", activeSessions=["web-1"])
    usable.add(make.session("web-1"))
    usable.add(make.batch(name="other"), make.session("other-1", batch="other"))
    settle(usable, make)
    assert status(usable)["activeSessions"] == ["web-1"]
    assert not jobs_of(usable, "maintain")
    usable.set_status("BackupSession", "web-1", phase="Failed")
    settle(usable, make)
    assert status(usable)["phase"] == "Maintaining"
    assert "activeSessions" not in status(usable)


@pytest.mark.parametrize("outcome", ["Complete", "Failed"])
def test_a_finished_maintenance_is_not_repeated_however_it_ended(usable, make, outcome):
    usable.add(make.session(status=good()))
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    end(usable, job, outcome)
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert len(jobs_of(usable, "maintain")) == 1


def test_a_maintenance_that_failed_is_not_repeated_after_that_of_another_batch(usable, make):
    usable.add(make.batch(name="other"))
    usable.add(make.session("web-1", age=dt.timedelta(hours=1), status=good()))
    usable.add(make.session("other-1", batch="other", status=good()))
    for _ in range(2):
        settle(usable, make)
        for job in jobs_of(usable, "maintain"):
            end(usable, job, "Failed")
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert status(usable)["lastMaintainedSession"] == "other-1"


def test_only_the_last_good_session_of_a_batch_is_maintained(usable, make):
    usable.add(make.session("web-0", age=dt.timedelta(hours=2), status=good()))
    usable.add(make.session("web-1", age=dt.timedelta(hours=1), status=good()))
    usable.add(make.session("web-2", status={"phase": "Failed"}))
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"


def test_of_two_batches_the_older_session_is_maintained_first(usable, make):
    usable.add(make.batch(name="other"))
    usable.add(make.session("web-1", status=good()))
    usable.add(
        make.session("other-1", batch="other", age=dt.timedelta(hours=1), status=good()),
    )
    settle(usable, make)
    assert status(usable)["maintaining"] == "other-1"
    (job,) = jobs_of(usable, "maintain")
    end(usable, job)
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"


@pytest.mark.parametrize(
    "change",
    [
        lambda v, m: v.set_meta("BackupBatch", "web", deletionTimestamp=m.stamp(m.now)),
        lambda v, m: v.set_meta("BackupSession", "web-1", deletionTimestamp=m.stamp(m.now)),
        lambda v, m: maintained(v),
        lambda v, m: v.set_status("Repository", "repo", lastMaintainedSession="web-1"),
        lambda v, m: v.set_status("BackupSession", "web-1", targets=[]),
    ],
    ids=["batch going", "session going", "reported", "remembered", "no good host"],
)
def test_what_needs_no_maintenance_gets_none(usable, make, change):
    usable.add(make.session(status=good()))
    change(usable, make)
    settle(usable, make)
    assert status(usable)["phase"] == "Ready"
    assert not jobs_of(usable, "maintain")


def held(usable, make):
    usable.add(make.session(status=good()))
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    return job


def test_a_lock_is_kept_while_its_job_runs_whatever_else_goes(usable, make):
    held(usable, make)
    usable.remove("Secret", "backend")
    usable.remove("BackupBatch", "web")
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"
    usable.add(make.secret(), make.batch())
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"


def test_a_deleted_job_is_made_anew_while_the_session_needs_it(usable, make):
    job = held(usable, make)
    usable.remove("Job", job["metadata"]["name"])
    settle(usable, make)
    assert jobs_of(usable, "maintain")


def test_a_pod_that_outlives_its_deleted_job_keeps_the_lock(usable, make):
    job = held(usable, make)
    pod = make.pod("survivor", owner=job)
    pod["metadata"]["labels"] = job["metadata"]["labels"]
    pod["metadata"]["annotations"] = {labels.SESSION: "web-1"}
    usable.add(pod)
    usable.remove("Job", job["metadata"]["name"])
    usable.remove("BackupSession", "web-1")
    settle(usable, make)
    assert status(usable)["maintaining"] == "web-1"
    usable.set_status("Pod", "survivor", phase="Succeeded")
    settle(usable, make)
    assert "maintaining" not in status(usable)


@pytest.mark.parametrize("how", ["gone", "reported"])
def test_a_lock_without_a_job_is_given_back_when_nobody_needs_it(usable, make, how):
    job = held(usable, make)
    usable.remove("Job", job["metadata"]["name"])
    if how == "gone":
        usable.remove("BackupSession", "web-1")
    else:
        maintained(usable)
    settle(usable, make)
    assert "maintaining" not in status(usable)
    assert status(usable)["phase"] == "Ready"


def test_a_finished_job_goes_with_its_session(usable, make):
    job = held(usable, make)
    end(usable, job)
    maintained(usable)
    settle(usable, make)
    assert jobs_of(usable, "maintain")
    usable.remove("BackupSession", "web-1")
    (write,) = [w for w in decide(usable, make).writes if isinstance(w, Delete)]
    assert write.name == job["metadata"]["name"]


def test_a_job_of_another_owner_is_not_ours(usable, make):
    job = held(usable, make)
    usable.set_meta("Job", job["metadata"]["name"], ownerReferences=[])
    assert not repository._own_jobs(usable, usable.at("Repository", "repo"), "maintain")


def test_maintenance_runs_with_the_settings_of_its_sessions_batch(usable, make):
    usable.add(make.batch(name="zother", runtimeSettings={"pod": {"serviceAccountName": "mine"}}))
    usable.add(make.session("zother-1", batch="zother", status=good()))
    settle(usable, make)
    (job,) = jobs_of(usable, "maintain")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


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
