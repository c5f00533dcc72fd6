"""What restic prints, as typed values; and sizes and durations in Stash's notation.

Pure. Raises only :class:`Unreadable` for text that is not what restic prints, never KeyError and
the like: the text comes from another program and is not to be trusted.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import attrs

from reconciler.errors import TerminalError


class Unreadable(TerminalError, ValueError):  # noqa: N818 -- reads as a state of the world
    """The text is not what restic prints."""


@attrs.frozen
class Summary:
    """The outcome of one backup. Sizes in bytes, duration in seconds."""

    snapshot: str
    files_new: int
    files_changed: int
    files_unmodified: int
    files_total: int
    bytes_added: int
    bytes_processed: int
    seconds: float


@attrs.frozen
class Forgotten:
    """How many snapshots a policy kept and removed, and the short ids of the removed."""

    kept: int
    removed: int
    removed_ids: tuple[str, ...] = ()


@attrs.frozen
class Snapshot:
    """One snapshot as ``restic snapshots`` lists it."""

    id: str
    time: str
    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...] = ()
    size: int | None = None
    """Bytes, where restic says it (from 0.17 on)."""

    @property
    def short_id(self) -> str:
        """As it is in a session's stats."""
        return self.id[:8]


@attrs.frozen
class Lock:
    """Who holds a lock of the repository."""

    host: str
    pid: int
    time: str
    exclusive: bool
    user: str = ""

    def __str__(self) -> str:
        kind = "exclusive lock" if self.exclusive else "lock"
        return f"{kind} of process {self.pid} on {self.host} since {self.time}"


def summary(text: str) -> Summary:
    """From the messages of ``restic backup --json``. Without a summary nothing was stored."""
    for message in _objects(text):
        if message.get("message_type") == "summary":
            return _summary(message)
    raise Unreadable("restic printed no summary of the backup")


def _summary(message: dict[str, Any]) -> Summary:
    return Summary(
        snapshot=_text(message, "snapshot_id"),
        files_new=_whole(message, "files_new"),
        files_changed=_whole(message, "files_changed"),
        files_unmodified=_whole(message, "files_unmodified"),
        files_total=_whole(message, "total_files_processed"),
        bytes_added=_whole(message, "data_added"),
        bytes_processed=_whole(message, "total_bytes_processed"),
        seconds=_number(message, "total_duration"),
    )


def unreadable_files(stderr: str) -> tuple[str, ...]:
    """The source files that ``restic backup --json`` could not read (exit code 3)."""
    return tuple(
        str(message["item"])
        for message in _objects(stderr)
        if message.get("message_type") == "error" and message.get("item")
    )


def forgotten(text: str) -> Forgotten:
    """From ``restic forget --json``: the groups; no output at all when no snapshot matched."""
    groups = _first(text, default=[])
    if groups is None:
        groups = []
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise Unreadable("restic forget printed no list of groups")
    kept = [item for group in groups for item in _list(group, "keep")]
    removed = [item for group in groups for item in _list(group, "remove")]
    names = tuple(_text(item, "short_id") or _text(item, "id")[:8] for item in removed)
    return Forgotten(len(kept), len(removed), names)


def is_sound(text: str) -> bool:
    """Whether ``restic check`` said so; a failing check has a non-zero exit code besides."""
    return any(line.strip() == "no errors were found" for line in text.splitlines())


def total_size(text: str) -> int:
    """Bytes, from ``restic stats --json``."""
    answer = _first(text)
    if not isinstance(answer, dict):
        raise Unreadable("restic stats printed no object")
    return _whole(answer, "total_size")


def snapshots(text: str) -> tuple[Snapshot, ...]:
    """From ``restic snapshots --json``."""
    answer = _first(text)
    if answer is None:
        return ()
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise Unreadable("restic snapshots printed no list")
    return tuple(
        Snapshot(
            _text(item, "id"),
            _text(item, "time"),
            _text(item, "hostname"),
            tuple(str(path) for path in _entries(item, "paths")),
            tuple(str(tag) for tag in item.get("tags") or ()),
            (item.get("summary") or {}).get("total_bytes_processed"),
        )
        for item in answer
    )


@attrs.frozen
class Node:
    """One file, folder, link … of a snapshot."""

    path: str
    type: str


def node(line: str) -> Node | None:
    """From one line of ``restic ls --json``; None for what is no node: the first line."""
    for answer in _objects(line):
        path, kind = answer.get("path"), answer.get("type")
        if answer.get("struct_type") == "node" and isinstance(path, str) and isinstance(kind, str):
            return Node(path, kind)
    return None


def version(text: str) -> tuple[int, ...]:
    """(0, 14, 0) from ``restic version``; () for anything else, which then counts as old."""
    found = re.match(r"restic (\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def lock(text: str) -> Lock:
    """From ``restic cat lock``."""
    answer = _first(text)
    if not isinstance(answer, dict):
        raise Unreadable("restic printed no lock")
    return Lock(
        host=_text(answer, "hostname"),
        pid=_whole(answer, "pid"),
        time=_text(answer, "time"),
        exclusive=answer.get("exclusive") is True,
        user=_text(answer, "username"),
    )


def size(count: int) -> str:
    """``1.500 KiB``: Stash's notation; exactly 1024 bytes is still ``1024 B``."""
    for exponent, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count > 2**exponent:
            return f"{count / 2**exponent:.3f} {unit}"
    return f"{count} B"


def clock_time(seconds: float) -> str:
    """``0:07``, ``1:02:03``: how Stash writes ``processingTime``; fractions are cut."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def go_duration(elapsed: dt.timedelta | float) -> str:
    """``8.531234s``, ``1m2.5s``: the text of Go's Duration, to microseconds."""
    seconds = elapsed.total_seconds() if isinstance(elapsed, dt.timedelta) else elapsed
    micros = max(0, round(seconds * 1_000_000))
    if micros == 0:
        return "0s"
    if micros < 1_000:
        return f"{micros}µs"
    if micros < 1_000_000:
        return f"{_decimal(micros, 1_000)}ms"
    minutes, rest = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{_decimal(rest, 1_000_000)}s"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = str(fraction).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every line that is a JSON object; other lines are progress or warnings."""
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _first(text: str, default: Any = ...) -> Any:
    """The first JSON value; what follows it (prune's progress) is left alone."""
    bare = text.lstrip()
    if not bare and default is not ...:
        return default
    try:
        return json.JSONDecoder().raw_decode(bare)[0]
    except (ValueError, RecursionError) as error:
        raise Unreadable("restic printed no JSON") from error


def _entries(message: dict[str, Any], field: str) -> list[Any]:
    value = message.get(field) or []
    if not isinstance(value, list):
        raise Unreadable(f"restic printed no list as {field}")
    return value


def _list(group: dict[str, Any], field: str) -> list[dict[str, Any]]:
    entries = _entries(group, field)
    if not all(isinstance(item, dict) for item in entries):
        raise Unreadable(f"restic printed no list of objects as {field}")
    return entries


def _text(message: dict[str, Any], field: str) -> str:
    value = message.get(field, "")
    if not isinstance(value, str):
        raise Unreadable(f"restic printed no text as {field}")
    return value


def _number(message: dict[str, Any], field: str) -> float:
    value = message.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"restic printed no number as {field}")
    if not -1e300 < value < 1e300:
        raise Unreadable(f"restic printed an impossible number as {field}")
    return float(value)


def _whole(message: dict[str, Any], field: str) -> int:
    return int(_number(message, field))
