"""The definitions in ``crds/`` on a real API server of the oldest Kubernetes that is supported."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from real_kubectl import Kubectl, kubectl_with_the_kinds

from reconciler.api.crds import KINDS
from reconciler.api.decoding import decode, encode

pytestmark = pytest.mark.real_cluster

ROOT = pathlib.Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "api"
NAMESPACE = "crds-on-a-real-server"
BY_KIND = {kind.resource.kind: kind for kind in KINDS}
DOCUMENTS = [
    document
    for name in ("stash_v0_9_rc6.yaml", "stash_v0_10.yaml")
    for document in yaml.safe_load_all((DATA / name).read_text())
]


@pytest.fixture(scope="module")
def kubectl(real_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl against the real server, with the definitions installed."""
    run = kubectl_with_the_kinds(real_cluster, tmp_path_factory.mktemp("kubectl"))
    run("apply", "-f", "-", given={
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    })  # fmt: skip
    yield run
    run("delete", "namespace", NAMESPACE, "--wait=false")


def definitions(kubectl: Kubectl) -> list[dict[str, Any]]:
    names = [f"{kind.resource.plural}.{kind.resource.group}" for kind in KINDS]
    return list(json.loads(kubectl("get", "crd", *names, "-o", "json").stdout)["items"])


def test_the_server_takes_names_and_schemas_without_objection(kubectl: Kubectl) -> None:
    for definition in definitions(kubectl):
        conditions = {c["type"]: c["status"] for c in definition["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_the_server_stores_the_schemas_as_they_are(kubectl: Kubectl) -> None:
    files = {
        definition["metadata"]["name"]: definition["spec"]["versions"]
        for definition in (yaml.safe_load(p.read_text()) for p in (ROOT / "crds").glob("*.yaml"))
    }

    assert {d["metadata"]["name"]: d["spec"]["versions"] for d in definitions(kubectl)} == files


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_what_works_with_stash_is_accepted_and_nothing_of_it_is_lost(
    kubectl: Kubectl, document: dict[str, Any]
) -> None:
    kind = BY_KIND[document["kind"]]
    plain = {key: value for key, value in document.items() if key != "status"}
    plain["metadata"] = {k: v for k, v in document["metadata"].items() if k != "finalizers"}
    if kind.resource.namespaced:
        plain["metadata"]["namespace"] = NAMESPACE

    kubectl("apply", "-f", "-", given=plain)

    name = f"{kind.resource.plural}.{kind.resource.group}/{document['metadata']['name']}"
    stored = json.loads(kubectl("get", "-n", NAMESPACE, name, "-o", "json").stdout)
    assert encode(decode(kind.cls, stored))["spec"] == encode(decode(kind.cls, plain))["spec"]


def batch(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "metadata": {"name": "table", "namespace": NAMESPACE},
        "spec": {"retentionPolicy": {"name": "k", "keepLast": 1, "prune": True}, **spec},
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"executionOrder": "sequential"},
        {"driver": "Rustic"},
        {"backupHistoryLimit": "3"},
        {"members": {"target": {}}},
        {"retentionPolicy": {"name": "k"}},
    ],
)
def test_what_decoding_refuses_the_server_refuses_too(
    kubectl: Kubectl, spec: dict[str, Any]
) -> None:
    refused = kubectl("create", "--validate=false", "-f", "-", given=batch(**spec), fails=True)

    assert f"spec.{next(iter(spec))}" in refused.stderr


def test_defaults_are_filled_in(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=batch())

    stored = json.loads(
        kubectl("get", "-n", NAMESPACE, "backupbatch", "table", "-o", "json").stdout
    )

    assert (stored["spec"]["driver"], stored["spec"]["executionOrder"]) == ("Restic", "Parallel")


def test_a_batch_shows_its_phase_and_when_it_ran_and_runs(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=batch(schedule="@daily"))
    path = f"/apis/stash.appscode.com/v1beta1/namespaces/{NAMESPACE}/backupbatches/table"
    stored = json.loads(kubectl("get", "--raw", path).stdout)
    stored["status"] = {
        "phase": "Succeeded",
        "lastSessionTime": "2020-01-01T00:00:00Z",
        "nextSessionTime": "2999-01-01T00:00:00Z",
    }
    kubectl("replace", "--raw", f"{path}/status", "-f", "-", given=stored)

    header, row = kubectl("get", "-n", NAMESPACE, "backupbatch", "table").stdout.splitlines()

    assert header.split() == ["NAME", "SCHEDULE", "PAUSED", "PHASE", "LAST", "NEXT", "AGE"]
    assert row.split()[1:3] == ["@daily", "Succeeded"]
    assert "2999-01-01T00:00:00Z" in row
    assert "<invalid>" not in row
