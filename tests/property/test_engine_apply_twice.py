"""A plan carried out twice writes nothing the second time, whatever it wants; nor after a restart.

And what is applied is really there: the second pass is quiet because nothing is left to do, not
because nobody looked.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.api.resources import CONFIG_MAPS, DEPLOYMENTS, JsonObject
from reconciler.cluster.client import Client
from reconciler.cluster.informer import InformerCache
from reconciler.decisions.plan import Apply, Plan
from reconciler.embedded.server import Server
from reconciler.engine.apply import Applier
from reconciler.engine.clock import VirtualClock
from reconciler.engine.stats import Stats

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WORDS = st.sampled_from(["a", "b", "c"])
TEXTS = st.dictionaries(WORDS, st.text("xyz01m", max_size=4), max_size=3)


def optional(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries({}, optional=fields)


def named(more: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[JsonObject]]:
    """A list whose items are told apart by their name."""
    item = st.fixed_dictionaries({"name": WORDS}, optional=more)
    return st.lists(item, max_size=3, unique_by=lambda each: each["name"])


METADATA = optional(
    {
        "labels": TEXTS,
        "annotations": TEXTS,
        "finalizers": st.lists(st.sampled_from(["x/a", "x/b"]), unique=True),
    }
)
CONTAINERS = named(
    {
        "image": WORDS,
        "args": st.lists(WORDS, max_size=2),
        "env": named({"value": st.text("01m", max_size=3)}),
        "resources": optional({"limits": st.dictionaries(st.just("cpu"), st.just("500m"))}),
        "ports": st.lists(
            st.fixed_dictionaries({"containerPort": st.integers(1, 3)}, optional={"name": WORDS}),
            max_size=2,
            unique_by=lambda each: each["containerPort"],
        ),
    }
)
VOLUMES = named({"emptyDir": st.just({})})
"""No kind of volume with defaults inside: the server leaves those behind when it is taken away."""
PODS = optional(
    {
        "volumes": VOLUMES,
        "nodeSelector": TEXTS,
        "tolerations": st.lists(optional({"key": WORDS, "operator": st.just("Exists")})),
        "terminationGracePeriodSeconds": st.integers(0, 3),
    }
)


@st.composite
def deployments(draw: st.DrawFn) -> Apply:
    containers = [{"image": "i", **each} for each in draw(CONTAINERS)] or [
        {"name": "only", "image": "i"}
    ]
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {**draw(PODS), "containers": containers}}
    return Apply(
        DEPLOYMENTS,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**draw(METADATA), "name": "d", "namespace": "default"},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    )


@st.composite
def config_maps(draw: st.DrawFn) -> Apply:
    return Apply(
        CONFIG_MAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**draw(METADATA), "name": draw(WORDS), "namespace": "default"},
            **draw(optional({"data": TEXTS})),
        },
    )


PLANS = st.lists(st.one_of(deployments(), config_maps()), min_size=1, max_size=4).map(
    lambda writes: Plan(writes=tuple({str(w.obj["metadata"]["name"]): w for w in writes}.values()))
)


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.server = Server(self.clock)
        self.user = Client(self.server)
        self.restart()

    def restart(self) -> None:
        self.stats = Stats()
        self.cache = InformerCache(self.user, [CONFIG_MAPS, DEPLOYMENTS], self.clock)
        self.applier = Applier(self.user, self.cache, self.stats)
        self.cache.step()

    def carry_out(self, plan: Plan) -> int:
        before = self.stats.total_writes
        self.applier.carry_out(plan)
        return self.stats.total_writes - before


def contains(live: Any, wanted: Any) -> bool:
    """Whether every wanted leaf is there; lists of named items by name."""
    if isinstance(wanted, dict):
        return all(
            part in ({}, []) or (name in live and contains(live[name], part))
            for name, part in wanted.items()
        )
    if isinstance(wanted, list):
        return len(wanted) <= len(live) and all(
            any(contains(each, item) for each in live) for item in wanted
        )
    return bool(live == wanted)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PLANS, min_size=1, max_size=3))
def test_what_was_applied_is_there_and_is_not_applied_again(plans: list[Plan]) -> None:
    world = World()
    for plan in plans:
        world.carry_out(plan)
        for write in plan.writes:
            assert isinstance(write, Apply)
            meta = write.obj["metadata"]
            live = world.user.get(write.resource, meta["namespace"], meta["name"])
            assert contains(live, write.obj)
        assert world.carry_out(plan) == 0
        world.cache.step()
        assert world.carry_out(plan) == 0, "nor when the watch has brought the echo"


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(deployments(), deployments())
def test_whatever_changes_between_two_wishes_is_written_once(first: Apply, second: Apply) -> None:
    """The skip is never wrong: after it, the fields are those of a server told from scratch."""
    world, fresh = World(), World()
    world.carry_out(Plan(writes=(first,)))
    writes = world.carry_out(Plan(writes=(second,)))
    fresh.carry_out(Plan(writes=(second,)))
    assert writes <= 1
    found = world.user.get(DEPLOYMENTS, "default", "d")
    wanted = fresh.user.get(DEPLOYMENTS, "default", "d")
    assert by_name(found["spec"]) == by_name(wanted["spec"])
    for field in ("labels", "annotations"):
        ours = found["metadata"].get(field) or {}
        assert ours == (wanted["metadata"].get(field) or {})


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def by_name(value: Any) -> Any:
    """Without the order of lists, which nobody owns."""
    if isinstance(value, dict):
        return {name: by_name(part) for name, part in value.items() if part not in ({}, [])}
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return sorted((by_name(each) for each in value), key=canonical)
    return value
