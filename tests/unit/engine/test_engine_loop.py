"""The loop keeps every object as its decision wants it, with no write too many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs
import orjson
from loop_world import (
    START,
    Obj,
    World,
    deployment,
    wants_deployment,
)

from reconciler.api.resources import CONFIG_MAPS, DEPLOYMENTS, SECRETS, Key
from reconciler.cluster.transport import MERGE_PATCH, Request, Response
from reconciler.decisions.plan import (
    Apply,
    Create,
    Delete,
    EventIntent,
    Finalizers,
    Plan,
    Settings,
    Status,
    View,
)
from reconciler.engine.controller import Controller
from reconciler.engine.loop import Loop


def test_what_is_wanted_is_made_once_and_a_second_pass_writes_nothing(world: World) -> None:
    loop = world.loop(wants_deployment)
    world.give()
    assert loop.settle() == 1
    assert loop.settle() == 0
    fresh = world.loop(wants_deployment)
    assert fresh.settle() == 0, "nor does a restart"
    assert world.line.writes == [("PATCH", "a-d")]


def test_what_the_server_writes_in_another_form_is_not_written_again_and_again(
    world: World,
) -> None:
    def normalise(request: Request, proceed: Callable[[Request], Response]) -> Response:
        if request.method != "PATCH" or "image" not in str(request.body):
            return proceed(request)
        body = orjson.loads(orjson.dumps(request.body).replace(b"IMAGE", b"image"))
        return proceed(attrs.evolve(request, body=body))

    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        return Plan(writes=(Apply(DEPLOYMENTS, deployment(obj, image="IMAGE")),))

    world.line.server.intercept(normalise)
    loop = world.loop(decide)
    world.give()
    assert loop.settle() == 1
    for number in range(3):
        labels = {"metadata": {"labels": {"n": str(number)}}}
        world.user.patch(CONFIG_MAPS, "default", "a", labels, content_type=MERGE_PATCH)
        assert loop.settle() == 0
    spec = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}}
    world.user.patch(DEPLOYMENTS, "default", "a-d", spec, content_type=MERGE_PATCH)
    assert loop.settle() == 1, "but a real change is seen"
    assert loop.settle() == 0


def test_what_somebody_undoes_is_done_again(world: World) -> None:
    loop = world.loop(wants_deployment)
    world.give()
    loop.settle()
    world.user.delete(DEPLOYMENTS, "default", "a-d")
    assert loop.settle() == 1
    assert world.user.get(DEPLOYMENTS, "default", "a-d")


def test_a_key_is_looked_at_again_at_the_moment_its_plan_names(world: World) -> None:
    looked: list[dt.datetime] = []

    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        looked.append(now)
        return Plan(wake_at=START + dt.timedelta(hours=1) if len(looked) == 1 else None)

    loop = world.loop(decide)
    world.give()
    loop.settle()
    assert loop.next_due() == START + dt.timedelta(hours=1)
    world.clock.advance(3599)
    loop.settle()
    assert len(looked) == 1
    world.clock.advance(1)
    loop.settle()
    assert len(looked) == 2
    assert loop.next_due() is None


def test_a_plan_that_wants_to_be_looked_at_in_the_past_does_not_spin(world: World) -> None:
    loop = world.loop(lambda obj, view, now: Plan(wake_at=START - dt.timedelta(hours=1)))
    world.give()
    loop.settle()
    assert loop.stats.reconciles["test", "ok"] == 1
    due = loop.next_due()
    assert due is not None
    assert due > world.clock.now()


def test_a_deleted_object_is_looked_at_once_more(world: World) -> None:
    seen: list[bool] = []

    def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
        seen.append(view.get(CONFIG_MAPS, key.namespace, key.name) is not None)
        return Plan()

    loop = Loop(world.user, world.clock, [Controller("t", CONFIG_MAPS, decide)], Settings())
    world.give()
    loop.settle()
    world.user.delete(CONFIG_MAPS, "default", "a")
    loop.settle()
    assert seen == [True, False]


def test_a_foreign_object_is_changed_but_never_brought_into_being(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        label = {"metadata": {"name": "s", "namespace": "default", "labels": {"x": "y"}}}
        wanted = {"apiVersion": "v1", "kind": "Secret", **label}
        return Plan(writes=(Apply(SECRETS, wanted, create=False),))

    loop = world.loop(decide)
    world.give()
    assert loop.settle() == 0
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    secret["metadata"]["namespace"] = "default"  # type: ignore[index]  # a literal above
    world.user.create(SECRETS, secret)
    world.give("b")
    assert loop.settle() == 1
    assert world.user.get(SECRETS, "default", "s")["metadata"]["labels"] == {"x": "y"}


def test_a_foreign_object_that_vanishes_meanwhile_is_not_made_anew(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        meta = {"name": "s", "namespace": "default", "labels": {"x": "y"}}
        wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
        return Plan(writes=(Apply(SECRETS, wanted, create=False),))

    loop = world.loop(decide)
    meta = {"name": "s", "namespace": "default"}
    world.user.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
    loop.settle()
    world.give()
    world.line.before = once(lambda: world.user.delete(SECRETS, "default", "s"))
    loop.settle()
    assert world.user.list(SECRETS, "default").items == []


def once(act: Callable[[], None]) -> Callable[[Request], None]:
    waiting = [act]

    def before(request: Request) -> None:
        if waiting:
            waiting.pop()()

    return before


def test_a_name_is_a_lock_that_only_its_owner_passes(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        wanted = deployment(obj)
        wanted["metadata"]["name"] = "shared"
        return Plan(writes=(Create(DEPLOYMENTS, wanted),), events=(EventIntent(obj, "Made", "m"),))

    loop = world.loop(decide)
    world.give("a")
    loop.settle()
    assert world.recorded == ["Made", "Made"], "a second look finds its own and is content"
    assert len(world.line.writes) == 1
    world.give("b")
    loop.settle()
    assert world.recorded == ["Made", "Made"]
    owner = world.user.get(DEPLOYMENTS, "default", "shared")["metadata"]["ownerReferences"][0]
    assert owner["name"] == "a"
    assert loop.stats.reconciles["test", "conflict"] >= 1
    assert loop.next_due() is not None, "it tries again later"


def test_two_creators_of_one_name_make_one_object(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        return Plan(writes=(Create(DEPLOYMENTS, deployment(obj)),))

    loop = world.loop(decide)
    obj = world.give()
    world.line.before = once(lambda: discard(world.user.create(DEPLOYMENTS, deployment(obj))))
    loop.settle()
    assert loop.stats.reconciles["test", "ok"] >= 1
    assert loop.stats.reconciles["test", "conflict"] == 0


def discard(obj: Obj) -> None:
    del obj


def test_a_deletion_is_asked_for_once_and_spares_a_namesake(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        return Plan(
            writes=tuple(
                Delete(DEPLOYMENTS, "default", "a-d", uid)
                for uid in (each["metadata"]["uid"] for each in view.list(DEPLOYMENTS))
            )
        )

    obj = world.give()
    made = world.user.create(DEPLOYMENTS, deployment(obj))
    loop = world.loop(decide)
    namesake = deployment(obj)

    def replace() -> None:
        world.user.delete(DEPLOYMENTS, "default", "a-d")
        namesake["metadata"]["labels"] = {"new": "yes"}
        world.user.create(DEPLOYMENTS, namesake)

    loop.view.step()
    world.line.before = once(replace)
    loop.settle()
    assert world.line.writes == [("DELETE", "a-d")] * 2, "the second is for the namesake's uid"
    assert made["metadata"]["uid"]


def mark(obj: Obj, view: View, now: dt.datetime) -> Plan:
    """A finalizer and a status in one plan, both made from one resourceVersion."""
    meta = obj["metadata"]
    version = meta["resourceVersion"]
    place = (DEPLOYMENTS, "default", "a-d", version)
    del meta
    return Plan(writes=(Finalizers(*place, ("x/y",)), Status(*place, {"replicas": 1})))


def test_one_plan_may_write_an_object_twice(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        found = view.get(DEPLOYMENTS, "default", "a-d")
        return mark(found, view, now) if found else Plan()

    obj = world.give()
    world.user.create(DEPLOYMENTS, deployment(obj))
    loop = world.loop(decide)
    assert loop.settle() == 2
    found = world.user.get(DEPLOYMENTS, "default", "a-d")
    assert found["metadata"]["finalizers"] == ["x/y"]
    assert found["status"] == {"replicas": 1}
    assert loop.stats.reconciles["test", "conflict"] == 0


def test_a_status_made_from_an_old_reading_is_decided_again(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        found = view.get(DEPLOYMENTS, "default", "a-d")
        assert found is not None
        status = {"replicas": len(found["metadata"].get("labels", {}))}
        version = found["metadata"]["resourceVersion"]
        return Plan(writes=(Status(DEPLOYMENTS, "default", "a-d", version, status),))

    obj = world.give()
    world.user.create(DEPLOYMENTS, deployment(obj))
    labels = {"metadata": {"labels": {"one": "1", "two": "2"}}}
    world.line.before = once(
        lambda: discard(
            world.user.patch(DEPLOYMENTS, "default", "a-d", labels, content_type=MERGE_PATCH)
        )
    )
    loop = world.loop(decide)
    loop.settle()
    assert world.user.get(DEPLOYMENTS, "default", "a-d")["status"] == {"replicas": 2}


def test_the_last_finalizer_removed_ends_the_object_at_once(world: World) -> None:
    def decide(obj: Obj, view: View, now: dt.datetime) -> Plan:
        if "deletionTimestamp" not in obj["metadata"]:
            return Plan()
        version = obj["metadata"]["resourceVersion"]
        return Plan(writes=(Finalizers(CONFIG_MAPS, "default", "a", version, ()),))

    loop = world.loop(decide)
    world.give(finalizers=["x/y"])
    loop.settle()
    world.user.delete(CONFIG_MAPS, "default", "a")
    assert loop.settle() == 1
    assert world.user.list(CONFIG_MAPS, "default").items == []
