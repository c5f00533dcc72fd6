"""What holds for every decision: the same world gives the same plan, and a plan comes to rest."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import resources as r
from reconciler.api.resources import Key
from reconciler.decisions.controller import nothing, owned_by
from reconciler.decisions.controllers import CONTROLLERS
from reconciler.decisions.plan import Delete

PHASES = st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Skipped"])
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "PersistentVolumeClaim")


@st.composite
def worlds(draw, empty, make):
    """Any mixture of what there can be, consistent or not."""
    view = empty
    for kind in draw(st.sets(st.sampled_from(KINDS))):
        obj = make.claim() if kind == "PersistentVolumeClaim" else make.workload(kind, kind.lower())
        view.add(obj)
        if kind != "PersistentVolumeClaim" and draw(st.booleans()):
            mark = draw(st.sampled_from(["", "BackupBatch/web", "BackupConfiguration/web"]))
            owner = view.at(kind, kind.lower())
            view.add(
                make.pod(f"{kind.lower()}-0", owner=owner, mark=mark, ready=draw(st.booleans()))
            )
    if draw(st.booleans()):
        view.add(make.secret(*draw(st.sampled_from([(), ("OTHER",)]))))
    if draw(st.booleans()):
        view.add(
            make.repository(phase=draw(st.sampled_from(["", "Ready", "Failed", "Maintaining"])))
        )
        names = draw(st.lists(st.sampled_from(["s-0", "s-1", "gone"]), unique=True))
        held = draw(st.sampled_from(["", "s-0", "gone"]))
        view.set_status("Repository", "repo", activeSessions=names, maintaining=held)
    if draw(st.booleans()):
        view.add(*make.catalog())
    members = [
        make.member(kind, "uploads" if kind == "PersistentVolumeClaim" else kind.lower())
        for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    ]
    spec = {
        "executionOrder": draw(st.sampled_from(["Parallel", "Sequential"])),
        "paused": draw(st.booleans()),
        "timeOut": draw(st.sampled_from(["", "1m", "1h"])),
        "backupHistoryLimit": draw(st.integers(0, 2)),
    }
    if draw(st.booleans()):
        view.add(make.batch(*members, **spec))
        if draw(st.booleans()):
            long_ago = make.stamp(make.now - dt.timedelta(days=1))
            view.set_meta("BackupBatch", "web", creationTimestamp=long_ago)
        if draw(st.booleans()):
            view.set_meta("BackupBatch", "web", deletionTimestamp=make.stamp(make.now))
    if draw(st.booleans()):
        view.add(make.configuration(**members[0]))
    for number in range(draw(st.integers(0, 2))):
        age = dt.timedelta(minutes=draw(st.integers(0, 90)))
        status = {"phase": draw(PHASES)} if draw(st.booleans()) else {}
        slot = draw(st.booleans())
        view.add(make.session(f"s-{number}", age=age, slot=slot, status=status))
    return view


def everything(view):
    for controller in CONTROLLERS:
        for kind, namespace, name in sorted(view.objects):
            if kind == controller.primary.kind:
                yield controller, Key(namespace, name)


@given(data=st.data())
def test_the_same_world_gives_the_same_plan(make, new_view, data):
    view = data.draw(worlds(new_view(), make))
    for controller, key in everything(view):
        first = controller.decide(key, view, make.now, make.settings)
        assert controller.decide(key, view, make.now, make.settings) == first


@given(data=st.data())
def test_carried_out_again_and_again_every_world_comes_to_rest(make, new_view, data):
    view = data.draw(worlds(new_view(), make))
    before = dict(view.objects)
    for _ in range(25):
        writes = 0
        for controller, key in everything(view):
            plan = controller.decide(key, view, make.now, make.settings)
            writes += view.carry_out(plan)
        if not writes:
            break
    else:
        raise AssertionError(f"still writing: {plan}")
    finals = ("Succeeded", "Failed", "Skipped")
    for key, obj in before.items():
        if (
            key[0] == "BackupSession"
            and obj["status"].get("phase") in finals
            and key in view.objects
        ):
            assert view.objects[key]["status"]["phase"] == obj["status"]["phase"]


@given(data=st.data())
def test_no_decision_deletes_what_a_user_made(make, new_view, data):
    view = data.draw(worlds(new_view(), make))
    for controller, key in everything(view):
        for write in controller.decide(key, view, make.now, make.settings).writes:
            if isinstance(write, Delete):
                assert write.resource in (r.BACKUP_SESSIONS, r.JOBS, r.PODS)


def test_an_owner_of_another_group_or_kind_is_another_owner(view):
    keys = owned_by(r.JOBS)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    obj = {"metadata": {"namespace": "shop", "ownerReferences": [owner]}}
    assert list(keys(obj, view)) == [Key("shop", "j")]
    owner["apiVersion"] = "other/v1"
    assert list(keys(obj, view)) == []
    owner["kind"] = "CronJob"
    assert list(keys(obj, view)) == []
    assert list(nothing(obj, view)) == []
