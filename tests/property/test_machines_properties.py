"""What holds of every machine, from every state, on every observation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachines.diagrams import MACHINES
from statemachines.table import advance

ENDLESS = [table for table in MACHINES if not table.finals]
ENDING = [table for table in MACHINES if table.finals]


def situations(tables):
    """A machine, one of its states, and an observation of its world."""
    return st.sampled_from(tables).flatmap(
        lambda table: st.tuples(
            st.just(table),
            st.sampled_from([state.name for state in table.states]),
            st.builds(table.observation),
        )
    )


@given(situations(ENDLESS))
def test_a_machine_without_final_states_converges_from_everywhere(situation):
    table, state, world = situation
    assert advance(table, state, world).state == advance(table, table.initial, world).state


@given(situations(ENDING), st.data())
def test_a_final_state_is_never_left(situation, data):
    table, _, world = situation
    state = data.draw(st.sampled_from(sorted(table.finals)))
    assert advance(table, state, world).state == state
    assert advance(table, state, world).taken == ()


@given(situations(MACHINES))
def test_a_machine_comes_to_a_fixed_point_in_fewer_steps_than_it_has_states(situation):
    table, state, world = situation
    first = advance(table, state, world)
    assert advance(table, first.state, world).taken == ()
    assert len(first.taken) < len(table.states)


@given(situations(MACHINES))
def test_the_same_facts_always_give_the_same_answer(situation):
    table, state, world = situation
    once = advance(table, state, world)
    again = table._advance(
        state,
        type(world)(
            **{
                name: getattr(world, name)
                for name in type(world).__slots__
                if not name.startswith("_")
            }
        ),
    )
    assert again == once


@given(situations(MACHINES))
def test_arcs_are_taken_in_the_order_of_the_table(situation):
    table, state, world = situation
    for arc in advance(table, state, world).taken:
        assert arc.source == state
        holding = [each for each in table.arcs_of(state) if each.guard(world)]
        assert arc is holding[0]
        state = arc.destination


@given(situations(MACHINES))
def test_a_guard_answers_yes_or_no_on_everything(situation):
    table, _, world = situation
    assert {type(arc.guard(world)) for arc in table.arcs} == {bool}


@pytest.mark.parametrize("table", MACHINES, ids=lambda table: table.name)
def test_every_arc_is_taken_in_some_situation(table):
    taken = {
        arc
        for world in table.observations()
        for state in table.states
        for arc in advance(table, state.name, world).taken
    }
    assert taken == set(table.arcs)


@pytest.mark.parametrize("table", ENDLESS, ids=lambda table: table.name)
def test_every_machine_converges_on_every_observation(table):
    for world in table.observations():
        ends = {advance(table, state.name, world).state for state in table.states}
        assert len(ends) == 1, world
