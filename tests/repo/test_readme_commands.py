"""Every command that the pages show exists, with every option that they show."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from reconciler.cli.main import app, execute

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md"))
    if page.name != "CHANGELOG.md"
)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:tandem|tox|\./\.ci/setup)(?: [^`]*)?)`")


def shown(page: Path) -> list[str]:
    """The commands of a page: after a prompt in console blocks, and inline."""
    text = page.read_text()
    prompts = [
        line[2:]
        for block in CONSOLE.findall(text)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return prompts + INLINE.findall(CONSOLE.sub("", text))


COMMANDS = sorted({(page.name, command) for page in PAGES for command in shown(page)})


def simple(command: str) -> list[list[str]]:
    """The words of each program of a pipeline. Substitutions of the shell are not looked into."""
    if "$(" in command:
        return []
    return [shlex.split(part) for part in re.split(r" \| | > ", command)]


def test_the_pages_show_commands_at_all():
    assert len([command for _, command in COMMANDS if command.startswith("tandem")]) >= 10


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_of_a_page_exists(page, command):
    for words in simple(command):
        check = {"tandem": tandem_exists, "tox": tox_exists, "./.ci/setup": setup_exists}.get(
            words[0]
        )
        if check is not None:
            check(words[1:])


def tandem_exists(words):
    group = typer.main.get_command(app)
    if not words or words[0].startswith("-"):
        return
    assert words[0] in group.commands, f"there is no tandem {words[0]}"
    known = {
        option
        for parameter in group.commands[words[0]].params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    used = {word.partition("=")[0] for word in words[1:] if word.startswith("-") and word != "-"}
    assert used <= known | {"--help"} or words[0] == "agent"


def tox_exists(words):
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    names = {section.removeprefix("testenv:") for section in tox.sections()} | {"tests"}
    if "-e" in words:
        assert set(words[words.index("-e") + 1].split(",")) <= names


def setup_exists(words):
    assert set(words[:1]) <= {"demo", "tests", "prepare", "node"}


@pytest.mark.parametrize("name", [info.name for info in app.registered_commands])
def test_every_command_has_help_with_an_example_and_its_exit_codes(name, capsys):
    if name != "agent":  # its help is the agent's own
        assert execute([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert f"Example: tandem {name}" in text
        assert "Exit codes:" in text


@pytest.mark.parametrize(
    "name", [info.name for info in app.registered_commands if info.name != "agent"]
)
def test_every_command_speaks_json(name):
    parameters = typer.main.get_command(app).commands[name].params
    assert any("--output" in parameter.opts for parameter in parameters)


def test_the_agent_shows_its_own_help(capsys):
    assert execute(["agent", "--help"]) == 0
    assert "run-backup" in capsys.readouterr().out


def test_the_output_that_the_readme_shows_is_the_demos():
    """Its figures differ from run to run; its sentences are those of the program."""
    readme = (ROOT / "README.md").read_text()
    told = re.search(r"^```text\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert told is not None
    folder = ROOT / "reconciler" / "cli" / "demo"
    program = (folder / "story.py").read_text()
    steps = [line[2:] for line in told[1].partition("TARGET")[0].splitlines() if line]
    assert len(steps) == 5
    assert [step for step in steps if f'"{step}"' not in program] == []
    checks = (folder / "evidence.py").read_text()
    for line in told[1].partition("FILES")[2].splitlines():
        if line.startswith("✓"):
            assert line[2:].partition(":")[0] in checks
