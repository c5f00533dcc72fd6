"""What an API server is told about an object, before it is stored."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from reconciler.admission import review
from reconciler.api.crds import KINDS
from reconciler.api.resources import JsonObject, Resource
from reconciler.errors import InvalidObject

NOW = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)
NAMESPACE = "shop"


@attrs.frozen
class Neighbours:
    """A View of other invokers."""

    objects: tuple[JsonObject, ...] = ()

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        raise NotImplementedError

    def list(
        self, resource: Resource, namespace: str | None = None, **kwargs: Any
    ) -> Sequence[JsonObject]:
        assert not kwargs
        return [each for each in self.objects if each["kind"] == resource.kind]

    def serves(self, resource: Resource) -> bool:
        raise NotImplementedError


def claim(name: str, alias: str | None = None, **member: Any) -> JsonObject:
    target = {"ref": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name}}
    named = {"alias": name if alias is None else alias} if alias != "" else {}
    return {"task": {"name": "pvc-backup"}, "target": {**named, **target}, **member}


def batch(*members: JsonObject, name: str = "nightly", **spec: Any) -> JsonObject:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "schedule": "0 3 * * *",
            "repository": {"name": "repo"},
            "retentionPolicy": {"name": "keep", "keepLast": 5, "prune": True},
            "members": list(members) or [claim("files")],
            **spec,
        },
    }


def restore(**spec: Any) -> JsonObject:
    target = {"ref": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "files"}}
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "RestoreSession",
        "metadata": {"name": "back", "namespace": NAMESPACE},
        "spec": {"repository": {"name": "repo"}, "target": target, **spec},
    }


def asked(new: JsonObject, old: JsonObject | None = None, **request: Any) -> JsonObject:
    group, _, version = new["apiVersion"].partition("/")
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "7",
            "kind": {"group": group, "version": version, "kind": new["kind"]},
            "name": new["metadata"]["name"],
            "operation": "UPDATE" if old else "CREATE",
            "object": new,
            "oldObject": old,
            **request,
        },
    }


def judge(
    new: JsonObject,
    old: JsonObject | None = None,
    *others: JsonObject,
    **request: Any,
) -> review.Verdict:
    return review.judge(asked(new, old, **request)["request"], Neighbours(others), NOW)


# -- denied ---------------------------------------------------------------------------------------


def test_a_broken_object_is_denied_with_each_field_and_remedy() -> None:
    said, _ = review.answer(asked(batch(schedule="at night", repository={})), Neighbours(), NOW)

    response = said["response"]
    assert (response["uid"], response["allowed"]) == ("7", False)
    assert response["status"]["message"].startswith("BackupBatch shop/nightly: spec.schedule: is")
    assert response["status"]["details"]["causes"][1] == {
        "reason": "FieldValueInvalid",
        "field": "spec.repository.name",
        "message": "is missing; name a Repository of the same namespace",
    }


def test_a_value_of_a_wrong_type_is_denied_too() -> None:
    (fault,) = judge(batch(backupHistoryLimit="3")).faults
    assert str(fault).startswith("spec.backupHistoryLimit: must be an integer")


def test_a_field_that_is_not_known_here_is_no_fault_since_the_operator_reads_over_it() -> None:
    assert judge(batch(later=True)).allowed


def test_an_answer_has_the_version_of_its_question() -> None:
    question = {**asked(batch()), "apiVersion": "admission.k8s.io/v1beta1"}

    said, _ = review.answer(question, Neighbours(), NOW)

    assert said == {
        "apiVersion": "admission.k8s.io/v1beta1",
        "kind": "AdmissionReview",
        "response": {"uid": "7", "allowed": True},
    }


@pytest.mark.parametrize(
    "question",
    [
        None,
        [],
        {"apiVersion": "v1"},
        {"apiVersion": ["admission.k8s.io/v1"]},
        {"apiVersion": "admission.k8s.io/v1"},
        {"apiVersion": "admission.k8s.io/v1", "request": 3},
    ],
)
def test_what_is_no_review_is_refused(question: Any) -> None:
    with pytest.raises(InvalidObject):
        review.answer(question, Neighbours(), NOW)


# -- allowed, whatever is wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "DELETE", "object": None, "oldObject": batch(schedule="at night")},
        {"subResource": "status"},
        {"operation": "CONNECT"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "apps", "version": "v1", "kind": "BackupBatch"}},
        {"kind": None},
    ],
)
def test_what_is_none_of_its_business_passes(request_: JsonObject) -> None:
    assert judge(batch(schedule="at night"), **request_) == review.Verdict()


def test_what_is_being_deleted_can_lose_its_finalizers() -> None:
    going = batch(schedule="at night")
    going["metadata"]["deletionTimestamp"] = "2026-03-02T02:00:00Z"
    assert judge(going, batch()) == review.Verdict()


def test_every_kind_of_the_api_is_judged() -> None:
    for kind in KINDS:
        version = kind.resource.api_version
        empty = {"apiVersion": version, "kind": kind.resource.kind, "metadata": {"name": "x"}}
        assert not judge(empty).allowed, kind.resource.kind


# -- what is stored already -----------------------------------------------------------------------


def labelled(obj: JsonObject) -> JsonObject:
    found = copy.deepcopy(obj)
    found["metadata"]["labels"] = {"team": "shop"}
    return found


def test_an_unchanged_spec_is_never_denied_and_its_faults_are_warned_of() -> None:
    old = batch(schedule="at night")

    verdict = judge(labelled(old), old)

    assert verdict.allowed
    assert verdict.warnings[0].startswith("spec.schedule: is not a schedule")


def test_an_unchanged_spec_is_given_no_advice_again() -> None:
    old = batch(claim("files", ""))
    assert judge(old).warnings
    assert judge(labelled(old), old).warnings == ()


def test_a_changed_spec_is_denied_for_its_new_faults_only() -> None:
    old = batch(schedule="at night")

    verdict = judge(batch(schedule="at night", repository={}), old)

    assert [fault.path for fault in verdict.faults] == ["spec.repository.name"]
    assert len(verdict.warnings) == 1


def test_a_changed_spec_with_the_old_faults_is_allowed() -> None:
    verdict = judge(batch(schedule="at night", paused=True), batch(schedule="at night"))

    assert verdict.allowed
    assert len(verdict.warnings) == 1


def test_a_faulty_value_that_is_replaced_by_another_one_is_denied() -> None:
    assert not judge(batch(schedule="by day"), batch(schedule="at night")).allowed


def test_a_faulty_member_may_move_up_but_not_get_company() -> None:
    faulty = claim("lone")
    faulty.pop("task")
    old = batch(claim("files"), faulty)
    other = {**faulty, "target": claim("other")["target"]}

    assert judge(batch(faulty, paused=True), old).allowed
    (fault,) = judge(batch(claim("files"), faulty, other), old).faults
    assert fault.path == "spec.members[2].task"


def test_an_object_that_could_not_even_be_read_can_be_mended_step_by_step() -> None:
    old = batch(backupHistoryLimit="3", schedule="at night")

    verdict = judge(batch(backupHistoryLimit=3, schedule="at night"), old)

    # the wrong type had hidden the schedule's fault
    assert [fault.path for fault in verdict.faults] == ["spec.schedule"]
    assert judge(batch(), old).allowed


# -- unwise ---------------------------------------------------------------------------------------


def test_a_sound_batch_with_aliases_is_not_commented() -> None:
    assert judge(batch()).warnings == ()


def test_a_sound_object_of_another_kind_is_not_commented() -> None:
    session = {**restore(), "kind": "BackupSession"}
    session["spec"] = {"invoker": {"kind": "BackupBatch", "name": "nightly"}}
    assert judge(session) == review.Verdict(f"BackupSession {NAMESPACE}/back")


def test_a_schedule_that_never_comes_is_warned_of() -> None:
    (warning,) = judge(batch(schedule="0 0 30 2 *")).warnings
    assert warning.startswith("spec.schedule: '0 0 30 2 *' names a day that never comes")


def test_a_target_without_alias_is_told_its_host() -> None:
    one, other = judge(batch(claim("files", ""), claim("mail", ""))).warnings
    assert one.startswith("spec.members[0].target.alias: is not set, so the data is known as host")
    assert "host pvc-mail;" in other


def test_a_policy_that_only_pretends_is_warned_of() -> None:
    policy = {"name": "keep", "keepLast": 5, "prune": True, "dryRun": True}
    (warning,) = judge(batch(retentionPolicy=policy)).warnings
    assert warning.startswith("spec.retentionPolicy.dryRun: ")


def test_a_host_that_another_invoker_has_is_warned_of() -> None:
    other = batch(name="weekly")
    other["metadata"]["creationTimestamp"] = "2026-03-01T00:00:00Z"

    (warning,) = judge(batch(), None, other).warnings

    assert "host files is also that of BackupBatch shop/weekly" in warning


def test_advice_about_an_object_with_old_faults_leaves_them_out() -> None:
    for broken in ({"schedule": "at night"}, {"backupHistoryLimit": "3"}):
        verdict = judge(batch(paused=True, **broken), batch(**broken))
        assert len(verdict.warnings) == 1


def test_rules_in_the_deprecated_place_are_warned_of_and_left_where_they_are() -> None:
    (warning,) = judge(restore(rules=[{"snapshots": ["latest"]}])).warnings
    assert warning == "spec.rules: is deprecated; write the rules in spec.target.rules"


def test_a_restore_that_has_begun_is_not_begun_anew() -> None:
    rules = [{"snapshots": ["latest"]}]
    old = {**restore(), "status": {"phase": "Running"}}
    old["spec"]["target"]["rules"] = rules
    new = copy.deepcopy(old)
    new["spec"]["target"]["rules"] = [{"snapshots": ["0123abcd"]}]

    (warning,) = judge(new, old).warnings

    assert warning.startswith("spec: changed while the restore is Running")


def test_a_long_warning_is_cut_to_what_api_servers_show() -> None:
    old = batch(schedule="at night " * 40)

    said, verdict = review.answer(asked(labelled(old), old), Neighbours(), NOW)

    assert len(verdict.warnings[0]) > 256
    (shown,) = said["response"]["warnings"]
    assert len(shown) == 250
    assert shown.endswith("…")
