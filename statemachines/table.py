"""A state machine as a literal table, validated on import and advanced by level.

Used by the machine modules beside it; ``reconciler.decisions`` calls :func:`advance` with the
state that an object's status has now and an observation of the world. Must not know Kubernetes,
time or any one machine.

Rules of this file:

- A table is data: states with their meaning and intents, and arcs in order. Nothing is decided
  anywhere else.
- A machine advances by *level*: from the current state the first arc whose guard holds is taken,
  again and again until none holds. There are no events, so none can be missed.
- A guard is a named function of the observation and of nothing else. Effects belong to states
  (their *intents*), never to arcs: applying an intent twice is harmless, an arc is taken once.
- What the package ``transitions`` does not check when a machine is built (unknown destinations,
  dead sources, misspelt guards) and what no library can know (a cycle on one observation) is
  checked by ``validation.py`` when the machine's module is imported.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import attrs
import transitions

from statemachines import validation

Facts = TypeVar("Facts", bound=attrs.AttrsInstance)
"""The observation class of one machine: a frozen attrs class of booleans and small enums."""

_TRIGGER = "advance"


class MachineError(Exception):
    """The root of what goes wrong with a machine: always a defect, never the world's fault."""


class InvalidTable(MachineError):  # noqa: N818 -- reads as a state of the table
    """The table breaks a rule. ``machine`` is its name, ``problems`` are all that is wrong."""

    def __init__(self, machine: str, problems: Iterable[str]) -> None:
        self.machine = machine
        self.problems = tuple(problems)
        super().__init__(f"machine {machine}: " + "; ".join(self.problems))


class UnknownState(MachineError, LookupError):  # noqa: N818 -- reads as a state of the caller
    """A state that the machine does not have. ``allowed``: those that it has, and their arcs."""

    def __init__(self, machine: str, state: str, allowed: Mapping[str, tuple[str, ...]]) -> None:
        self.machine, self.state, self.allowed = machine, state, dict(allowed)
        arcs = "; ".join(
            f"{name} -> {', '.join(destinations) or 'nothing, it is final'}"
            for name, destinations in allowed.items()
        )
        super().__init__(f"machine {machine} has no state {state!r}; its states and arcs: {arcs}")


class WrongObservation(MachineError, TypeError):  # noqa: N818 -- reads as a state of the caller
    """Facts of another machine. ``wanted`` and ``found`` are the names of the classes."""

    def __init__(self, machine: str, state: str, wanted: str, found: str) -> None:
        self.machine, self.state, self.wanted, self.found = machine, state, wanted, found
        super().__init__(
            f"machine {machine} in state {state} advances on {wanted}, and was given {found}"
        )


@attrs.frozen
class State:
    """A state. ``meaning`` is a sentence; ``intents`` hold while it lasts; ``final``: for ever."""

    name: str
    meaning: str
    intents: tuple[str, ...] = ()
    final: bool = False


@attrs.frozen
class Arc(Generic[Facts]):
    """One way out of ``source``: taken when ``guard`` holds and no earlier arc's guard does."""

    source: str
    guard: Callable[[Facts], bool]
    destination: str
    why: str

    @property
    def label(self) -> str:
        """The guard's name as words."""
        return self.guard.__name__.replace("_", " ")

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} ({self.label})"


def arcs_from(
    sources: Iterable[str], guard: Callable[[Facts], bool], destination: str, why: str
) -> tuple[Arc[Facts], ...]:
    """The same arc from several states, in their order."""
    return tuple(Arc(source, guard, destination, why) for source in sources)


@attrs.frozen
class Advance(Generic[Facts]):
    """Where a machine has come to, and by which arcs (none: it stays where it was)."""

    state: str
    taken: tuple[Arc[Facts], ...] = ()


@attrs.frozen
class Look(Generic[Facts]):
    """One question to a machine, and its answer. ``table`` and ``about`` say which one it was."""

    table: Table[Facts]
    about: str
    state: str
    observation: Facts
    answer: Advance[Facts]


_RECORDER: contextvars.ContextVar[list[Look[Any]] | None] = contextvars.ContextVar(
    "looks", default=None
)


@contextlib.contextmanager
def recorded() -> Iterator[list[Look[Any]]]:
    """Every advance of a machine in this context, in order: so a decision can be explained by
    making it, and the explanation cannot differ from it.
    """
    looks: list[Look[Any]] = []
    token = _RECORDER.set(looks)
    try:
        yield looks
    finally:
        _RECORDER.reset(token)


class _Model:
    """What ``transitions`` moves: the flyweight needs only its state."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


@attrs.frozen(eq=False)
class Table(Generic[Facts]):
    """A whole machine. The first state is the one that everything starts in.

    ``about`` is the module's docstring: what the machine is, in prose. Raises
    :class:`InvalidTable` with everything that is wrong.
    """

    name: str
    about: str
    observation: type[Facts]
    states: tuple[State, ...]
    arcs: tuple[Arc[Facts], ...]
    _machine: transitions.Machine = attrs.field(init=False, repr=False)
    _known: dict[tuple[str, Facts], Advance[Facts]] = attrs.field(
        init=False, factory=dict, repr=False
    )

    def __attrs_post_init__(self) -> None:
        attrs.resolve_types(self.observation)  # annotations are strings until somebody asks
        problems = tuple(validation.problems(self))
        if problems:
            raise InvalidTable(self.name, problems)
        object.__setattr__(self, "_machine", self._build())  # attrs' own way for frozen classes

    @property
    def initial(self) -> str:
        """The state of an object that has no status yet."""
        return self.states[0].name

    @property
    def finals(self) -> frozenset[str]:
        """The names of the states that are never left."""
        return frozenset(state.name for state in self.states if state.final)

    def state(self, name: str) -> State:
        """The state of that name; raises :class:`UnknownState`."""
        for state in self.states:
            if state.name == name:
                return state
        raise UnknownState(self.name, name, self._destinations())

    def intents(self, name: str) -> tuple[str, ...]:
        """What must hold in the world while an object is in state ``name``."""
        return self.state(name).intents

    def arcs_of(self, source: str) -> tuple[Arc[Facts], ...]:
        """The arcs out of ``source`` in the order in which they are tried."""
        return tuple(arc for arc in self.arcs if arc.source == source)

    def observations(self) -> Iterator[Facts]:
        """Every observation that there can be."""
        fields = attrs.fields(self.observation)
        names = [field.name for field in fields]
        for values in itertools.product(*(validation.values_of(field) for field in fields)):
            yield self.observation(**dict(zip(names, values, strict=True)))

    def advance(self, state: str, observation: Facts, *, about: str = "") -> Advance[Facts]:
        """See :func:`advance`. Each answer is computed once: there are finitely many.

        ``about`` says for :func:`recorded` whose machine it is, where an object has several.
        """
        known = self._known.get((state, observation))
        if known is None:
            known = self._known[state, observation] = self._advance(state, observation)
        looks = _RECORDER.get()
        if looks is not None:
            looks.append(Look(self, about, state, observation, known))
        return known

    def missing(self, arc: Arc[Facts], observation: Facts) -> dict[str, object]:
        """The fewest facts, with their values, that would have to be otherwise for an arc.

        Nothing when its guard holds already. There is always an answer: validation sees to it
        that every guard can hold.
        """
        names = [field.name for field in attrs.fields(self.observation)]

        def different(other: Facts) -> list[str]:
            return [name for name in names if getattr(other, name) != getattr(observation, name)]

        def distance(other: Facts) -> tuple[int, list[int]]:
            changed = different(other)  # of two equally near, the facts that are declared first
            return len(changed), [names.index(name) for name in changed]

        nearest = min((each for each in self.observations() if arc.guard(each)), key=distance)
        return {name: getattr(nearest, name) for name in different(nearest)}

    def _advance(self, state: str, observation: Facts) -> Advance[Facts]:
        self.state(state)
        if not isinstance(observation, self.observation):
            wanted, found = self.observation.__qualname__, type(observation).__qualname__
            raise WrongObservation(self.name, state, wanted, found)
        model, taken = _Model(state), []
        while self.arcs_of(model.state):
            source = model.state
            if not self._machine.events[_TRIGGER].trigger(model, observation):
                break
            taken.append(self._arc_taken(source, observation))
        return Advance(model.state, tuple(taken))

    def _arc_taken(self, source: str, observation: Facts) -> Arc[Facts]:
        return next(arc for arc in self.arcs_of(source) if arc.guard(observation))

    def _build(self) -> transitions.Machine:
        """One machine for all objects: no model is ever added to it, and nothing has effects."""
        machine = transitions.Machine(
            model=None,
            states=[state.name for state in self.states],
            initial=self.initial,
            auto_transitions=False,
        )
        for arc in self.arcs:
            machine.add_transition(_TRIGGER, arc.source, arc.destination, conditions=arc.guard)
        return machine

    def _destinations(self) -> dict[str, tuple[str, ...]]:
        return {
            state.name: tuple(arc.destination for arc in self.arcs_of(state.name))
            for state in self.states
        }


def advance(table: Table[Facts], state: str, observation: Facts) -> Advance[Facts]:
    """Where ``table``'s machine comes to from ``state`` while ``observation`` holds.

    Takes the first arc whose guard holds, again and again, until none holds: ``advance`` on its own
    result changes nothing. Raises :class:`UnknownState` and :class:`WrongObservation`.
    """
    return table.advance(state, observation)
