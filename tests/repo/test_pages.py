"""The pages are true: links lead somewhere, generated pages are fresh, nothing is private."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from reconciler.cli import reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page):
    return [
        target
        for target in LINK.findall(FENCED.sub("", page.read_text()))
        if not target.startswith(("http://", "https://", "mailto:"))
    ]


def anchors(page):
    """GitHub's anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link} has no such heading"


def test_the_page_of_the_command_line_is_fresh():
    assert (ROOT / "docs" / "cli.md").read_text() == reference.render(), (
        "run python -m reconciler.cli.reference"
    )


def tracked():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_no_file_names_a_folder_of_somebodys_machine():
    private = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/(?!\.)\w")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked()
        if path.suffix in {".py", ".md", ".cfg", ".ini", ".yaml", ".toml"} and path.is_file()
        for line in path.read_text().splitlines()
        if private.search(line)
    ]
    assert found == []
