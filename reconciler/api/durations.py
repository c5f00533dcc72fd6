"""Go's durations, as Kubernetes and Stash write them: ``1h30m``, ``1m2.5s``, ``300ms``.

Used for ``timeOut``, ``retryConfig.delay``, ``@every`` and ``sessionDuration``. Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from fractions import Fraction
from typing import Final

SECOND: Final = 10**9
"""Nanoseconds of a second."""

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, the micro sign
    "μs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"([+-]?)((?:{_PART.pattern})+)", re.ASCII)
_LONGEST: Final = 2**63 - 1


def parse_nanoseconds(text: str) -> int:
    """The nanoseconds of a Go duration, negative ones too.

    Raises ValueError, with a remedy, for what Go's ``time.ParseDuration`` refuses: a number
    without a unit, a unit such as d, blanks, more than 292 years.
    """
    if text in {"0", "+0", "-0"}:
        return 0
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        raise ValueError(
            f"{text!r} is not a duration; write numbers with units h, m, s or ms, for example 1h30m"
        )
    total = sum(
        int(Fraction(number.rstrip(".")) * _UNITS[unit]) for number, unit in _PART.findall(whole[2])
    )
    if total > _LONGEST:
        raise ValueError(f"{text!r} is longer than 292 years; write a shorter duration")
    return -total if whole[1] == "-" else total


def parse_duration(text: str) -> dt.timedelta:
    """The duration, cut to whole microseconds. Raises ValueError as ``parse_nanoseconds``."""
    nanoseconds = parse_nanoseconds(text)
    sign = -1 if nanoseconds < 0 else 1
    return sign * dt.timedelta(microseconds=abs(nanoseconds) // 1000)


def format_duration(duration: dt.timedelta) -> str:
    """The duration as Go prints it: ``1h0m0s``, ``1m2.5s``, ``20ms``, ``0s``."""
    microseconds = duration // dt.timedelta(microseconds=1)
    sign, rest = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    if rest == 0:
        return "0s"
    if rest < 10**3:
        return f"{sign}{rest}µs"
    if rest < 10**6:
        return f"{sign}{_decimal(rest, 10**3)}ms"
    minutes, rest = divmod(rest, 60 * 10**6)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**6)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, one: int) -> str:
    """``value / one`` without trailing zeros and without float's rounding."""
    whole, part = divmod(value, one)
    digits = f"{part:0{len(str(one)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
