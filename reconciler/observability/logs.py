"""Structured logs: one line for each thing that happened, for people or for machines.

``configure`` is called once by the command line. Modules log with the standard library and give
facts in ``extra``; this module decides how they look. Every line passes a guard that masks what
looks like a secret, as the last of several fences: secrets should never be given to a logger.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import Literal, TextIO

import orjson

from reconciler.engine.clock import Clock

Style = Literal["text", "json"]

_USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_WORD = r"(?:password|passwd|token|secret|api[-_]?key|access[-_]?key|secret[-_]?key)"
_ASSIGNED = re.compile(rf"(?i)({_WORD}=[\"']?)[^\s\"'\\,;&}}]+")
_IN_JSON = re.compile(rf"(?i)({_WORD}\\?\"\s*:\s*\\?\")[^\"\\]+")
_IN_HEADER = re.compile(
    r"(?i)(authorization\\?[\"']?:\s*\\?[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"'\\]+"
)
_URL_PASSWORD = re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@")
_BARE = re.compile(r"[\w./:@+-]+")


def configure(
    clock: Clock, *, stream: TextIO, style: Style = "text", level: int = logging.INFO
) -> None:
    """Log to ``stream`` from now on, with the times of ``clock``. Replaces earlier handlers."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(clock) if style == "json" else TextFormatter(clock))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("urllib3", "kubernetes", "asyncio", "aiohttp", "transitions"):
        logging.getLogger(library).setLevel(max(level, logging.WARNING))


def guarded(line: str) -> str:
    """``line`` with the values of ``password=…`` and the like, and passwords in URLs, masked."""
    for pattern in (_ASSIGNED, _IN_JSON, _IN_HEADER):
        line = pattern.sub(r"\1***", line)
    return _URL_PASSWORD.sub(r"\1***@", line)


class TextFormatter(logging.Formatter):
    """``12:00:05 INFO message key=value``: for a terminal."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        moment = self._clock.now().astimezone(dt.UTC).strftime("%H:%M:%S")
        facts = "".join(f" {name}={_quoted(fact)}" for name, fact in _facts(record).items())
        line = f"{moment} {record.levelname:<7} {record.getMessage()}{facts}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return guarded(line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: for collectors. Facts are keys of their own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self._clock.now().astimezone(dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return guarded(orjson.dumps(entry, default=str).decode())


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """What was given in ``extra``."""
    return {name: fact for name, fact in record.__dict__.items() if name not in _USUAL}


def _quoted(fact: object) -> str:
    text = str(fact)
    return text if _BARE.fullmatch(text) else orjson.dumps(text).decode()
