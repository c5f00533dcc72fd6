"""What a machine says about itself: every question that it was asked, and what an arc lacks."""

from __future__ import annotations

import itertools

import attrs
import pytest

from statemachines import batch, host, repository, restore, session, table, target

TABLES = [each.TABLE for each in (batch, host, repository, restore, session, target)]


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: machine.name)
def test_an_arc_lacks_nothing_exactly_when_its_guard_holds(machine):
    for observation in itertools.islice(machine.observations(), 0, None, 37):
        for arc in machine.arcs:
            missing = machine.missing(arc, observation)
            assert (missing == {}) is arc.guard(observation)
            assert arc.guard(attrs.evolve(observation, **missing))


def test_the_fewest_facts_are_missing_and_of_equals_the_first_declared():
    arc = next(arc for arc in host.TABLE.arcs if arc.destination == host.SCHEDULED)
    assert host.TABLE.missing(arc, host.Observation()) == {"runner_ready": True}
    given_up = next(arc for arc in host.TABLE.arcs if arc.guard is host.it_is_given_up)
    reported = host.Observation(report=host.Report.FAILED)
    assert host.TABLE.missing(given_up, reported) == {
        "runner_dead": True,
        "report": host.Report.NONE,
    }


def test_every_question_is_recorded_in_its_order_and_only_within():
    ready = host.Observation(target_started=True, runner_ready=True)
    host.TABLE.advance(host.PENDING, ready)
    with table.recorded() as looks:
        host.TABLE.advance(host.PENDING, ready, about="host a")
        session.TABLE.advance(session.PENDING, session.Observation())
    host.TABLE.advance(host.PENDING, ready)

    assert [(each.table.name, each.about, each.answer.state) for each in looks] == [
        ("host", "host a", host.SCHEDULED),
        ("session", "", session.PENDING),
    ]
    assert looks[0].observation is ready
