"""What is in the way of a restore is taken away, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.agent import restore
from reconciler.agent.clearing import Clearing
from reconciler.agent.parsing import Node, node
from reconciler.agent.selection import Order
from reconciler.api.restore import Rule


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "page").write_text("kept")
    (folder / "empty").mkdir()
    (folder / "file").write_text("kept")
    (folder / "link").symlink_to("full")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "left"),
    [
        ("file", "file", True),
        ("full", "dir", True),
        ("file", "dir", False),
        ("file", "symlink", False),
        ("link", "symlink", False),
        ("link", "file", False),
        ("link", "dir", False),  # else restic would write where it leads
        ("pipe", "fifo", False),
        ("empty", "file", False),
        ("full", "file", True),  # what is in it is in no snapshot: restic says so
    ],
)
def test_another_kind_of_thing_goes(data: Path, name: str, kind: str, left: bool) -> None:
    Clearing(str(data), whole=True).free(Node(str(data / name), kind))
    assert os.path.lexists(data / name) is left
    assert (data / "full" / "page").read_text() == "kept"


def test_what_is_not_below_the_path_is_never_touched(data: Path) -> None:
    clearing = Clearing(str(data / "full"), whole=True)
    for path in (data, data / "file", data / "full2"):
        clearing.free(Node(str(path), "symlink"))
    assert (data / "file").read_text() == "kept"
    assert data.is_dir()


def test_a_data_folder_that_is_named_by_a_link_stays(data: Path) -> None:
    Clearing(str(data / "link"), whole=True).free(Node(str(data / "link"), "dir"))
    assert (data / "link").is_symlink()


@pytest.mark.parametrize("name", ["\0", "\ud800", "n" * 300])
def test_a_name_that_no_file_can_have_is_passed_over(data: Path, name: str) -> None:
    for whole in (True, False):
        clearing = Clearing(str(data), whole)
        clearing.free(Node(f"{data}/{name}", "file"))
        clearing.look(Node(f"{data}/{name}", "file"))
        assert clearing.lost == []


def test_a_folder_that_is_empty_or_not_there_needs_nothing(data: Path) -> None:
    assert not Clearing(str(data / "none"), whole=True).needed()
    assert not Clearing(str(data / "empty"), whole=True).needed()
    assert Clearing(str(data), whole=True).needed()
    assert Clearing(str(data / "file"), whole=True).needed()


def test_lines_that_are_no_nodes_are_passed_over() -> None:
    assert node('{"struct_type":"node","path":"/a","type":"dir"}') == Node("/a", "dir")
    for line in ("", "progress", "[]", '{"struct_type":"snapshot"}', '{"struct_type":"node"}'):
        assert node(line) is None


def test_a_defect_while_restics_list_is_read_ends_in_the_report(place, monkeypatch) -> None:
    folder = place.root / "data"
    folder.mkdir()
    (folder / "page").write_text("x")
    place.restic("backup", str(folder), "--host", "h")

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Clearing, "free", broken)
    report = restore.files(place.shop, Order("h", Rule(paths=(str(folder),))), "h")
    assert report.stats.error == "a defect in the agent: ZeroDivisionError"
