"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

from reconciler.cli import documents, rehearsal
from reconciler.cli.demo import application

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((*ROOT.glob("reconciler/**/*.py"), *ROOT.glob("statemachines/**/*.py")))
PURE = {"attrs", "transitions", "statemachines", "__future__"}
PURE_STANDARD = {
    "abc", "argparse", "collections", "contextlib", "contextvars", "copy", "dataclasses",
    "datetime", "difflib", "enum", "functools", "heapq", "itertools", "math", "operator",
    "pathlib", "re", "string", "sys", "textwrap", "types", "typing",
}  # fmt: skip
FRAGMENT = re.compile(r"^(\+[a-z0-9-]+|\d+)\.(breaking|feature|fix|doc)(\.\d+)?\.md$")


def name(path):
    return str(path.relative_to(ROOT))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", sorted(ROOT.glob("statemachines/*.py")), ids=name)
def test_a_state_machine_imports_attrs_transitions_and_pure_parts_of_python_only(path):
    assert set(imported(path)) <= PURE | PURE_STANDARD


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_says_what_it_is_for_and_is_not_too_long(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "a module begins with what it is for"
    assert len(text.splitlines()) <= 500


def test_an_installed_package_has_the_data_that_its_modules_read():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    shipped = {
        found
        for package, patterns in config["options.package_data"].items()
        for pattern in patterns.replace(",", " ").split()
        for found in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    data = {
        path
        for package in ("reconciler", "statemachines")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert data - shipped == set()


def test_no_module_is_a_drawer_for_everything():
    assert [name(path) for path in MODULES if path.stem in {"utils", "helpers", "misc"}] == []


def test_changelog_fragments_have_names_that_towncrier_knows():
    fragments = [path.name for path in (ROOT / "changelog.d").iterdir() if path.stem != "README"]
    assert fragments, "a release without news"
    assert [each for each in fragments if not FRAGMENT.match(each)] == []


def test_every_standard_module_named_pure_is_one():
    assert sys.stdlib_module_names >= PURE_STANDARD


def test_the_examples_have_no_fault():
    read = documents.read([str(ROOT / "examples")])
    assert [fault for document in read for fault in rehearsal.faults(document)] == []


@pytest.mark.parametrize("file", [application.APPLICATION, application.BACKUP])
def test_the_manifests_of_the_demo_have_no_fault_and_no_blank_left(file):
    blanks = application.Blanks(port=3306, password="p")
    for obj in application.manifests(file, blanks):
        assert rehearsal.faults(documents.Document(file, obj)) == []
        assert "${port}" not in str(obj)
        assert "${password}" not in str(obj)


def test_test_files_have_names_of_their_own():
    names = [path.name for path in ROOT.glob("tests/**/test_*.py")]
    assert sorted(set(names)) == sorted(names)
