"""The page of the machines is what the tables say."""

from __future__ import annotations

import pathlib

from statemachines import diagrams

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "machines.md"


def test_the_page_of_the_machines_is_current():
    written = PAGE.read_text(encoding="utf-8")
    assert written == diagrams.page(), "run: python -m statemachines.diagrams docs/machines.md"
