"""A RestoreSession behaves as a restore batch of one, and each host finds its rule."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api import hosts
from reconciler.api.decoding import decode, encode
from reconciler.api.restore import RestoreTarget, Rule
from reconciler.api.restore_invoker import (
    decode_restore,
    entries,
    reports,
    rule_for,
    with_entries,
)
from reconciler.errors import TerminalError

RULES = [{"targetHosts": ["app-3"], "sourceHost": "app-0"}, {"snapshots": ["latest"]}]
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
HOSTS = [{"hostname": "host-0", "runner": "web-1", "runnerUID": "u-2"}]
MEMBER = {"target": {"ref": REF, "rules": RULES}, "hooks": {"preRestore": {"exec": {}}}}


def obj(kind: str, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": kind,
        "metadata": {"name": "x", "namespace": "demo", "uid": "u-1"},
        "spec": {"repository": {"name": "repo"}, **spec},
        **({"status": status} if status else {}),
    }


def rules(*given: dict[str, Any]) -> tuple[Rule, ...]:
    return decode(RestoreTarget, {"rules": list(given)}).rules


def test_both_kinds_look_alike() -> None:
    batch = decode_restore(obj("RestoreBatch", members=[MEMBER]))
    session = decode_restore(obj("RestoreSession", **MEMBER))

    assert batch.members == session.members
    assert batch.repository == session.repository == "repo"
    assert session.execution_order == "Parallel"
    assert session.hooks is None
    assert (batch.member_path(1), session.member_path(0)) == ("spec.members[1]", "spec")
    assert (session.kind, session.name, session.namespace) == ("RestoreSession", "x", "demo")
    assert encode(session.owner_reference())["uid"] == "u-1"


def test_deprecated_rules_of_a_session_are_its_targets() -> None:
    old = decode_restore(obj("RestoreSession", target={"ref": REF}, rules=RULES))

    assert (
        old.members[0].target == decode_restore(obj("RestoreSession", **MEMBER)).members[0].target
    )


@pytest.mark.parametrize("spec", [{}, {"target": {"ref": REF}}])
def test_a_session_without_rules_has_none(spec: dict[str, Any]) -> None:
    target = decode_restore(obj("RestoreSession", **spec)).members[0].target

    assert target is None or target.rules == ()


def test_the_rule_that_names_a_host_counts_before_the_one_for_all() -> None:
    named, rest = rules(*RULES)

    assert rule_for((rest, named), "app-3") == named
    assert rule_for((rest, named), "app-1") == rest
    assert rule_for((named,), "app-1") is None


def test_a_target_of_claim_templates_is_called_by_the_first_of_them() -> None:
    templates = [{"metadata": {"name": "data-web-${POD_ORDINAL}"}}, {"metadata": {"name": "logs"}}]
    restore = decode_restore(obj("RestoreSession", target={"volumeClaimTemplates": templates}))

    assert str(restore.ref(0)) == "PersistentVolumeClaim/data-web"


def test_a_member_without_target_is_called_nothing() -> None:
    restore = decode_restore(obj("RestoreBatch", members=[{}]))

    assert str(restore.ref(0)) == "/"
    assert hosts.restore_alias_of(restore, 0) == ""


# -- status ---------------------------------------------------------------------------------------


def test_the_status_of_a_session_is_seen_as_that_of_a_batch() -> None:
    stored = {"phase": "Running", "targetPhase": "Scheduled", "hosts": HOSTS, "totalHosts": 1}
    session = decode_restore(obj("RestoreSession", stored, **MEMBER)).status
    entry = {"ref": REF, "phase": "Scheduled", "hosts": HOSTS, "totalHosts": 1}
    batch = decode_restore(obj("RestoreBatch", {"phase": "Running", "members": [entry]})).status

    assert session == batch


def test_a_status_that_nobody_has_written_has_no_member() -> None:
    fresh = obj("RestoreSession", **MEMBER)

    assert decode_restore(fresh).status.members == ()
    assert entries(fresh) == []
    assert reports(fresh, "Deployment", "web") is None


@pytest.mark.parametrize("kind", ["RestoreSession", "RestoreBatch"])
def test_entries_are_written_and_read_back(kind: str) -> None:
    spec = MEMBER if kind == "RestoreSession" else {"members": [MEMBER]}
    entry = {"ref": REF, "phase": "Running", "startTime": "t", "hosts": HOSTS}
    old = {"phase": "Running", "conditions": [{"type": "Valid"}]}
    written = obj(kind, with_entries(kind, old, [entry]), **spec)

    assert entries(written) == [entry]
    assert written["status"]["conditions"] == old["conditions"]
    assert written["status"]["phase"] == "Running"
    cleared = obj(kind, with_entries(kind, written["status"], []), **spec)
    assert entries(cleared) == []


@pytest.mark.parametrize("kind", ["RestoreSession", "RestoreBatch"])
def test_a_report_is_written_where_the_hosts_of_the_target_are(kind: str) -> None:
    spec = MEMBER if kind == "RestoreSession" else {"members": [MEMBER]}
    entry = {"ref": REF, "phase": "Running", "hosts": HOSTS}
    written = obj(kind, with_entries(kind, {}, [entry]), **spec)

    found = reports(written, "Deployment", "web")
    assert found is not None
    found["stats"] = [{"hostname": "host-0", "phase": "Succeeded"}]

    assert entries(written)[0]["stats"] == found["stats"]
    assert reports(written, "Deployment", "other") is None


# -- hosts ----------------------------------------------------------------------------------------


def test_members_of_a_restore_are_named_as_those_of_a_backup() -> None:
    other = {"target": {"ref": {**REF, "name": "api"}, "alias": "api"}}
    restore = decode_restore(obj("RestoreBatch", members=[MEMBER, other]))
    alone = decode_restore(obj("RestoreSession", **MEMBER))

    assert hosts.restore_alias_of(restore, 0) == "deploy-web"
    assert hosts.restore_alias_of(restore, 1) == "api"
    assert hosts.restore_alias_of(alone, 0) == ""


@pytest.mark.parametrize(
    ("target", "alias", "where", "host"),
    [
        ({"ref": REF}, "", {}, "host-0"),
        ({"ref": {"kind": "StatefulSet"}}, "db", {"pod_name": "db-2"}, "db-2"),
        ({"ref": {"kind": "DaemonSet"}}, "", {"node_name": "n1"}, "n1"),
        ({"volumeClaimTemplates": [{}]}, "", {}, "host-0"),
        ({"volumeClaimTemplates": [{}]}, "app", {"ordinal": "0"}, "app"),
        ({"volumeClaimTemplates": [{}], "replicas": 3}, "", {"ordinal": "2"}, "host-2"),
        ({"volumeClaimTemplates": [{}], "replicas": 3}, "app", {"ordinal": "2"}, "app-2"),
    ],
)
def test_the_host_of_a_restore(
    target: dict[str, Any], alias: str, where: dict[str, str], host: str
) -> None:
    assert hosts.restore_host(decode(RestoreTarget, target), alias, **where) == host


def test_a_set_of_claims_without_its_ordinal_has_no_host() -> None:
    target = decode(RestoreTarget, {"volumeClaimTemplates": [{}], "replicas": 2})

    with pytest.raises(TerminalError, match="POD_ORDINAL"):
        hosts.restore_host(target, "")


@pytest.mark.parametrize(("given", "found"), [({}, ("0",)), ({"replicas": 2}, ("0", "1"))])
def test_the_sets_of_claims_of_a_target(given: dict[str, Any], found: tuple[str, ...]) -> None:
    assert hosts.ordinals(decode(RestoreTarget, given)) == found
