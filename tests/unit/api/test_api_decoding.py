"""What is written in JSON arrives whole; what is wrong is named, all of it, with its place."""

from __future__ import annotations

import pathlib
from typing import Any

import attrs
import pytest
import yaml

from reconciler.api.app_binding import AppBinding
from reconciler.api.backup import BackupBatch, BackupBatchSpec, BackupConfiguration
from reconciler.api.crds import KINDS
from reconciler.api.decoding import decode, encode, nearest
from reconciler.api.metadata import ObjectMeta
from reconciler.api.repository import Repository
from reconciler.api.session import BackupSession
from reconciler.errors import Fault, InvalidObject

DATA = pathlib.Path(__file__).parents[2] / "data" / "api"
BY_KIND = {kind.resource.kind: kind.cls for kind in KINDS}
DOCUMENTS = [
    document
    for name in ("stash_v0_9_rc6.yaml", "stash_v0_10.yaml")
    for document in yaml.safe_load_all((DATA / name).read_text())
]


def batch(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupBatch",
        "metadata": {"name": "shop", "namespace": "demo"},
        "spec": {"retentionPolicy": {"name": "k", "prune": True}, **spec},
    }


def faults_of(cls: type, obj: Any) -> dict[str, Fault]:
    with pytest.raises(InvalidObject) as caught:
        decode(cls, obj)
    return {fault.path: fault for fault in caught.value.faults}


def without_empties(value: Any) -> Any:
    """What the API server means: an empty list, map, string or False is as good as absent."""
    if isinstance(value, dict):
        cleaned = {key: without_empties(each) for key, each in value.items()}
        return {key: each for key, each in cleaned.items() if each not in ({}, [], "", False)}
    if isinstance(value, list):
        return [without_empties(each) for each in value]
    return value


def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """As the API server stores it: the defaults of the CRD filled in."""
    spec = dict(document["spec"])
    if document["kind"] in {"BackupBatch", "BackupConfiguration", "RestoreBatch", "RestoreSession"}:
        spec.setdefault("driver", "Restic")
    if document["kind"] in {"BackupBatch", "RestoreBatch"}:
        spec.setdefault("executionOrder", "Parallel")
    if document["metadata"]["name"] == "deploy-backup-batch":
        hooks = spec["hooks"]
        spec["hooks"] = hooks | {"postBackup": hooks["postBackup"] | {"executionPolicy": "Always"}}
    return {**document, "spec": spec}


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_a_document_of_stash_comes_back_as_it_was(document: dict[str, Any]) -> None:
    again = encode(decode(BY_KIND[document["kind"]], document))

    assert without_empties(again) == without_empties(with_defaults(document))


def test_every_kind_has_a_document_that_comes_back() -> None:
    assert {document["kind"] for document in DOCUMENTS} == set(BY_KIND)


def test_attributes_are_what_the_document_says() -> None:
    decoded = decode(BackupBatch, DOCUMENTS_BY_NAME["deploy-backup-batch"])

    assert decoded.spec.execution_order == "Sequential"
    assert decoded.spec.time_out == "2h"
    assert decoded.spec.retry_config is not None
    assert decoded.spec.retry_config.max_retry == 2
    first, second = decoded.spec.members
    assert first.temp_dir is not None
    assert first.temp_dir.size_limit == "1Gi"
    assert first.runtime_settings is not None
    assert first.runtime_settings.container is not None
    assert first.runtime_settings.container.ionice is not None
    assert first.runtime_settings.container.ionice.class_ == 2
    assert second.target is not None
    assert second.target.volume_mounts[0]["readOnly"] is True


DOCUMENTS_BY_NAME = {document["metadata"]["name"]: document for document in DOCUMENTS}


def test_all_faults_are_told_at_once_each_with_its_place() -> None:
    found = faults_of(
        BackupBatch,
        batch(
            members=[
                {},
                {},
                {
                    "target": {"ref": {"nmae": "x"}, "paths": "/data", "volumeMounts": [1]},
                    "task": {"params": []},
                },
            ],
            driver="Rustic",
            schedule=5,
        ),
    )

    assert set(found) == {
        "spec.members[2].target.ref.nmae",
        "spec.members[2].target.paths",
        "spec.members[2].target.volumeMounts[0]",
        "spec.members[2].task.name",
        "spec.driver",
        "spec.schedule",
    }


@pytest.mark.parametrize(
    ("written", "path", "nearest_key"),
    [
        ({"members": [{"target": {"ref": {"nmae": "x"}}}]},
         "spec.members[0].target.ref.nmae", "name"),
        ({"retentionpolicy": {}}, "spec.retentionpolicy", "retentionPolicy"),
        ({"timeout": "2h"}, "spec.timeout", "timeOut"),
        ({"executionorder": "Parallel"}, "spec.executionorder", "executionOrder"),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_told_with_the_nearest_known_one(
    written: dict[str, Any], path: str, nearest_key: str
) -> None:
    fault = faults_of(BackupBatch, batch(**written))[path]

    assert fault.problem == "is not a known key"
    assert fault.remedy == f"did you mean {nearest_key}?"


def test_a_key_that_resembles_nothing_is_told_with_all_known_ones() -> None:
    fault = faults_of(BackupBatch, batch(repository={"xyzzy": 1}))["spec.repository.xyzzy"]

    assert fault.remedy == "use one of name"


def test_a_misspelt_word_is_told_with_the_nearest_known_one() -> None:
    fault = faults_of(BackupBatch, batch(driver="restic"))["spec.driver"]

    assert (fault.value, fault.remedy) == (
        "restic",
        "did you mean Restic? It must be one of Restic, VolumeSnapshotter",
    )


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("backupHistoryLimit", "3", "must be an integer, not str"),
        ("backupHistoryLimit", 3.0, "must be an integer, not float"),
        ("backupHistoryLimit", True, "must be an integer, not bool"),
        ("backupHistoryLimit", 2**31, "must be between -2147483648 and 2147483647"),
        ("paused", "true", "must be true or false, not str"),
        ("paused", 1, "must be true or false, not int"),
        ("schedule", 5, "must be a string, not int"),
        ("schedule", ["0 3 * * *"], "must be a string, not a list"),
        ("members", {"target": {}}, "must be a list, not an object"),
        ("members", "abc", "must be a list, not str"),
        ("repository", "repo", "must be an object, not str"),
        ("driver", True, "is not a known value"),
        ("driver", {"a": 1}, "is not a known value"),
    ],
)
def test_nothing_is_coerced(key: str, value: object, problem: str) -> None:
    assert faults_of(BackupBatch, batch(**{key: value}))[f"spec.{key}"].problem == problem


def test_a_number_where_a_string_belongs_is_told_to_be_quoted() -> None:
    obj = batch()
    obj["metadata"]["labels"] = {"release": 7}

    assert faults_of(BackupBatch, obj)["metadata.labels.release"].remedy == "put it in quotes"


def test_null_counts_as_absent_as_in_the_api_server() -> None:
    decoded = decode(BackupBatch, batch(paused=None, members=None, hooks=None, schedule="@daily"))

    assert (decoded.spec.paused, decoded.spec.members, decoded.spec.hooks) == (False, (), None)


def test_null_where_something_is_needed_is_told_as_missing() -> None:
    obj = batch()
    obj["spec"]["retentionPolicy"] = None

    assert faults_of(BackupBatch, obj)["spec.retentionPolicy"].problem == "is missing"


@pytest.mark.parametrize("obj", [None, [], "text", 3])
def test_what_is_no_object_at_all_is_refused(obj: Any) -> None:
    (fault,) = faults_of(BackupBatch, obj).values()

    assert str(fault).startswith("object: must be an object, not ")


def test_another_kind_and_version_are_refused() -> None:
    found = faults_of(BackupBatch, batch() | {"kind": "BackupBacht", "apiVersion": "v1"})

    assert found["kind"].remedy == "write kind: BackupBatch"
    assert found["apiVersion"].remedy == "write apiVersion: stash.appscode.com/v1beta1"


def test_a_manifest_must_say_its_kind_but_an_item_of_a_list_need_not() -> None:
    obj = batch()
    del obj["kind"]
    del obj["apiVersion"]

    assert set(faults_of(BackupBatch, obj)) == {"kind", "apiVersion"}
    assert decode(BackupBatch, obj, unknown="ignore").metadata.name == "shop"


def test_fields_of_another_version_are_ignored_in_what_a_cluster_gives_back() -> None:
    obj = batch(members=[{"target": {"ref": {"name": "x"}, "future": 1}}], other=2)

    assert len(decode(BackupBatch, obj, unknown="ignore").spec.members) == 1
    assert set(faults_of(BackupBatch, obj)) == {"spec.other", "spec.members[0].target.future"}


def test_wrong_types_are_refused_even_in_what_a_cluster_gives_back() -> None:
    with pytest.raises(InvalidObject, match=r"BackupBatch demo/shop: spec.paused: must be"):
        decode(BackupBatch, batch(paused="no"), unknown="ignore")


def test_an_error_names_its_object() -> None:
    with pytest.raises(InvalidObject) as caught:
        decode(BackupBatch, batch(schedule=5))

    assert str(caught.value) == (
        "BackupBatch demo/shop: spec.schedule: must be a string, not int (found 5); "
        "put it in quotes"
    )


def test_a_part_of_an_object_can_be_decoded_by_itself() -> None:
    spec = decode(BackupBatchSpec, {"retentionPolicy": {"name": "k", "prune": False}})

    assert spec.driver == "Restic"
    with pytest.raises(InvalidObject, match="BackupBatchSpec"):
        decode(BackupBatchSpec, {})


@pytest.mark.parametrize(
    "obj",
    [
        batch(members=[{"task": {"name": "t", "params": [{"name": "p", "value": 90210}]}}]),
        batch(hooks={"preBackup": {"httpPost": {"port": 1, "body": 90210}}}),
    ],
)
def test_what_may_be_a_secret_is_not_repeated(obj: dict[str, Any]) -> None:
    with pytest.raises(InvalidObject) as caught:
        decode(BackupBatch, obj)

    assert "90210" not in str(caught.value)
    assert all(fault.value is None for fault in caught.value.faults)


def test_the_volume_of_a_local_backend_stands_beside_its_mount_path() -> None:
    obj = DOCUMENTS_BY_NAME["nfs"]

    backend = decode(Repository, obj).spec.backend

    assert backend.local is not None
    assert backend.local.volume_source == {"nfs": {"server": "nas", "path": "/"}}
    assert backend.local.mount_path == "/safe/data"


def test_a_misspelt_volume_is_told_with_the_nearest_known_one() -> None:
    found = faults_of(
        Repository,
        {
            "apiVersion": "stash.appscode.com/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": "r"},
            "spec": {"backend": {"local": {"hostpath": {}}}},
        },
    )

    assert found["spec.backend.local.hostpath"].remedy == "did you mean hostPath?"


def test_an_empty_object_that_kubernetes_owns_is_kept() -> None:
    obj = {"metadata": {"name": "r"}, "spec": {"backend": {"local": {"emptyDir": {}}}}}

    again = encode(decode(Repository, obj, unknown="ignore"))

    assert again["spec"]["backend"]["local"] == {"emptyDir": {}}


def test_a_zero_that_means_something_is_kept() -> None:
    obj = batch(backupHistoryLimit=0)

    assert encode(decode(BackupBatch, obj))["spec"]["backupHistoryLimit"] == 0


def test_an_object_that_was_never_acted_on_has_no_status_in_json() -> None:
    assert "status" not in encode(decode(BackupBatch, batch()))


def test_status_fields_that_tandem_adds_come_back() -> None:
    status = {
        "phase": "Skipped",
        "sessionDeadline": "2026-01-01T02:00:00Z",
        "targets": [
            {
                "ref": {"kind": "Deployment", "name": "web"},
                "totalHosts": 1,
                "phase": "Injecting",
                "reason": "SidecarMissing",
                "message": "The pod has no sidecar yet.",
                "startTime": "2026-01-01T00:00:00Z",
                "hosts": [
                    {
                        "hostname": "host-0",
                        "runner": "web-1",
                        "runnerUID": "u",
                        "startTime": "2026-01-01T00:00:01Z",
                    }
                ],
            }
        ],
    }
    obj = {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupSession",
        "metadata": {"name": "s"},
        "spec": {"invoker": {"kind": "BackupBatch", "name": "shop"}},
        "status": status,
    }

    assert encode(decode(BackupSession, obj)) == obj


def test_objects_cannot_be_changed_behind_somebodys_back() -> None:
    decoded = decode(BackupConfiguration, DOCUMENTS_BY_NAME["files-configuration"])

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decoded.spec.paused = True  # type: ignore[misc]  # that is the point


DOCUMENTS_BY_NAME["files-configuration"] = next(
    document for document in DOCUMENTS if document["kind"] == "BackupConfiguration"
)


def test_an_app_binding_names_its_group_for_metrics() -> None:
    decoded = decode(AppBinding, DOCUMENTS_BY_NAME["db"])

    assert (decoded.app_group, decoded.app_resource) == ("kubedb.com", "mysql")


def test_metadata_says_whether_the_object_is_on_its_way_out() -> None:
    assert ObjectMeta(deletion_timestamp="2026-01-01T00:00:00Z").terminating
    assert not ObjectMeta().terminating


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("seq", "did you mean Sequential?"),
        ("PARALEL", "did you mean Parallel?"),
        ("xyzzy", "use one of Parallel, Sequential"),
    ],
)
def test_the_nearest_word_is_found_whatever_its_case(word: str, remedy: str) -> None:
    assert nearest(word, ("Sequential", "Parallel")) == remedy


def test_where_nothing_is_known_the_remedy_is_to_remove_it() -> None:
    assert nearest("x", ()) == "remove it"
