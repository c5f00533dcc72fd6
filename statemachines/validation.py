"""What must be true of a table before anything runs on it.

Called by ``table.py`` when a table is made, that is on import of a machine. It calls guards itself,
by the order of the table, so that a fault of the library cannot hide one of ours.

Rules of this file:

- Every state is known, has a meaning and can be reached from the first; a final one has no arcs.
- Every arc says why, starts and ends at known and different states, and has a guard with a name.
- The facts are booleans and small enums, so that *all* observations can be tried: on none of them a
  guard fails, or a walk along the arcs comes back to where it was.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from statemachines.table import Table

MOST_OBSERVATIONS = 8192
"""A table is checked on every observation, so there may not be more of them than this."""


def problems(table: Table[Any]) -> Iterator[str]:
    """Everything that is wrong with ``table``, a sentence each."""
    yield from _bad_states(table)
    yield from _bad_arcs(table)
    bad_facts = tuple(_bad_facts(table))
    yield from bad_facts
    known = {state.name for state in table.states}
    if not bad_facts and all({a.source, a.destination} <= known for a in table.arcs):
        yield from _unreachable(table)
        yield from _bad_walks(table)


def _bad_states(table: Table[Any]) -> Iterator[str]:
    names = [state.name for state in table.states]
    if not names:
        yield "there is no state"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"state {name} is there twice"
    for state in table.states:
        if not state.meaning:
            yield f"state {state.name} has no meaning"
        if state.final and table.arcs_of(state.name):
            yield f"state {state.name} is final and has arcs"


def _bad_arcs(table: Table[Any]) -> Iterator[str]:
    known = {state.name for state in table.states}
    for arc in table.arcs:
        yield from (f"arc {arc} starts at an unknown state" for _ in {arc.source} - known)
        yield from (f"arc {arc} leads to an unknown state" for _ in {arc.destination} - known)
        if arc.source == arc.destination:
            yield f"arc {arc} leads back to where it starts"
        if not arc.guard.__name__.isidentifier() or not arc.guard.__doc__:
            yield f"the guard of arc {arc} is not a named function with a docstring"
        if not arc.why:
            yield f"arc {arc} does not say why"


def _bad_facts(table: Table[Any]) -> Iterator[str]:
    count = 1
    for field in attrs.fields(table.observation):
        count *= len(values_of(field))
        if not values_of(field):
            yield f"fact {field.name} is neither a boolean nor an enum"
    if count > MOST_OBSERVATIONS:
        yield f"there are {count} observations, more than {MOST_OBSERVATIONS}"


def values_of(field: attrs.Attribute[Any]) -> tuple[Any, ...]:
    """The values that a fact can have; none if it is neither a boolean nor an enum."""
    kind: Any = field.type
    if kind is bool:
        return (False, True)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(kind)
    return ()


def _unreachable(table: Table[Any]) -> Iterator[str]:
    reached = {state.name for state in table.states[:1]}
    for _ in table.states:
        reached |= {arc.destination for arc in table.arcs if arc.source in reached}
    for state in table.states:
        if state.name not in reached:
            yield f"state {state.name} cannot be reached from {table.initial}"


def _bad_walks(table: Table[Any]) -> Iterator[str]:
    """On every observation: no guard fails, and no walk comes back to where it was."""
    for observation in table.observations():
        try:
            following = {
                state.name: _next(table, state.name, observation) for state in table.states
            }
        except Exception as error:  # whatever a guard raises is the finding
            yield f"a guard fails on {observation}: {error!r}"
            return
        for state in table.states:
            cycle = _cycle(state.name, following)
            if cycle:
                yield f"{' -> '.join(cycle)} is a cycle on {observation}"
                return


def _next(table: Table[Any], state: str, observation: Any) -> str | None:
    holding = (arc.destination for arc in table.arcs_of(state) if arc.guard(observation))
    return next(holding, None)


def _cycle(start: str, following: Mapping[str, str | None]) -> tuple[str, ...]:
    """The walk from ``start`` if it meets itself, else nothing."""
    walk = [start]
    while (step := following[walk[-1]]) is not None:
        walk.append(step)
        if step in walk[:-1]:
            return tuple(walk)
    return ()
