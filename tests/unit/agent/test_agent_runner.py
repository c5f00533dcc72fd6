"""Programs are started, waited for, ended; and a pipe never hangs and never stores a half dump."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading

import pytest

from reconciler.agent.redaction import Redactor
from reconciler.agent.restic import Command
from reconciler.agent.runner import Lines, Runner, Stop
from reconciler.engine.clock import SystemClock
from reconciler.errors import ToolMissing

BIG = "head -c 20000000 /dev/zero"


@pytest.fixture(autouse=True)
def quick_grace(monkeypatch) -> None:
    quick = ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, None))
    monkeypatch.setattr("reconciler.agent.runner._GRACE", quick)


def runner(**more) -> Runner:
    return Runner(dict(os.environ), SystemClock(), **more)


def shell(script: str, **env: str) -> Command:
    return Command(("sh", "-c", script), env)


def test_a_program_gives_its_exit_code_and_what_it_printed() -> None:
    outcome = runner().run(shell('echo "out $X"; echo err >&2; exit 3', X="1"))
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "out 1\n", "err")
    assert not outcome.ok


def test_a_missing_program_is_named_before_anything_is_started(tmp_path) -> None:
    bare = Runner({"PATH": str(tmp_path)}, SystemClock())
    with pytest.raises(ToolMissing, match=r"restic is not installed.*https://restic\.net"):
        bare.run(Command(("restic", "version")))
    with pytest.raises(ToolMissing, match="program restic"):
        bare.run(Command(("nice", "-n", "5", "restic"))) if bare.has("nice") else bare.run(
            Command(("restic",))
        )
    with pytest.raises(ToolMissing, match="pg_dump"):
        runner().pipe(shell(f"touch {tmp_path}/started"), Command(("pg_dump_of_mars", "pg_dump")))
    assert not (tmp_path / "started").exists()


def test_a_wrapped_program_must_be_there_too(tmp_path) -> None:
    (tmp_path / "nice").symlink_to("/usr/bin/nice")
    bare = Runner({"PATH": str(tmp_path)}, SystemClock())
    with pytest.raises(ToolMissing, match="program restic"):
        bare.run(Command(("nice", "-n", "5", "restic")))


def test_at_its_deadline_a_program_is_ended_with_its_children(tmp_path) -> None:
    script = f"sleep 100 & echo $! > {tmp_path}/child; wait"
    outcome = runner().run(shell(script), timeout=0.5)
    assert outcome.ended_by == "deadline"
    child = int((tmp_path / "child").read_text())
    assert is_gone(child)


def test_a_stop_ends_what_is_running() -> None:
    stop = Stop()
    threading.Timer(0.2, stop.set).start()
    outcome = runner(stop=stop).run(shell("sleep 100"))
    assert outcome.ended_by == "stop"


def test_a_program_that_ignores_polite_signals_is_killed() -> None:
    outcome = runner().run(shell('trap "" INT TERM; while :; do sleep 1; done'), timeout=0.3)
    assert (outcome.ended_by, outcome.exit_code) == ("deadline", -signal.SIGKILL)


def test_secrets_are_out_of_what_was_captured_and_of_the_log(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = runner(redact=Redactor.of(["sesame"])).run(shell("echo open sesame >&2"))
    assert outcome.stderr == "open ***"
    assert "sesame" not in caplog.text.replace("echo open", "")


def test_much_output_is_kept_as_the_first_and_last_whole_lines() -> None:
    outcome = runner().run(shell("seq 1 100000 >&2"))
    lines = outcome.stderr.splitlines()
    assert lines[0] == "1"
    assert lines[-1] == "100000"
    assert "(99750 lines left out)" in lines
    assert len(lines) == 251


def test_few_lines_are_all_kept() -> None:
    lines = Lines(first=2, last=2)
    for number in range(4):
        lines.add(str(number))
    assert str(lines) == "0\n1\n2\n3"


def test_a_pipe_carries_everything_from_one_program_to_the_other() -> None:
    outcome = runner().pipe(shell(BIG), shell("wc -c"))
    assert outcome.producer.ok
    assert outcome.consumer.ok
    assert int(outcome.consumer.stdout) == 20_000_000


def test_when_the_producer_fails_the_consumer_never_sees_the_end_of_its_input(tmp_path) -> None:
    done = tmp_path / "stored"
    outcome = runner().pipe(shell(f"{BIG}; exit 1"), shell(f"cat > /dev/null; touch {done}"))
    assert outcome.producer.exit_code == 1
    assert outcome.cut_short
    assert not done.exists()


def test_when_the_consumer_ends_early_the_producer_does_not_hang() -> None:
    outcome = runner().pipe(shell(f"{BIG}; sleep 100"), shell("echo refused >&2; exit 1"))
    assert outcome.consumer.stderr == "refused"
    assert not outcome.cut_short
    assert not outcome.producer.ok


def test_a_consumer_that_fails_while_the_producer_dies_of_it_is_still_the_cause() -> None:
    for _ in range(10):
        outcome = runner().pipe(shell(BIG), shell("exit 11"))
        assert not outcome.cut_short
        assert outcome.consumer.exit_code == 11


def test_a_pipe_is_ended_at_its_deadline() -> None:
    outcome = runner().pipe(shell("sleep 100"), shell("cat"), timeout=0.3)
    assert outcome.producer.ended_by == outcome.consumer.ended_by == "deadline"


def test_a_consumer_that_does_not_come_to_an_end_is_ended_at_the_deadline() -> None:
    outcome = runner().pipe(shell("echo x"), shell("cat; sleep 100"), timeout=0.5)
    assert outcome.consumer.ended_by == "deadline"


def is_gone(pid: int) -> bool:
    """Whether the process ends within five seconds: the kernel says it, nobody polls."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([descriptor], [], [], 5)
    os.close(descriptor)
    return bool(ended)
