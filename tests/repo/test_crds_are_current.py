"""The files in ``crds/`` are what the types say, and what every Kubernetes from 1.20 on takes."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from reconciler.api.crds import KINDS, crds, main, render

FOLDER = pathlib.Path(__file__).parents[2] / "crds"
BY_KIND = {crd["spec"]["names"]["kind"]: crd for crd in crds()}


ALL = "stash,appscode,all"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def words(*enum: str, default: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(enum), "default": default}


def version(kind: str) -> dict[str, Any]:
    (only,) = BY_KIND[kind]["spec"]["versions"]
    return dict(only)


def schema_at(kind: str, path: str) -> dict[str, Any]:
    schema: dict[str, Any] = version(kind)["schema"]["openAPIV3Schema"]
    for step in path.split("."):
        schema = schema["items"] if step == "[]" else schema["properties"][step]
    return schema


def every_schema(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from every_schema(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from every_schema(schema[key], f"{path}[{key}]")


def test_the_files_are_current() -> None:
    written = {path.name: path.read_text() for path in FOLDER.glob("*.yaml")}

    assert written == render(), "run: python -m reconciler.api.crds"


def test_the_command_writes_the_files(tmp_path: pathlib.Path) -> None:
    main(tmp_path / "new")

    assert {path.name for path in (tmp_path / "new").iterdir()} == set(render())
    assert [yaml.safe_load(text) for text in render().values()] == crds()


@pytest.mark.parametrize("kind", BY_KIND)
def test_schemas_are_structural_and_use_what_kubernetes_1_20_knows(kind: str) -> None:
    known = {
        "description", "type", "format", "properties", "items", "additionalProperties", "required",
        "enum", "default", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
    }  # fmt: skip
    for path, schema in every_schema(version(kind)["schema"]["openAPIV3Schema"]):
        assert set(schema) <= known, path
        assert "type" in schema or "x-kubernetes-int-or-string" in schema, path
        assert ("items" in schema) == (schema.get("type") == "array"), path
        assert set(schema.get("required", ())) <= set(schema.get("properties", ())), path


@pytest.mark.parametrize("kind", BY_KIND)
def test_one_version_is_served_and_stored(kind: str) -> None:
    assert (version(kind)["served"], version(kind)["storage"]) == (True, True)
    assert BY_KIND[kind]["apiVersion"] == "apiextensions.k8s.io/v1"


@pytest.mark.parametrize(
    ("kind", "plural", "short", "categories", "scope", "status"),
    [
        ("BackupBatch", "backupbatches", None, ALL, "Namespaced", True),
        ("BackupConfiguration", "backupconfigurations", "bc", ALL, "Namespaced", True),
        ("BackupSession", "backupsessions", None, ALL, "Namespaced", True),
        ("RestoreSession", "restoresessions", "restore", ALL, "Namespaced", True),
        ("RestoreBatch", "restorebatches", None, ALL, "Namespaced", True),
        ("Repository", "repositories", "repo", "stash,appscode", "Namespaced", True),
        ("Function", "functions", "fn", "stash,appscode", "Cluster", False),
        ("Task", "tasks", "task", "stash,appscode", "Cluster", False),
        ("AppBinding", "appbindings", None, "catalog,appscode,all", "Namespaced", False),
    ],
)  # fmt: skip
def test_names_are_stashs(  # noqa: PLR0917 -- one column of the table each
    kind: str, plural: str, short: str | None, categories: str, scope: str, status: bool
) -> None:
    names = BY_KIND[kind]["spec"]["names"]

    assert (names["plural"], names["singular"]) == (plural, kind.lower())
    assert names.get("shortNames") == ([short] if short else None)
    assert names["categories"] == categories.split(",")
    assert BY_KIND[kind]["spec"]["scope"] == scope
    assert ("subresources" in version(kind)) == status


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("BackupBatch", "Schedule Paused Phase Last Next Age"),
        ("BackupConfiguration", "Task Schedule Paused Phase Last Next Age"),
        ("BackupSession", "Invoker-Type Invoker-Name Phase Age"),
        ("RestoreSession", "Repository Phase Duration Age"),
        ("RestoreBatch", "Repository Phase Duration Age"),
        ("Repository", "Integrity Size Snapshot-Count Last-Successful-Backup Age"),
        ("Function", "Age"),
        ("Task", "Age"),
        ("AppBinding", "Type Version Age"),
    ],
)
def test_columns_are_stashs_with_what_tandem_adds(kind: str, columns: str) -> None:
    found = version(kind)["additionalPrinterColumns"]

    assert " ".join(column["name"] for column in found) == columns


def test_a_time_to_come_is_no_date_column_which_would_show_it_as_invalid() -> None:
    (column,) = [
        column
        for column in version("BackupBatch")["additionalPrinterColumns"]
        if column["name"] == "Next"
    ]

    assert column["type"] == "string"


@pytest.mark.parametrize("kind", BY_KIND)
def test_every_column_shows_a_field_that_exists(kind: str) -> None:
    for column in version(kind)["additionalPrinterColumns"]:
        if not column["jsonPath"].startswith(".metadata."):
            schema_at(kind, column["jsonPath"].lstrip("."))


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("spec.driver", words("Restic", "VolumeSnapshotter", default="Restic")),
        ("spec.executionOrder", words("Parallel", "Sequential", default="Parallel")),
        ("spec.backupHistoryLimit", {"type": "integer", "format": "int32"}),
        ("spec.retentionPolicy.keepLast", {"type": "integer", "format": "int64"}),
        ("spec.members.[].tempDir.sizeLimit", {"x-kubernetes-int-or-string": True}),
        ("spec.hooks.postBackup.httpPost.port", {"x-kubernetes-int-or-string": True}),
        ("spec.members.[].interimVolumeTemplate", ANYTHING),
        ("status.lastSessionTime", {"type": "string", "format": "date-time"}),
    ],
)  # fmt: skip
def test_fields_are_as_precise_as_their_types(path: str, schema: dict[str, Any]) -> None:
    found = schema_at("BackupBatch", path)

    assert {key: value for key, value in found.items() if key != "description"} == schema


def test_what_stash_requires_is_required() -> None:
    assert schema_at("BackupBatch", "spec")["required"] == ["retentionPolicy"]
    assert schema_at("BackupBatch", "spec.retentionPolicy")["required"] == ["name", "prune"]


def test_every_kind_and_spec_can_be_explained() -> None:
    for kind in BY_KIND:
        assert version(kind)["schema"]["openAPIV3Schema"]["description"]
        assert schema_at(kind, "spec")["description"]
    assert schema_at("BackupBatch", "spec.schedule")["description"] == (
        "When, as in a Kubernetes CronJob."
    )


def test_every_kind_has_a_definition() -> None:
    assert set(BY_KIND) == {kind.resource.kind for kind in KINDS}
    assert len(BY_KIND) == 9
