"""Why restic failed: by exit code where it has one, else by its words."""

from __future__ import annotations

import pytest

from reconciler.agent.failures import Cause, Failure, of_dump, of_restic, one_line

ASKS = "\nIs there a repository at the following location?\n/r"


@pytest.mark.parametrize(
    ("code", "stderr", "cause"),
    [
        (10, "whatever", Cause.NO_REPOSITORY),
        (11, "", Cause.LOCKED),
        (12, "", Cause.WRONG_PASSWORD),
        (3, "Warning: at least one source file could not be read", Cause.INCOMPLETE),
        (
            1,
            "Fatal: unable to open config file: stat /r/config: no such file or directory" + ASKS,
            Cause.NO_REPOSITORY,
        ),
        (
            1,
            "Fatal: unable to open config file: Stat: The specified key does not exist." + ASKS,
            Cause.NO_REPOSITORY,
        ),
        (
            1,
            "Fatal: unable to open config file: <config/> does not exist" + ASKS,
            Cause.NO_REPOSITORY,
        ),
        (
            1,
            "Fatal: unable to open config file: stat /s/500/403/config: no such file or directory",
            Cause.NO_REPOSITORY,
        ),
        (
            1,
            "Fatal: unable to open config file: client.Head: dial tcp 127.0.0.1:1: connect:"
            " connection refused" + ASKS,
            Cause.UNREACHABLE,
        ),
        (
            1,
            "Fatal: unable to open config file: dial tcp: lookup x: no such host" + ASKS,
            Cause.UNREACHABLE,
        ),
        (
            1,
            "Fatal: unable to open config file: unexpected HTTP response (503): 503 Service" + ASKS,
            Cause.UNREACHABLE,
        ),
        (
            1,
            "Fatal: unable to open config file: unexpected HTTP response (401): 401" + ASKS,
            Cause.DENIED,
        ),
        (1, "Fatal: unable to open config file: Stat: Access Denied." + ASKS, Cause.DENIED),
        (1, "Fatal: wrong password or no key found", Cause.WRONG_PASSWORD),
        (
            1,
            "unable to create lock in backend: repository is already locked by PID 7 on web-0",
            Cause.LOCKED,
        ),
        (1, "Fatal: unable to save snapshot: write x: no space left on device", Cause.DISK_FULL),
        (1, "Fatal: all target directories/files do not exist", Cause.NO_SOURCE),
        (1, "Fatal: repository contains errors", Cause.DAMAGED),
        (1, "Fatal: something quite new", Cause.OTHER),
        (1, "", Cause.OTHER),
    ],
)
def test_the_cause_is_told_from_code_and_message(code, stderr, cause) -> None:
    assert of_restic(code, stderr).cause is cause


@pytest.mark.parametrize("text", ["", "Is there a repository at the following location?", "404"])
def test_a_repository_is_not_called_absent_on_a_hint(text) -> None:
    assert of_restic(1, text).cause is not Cause.NO_REPOSITORY


def test_the_message_keeps_what_was_said_and_drops_the_noise() -> None:
    text = "Load(<x>) returned error, retrying after 5s: no\nFatal: a\n\nIs there a repository at x"
    assert one_line(text, 1) == "Fatal: a"
    assert one_line("", 7) == "exit code 7 without a message"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "it was killed (SIGKILL); the container may lack memory"),
        (-15, "it was killed (SIGTERM)"),
        (-99, "it was killed (signal 99)"),
    ],
)
def test_a_process_that_was_killed_is_told_by_its_signal(code, said) -> None:
    assert one_line("", code) == said


def test_a_long_message_is_cut_at_whole_lines_and_keeps_the_end() -> None:
    text = "\n".join(f"line {number}" for number in range(1000))
    said = one_line(text, 1, limit=40)
    assert said.endswith("line 999")
    assert said.startswith("line ")
    assert len(said) <= 60


def test_a_failure_says_what_to_do() -> None:
    text = str(Failure(Cause.WRONG_PASSWORD, "Fatal: wrong password"))
    assert text == "Fatal: wrong password; correct RESTIC_PASSWORD in the Repository's Secret"


def test_a_failed_dump_names_its_tool() -> None:
    failure = of_dump("mysqldump", 2, "mysqldump: Got error: 1045")
    assert (failure.cause, failure.message) == (
        Cause.DUMP,
        "mysqldump failed: mysqldump: Got error: 1045",
    )
