"""Why a tool failed, from its exit code and messages, as a typed cause with a remedy.

restic 0.17 says it by exit code (10 no repository, 11 locked, 12 wrong password); older ones only
by message. The distinction matters: only a repository that is certainly absent may be created,
only a lock whose owner is gone may be removed.
"""

from __future__ import annotations

import enum
import re
import signal

import attrs

from reconciler.agent.runner import Outcome
from reconciler.errors import TandemError


class Cause(enum.Enum):
    """What went wrong, as one CamelCase word: it is the reason of a condition."""

    NO_REPOSITORY = "RepositoryNotFound"
    LOCKED = "RepositoryLocked"
    WRONG_PASSWORD = "WrongPassword"  # noqa: S105 -- the name of a cause
    DENIED = "AccessDenied"
    UNREACHABLE = "BackendUnreachable"
    DISK_FULL = "DiskFull"
    DAMAGED = "RepositoryDamaged"
    NO_SOURCE = "SourceNotFound"
    NO_SNAPSHOT = "SnapshotNotFound"
    NOT_RESTORED = "FilesNotRestored"
    INCOMPLETE = "SourceFilesUnreadable"
    TOOL_MISSING = "ToolMissing"
    DUMP = "DumpFailed"
    LOAD = "LoadFailed"
    UNREACHABLE_DATABASE = "DatabaseUnreachable"
    DEADLINE = "DeadlineExceeded"
    STOPPED = "RunnerStopped"
    OTHER = "ToolFailed"


REMEDIES = {
    Cause.NO_REPOSITORY: "check spec.backend of the Repository",
    Cause.LOCKED: (
        "wait until its owner is done; the lock of an owner that is proven gone, or 30 minutes old,"
        " is removed by itself and by tandem agent unlock"
    ),
    Cause.WRONG_PASSWORD: "correct RESTIC_PASSWORD in the Repository's Secret",
    Cause.DENIED: (
        "correct the credentials in the Secret, or the rights in the backend; a local one must be"
        " writable by runtimeSettings.container.securityContext.runAsUser"
    ),
    Cause.UNREACHABLE: "check the Repository's backend address and the network",
    Cause.DISK_FULL: "free space in the backend or the temporary directory",
    Cause.DAMAGED: "see the restic manual, Troubleshooting",
    Cause.UNREACHABLE_DATABASE: "check the AppBinding and the database's Service",
    Cause.NO_SOURCE: "check the target's paths",
    Cause.NOT_RESTORED: (
        "see that the volume has room and that the container may write there (securityContext),"
        " then restore again"
    ),
    Cause.INCOMPLETE: (
        "let the container read them (runtimeSettings.container.securityContext.runAsUser),"
        " or exclude them"
    ),
}


@attrs.frozen
class Failure:
    """``message`` is redacted, and one line. ``secret``: the Repository's, as namespace/name."""

    cause: Cause
    message: str
    secret: str = ""

    def __str__(self) -> str:
        remedy = REMEDIES.get(self.cause, "")
        if self.secret and self.cause is Cause.WRONG_PASSWORD:
            remedy = f"correct Secret {self.secret}, key RESTIC_PASSWORD"
        return f"{self.message}; {remedy}" if remedy else self.message


class ToolFailed(TandemError):  # noqa: N818 -- reads as a state of the world
    """A tool ended with an error. ``failure`` says which."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(str(failure))


EXIT_INCOMPLETE = 3
"""restic backup: some source files could not be read; the snapshot of the others is there."""

_EXIT_CODES = {
    EXIT_INCOMPLETE: Cause.INCOMPLETE,
    10: Cause.NO_REPOSITORY,
    11: Cause.LOCKED,
    12: Cause.WRONG_PASSWORD,
}
_ABSENT = (
    r"no such file or directory|does not exist|doesn't exist|not found|NotFound|NoSuchKey"
    r"|NoSuchBucket|\b404\b"
)
_MESSAGES = (
    (Cause.LOCKED, re.compile(r"already locked|unable to create lock in backend: repository is")),
    (Cause.WRONG_PASSWORD, re.compile(r"wrong password or no key found|ciphertext verification")),
    (Cause.DISK_FULL, re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)),
    (
        Cause.UNREACHABLE,
        re.compile(
            r"connection refused|no such host|i/o timeout|connection reset|network is unreachable"
            r"|TLS handshake|x509:|no route to host|context deadline exceeded"
            r"|Temporary failure in name resolution|EOF$|HTTP (response|status)[^\n]{0,9}\b5\d\d\b",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
    (
        Cause.DENIED,
        re.compile(
            r"access ?denied|permission denied|InvalidAccessKeyId|SignatureDoesNotMatch"
            r"|AuthenticationFailed|HTTP (response|status)[^\n]{0,9}\b40[13]\b|unauthorized"
            r"|forbidden",
            re.IGNORECASE,
        ),
    ),
    (
        Cause.NO_SNAPSHOT,
        re.compile(r"no snapshot found|no matching ID found|not found in snapshot"),
    ),
    (Cause.NO_SOURCE, re.compile(r"all (target|source) directories/files do not exist")),
    (Cause.DAMAGED, re.compile(r"repository contains errors|config or key .* is damaged")),
    (
        Cause.NO_REPOSITORY,
        re.compile(rf"unable to open (config file|repository)[^\n]*({_ABSENT})", re.IGNORECASE),
    ),
)
_NOISE = re.compile(r"returned error, retrying after|^\s*$|^\[|^Is there a repository at")


def of_restic(exit_code: int, stderr: str, stdout: str = "") -> Failure:
    """Why restic failed. ``stderr`` is redacted already. An unknown text is OTHER, never a guess.

    A network error wins over "is there a repository?", which restic asks in both cases.
    """
    return Failure(_cause(exit_code, f"{stderr}\n{stdout}"), one_line(stderr, exit_code))


def _cause(exit_code: int, text: str) -> Cause:
    if exit_code in _EXIT_CODES:
        return _EXIT_CODES[exit_code]
    for cause, pattern in _MESSAGES:
        if pattern.search(text):
            return cause
    return Cause.OTHER


def of_outcome(
    outcome: Outcome, doing: str, secret: str = "", *, whose: str = "session"
) -> Failure:
    """Why a call of restic did not end well, with what it was for."""
    if outcome.ended_by == "deadline":
        return Failure(Cause.DEADLINE, f"{doing} was ended at the {whose}'s deadline")
    if outcome.ended_by == "stop":
        return Failure(Cause.STOPPED, f"{doing} was ended because its pod is being stopped")
    found = of_restic(outcome.exit_code, outcome.stderr, outcome.stdout)
    return Failure(found.cause, f"{doing} failed: {found.message}", secret)


def of_load(tool: str, exit_code: int, stderr: str) -> Failure:
    """Why a database's client failed; what it had taken before is in the database."""
    return Failure(Cause.LOAD, f"{tool} failed: {one_line(stderr, exit_code)}")


def of_dump(tool: str, exit_code: int, stderr: str) -> Failure:
    """Why a dump tool failed; whatever it was, the dump is not whole."""
    cause = Cause.DISK_FULL if "no space left" in stderr.lower() else Cause.DUMP
    return Failure(cause, f"{tool} failed: {one_line(stderr, exit_code)}")


def one_line(stderr: str, exit_code: int, limit: int = 1000) -> str:
    """The lines of stderr that say something, joined; at most ``limit`` characters, whole lines."""
    lines = [line.strip() for line in stderr.splitlines() if not _NOISE.search(line)]
    if not lines:
        return _wordless(exit_code)
    chosen: list[str] = []
    for line in reversed(lines):  # the last lines hold the cause
        if chosen and sum(map(len, chosen)) + len(line) > limit:
            break
        chosen.insert(0, line[:limit])
    return "; ".join(chosen)


def _wordless(exit_code: int) -> str:
    """A process that is killed has no last words; a negative code is the signal's number."""
    if exit_code >= 0:
        return f"exit code {exit_code} without a message"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; the container may lack memory" if name == "SIGKILL" else ""
    return f"it was killed ({name}){hint}"
