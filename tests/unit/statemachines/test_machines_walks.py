"""What each machine says in the situations that its users know."""

from __future__ import annotations

import attrs
import pytest

from statemachines import batch, host, repository, restore, session, target
from statemachines.table import advance

BATCHES = [
    ("an untouched batch with all it needs", {}, "Scheduled"),
    ("a missing Repository", {"repository_found": False}, "Pending"),
    ("a missing Secret", {"secret_found": False}, "Pending"),
    ("an invalid spec", {"spec_valid": False}, "Pending"),
    ("no target at all", {"some_target_found": False}, "Pending"),
    ("sidecars rolling out", {"sidecars_in_place": False}, "Injecting"),
    ("a session in flight", {"session_in_flight": True}, "Running"),
    (
        "a session in flight while sidecars roll out",
        {"session_in_flight": True, "sidecars_in_place": False},
        "Running",
    ),
    ("a last session that succeeded", {"last_session": batch.LastSession.SUCCEEDED}, "Succeeded"),
    ("a last session that failed", {"last_session": batch.LastSession.FAILED}, "Failed"),
    (
        "a session in flight after one that failed",
        {"session_in_flight": True, "last_session": batch.LastSession.FAILED},
        "Running",
    ),
    (
        "deletion, whatever is missing",
        {"deletion_requested": True, "spec_valid": False},
        "Terminating",
    ),
]


@pytest.mark.parametrize(
    ("facts", "state"), [case[1:] for case in BATCHES], ids=[case[0] for case in BATCHES]
)
def test_a_batch_is_what_the_world_says(facts, state):
    assert advance(batch.TABLE, batch.PENDING, batch.Observation(**facts)).state == state


def test_a_batch_that_lacks_something_leaves_the_workloads_alone():
    pending = batch.TABLE.intents(batch.PENDING)
    assert batch.SIDECARS_AS_THEY_ARE in pending
    assert batch.CRON_JOB_SUSPENDED in pending
    assert batch.SIDECARS not in pending


def test_a_batch_keeps_its_cron_job_in_every_state_in_which_it_is_in_force():
    for state in (batch.INJECTING, batch.SCHEDULED, batch.RUNNING, batch.SUCCEEDED, batch.FAILED):
        assert batch.CRON_JOB in batch.TABLE.intents(state)


STARTED = {"session_started": True, "turn_has_come": True}
TARGETS = [
    ("its session waits", {"turn_has_come": True, "some_runner_ready": True}, "Pending"),
    ("it is not its turn", {"session_started": True, "some_runner_ready": True}, "Pending"),
    ("no runner is there", STARTED, "Injecting"),
    ("a runner is ready", {**STARTED, "some_runner_ready": True}, "Scheduled"),
    ("a runner has claimed a host", {**STARTED, "some_host_claimed": True}, "Running"),
    (
        "one host of several has failed",
        {**STARTED, "some_host_claimed": True, "some_host_failed": True},
        "Running",
    ),
    ("all hosts are reported", {**STARTED, "all_hosts_reported": True}, "Succeeded"),
    (
        "all are reported, one failed",
        {**STARTED, "all_hosts_reported": True, "some_host_failed": True},
        "Failed",
    ),
    ("it is given up", {"given_up": True}, "Failed"),
    (
        "all hosts are reported and it is given up",
        {"all_hosts_reported": True, "given_up": True},
        "Succeeded",
    ),
]


@pytest.mark.parametrize(
    ("facts", "state"), [case[1:] for case in TARGETS], ids=[case[0] for case in TARGETS]
)
def test_a_target_is_what_the_world_says(facts, state):
    assert advance(target.TABLE, target.PENDING, target.Observation(**facts)).state == state


def test_a_target_whose_runner_goes_before_it_claimed_waits_for_another():
    world = target.Observation(session_started=True, turn_has_come=True)
    assert advance(target.TABLE, target.SCHEDULED, world).state == target.INJECTING


def test_the_agent_acts_on_scheduled_and_running_and_on_nothing_else():
    may = [s.name for s in target.TABLE.states if target.RUNNER_MAY_CLAIM in s.intents]
    assert may == ["Scheduled", "Running"]


HOSTS = [
    ("its target waits", {"runner_ready": True}, "Pending"),
    ("no runner is ready", {"target_started": True}, "Injecting"),
    ("a runner is ready", {"target_started": True, "runner_ready": True}, "Scheduled"),
    ("it is claimed", {"target_started": True, "claimed": True}, "Running"),
    ("its runner died", {"target_started": True, "claimed": True, "runner_dead": True}, "Failed"),
    ("its runner is overdue", {"target_started": True, "runner_overdue": True}, "Failed"),
    (
        "a claimed one is not overdue",
        {"target_started": True, "claimed": True, "runner_overdue": True},
        "Running",
    ),
    ("the deadline passes while it waits", {"deadline_passed": True}, "Failed"),
    (
        "it is reported before its runner died",
        {"runner_dead": True, "report": host.Report.SUCCEEDED},
        "Succeeded",
    ),
    (
        "it is reported before the deadline",
        {"deadline_passed": True, "report": host.Report.SUCCEEDED},
        "Succeeded",
    ),
    ("failure is reported", {"report": host.Report.FAILED}, "Failed"),
]


@pytest.mark.parametrize(
    ("facts", "state"), [case[1:] for case in HOSTS], ids=[case[0] for case in HOSTS]
)
def test_a_host_is_what_the_world_says(facts, state):
    assert advance(host.TABLE, host.PENDING, host.Observation(**facts)).state == state


def test_a_host_whose_runner_goes_before_it_claimed_waits_for_another():
    world = host.Observation(target_started=True)
    assert advance(host.TABLE, host.SCHEDULED, world).state == host.INJECTING


SESSIONS = [
    ("nothing is known", {}, "Pending"),
    ("it must be skipped", {"must_be_skipped": True}, "Skipped"),
    (
        "it must be skipped although it is listed",
        {"must_be_skipped": True, "may_use_repository": True},
        "Skipped",
    ),
    ("it is listed", {"may_use_repository": True}, "Running"),
    (
        "it has started and another one is there",
        {"must_be_skipped": True, "some_target_started": True},
        "Running",
    ),
    ("all targets are final", {"all_targets_final": True}, "Succeeded"),
    (
        "all are final, one failed",
        {"all_targets_final": True, "some_target_failed": True},
        "Failed",
    ),
    ("one failed, others run", {"may_use_repository": True, "some_target_failed": True}, "Running"),
]


@pytest.mark.parametrize("machine", [session, restore], ids=["session", "restore"])
@pytest.mark.parametrize(
    ("facts", "state"), [case[1:] for case in SESSIONS], ids=[case[0] for case in SESSIONS]
)
def test_a_session_or_restore_is_what_the_world_says(machine, facts, state):
    assert advance(machine.TABLE, machine.PENDING, machine.Observation(**facts)).state == state


def test_a_running_session_is_not_skipped_any_more():
    world = session.Observation(must_be_skipped=True)
    assert advance(session.TABLE, session.RUNNING, world).state == session.RUNNING


REPOSITORIES = [
    ("nobody wants it", {"wanted": False, "initialized": True}, "Pending"),
    ("its Secret is missing", {"secret_found": False}, "Pending"),
    ("it is not initialised", {}, "Initializing"),
    ("its initialisation failed", {"initialization_failed": True}, "Failed"),
    (
        "another Job has initialised it",
        {"initialized": True, "initialization_failed": True},
        "Ready",
    ),
    ("maintenance is due", {"initialized": True, "maintenance_due": True}, "Maintaining"),
    (
        "maintenance is due and a session runs",
        {"initialized": True, "maintenance_due": True, "sessions_active": True},
        "Ready",
    ),
    (
        "maintenance runs and its Secret goes",
        {"initialized": True, "maintenance_held": True, "secret_found": False},
        "Maintaining",
    ),
    ("it is deleted", {"deletion_requested": True, "initialized": True}, "Terminating"),
    (
        "it is deleted while maintenance runs",
        {"deletion_requested": True, "initialized": True, "maintenance_held": True},
        "Maintaining",
    ),
]


@pytest.mark.parametrize(
    ("facts", "state"), [case[1:] for case in REPOSITORIES], ids=[case[0] for case in REPOSITORIES]
)
def test_a_repository_is_what_the_world_says(facts, state):
    world = repository.Observation(**facts)
    assert advance(repository.TABLE, repository.PENDING, world).state == state


def test_a_repository_that_failed_is_tried_again_after_a_change():
    world = repository.Observation()
    assert advance(repository.TABLE, repository.FAILED, world).state == repository.INITIALIZING


def test_a_ready_repository_whose_status_was_lost_is_asked_again():
    world = repository.Observation(initialized=False)
    assert advance(repository.TABLE, repository.READY, world).state == repository.INITIALIZING


def test_observations_cannot_be_changed():
    for machine in (batch, host, repository, restore, session, target):
        first = attrs.fields(machine.Observation)[0].name
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(machine.Observation(), first, True)
