"""Where the agent runs: namespace, pod, and the node's translations."""

from __future__ import annotations

import pytest

from reconciler.agent.surroundings import Pod, Surroundings
from reconciler.errors import TerminalError


def test_the_namespace_follows_stashs_rule(tmp_path) -> None:
    account = tmp_path / "namespace"
    assert Surroundings({}).namespace(account_file=account) == "default"
    account.write_text("of-account\n")
    assert Surroundings({}).namespace(account_file=account) == "of-account"
    mine = {"MY_POD_NAMESPACE": "mine"}
    assert Surroundings(mine).namespace(account_file=account) == "mine"
    kube = {**mine, "KUBE_NAMESPACE": "kube"}
    assert Surroundings(kube).namespace(account_file=account) == "kube"
    assert Surroundings(kube).namespace("given", account) == "given"


def test_the_pod_is_known_by_name_and_uid() -> None:
    assert Surroundings({"POD_NAME": "a", "POD_UID": "1"}).pod() == Pod("a", "1")


@pytest.mark.parametrize(
    ("environ", "missing"),
    [({}, "POD_NAME"), ({"POD_NAME": "a"}, "POD_UID"), ({"POD_UID": "1"}, "POD_NAME")],
)
def test_a_missing_variable_is_named(environ, missing) -> None:
    with pytest.raises(TerminalError, match=missing):
        Surroundings(environ).pod()


def translated(*pairs: str) -> Surroundings:
    return Surroundings(translation=dict(pair.split("=") for pair in pairs))


def test_without_a_map_everything_stays_as_it_is() -> None:
    here = Surroundings.of({})
    assert here.path("/data/x") == "/data/x"
    assert here.address("db", 3306) == ("db", 3306)
    assert here.url("http://minio:9000/x") == "http://minio:9000/x"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/data", "/n/v"),
        ("/data/", "/n/v/"),
        ("/data/a", "/n/v/a"),
        ("/data/deep/a", "/n/w/a"),
        ("/database", "/database"),
        ("/n/v/a", "/n/v/a"),
        ("relative", "relative"),
    ],
)
def test_a_path_is_translated_by_its_longest_mount_and_only_once(path, found) -> None:
    assert translated("/data=/n/v", "/data/deep=/n/w").path(path) == found


def test_a_mount_at_tmp_does_not_swallow_folders_that_lie_below_the_nodes_tmp() -> None:
    here = translated("/tmp=/tmp/node/c1/tmp")
    assert here.path("/tmp/output") == "/tmp/node/c1/tmp/output"
    assert here.path("/tmp/node/c1/tmp/output") == "/tmp/node/c1/tmp/output"


def test_a_service_is_an_address_with_or_without_a_port_of_its_own() -> None:
    here = translated("db=127.0.0.1", "cache=127.0.0.1:4444")
    assert here.address("db", 3306) == ("127.0.0.1", 3306)
    assert here.address("cache", 3306) == ("127.0.0.1", 4444)
    assert here.url("http://u@cache:1/x?y=1") == "http://u@127.0.0.1:4444/x?y=1"
