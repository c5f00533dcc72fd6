"""Manifests are read from files, folders and standard input, and faults say where they are."""

from __future__ import annotations

import io

import pytest

from reconciler.cli import documents
from reconciler.errors import InvalidObject, TerminalError

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def test_every_document_of_a_file_is_read_and_remembers_its_place(tmp_path):
    file = tmp_path / "app.yaml"
    file.write_text(f"# a comment\n---\n{CONFIG}---\n{CONFIG.replace('a}', 'b}')}")

    found = documents.read([str(file)])

    assert [document.obj["metadata"]["name"] for document in found] == ["a", "b"]
    assert [document.source for document in found] == [
        f"{file}, document 1",
        f"{file}, document 2",
    ]


def test_a_single_document_is_named_by_its_file_alone():
    assert documents.parse(CONFIG, "app.yaml")[0].source == "app.yaml"


def test_a_folder_is_read_in_the_order_of_its_file_names(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("2.yaml", "1.json", "sub/3.yml", "ignored.txt"):
        (tmp_path / name).write_text(CONFIG.replace("a}", f"n{name[-6]}}}"))

    found = documents.read([str(tmp_path)])

    assert [document.source for document in found] == [
        str(tmp_path / name) for name in ("1.json", "2.yaml", "sub/3.yml")
    ]


def test_a_dash_reads_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(CONFIG))

    assert documents.read(["-"])[0].source == "standard input"


def test_a_list_is_unpacked():
    text = f"apiVersion: v1\nkind: List\nitems:\n- {{{', '.join(CONFIG.strip().splitlines())}}}\n"

    assert [d.obj["kind"] for d in documents.parse(text, "list.yaml")] == ["ConfigMap"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: ConfigMap\nmetadata: {name: a}\n", "apiVersion: is missing"),
        ("apiVersion: v1\nkind: ConfigMap\n", "metadata.name: is missing"),
        ("- just\n- a list\n", "(document): is list"),
        ("a: [1\n", "line 2, column 1"),
        ("apiVersion: v1\napiVersion: v1\n", "line 2, column 1: the key 'apiVersion' stands twice"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused_with_file_and_place(text, expected):
    with pytest.raises(InvalidObject) as refused:
        documents.parse(text, "bad.yaml")

    assert "bad.yaml" in str(refused.value)
    assert expected in str(refused.value)


def test_a_path_that_is_not_there_is_named():
    with pytest.raises(TerminalError, match=r"absent\.yaml: no such file"):
        documents.read(["absent.yaml"])
