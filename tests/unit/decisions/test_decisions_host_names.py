"""Two invokers of one Repository with hosts of one name are told so, and nothing is blocked."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api import resources as r
from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import Key
from reconciler.decisions import host_names, invoker
from reconciler.decisions.controllers import CONTROLLERS

RESOURCES = {resource.kind: resource for resource in INVOKERS}
BATCH, CONFIGURATION = r.BACKUP_BATCHES.kind, r.BACKUP_CONFIGURATIONS.kind


def condition(view, make, kind, name):
    """What the invoker says of itself once its decision has come to rest; None for nothing."""
    decide = invoker.decide_for(RESOURCES[kind])
    for _ in range(5):
        if not view.carry_out(decide(Key("shop", name), view, make.now, make.settings)):
            break
    found = view.at(kind, name)["status"]["conditions"]
    return next((c for c in found if c["type"] == "HostNamesUnique"), None)


def woken(view, obj):
    return {
        f"{controller.primary.kind}/{key.name}"
        for controller in CONTROLLERS
        if controller.primary in INVOKERS
        for watched in controller.watches
        if watched.resource.kind == obj["kind"]
        for key in watched.keys(obj, view)
    }


def member(make, kind="Deployment", name="front", alias=""):
    found = make.member(kind, name)
    return {**found, "target": {**found["target"], "alias": alias}}


def test_two_configurations_without_an_alias_are_told_of_each_other_and_set_up(ready, make):
    ready.add(make.workload(name="back"))
    ready.add(make.configuration("a"))
    ready.add(make.configuration("b", **make.member(name="back")))
    first = condition(ready, make, CONFIGURATION, "a")
    assert (first["status"], first["reason"]) == ("False", "HostNameTaken")
    assert first["message"] == (
        "In Repository shop/repo, host host-0 is also that of BackupConfiguration shop/b: their "
        "snapshots mix. Give each a name of its own in spec.target.alias, or use a Repository of "
        "its own."
    )
    second = condition(ready, make, CONFIGURATION, "b")
    assert "that of BackupConfiguration shop/a:" in second["message"]
    for name in ("a", "b"):
        assert ready.at("CronJob", f"stash-backup-{name}")["spec"]["suspend"] is False
        assert ready.at(CONFIGURATION, name)["status"]["phase"] != "Pending"


def test_a_batch_is_told_of_every_host_and_of_the_field_that_names_it(ready, make):
    ready.add(
        make.batch(
            member(make, alias="web"),
            member(make, "PersistentVolumeClaim", "uploads"),
            member(make, "Deployment", "third", alias="own"),
        ),
        make.configuration("x", **member(make, alias="web")),
        make.batch(
            member(make, "Deployment", "z", "z"), member(make, name="y", alias="pvc-uploads")
        )
        | {"metadata": {"name": "later"}},
    )
    message = condition(ready, make, BATCH, "web")["message"]
    assert "host web is also that of BackupConfiguration shop/x;" in message
    assert "host pvc-uploads is also that of BackupBatch shop/later:" in message
    assert "in spec.members[0].target.alias, spec.members[1].target.alias, or" in message


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (("Deployment", ""), ("PersistentVolumeClaim", ""), "host-0"),
        (("StatefulSet", ""), ("StatefulSet", ""), "host-0"),
        (("StatefulSet", ""), ("Deployment", ""), "host-0"),
        (("StatefulSet", "db"), ("Deployment", "db-0"), "db-0"),
        (("DaemonSet", ""), ("DaemonSet", ""), "<node>"),
        (("DaemonSet", "agent"), ("DaemonSet", "agent"), "agent-<node>"),
        (("StatefulSet", "db"), ("Deployment", "db"), ""),
        (("DaemonSet", ""), ("Deployment", ""), ""),
        (("Deployment", "a"), ("Deployment", "b"), ""),
        (("Deployment", "a"), ("Deployment", ""), ""),
    ],
)
def test_hosts_are_the_same_when_a_runner_could_use_the_same_name(ready, make, one, other, shared):
    ready.add(make.configuration("a", **member(make, one[0], "front", one[1])))
    ready.add(make.configuration("b", **member(make, other[0], "back", other[1])))
    found = condition(ready, make, CONFIGURATION, "a")
    assert found["status"] == ("False" if shared else "True")
    assert not shared or f"host {shared} is also" in found["message"]


def elsewhere(view):
    view.set_spec(CONFIGURATION, "b", repository={"name": "other"})


def going(view):
    view.set_meta(CONFIGURATION, "b", deletionTimestamp="2026-03-02T00:00:00Z")


def gone(view):
    view.remove(CONFIGURATION, "b")


def without_target(view):
    view.set_spec(CONFIGURATION, "b", target=None)


@pytest.mark.parametrize("change", [elsewhere, going, gone, without_target])
def test_what_ends_the_sharing_wakes_the_other_and_ends_the_complaint(ready, make, change):
    ready.add(make.configuration("a"), make.configuration("b", **make.member(name="back")))
    assert condition(ready, make, CONFIGURATION, "a")["status"] == "False"
    before = ready.at(CONFIGURATION, "b")
    change(ready)
    assert f"{CONFIGURATION}/a" in woken(ready, before)
    assert condition(ready, make, CONFIGURATION, "a")["status"] == "True"


@pytest.mark.parametrize("break_it", [{"schedule": "never"}, {"repository": {}}])
def test_an_invoker_that_is_not_valid_is_not_judged(ready, make, break_it):
    ready.add(make.configuration("a"), make.configuration("b", **break_it))
    assert condition(ready, make, CONFIGURATION, "b") is None


def test_an_invoker_that_is_going_is_not_judged(ready, make):
    ready.add(make.configuration("a"), make.configuration("b"))
    condition(ready, make, CONFIGURATION, "b")
    ready.add(make.session("run", batch="b", kind=CONFIGURATION, status={"phase": "Running"}))
    going(ready)
    assert condition(ready, make, CONFIGURATION, "b") is None


def test_of_many_new_batches_with_one_host_name_each_wakes_at_most_one_other(ready, make):
    """All of them in a row: the second concerns the first, the others concern nobody."""
    woken_at = []
    for number in range(20):
        ready.now = make.now + dt.timedelta(seconds=number)
        name = f"batch-{number}"
        ready.add(make.batch(member(make, name=name, alias="web"), name=name))
        woken_at.append(woken(ready, ready.at(BATCH, name)) - {f"{BATCH}/{name}"})
    assert woken_at == [set(), {f"{BATCH}/batch-0"}, *[set()] * 18]


# -- whatever happens, whoever has to say something else is woken ----------------------------------

KINDS = st.sampled_from([BATCH, CONFIGURATION])
STATES = st.tuples(
    st.sampled_from(["one", "two", "one more"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["repo", "other"]),
    st.booleans(),
)
CHANGES = st.lists(st.tuples(KINDS, st.sampled_from("pqr"), st.none() | STATES), max_size=12)


def said(view):
    """What every living invoker has to say."""
    living = [o for o in view.objects.values() if "deletionTimestamp" not in o["metadata"]]
    return {
        f"{obj['kind']}/{obj['metadata']['name']}": host_names.condition(
            obj, host_names.taken(view, obj)
        )
        for obj in living
    }


@settings(max_examples=200, deadline=None)
@given(changes=CHANGES)
def test_whoever_has_to_say_something_else_is_woken(make, new_view, changes):
    view, ages = new_view(), itertools.count()
    for kind, name, state in changes:
        before, old = said(view), view.objects.get((kind, "shop", name))
        if state is None:
            view.objects.pop((kind, "shop", name), None)
        else:
            born = old["metadata"]["creationTimestamp"] if old else stamp(make, next(ages))
            obj = state_of(make, kind, name, state)
            obj["metadata"]["creationTimestamp"] = born
            view.add(obj)
        new = view.objects.get((kind, "shop", name))
        concerned = set().union(*(woken(view, obj) for obj in (old, new) if obj))
        different = {who for who, what in said(view).items() if before.get(who, what) != what}
        assert different <= concerned | {f"{kind}/{name}"}


def stamp(make, age):
    """Three are born in each second."""
    return make.stamp(make.now + dt.timedelta(seconds=age // 3))


def state_of(make, kind, name, state):
    target, alias, repository, is_going = state
    found = member(make, name=f"{target}-{name}", alias=alias)
    build = make.batch if kind == BATCH else make.configuration
    members = [found] if kind == BATCH else []
    spec = {} if kind == BATCH else found
    obj = build(*members, name=name, repository={"name": repository}, **spec)
    if is_going:
        obj["metadata"]["deletionTimestamp"] = make.stamp(make.now)
    return obj
