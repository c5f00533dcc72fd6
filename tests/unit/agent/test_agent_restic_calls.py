"""Every call of restic, argument by argument, as Stash makes it where Stash makes it."""

from __future__ import annotations

import pytest

from reconciler.agent.restic import Access, Command, Restic, priority_prefix

ACCESS = Access("s3:http://m/b/p", "s3:http://m/b/p", {"RESTIC_PASSWORD": "pw", "AWS_X": "1"})
PLAIN = Restic(ACCESS, "/tmp", enable_cache=False)
CACHED = Restic(ACCESS, "/tmp/")
FULL = Restic(
    Access("gs:b:/p", "gs:b:/p", {"RESTIC_PASSWORD": "pw"}, ("gs.connections=7",), "/sec/CA", True),
    "/s",
    prefix=("ionice", "-c", "2", "nice", "-n", "5"),
)
TAIL = "--cache-dir /s/restic-cache --cacert /sec/CA --insecure-tls --option gs.connections=7"
BACKUP_TAIL = (
    "--cache-dir /s/restic-cache --cleanup-cache --cacert /sec/CA --insecure-tls"
    " --option gs.connections=7"
)
WRAP = "ionice -c 2 nice -n 5 restic"

CALLS = [
    (PLAIN.probe(), "restic cat config --no-lock --no-cache"),
    (PLAIN.init(), "restic init --no-cache"),
    (PLAIN.backup("/d", host="h"), "restic backup /d --quiet --json --host h --no-cache"),
    (
        CACHED.backup("/d", host="h", excludes=["*.tmp", "a b"]),
        (
            "restic backup /d --quiet --json --host h --exclude *.tmp --exclude a|b"
            " --cache-dir /tmp/restic-cache --cleanup-cache"
        ),
    ),
    (
        CACHED.backup_stdin("dumpfile.sql", host="db"),
        (
            "restic backup --stdin --quiet --json --stdin-filename dumpfile.sql --host db"
            " --cache-dir /tmp/restic-cache --cleanup-cache"
        ),
    ),
    (
        PLAIN.forget(["--keep-last", "2", "--prune"], ["a", "b"]),
        (
            "restic forget --quiet --json --host a --host b --group-by host,paths"
            " --keep-last 2 --prune --no-cache"
        ),
    ),
    (
        PLAIN.forget(["--keep-last", "2"], ["a"], path="/my data"),
        (
            "restic forget --quiet --json --host a --path /my|data --group-by host,paths"
            " --keep-last 2 --no-cache"
        ),
    ),
    (
        PLAIN.restore("1a", "/", includes=["/a", "b c"], excludes=["*.tmp"], sparse=True),
        (
            "restic restore 1a --target / --include /a --include b|c --exclude *.tmp --sparse"
            " --no-cache"
        ),
    ),
    (PLAIN.restore("1a", "/"), "restic restore 1a --target / --no-cache"),
    (PLAIN.dump("1a", "/dump"), "restic dump --quiet 1a /dump --no-cache"),
    (PLAIN.ls("1a", "/d"), "restic ls --json --quiet --no-lock --recursive 1a /d --no-cache"),
    (PLAIN.prune(), "restic prune --quiet --no-cache"),
    (PLAIN.forget_snapshots("1a", "2b"), "restic forget --quiet 1a 2b --no-cache"),
    (CACHED.check(), "restic check --cache-dir /tmp/restic-cache"),
    (PLAIN.stats(), "restic stats --quiet --json --no-cache"),
    (PLAIN.snapshots(), "restic snapshots --json --quiet --no-lock --no-cache"),
    (
        PLAIN.snapshots(hosts=["a"]),
        "restic snapshots --json --quiet --no-lock --host a --no-cache",
    ),
    (PLAIN.unlock(), "restic unlock --no-cache"),
    (PLAIN.unlock_all(), "restic unlock --remove-all --no-cache"),
    (PLAIN.list_locks(), "restic list locks --no-lock --quiet --no-cache"),
    (PLAIN.show_lock("ab"), "restic cat lock ab --no-lock --no-cache"),
    (FULL.init(), f"{WRAP} init {TAIL}"),
    (FULL.check(), f"{WRAP} check {TAIL}"),
    (FULL.backup("/d", host="h"), f"{WRAP} backup /d --quiet --json --host h {BACKUP_TAIL}"),
]


@pytest.mark.parametrize(("command", "expected"), CALLS, ids=[text for _, text in CALLS])
def test_a_call_has_exactly_these_arguments(command: Command, expected: str) -> None:
    assert command.argv == tuple(word.replace("|", " ") for word in expected.split())


@pytest.mark.parametrize("command", [call for call, _ in CALLS])
def test_a_call_has_exactly_these_variables(command: Command) -> None:
    if command.argv[0] == "ionice":
        assert command.env == {
            "RESTIC_PASSWORD": "pw",
            "RESTIC_REPOSITORY": "gs:b:/p",
            "TMPDIR": "/s/restic-tmp",
        }
    else:
        assert command.env == {
            "RESTIC_PASSWORD": "pw",
            "AWS_X": "1",
            "RESTIC_REPOSITORY": "s3:http://m/b/p",
            "TMPDIR": "/tmp/restic-tmp",
        }


@pytest.mark.parametrize("command", [call for call, _ in CALLS])
def test_neither_argv_nor_text_of_a_call_shows_the_password(command: Command) -> None:
    assert "pw" not in repr(command)


def test_forget_without_a_host_is_refused_because_it_would_hit_everybody() -> None:
    with pytest.raises(ValueError, match="whole repository"):
        PLAIN.forget(["--keep-last", "1"], [])


def test_removing_no_snapshot_in_particular_is_refused() -> None:
    with pytest.raises(ValueError, match="which"):
        PLAIN.forget_snapshots()


@pytest.mark.parametrize(
    ("environ", "prefix"),
    [
        ({}, ()),
        ({"NICE_ADJUSTMENT": "15"}, ("nice", "-n", "15")),
        ({"IONICE_CLASS": "2"}, ("ionice", "-c", "2")),
        (
            {"NICE_ADJUSTMENT": "-3", "IONICE_CLASS": "2", "IONICE_CLASS_DATA": "4"},
            ("ionice", "-c", "2", "-n", "4", "nice", "-n", "-3"),
        ),
        ({"IONICE_CLASS_DATA": "4"}, ()),
    ],
)
def test_nice_and_ionice_wrap_restic_in_stashs_order(environ, prefix) -> None:
    assert priority_prefix(environ) == prefix


def test_a_priority_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match=r"NICE_ADJUSTMENT.*'much'"):
        priority_prefix({"NICE_ADJUSTMENT": "much"})


def test_the_tool_of_a_wrapped_call_is_what_is_wrapped() -> None:
    assert FULL.init().tool == "restic"
    assert FULL.init().programs == ("ionice", "nice", "restic")
