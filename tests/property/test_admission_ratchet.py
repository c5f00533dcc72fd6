"""The webhook locks nobody out: what is stored can be relabelled, mended and made smaller."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.admission import review
from reconciler.api.resources import JsonObject

NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


class Alone:
    """A View without neighbours."""

    def get(self, *args: Any) -> None:
        raise NotImplementedError

    def list(self, *args: Any, **kwargs: Any) -> tuple[JsonObject, ...]:
        return ()

    def serves(self, *args: Any) -> bool:
        raise NotImplementedError


def judge(new: JsonObject, old: JsonObject) -> review.Verdict:
    group, _, version = new["apiVersion"].partition("/")
    kind = {"group": group, "version": version, "kind": new["kind"]}
    request = {"kind": kind, "operation": "UPDATE", "object": new, "oldObject": old}
    return review.judge(request, Alone(), NOW)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries({}, optional=fields)


REFS = optional(
    apiVersion=st.sampled_from(["v1", "apps/v1", "apps/v1beta1"]),
    kind=st.sampled_from(["Deployment", "StatefulSet", "PersistentVolumeClaim", "deployments"]),
    name=st.sampled_from(["web", "db"]),
)
TARGETS = optional(
    alias=st.sampled_from(["", "a", "a-0", "b"]),
    ref=REFS,
    paths=st.lists(st.sampled_from(["/data", "data", "/etc"]), max_size=2),
    volumeMounts=st.just([{"name": "data", "mountPath": "/data"}]),
)
HOOKS = optional(preBackup=st.sampled_from([{}, {"exec": {}}, {"exec": {"command": ["true"]}}]))
MEMBERS = optional(target=TARGETS, task=st.just({"name": "pvc-backup"}), hooks=HOOKS)
SPECS = optional(
    schedule=st.sampled_from(["", "at night", "0 3 * * *", 3]),
    repository=optional(name=st.just("repo")),
    retentionPolicy=optional(
        name=st.just("keep"), prune=st.booleans(), keepLast=st.sampled_from([-1, 0, 5])
    ),
    members=st.lists(MEMBERS, max_size=4),
    timeOut=st.sampled_from(["soon", "-1h", "2h"]),
    executionOrder=st.sampled_from(["Parallel", "parallel"]),
)
BATCHES = st.builds(
    lambda spec: {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "metadata": {"name": "b", "namespace": "shop"},
        "spec": spec,
    },
    SPECS,
)


def told(verdict: review.Verdict) -> str:
    return "\n".join(map(str, verdict.faults))


@given(BATCHES)
def test_whatever_is_stored_can_get_a_label_and_lose_a_finalizer(old: JsonObject) -> None:
    new = copy.deepcopy(old)
    new["metadata"].update(labels={"team": "shop"}, finalizers=[])
    verdict = judge(new, old)
    assert verdict.allowed, told(verdict)


@given(BATCHES, BATCHES)
def test_a_change_is_denied_exactly_for_the_faults_that_it_adds(
    old: JsonObject, new: JsonObject
) -> None:
    verdict = judge(new, old)
    kind = review.KINDS[0].cls
    assert kind.RESOURCE.kind == "BackupBatch"
    every, before = review.faults(kind, new), review.faults(kind, old)
    assert set(verdict.faults) <= set(every)
    assert len(every) - len(before) <= len(verdict.faults)
    if not before:
        assert verdict.faults == every
    if not every:
        assert verdict.allowed


@given(BATCHES.filter(lambda batch: len(batch["spec"].get("members", ())) > 1), st.data())
def test_a_member_can_always_be_taken_out(old: JsonObject, data: st.DataObject) -> None:
    new = copy.deepcopy(old)
    members = new["spec"]["members"]
    del members[data.draw(st.integers(0, len(members) - 1))]
    verdict = judge(new, old)
    assert verdict.allowed, told(verdict)
