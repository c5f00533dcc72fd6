"""What the commands print with: text for people, JSON for programs, errors for both.

Used by every command module. Standard output carries results only; progress and errors go to
standard error, so that ``tandem … --output json`` can be piped.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Any

import orjson
import yaml
from rich.console import Console

from reconciler.errors import (
    ApiUnavailable,
    Forbidden,
    InvalidObject,
    NamespaceTerminating,
    TandemError,
)

PIPE_WIDTH = 200


class Format(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def out(*, plain: bool = False) -> Console:
    """Standard output. ``plain``: no colours, as in a pipe; a pipe has no width to keep to."""
    screen = Console(highlight=False, no_color=plain or None)
    if not screen.is_terminal:
        screen.width = PIPE_WIDTH
    return screen


def err() -> Console:
    """Standard error, for progress and remarks."""
    return Console(stderr=True, highlight=False)


def emit(value: Any, output: Format = Format.JSON) -> None:
    """Print a value for programs on standard output: as YAML if asked for, else as JSON."""
    if output is Format.YAML:
        # tuples and enumerations have a JSON form only
        plain = orjson.loads(orjson.dumps(value))
        sys.stdout.write(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    else:
        sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def emit_line(value: Any) -> None:
    """Print a value as one line of JSON at once, for what comes little by little."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()


def report_error(error: TandemError) -> None:
    """One line a fault on standard error: what object, which field, what to do."""
    for line in _lines(error):
        sys.stderr.write(f"error: {line}\n")


def _lines(error: TandemError) -> list[str]:
    if isinstance(error, InvalidObject):
        return [f"{error.subject}: {fault}" for fault in error.faults]
    return [" ".join(str(error).split()) + _hint(error)]


def _hint(error: TandemError) -> str:
    """What to do about a fault that no object can be blamed for."""
    if isinstance(error, NamespaceTerminating):
        return ""
    if isinstance(error, Forbidden):
        return "; ask for this permission; kubectl auth can-i --list shows those that you have"
    if isinstance(error, ApiUnavailable):
        return "; is the cluster up, and the kubeconfig right? kubectl version asks it, too"
    return ""
