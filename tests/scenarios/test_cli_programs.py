"""The commands as programs: signals, exit codes, and what is left behind (nothing)."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from reconciler.cli.demo import command
from reconciler.cli.main import execute

TANDEM = [sys.executable, "-m", "reconciler.cli.main"]


def first_line(stream):
    """Blocks until the program says something; pytest's own timeout is the deadline."""
    return stream.readline().decode()


@pytest.fixture
def up(tmp_path):
    """``tandem up --node none`` running in a folder of its own."""
    program = subprocess.Popen(
        [*TANDEM, "up", "--node", "none", "--data", str(tmp_path / "data")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    yield program
    program.kill()
    program.communicate()


def test_up_prints_the_line_for_the_shell_and_writes_the_kubeconfig(up, tmp_path):
    assert first_line(up.stdout) == f"export KUBECONFIG={tmp_path / 'tandem.kubeconfig'}\n"
    assert "http://127.0.0.1:" in (tmp_path / "tandem.kubeconfig").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_ends_in_good_order_when_it_is_told_to(up, number):
    first_line(up.stdout)

    up.send_signal(number)

    assert up.wait(timeout=20) == 0


def test_the_cluster_of_up_serves_the_commands(up, tmp_path, capsys):
    first_line(up.stdout)

    arguments = ["--kubeconfig", str(tmp_path / "tandem.kubeconfig")]
    assert execute(["status", "nothing", *arguments]) == 1
    assert capsys.readouterr().err == (
        "error: BackupBatch default/nothing not found; namespace default has none, name another"
        " one with -n\n"
    )


def test_the_demo_names_the_programs_that_it_lacks(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(command, "SBIN", ())

    assert execute(["demo"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: the demo needs restic, mariadbd")
    assert "./.ci/setup prepare" in text


def test_the_definitions_are_one_list_as_json(capsys):
    assert execute(["crds", "--output", "json"]) == 0
    kinds = {item["spec"]["names"]["kind"] for item in json.loads(capsys.readouterr().out)["items"]}
    assert {"BackupBatch", "BackupSession", "Repository"} <= kinds


def test_the_definitions_are_written_one_file_a_kind(tmp_path, capsys):
    assert execute(["crds", "--write", str(tmp_path)]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert "stash.appscode.com_backupbatches.yaml" in names


@pytest.mark.parametrize(
    ("language", "beginning"), [("mermaid", "stateDiagram-v2"), ("dot", "digraph")]
)
def test_a_machine_is_drawn_in_the_language_asked_for(language, beginning, capsys):
    assert execute(["diagram", "session", "--format", language]) == 0
    assert capsys.readouterr().out.startswith(beginning)


def test_an_unknown_machine_is_answered_with_the_known_ones(capsys):
    assert execute(["diagram", "sesion"]) == 1
    assert "session" in capsys.readouterr().err


def test_wrong_usage_exits_with_two(capsys):
    assert execute(["trigger"]) == 2
    assert execute(["no-such-command"]) == 2
    capsys.readouterr()


def test_the_version_is_the_one_of_the_package(capsys):
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tandem 0.")


# -- the webhook ----------------------------------------------------------------------------------


def webhook(folder, *options):
    """``tandem webhook`` beside the cluster of ``up``; it logs JSON to standard error."""
    return subprocess.Popen(
        [*TANDEM, "webhook", "--kubeconfig", str(folder / "tandem.kubeconfig"), "-o", "json",
         "--namespace", "default", "--host", "127.0.0.1", *options],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip


def test_the_webhook_answers_over_tls_until_it_is_told_to_stop(up, tmp_path):
    first_line(up.stdout)
    program = webhook(tmp_path, "--port", "0")
    try:
        lines = (json.loads(line) for line in iter(program.stderr.readline, b""))
        port = next(line["port"] for line in lines if line["message"] == "answers API servers")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", context=context) as page:
            assert page.read() == b"ok\n"

        program.send_signal(signal.SIGTERM)

        assert program.wait(timeout=20) == 0
    finally:
        program.kill()
        program.communicate()


def test_the_webhook_says_that_its_port_is_taken(up, tmp_path):
    first_line(up.stdout)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        program = webhook(tmp_path, "--port", port)
        _, said = program.communicate(timeout=30)

    assert program.returncode == 1
    assert f"error: --port {port}: " in said.decode()
    assert "take another one" in said.decode()
