"""Each invariant is false of a world that breaks it and true of its neighbour that does not."""

from __future__ import annotations

import pytest

from statemachines import invariants
from statemachines.world import JOB, SEQUENTIAL, SIDECAR, Frame, Session, Target, World

RUNNING = Session("Running", slot=1, listed=True)
DONE = Session("Succeeded", slot=1)


def target(phase="Pending", **facts):
    return Target(facts.pop("kind", JOB), phase=phase, **facts)


def frame(first=None, second=None, **facts):
    return Frame(sessions=(first or Session(), second or Session()), **facts)


def world(*targets, **facts):
    return World(frame(**facts), targets)


def good(**facts):
    return target("Succeeded", report="Succeeded", work="good", **facts)


def bad(**facts):
    return target("Failed", report="Failed", **facts)


CASES = [
    (
        "at_most_one_session_runs",
        [world(first=RUNNING, second=Session("Pending"))],
        [world(first=RUNNING, second=RUNNING)],
    ),
    (
        "a_slot_makes_one_session",
        [world(first=RUNNING, second=Session("Pending", slot=0))],
        [world(first=RUNNING, second=Session("Pending", slot=1))],
    ),
    ("a_final_target_stays", [good(), good(sidecar="none")], [good(), bad()]),
    (
        "a_final_target_stays",
        [target("Running"), target("Running", report="Failed")],
        [target("Running", report="Failed"), target("Running", report="Succeeded")],
    ),
    ("a_final_session_stays", [frame(RUNNING), frame(DONE)], [frame(DONE), frame(RUNNING)]),
    (
        "a_session_is_the_fold_of_its_targets",
        [world(good(), first=DONE, owner=0)],
        [world(good(), bad(), first=DONE, owner=0)],
    ),
    (
        "a_session_is_the_fold_of_its_targets",
        [world(good(), target(), first=RUNNING, owner=0)],
        [world(good(), first=RUNNING, owner=0)],
    ),
    (
        "a_session_is_the_fold_of_its_targets",
        [world(good())],
        [world(target(), first=DONE, owner=0)],
    ),
    ("a_target_ends_by_its_own_hosts", [good()], [target("Succeeded")]),
    ("a_target_ends_by_its_own_hosts", [bad()], [target("Failed")]),
    ("a_target_ends_by_its_own_hosts", [target("Failed", exists=False)], [target("Failed")]),
    ("a_target_ends_by_its_own_hosts", [target("Running")], [target("Failed", report="Succeeded")]),
    (
        "only_its_turn_holds_a_target_back",
        [world(good(), target("Running"), order=SEQUENTIAL)],
        [world(target("Running"), target("Injecting"), order=SEQUENTIAL)],
    ),
    (
        "only_its_turn_holds_a_target_back",
        [world(target("Running"), target("Injecting"))],
        [world(target(), target("Injecting"), order=SEQUENTIAL)],
    ),
    ("one_change_makes_one_rollout", [target(owed=0)], [target(owed=-1)]),
    (
        "sidecars_are_as_wanted",
        [world(target(kind=SIDECAR, sidecar="current"), target())],
        [world(target(kind=SIDECAR, sidecar="outdated"))],
    ),
    (
        "sidecars_are_as_wanted",
        [world(target(kind=SIDECAR), batch="gone")],
        [world(target(kind=SIDECAR, sidecar="current"), batch="gone")],
    ),
    (
        "sidecars_are_as_wanted",
        [world(target(kind=SIDECAR, exists=False))],
        [world(target(kind=SIDECAR), batch="deleting")],
    ),
    (
        "nothing_starts_unwanted",
        [frame(Session("Pending", slot=0), paused=True), frame(RUNNING, paused=True)],
        [frame(Session("Pending", slot=1), paused=True), frame(RUNNING, paused=True)],
    ),
    (
        "nothing_starts_unwanted",
        [frame(RUNNING, batch="deleting"), frame(DONE, batch="deleting")],
        [frame(Session("Pending"), batch="deleting"), frame(RUNNING, batch="deleting")],
    ),
    (
        "a_running_session_keeps_its_runners",
        [target("Running", sidecar="outdated"), target("Running", sidecar="current")],
        [target("Running", sidecar="current"), target("Running", sidecar="none")],
    ),
    ("every_session_ends", [world(first=DONE)], [world(first=RUNNING)]),
    (
        "a_recovery_point_is_a_good_backup",
        [good(point=True)],
        [target("Succeeded", report="Succeeded", work="bad", point=True)],
    ),
    (
        "retention_keeps_the_last_good_snapshot",
        [good(), good(point=True)],
        [good(point=True), good()],
    ),
    (
        "exclusive_work_is_alone",
        [world(target(runner="ended"), job="running")],
        [world(target(runner="working"), job="running")],
    ),
    (
        "exclusive_work_is_alone",
        [world(first=DONE, maintaining=0)],
        [world(first=DONE, second=RUNNING, maintaining=0)],
    ),
    (
        "a_lock_goes_with_its_owner",
        [frame(maintaining=0, job="dead"), frame()],
        [frame(maintaining=0, job="running"), frame()],
    ),
    (
        "a_session_is_the_fold_of_its_targets",
        [world(good(), first=RUNNING, owner=0, pre="good", post="running")],
        [world(good(), first=DONE, owner=0, pre="good", post="bad")],
    ),
    ("a_target_ends_by_its_own_hosts", [target("Failed", hook="refused")], [target("Failed")]),
    ("a_final_target_owes_no_hook", [bad(hook="told")], [bad(hook="owed")]),
    ("a_final_target_owes_no_hook", [target("Running", hook="running")], [bad(hook="running")]),
    (
        "a_final_session_owes_no_hook",
        [world(good(), first=DONE, owner=0, pre="bad", post="good")],
        [world(good(), first=DONE, owner=0, pre="good", post="running")],
    ),
    (
        "a_final_session_owes_no_hook",
        [world(good(), first=DONE, owner=0, pre="idle", post="idle")],
        [world(good(), first=DONE, owner=0, pre="running", post="running")],
    ),
    (
        "nothing_begins_before_the_pre_hook",
        [world(target("Running"), pre="good", post="idle")],
        [world(target("Injecting"), pre="running", post="idle")],
    ),
    (
        "the_post_hook_is_last",
        [frame(pre="bad", post="idle"), frame(pre="bad", post="running")],
        [frame(pre="running", post="idle"), frame(pre="running", post="running")],
    ),
    ("nothing_is_written_twice", [world(), world()], [world(), world(first=DONE)]),
    ("a_lost_status_comes_back", [world(), world()], [world(), world(first=DONE)]),
]


def named(name):
    (found,) = (each for each in invariants.ALL if each.holds.__name__ == name)
    return found


@pytest.mark.parametrize(("name", "held", "broken"), CASES, ids=[case[0] for case in CASES])
def test_an_invariant_tells_a_good_world_from_a_bad_one(name, held, broken):
    invariant = named(name)
    assert invariant.holds(*held)
    assert not invariant.holds(*broken)
    assert invariants.broken(invariant.scope, *broken) is not None


def test_every_predicate_is_shown_true_and_false():
    assert {case[0] for case in CASES} == {each.holds.__name__ for each in invariants.ALL}


def test_there_are_the_eleven_invariants_each_with_a_sentence():
    assert sorted({each.number for each in invariants.ALL}) == list(range(1, 12))
    assert all(each.sentence.endswith(".") for each in invariants.ALL)
    assert str(named("every_session_ends")) == (
        "invariant 6 (liveness): At rest every session is final."
    )


def test_an_unbroken_world_breaks_nothing():
    assert invariants.broken(invariants.WORLD, world(target())) is None
