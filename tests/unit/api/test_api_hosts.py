"""Each piece of data has one name in the repository, and no two have the same."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.hosts import alias_of, default_alias, expected_hosts, host_name
from reconciler.api.invoker import Invoker, decode_invoker
from reconciler.api.metadata import TargetRef
from reconciler.errors import TerminalError


def invoker(*targets: tuple[str, str, str] | None) -> Invoker:
    """An invoker of (kind, name, alias), or None for a member without a target."""

    def member(target: tuple[str, str, str] | None) -> dict[str, Any]:
        if target is None:
            return {}
        kind, name, alias = target
        return {"target": {"ref": {"kind": kind, "name": name}, "alias": alias}}

    return decode_invoker(
        {
            "kind": "BackupBatch",
            "metadata": {"name": "shop"},
            "spec": {
                "members": [member(target) for target in targets],
                "retentionPolicy": {"name": "k", "prune": True},
            },
        },
        unknown="ignore",
    )


@pytest.mark.parametrize(
    ("kind", "alias", "host"),
    [
        ("Deployment", "", "host-0"),
        ("Deployment", "app", "app"),
        ("ReplicaSet", "", "host-0"),
        ("PersistentVolumeClaim", "", "host-0"),
        ("AppBinding", "db", "db"),
        ("StatefulSet", "", "host-2"),
        ("StatefulSet", "db", "db-2"),
        ("DaemonSet", "", "node-a"),
        ("DaemonSet", "logs", "logs-node-a"),
    ],
)
def test_hosts_are_named_as_in_stash(kind: str, alias: str, host: str) -> None:
    assert host_name(kind, alias, pod_name="my-db-2", node_name="node-a") == host


@pytest.mark.parametrize(
    ("kind", "needed"), [("StatefulSet", "POD_NAME"), ("DaemonSet", "NODE_NAME")]
)
def test_a_host_without_the_name_it_is_made_of_is_an_error_that_names_it(
    kind: str, needed: str
) -> None:
    with pytest.raises(TerminalError, match=needed):
        host_name(kind, "x")


@pytest.mark.parametrize(
    ("kind", "short"),
    [
        ("Deployment", "deploy"), ("ReplicaSet", "rs"), ("ReplicationController", "rc"),
        ("DeploymentConfig", "dc"),
        ("DaemonSet", "ds"), ("StatefulSet", "sts"), ("PersistentVolumeClaim", "pvc"),
        ("AppBinding", "app"), ("Elasticsearch", "elasticsearch"),
    ],
)  # fmt: skip
def test_the_alias_that_nobody_gave_is_made_of_kind_and_name(kind: str, short: str) -> None:
    assert default_alias(TargetRef(kind=kind, name="web")) == f"{short}-web"


def test_members_of_a_batch_of_several_get_aliases_of_their_own() -> None:
    several = invoker(("Deployment", "web", ""), ("AppBinding", "db", "db"))

    assert [alias_of(several, index) for index in (0, 1)] == ["deploy-web", "db"]


def test_a_member_that_is_alone_keeps_the_host_it_had_in_stash() -> None:
    alone = invoker(None, ("Deployment", "web", ""))

    assert [alias_of(alone, index) for index in (0, 1)] == ["", ""]
    assert alias_of(invoker(("Deployment", "web", "app")), 0) == "app"


@pytest.mark.parametrize(
    ("kind", "alias", "hosts"),
    [
        ("Deployment", "", ("host-0",)),
        ("Deployment", "app", ("app",)),
        ("StatefulSet", "db", ("db-0", "db-1", "db-2")),
        ("DaemonSet", "", ("node-a", "node-b")),
    ],
)
def test_the_hosts_of_a_target_are_known_beforehand(
    kind: str, alias: str, hosts: tuple[str, ...]
) -> None:
    assert expected_hosts(kind, alias, replicas=3, node_names=["node-b", "node-a"]) == hosts


def test_a_stateful_set_of_no_replicas_has_no_hosts() -> None:
    assert expected_hosts("StatefulSet", "db", replicas=0) == ()
