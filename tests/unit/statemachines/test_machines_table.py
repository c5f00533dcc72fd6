"""A table is refused when it is made if anything is wrong with it, and says what."""

from __future__ import annotations

import enum

import attrs
import pytest

from statemachines import validation
from statemachines.table import (
    Advance,
    Arc,
    InvalidTable,
    MachineError,
    State,
    Table,
    UnknownState,
    WrongObservation,
    advance,
    arcs_from,
)


class Light(enum.Enum):
    RED = "red"
    GREEN = "green"


@attrs.frozen
class Observation:
    pushed: bool = False
    light: Light = Light.RED


@attrs.frozen
class Other:
    pushed: bool = False


def is_pushed(world: Observation) -> bool:
    """Somebody pushes."""
    return world.pushed


def is_green(world: Observation) -> bool:
    """The light is green."""
    return world.light is Light.GREEN


def is_anything(world: Observation) -> bool:
    """Always."""
    return True


def is_broken(world: Observation) -> bool:
    """Cannot say."""
    raise RuntimeError("no idea")


def is_without_docstring(world: Observation) -> bool:
    return True


OPEN, SHUT, GONE = (
    State("Open", "It is open."),
    State("Shut", "It is shut."),
    State("Gone", "It is gone.", final=True),
)
PUSH = Arc("Open", is_pushed, "Shut", "it was pushed")
GO = Arc("Shut", is_green, "Gone", "the light is green")


def table(states=(OPEN, SHUT, GONE), arcs=(PUSH, GO), observation=Observation):
    return Table("door", "A door.", observation, states, arcs)


def test_a_machine_takes_arcs_until_no_guard_holds():
    world = Observation(pushed=True, light=Light.GREEN)
    assert advance(table(), "Open", world) == Advance("Gone", (PUSH, GO))
    assert advance(table(), "Open", Observation(pushed=True)) == Advance("Shut", (PUSH,))
    assert advance(table(), "Open", Observation()) == Advance("Open", ())


def test_the_first_arc_whose_guard_holds_is_taken():
    first = Arc("Open", is_green, "Gone", "first")
    last = Arc("Open", is_anything, "Gone", "last")
    doors = table(states=(OPEN, GONE), arcs=(first, last))
    assert advance(doors, "Open", Observation(light=Light.GREEN)).taken == (first,)
    assert advance(doors, "Open", Observation()).taken == (last,)


def test_a_table_tells_its_states_intents_and_arcs():
    doors = table()
    assert doors.initial == "Open"
    assert doors.finals == {"Gone"}
    assert doors.state("Shut") is SHUT
    assert doors.arcs_of("Open") == (PUSH,)
    assert doors.intents("Open") == ()
    assert len(list(doors.observations())) == 4
    assert str(PUSH) == "Open -> Shut (is pushed)"


def test_an_unknown_state_is_refused_with_all_states_and_arcs():
    with pytest.raises(UnknownState) as caught:
        advance(table(), "Ajar", Observation())
    assert str(caught.value) == (
        "machine door has no state 'Ajar'; its states and arcs: "
        "Open -> Shut; Shut -> Gone; Gone -> nothing, it is final"
    )
    assert (caught.value.machine, caught.value.state) == ("door", "Ajar")
    assert isinstance(caught.value, MachineError | LookupError)


def test_the_facts_of_another_machine_are_refused():
    with pytest.raises(
        WrongObservation,
        match="machine door in state Open advances on Observation, and was given Other",
    ):
        advance(table(), "Open", Other())


def test_all_objects_share_one_machine_of_the_library():
    doors = table()
    before = doors._machine
    for world in doors.observations():
        advance(doors, "Open", world)
    assert doors._machine is before
    assert not before.models


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"states": (), "arcs": ()}, "there is no state"),
        ({"states": (OPEN, SHUT, GONE, SHUT)}, "state Shut is there twice"),
        ({"states": (OPEN, State("Shut", ""), GONE)}, "state Shut has no meaning"),
        (
            {"states": (OPEN, State("Shut", "x", final=True), GONE)},
            "state Shut is final and has arcs",
        ),
        (
            {"arcs": (PUSH, GO, Arc("Ajar", is_pushed, "Open", "why"))},
            "arc Ajar -> Open (is pushed) starts at an unknown state",
        ),
        (
            {"arcs": (PUSH, GO, Arc("Open", is_pushed, "Ajar", "why"))},
            "arc Open -> Ajar (is pushed) leads to an unknown state",
        ),
        (
            {"arcs": (PUSH, GO, Arc("Open", is_green, "Open", "why"))},
            "arc Open -> Open (is green) leads back to where it starts",
        ),
        (
            {"arcs": (PUSH, GO, Arc("Open", lambda world: True, "Gone", "why"))},
            "the guard of arc Open -> Gone (<lambda>) is not a named function with a docstring",
        ),
        (
            {"arcs": (PUSH, GO, Arc("Open", is_without_docstring, "Gone", "why"))},
            (
                "the guard of arc Open -> Gone (is without docstring) is not a named function with "
                "a docstring"
            ),
        ),
        (
            {"arcs": (PUSH, GO, Arc("Open", is_green, "Gone", ""))},
            "arc Open -> Gone (is green) does not say why",
        ),
        ({"arcs": (PUSH,)}, "state Gone cannot be reached from Open"),
        (
            {"arcs": (PUSH, GO, Arc("Open", is_broken, "Gone", "why"))},
            (
                "a guard fails on Observation(pushed=False, light=<Light.RED: 'red'>): "
                "RuntimeError('no idea')"
            ),
        ),
        (
            {"arcs": (PUSH, GO, Arc("Shut", is_anything, "Open", "why"))},
            "Open -> Shut -> Open is a cycle on Observation(pushed=True, light=<Light.RED: 'red'>)",
        ),
    ],
)
def test_a_broken_table_is_refused_with_the_reason(changes, problem):
    with pytest.raises(InvalidTable) as caught:
        table(**changes)
    assert caught.value.problems[0] == problem
    assert str(caught.value).startswith(f"machine door: {problem}")


def test_every_problem_of_a_table_is_told_at_once():
    with pytest.raises(InvalidTable) as caught:
        table(
            states=(OPEN, State("Shut", ""), GONE),
            arcs=(PUSH, GO, Arc("Ajar", is_green, "Open", "")),
        )
    assert len(caught.value.problems) == 3


def test_facts_are_booleans_and_enums_and_not_too_many():
    @attrs.frozen
    class Number:
        count: int = 0

    @attrs.frozen
    class Text:
        pushed: str | None = None

    for facts, name in ((Number, "count"), (Text, "pushed")):
        with pytest.raises(InvalidTable, match=f"fact {name} is neither a boolean nor an enum"):
            table(observation=facts)


def test_more_observations_than_can_be_tried_are_refused():
    many = attrs.make_class("Many", {f"fact_{n}": attrs.field(type=bool) for n in range(14)})
    with pytest.raises(InvalidTable) as caught:
        table(observation=many)
    assert caught.value.problems == (
        f"there are 16384 observations, more than {validation.MOST_OBSERVATIONS}",
    )


def test_one_arc_can_leave_several_states():
    arcs = arcs_from(("Open", "Shut"), is_green, "Gone", "why")
    assert [arc.source for arc in arcs] == ["Open", "Shut"]
