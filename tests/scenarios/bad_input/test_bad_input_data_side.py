"""The data side fails: tools are missing, a dump breaks off, the disk is full, processes die.

The host says why, the other targets of the session have their snapshots, and the next session
succeeds once the cause is gone.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading

import pytest


def with_path(case, target, path):
    """A member whose container has another PATH."""
    settings = {"container": {"env": [{"name": "PATH", "value": path}]}}
    return case.member(target, runtimeSettings=settings)


def test_a_missing_restic_is_named_and_one_that_comes_is_used(case):
    case.set_up("deploy/web", "pvc/files")
    case.apply(
        case.batch(members=[case.member("deploy/web"), with_path(case, "pvc/files", "/nowhere")])
    )
    case.ready()
    session = case.backed_up()
    assert case.phases(session) == {"web": "Succeeded", "files": "Failed"}
    assert case.told(session, "files") == (
        "HostFailed",
        (
            "Host pvc-files: the program restic is not installed in this image; "
            "install it: https://restic.net"
        ),
    )
    assert case.snapshots() == ["deploy-web"]
    case.apply(case.batch("deploy/web", "pvc/files"))
    assert case.backed_up()["phase"] == "Succeeded"
    assert case.snapshots() == ["deploy-web", "deploy-web", "pvc-files"]


def test_a_missing_dump_tool_is_named_and_one_that_comes_is_used(case):
    case.set_up("deploy/web", "app/db")
    only_restic = str(case.estate.tools / "only-restic")
    case.apply(
        case.batch(members=[case.member("deploy/web"), with_path(case, "app/db", only_restic)])
    )
    case.ready()
    session = case.backed_up()
    assert case.phases(session) == {"web": "Succeeded", "db": "Failed"}
    assert case.told(session, "db") == (
        "HostFailed",
        (
            "Host app-db: neither mariadb-admin nor mysqladmin is installed in this image; "
            "install it: the package mariadb-client"
        ),
    )
    assert case.snapshots() == ["deploy-web"]
    case.apply(case.batch("deploy/web", "app/db"))
    assert case.backed_up()["phase"] == "Succeeded"
    assert case.snapshots() == ["app-db", "deploy-web", "deploy-web"]


def test_a_dump_that_breaks_off_leaves_no_snapshot(case):
    """It prints 5 MB and exits with 1."""
    case.set_up("deploy/web", "app/db")
    case.ready()
    case.answers(lambda _pod, what: "half" if what.startswith("dump") else "go")
    session = case.backed_up()
    assert case.phases(session) == {"web": "Succeeded", "db": "Failed"}
    assert case.told(session, "db") == (
        "HostFailed",
        (
            "Host app-db: mariadb-dump failed: mysqldump: Error 2013: Lost connection to server "
            "during query"
        ),
    )
    assert case.snapshots() == ["deploy-web"]
    case.answers(lambda _pod, _what: "go")
    assert case.backed_up()["phase"] == "Succeeded"
    assert case.snapshots() == ["app-db", "deploy-web", "deploy-web"]


@pytest.fixture
def small_disk(case):
    """A place for the repository with little room."""
    place = case.place()
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_named_and_room_that_is_made_is_used(case, small_disk):
    case.set_up("deploy/web", "app/db", executionOrder="Sequential")
    case.ready()
    case.answers(lambda _pod, what: "big" if what.startswith("dump") else "go")
    session = case.backed_up()
    assert case.phases(session) == {"web": "Succeeded", "db": "Failed"}
    reason, message = case.told(session, "db")
    assert reason == "HostFailed"
    assert message.startswith("Host app-db: storing the dump failed: ")
    assert "no space left on device" in message
    assert message.endswith("; free space in the backend or the temporary directory")
    assert case.snapshots() == ["deploy-web"]
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert case.backed_up()["phase"] == "Succeeded"
    assert case.snapshots() == ["app-db", "deploy-web", "deploy-web"]


class Pause:
    """Holds the first backup tool of a kind in its middle until it is let go."""

    def __init__(self, case, begins, *, dump="slow"):
        self._begins = begins
        self._dump = dump
        self.reached = threading.Event()
        self.go = threading.Event()
        self.pod = ""
        case.answers(self.answer)

    def answer(self, pod, what):
        if what.startswith(self._begins) and not self.reached.is_set():
            self.pod = pod
            self.reached.set()
            self.go.wait(60)
        return self._dump if what.startswith("dump") else "go"

    def wait(self):
        assert self.reached.wait(60), "nothing was started"


@pytest.fixture
def pause(case):
    """Whatever was held is let go at the end."""
    made = []

    def make(begins, **how):
        made.append(Pause(case, begins, **how))
        return made[-1]

    yield make
    for each in made:
        each.go.set()


def processes(case, *words):
    """The pids of the cluster's processes whose command line begins with the first word."""
    return [
        pid
        for pid, line in case.command_lines().items()
        if line.startswith(words[0]) and all(word in line for word in words)
    ]


def maintenance(case, session):
    """(type, status, message) of what maintenance told the session."""
    case.maintained(session)
    found = case.get("BackupSession", session)["status"]["conditions"]
    wanted = ("RetentionPolicyApplied", "RepositoryIntegrityVerified")
    return [(c["type"], c["status"], c["message"]) for c in found if c["type"] in wanted]


GOOD = [
    ("RetentionPolicyApplied", "True", "Successfully applied retention policy."),
    (
        "RepositoryIntegrityVerified", "True", "Repository integrity verification succeeded."
    ),
]  # fmt: skip


def test_a_job_whose_pod_is_killed_is_tried_again_and_its_lock_removed(case, pause):
    case.set_up("deploy/web", "app/db")
    case.ready()
    held = pause("half-way", dump="slow")
    session = case.trigger()
    held.wait()
    assert case.locks() == 1
    case.delete("Pod", held.pod, grace_period_seconds=0)
    ended = case.ended(session)
    assert case.phases(ended) == {"web": "Succeeded", "db": "Succeeded"}
    assert case.snapshots() == ["app-db", "deploy-web"]
    assert maintenance(case, session) == GOOD
    assert case.locks() == 0


def test_a_job_whose_restic_is_killed_fails_alone_and_its_lock_is_removed(case, pause):
    """The process is gone and its lock is left; nobody has to unlock the repository."""
    case.set_up("deploy/web", "app/db")
    case.ready()
    held = pause("half-way", dump="slow")
    session = case.trigger()
    held.wait()
    (restic,) = processes(case, "/usr/bin/restic backup --stdin", "--host app-db")
    os.kill(restic, signal.SIGKILL)
    ended = case.ended(session)
    assert case.phases(ended) == {"web": "Succeeded", "db": "Failed"}
    assert case.told(ended, "db") == (
        "HostFailed",
        (
            "Host app-db: storing the dump failed: it was killed (SIGKILL); "
            "the container may lack memory"
        ),
    )
    assert case.snapshots() == ["deploy-web"]
    assert maintenance(case, session) == GOOD
    assert case.locks() == 0
    held.go.set()
    assert case.backed_up()["phase"] == "Succeeded"
    assert case.snapshots() == ["app-db", "deploy-web", "deploy-web"]


def test_a_lock_of_an_unknown_owner_is_named_and_stays(case, tmp_path):
    """A restic of this very machine, which the pods cannot know: it may be alive."""
    case.set_up("deploy/web")
    case.ready()
    reading, writing = os.pipe()
    stranger = subprocess.Popen(
        ["/usr/bin/restic", "backup", "--stdin", "--no-cache", "--host", "laptop", "--quiet"],
        env={"RESTIC_PASSWORD": "correct-horse", "RESTIC_REPOSITORY": str(case.place()),
             "HOME": str(tmp_path), "PATH": "/usr/bin"},
        stdin=reading, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(reading)
    try:
        os.write(writing, b"x" * 65536)  # the pipe is full: restic has its lock when it reads on
        os.write(writing, b"x" * 65536)
        os.write(writing, b"x")
        assert case.locks() == 1
        session = case.trigger()
        assert case.ended(session)["phase"] == "Succeeded"
        retention, integrity = maintenance(case, session)
        owner = (
            rf"Reason: the repository is locked: lock of process {stranger.pid} on "
            rf"{re.escape(socket.gethostname())} since \S+; wait until its owner is done; "
            "the lock of an owner that is proven gone, or 30 minutes old, is removed by itself and "
            "by tandem agent unlock"
        )
        assert retention[:2] == ("RetentionPolicyApplied", "False")
        assert re.fullmatch(f"Failed to apply retention policy. {owner}", retention[2])
        assert integrity[:2] == ("RepositoryIntegrityVerified", "False")
        assert re.fullmatch(f"Repository integrity verification failed. {owner}", integrity[2])
        assert case.locks() == 1
    finally:
        os.close(writing)
        stranger.wait()
    assert stranger.returncode == 0
    session = case.trigger()
    assert case.ended(session)["phase"] == "Succeeded"
    assert maintenance(case, session) == GOOD
    assert case.snapshots() == ["host-0", "host-0", "laptop"]


def test_a_target_that_is_deleted_in_a_session_fails_alone(case, pause):
    case.set_up("deploy/web", "pvc/files")
    case.ready()
    held = pause("restic backup /data")
    session = case.trigger()
    held.wait()
    case.delete("Deployment", "web")
    ended = case.ended(session)
    held.go.set()
    assert case.phases(ended) == {"web": "Failed", "files": "Succeeded"}
    assert case.told(ended, "web") == (
        "HostFailed",
        "Host deploy-web: backup of /data was ended because its pod is being stopped",
    )
    assert case.snapshots() == ["pvc-files"]
    case.apply(case.deployment("web", claim="files"))
    case.member_condition("shop", "web", "StashSidecarInjected", "True")
    assert case.backed_up()["phase"] == "Succeeded"
    assert case.snapshots() == ["deploy-web", "pvc-files", "pvc-files"]
