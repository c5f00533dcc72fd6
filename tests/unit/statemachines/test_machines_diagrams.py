"""Diagrams are made of the tables, and name everything that is in them."""

from __future__ import annotations

import pytest

from statemachines import diagrams, host, session


@pytest.mark.parametrize("table", diagrams.MACHINES, ids=lambda table: table.name)
def test_a_diagram_has_every_state_and_arc(table):
    for arc in table.arcs:
        assert arc.label in diagrams.mermaid(table)
        assert f"{arc.source} -> {arc.destination}" in diagrams.dot(table)
        assert f"{arc.source} --> {arc.destination}" in diagrams.mermaid(table)
    for state in table.states:
        assert f"`{state.name}`" in diagrams.section(table)
        assert state.meaning in diagrams.section(table)
        assert all(intent in diagrams.section(table) for intent in state.intents)


def test_mermaid_marks_the_first_state_and_the_final_ones():
    lines = diagrams.mermaid(session.TABLE).splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> Pending"]
    assert lines[-3:] == [f"    {state} --> [*]" for state in ("Succeeded", "Failed", "Skipped")]


def test_arcs_between_the_same_states_share_a_line():
    text = diagrams.mermaid(host.TABLE)
    assert "    Running --> Failed: failure is reported / it is given up\n" in text
    assert text.count("Running --> Failed") == 1
    assert r'Running -> Failed [label="failure is reported\nit is given up"]' in diagrams.dot(
        host.TABLE
    )


def test_dot_gives_final_states_a_double_border():
    text = diagrams.dot(session.TABLE)
    assert text.startswith("digraph session {\n")
    assert text.count("peripheries=2") == 3
    assert text.endswith("}\n")


def test_a_machine_is_found_by_its_name():
    assert diagrams.machine("host") is host.TABLE
    with pytest.raises(LookupError, match="no machine 'pod': there are batch, session, retry"):
        diagrams.machine("pod")


def test_the_page_is_written_to_a_file_or_printed(tmp_path, capsys):
    page = tmp_path / "machines.md"
    assert diagrams.main([str(page)]) == 0
    assert capsys.readouterr().out == ""
    assert diagrams.main([]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8") == diagrams.page()
