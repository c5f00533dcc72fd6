"""Schedules: exactly those that Kubernetes accepts, firing exactly when its CronJobs do.

The grammar is the standard parser of robfig/cron, which Kubernetes uses: five fields, names,
``@daily`` and the like, ``@every``, ``TZ=``. Times in the hour that daylight saving skips do not
fire that day; times in the hour that comes twice fire twice. Used by validation, by decisions (the
next session) and by the embedded CronJob controller. Pure: the moment is passed in.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Final

import attrs

from reconciler.api.durations import SECOND, parse_nanoseconds
from reconciler.api.occurrence import DAYS, FIELDS, Bounds, Calendar, Field, next_time

UTC = dt.UTC

_LONGEST_NUMBER: Final = 18
"""Digits; Go's parser refuses what does not fit into 64 bits."""

_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@attrs.frozen
class Schedule:
    """A parsed schedule. ``text`` is what was written."""

    text: str
    calendar: Calendar | None
    """None for ``@every``."""
    every: int = 0
    """The nanoseconds of ``@every``."""
    zone: dt.tzinfo | None = None
    """The zone of ``TZ=``; None: the zone of the moment that is asked about."""

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """The schedule. Raises ValueError that says what is wrong and what to write instead."""
        zone, expression = _zone(text)
        if expression.startswith("@every "):
            return cls(text, None, _interval(expression.removeprefix("@every ")), zone)
        return cls(text, _calendar(expression), 0, zone)

    def next_after(self, moment: dt.datetime) -> dt.datetime | None:
        """The first time after ``moment`` (aware), in the zone of ``moment``; None: never.

        Whole seconds; a part of a second in ``moment`` is cut off first, as Kubernetes does.
        """
        if moment.tzinfo is None:
            raise ValueError("moment must be aware, for example 2026-01-01T00:00:00+00:00")
        start = int(moment.timestamp() // 1)
        if self.calendar is None:
            found: int | None = start + self.every // SECOND
        else:
            found = next_time(self.calendar, start, self.zone or moment.tzinfo)
        if found is None:
            return None
        return dt.datetime.fromtimestamp(found, UTC).astimezone(moment.tzinfo)


# -- the grammar ------------------------------------------------------------------------------


def _zone(text: str) -> tuple[dt.tzinfo | None, str]:
    """The zone and the rest of ``TZ=Zone rest``. No name is UTC, ``Local`` is the asker's zone."""
    key, equals, rest = text.partition("=")
    if not equals or key not in {"TZ", "CRON_TZ"}:
        return None, text
    name, blank, expression = rest.partition(" ")
    if not blank:
        raise ValueError(f"{text!r} has no schedule after the zone; write {key}={name} 0 3 * * *")
    if name == "Local":
        return None, expression.strip()
    try:
        return UTC if name in {"", "UTC"} else zoneinfo.ZoneInfo(name), expression.strip()
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is not a time zone; write a name such as Europe/Berlin or UTC"
        ) from None


def _interval(text: str) -> int:
    """The nanoseconds of ``@every``: whole seconds, and one at least."""
    nanoseconds = parse_nanoseconds(text)
    return max(SECOND, nanoseconds - nanoseconds % SECOND)


def _calendar(expression: str) -> Calendar:
    if expression.startswith("@"):
        if expression not in _DESCRIPTORS:
            known = ", ".join(sorted(_DESCRIPTORS))
            raise ValueError(
                f"{expression!r} is not a known word; write one of {known}, or @every 1h30m"
            )
        expression = _DESCRIPTORS[expression]
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise ValueError(
            f"{expression!r} has {len(parts)} fields; write five: minute, hour, day of the month, "
            "month, day of the week, for example 0 3 * * *"
        )
    return Calendar(*map(_field, parts, FIELDS))


def _field(text: str, bounds: Bounds) -> Field:
    """A list of ranges. Empty items count as nothing, as Kubernetes reads them."""
    ranges = [_range(item, bounds) for item in text.split(",") if item]
    return Field(
        frozenset().union(*(each.values for each in ranges)), any(each.star for each in ranges)
    )


def _range(text: str, bounds: Bounds) -> Field:
    """``*``, ``?``, ``N``, ``N-M``, each with ``/step``."""
    span, slash, step_text = text.partition("/")
    step = _number(step_text, bounds, text) if slash else 1
    if step == 0:
        raise _refused(text, bounds, "has a step of 0")
    first, dash, last = span.partition("-")
    if first in {"*", "?"}:  # whatever stands behind a hyphen is not looked at
        return Field(frozenset(range(bounds.low, bounds.high + 1, step)), star=step == 1)
    low = _value(first, bounds, text)
    high = _value(last, bounds, text) if dash else bounds.high if slash else low
    _check_order(low, high, bounds, text)
    return Field(frozenset(range(low, high + 1, step)))


def _check_order(low: int, high: int, bounds: Bounds, text: str) -> None:
    if low < bounds.low or high > bounds.high:
        raise _refused(text, bounds, f"is outside {bounds.low} to {bounds.high}")
    if low > high:
        raise _refused(text, bounds, "ends before it begins")


def _value(text: str, bounds: Bounds, whole: str) -> int:
    if text.lower() in bounds.names:
        return bounds.low + bounds.names.index(text.lower())
    return _number(text, bounds, whole)


def _number(text: str, bounds: Bounds, whole: str) -> int:
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_NUMBER:
        raise _refused(whole, bounds, "is not a number, a name or a range")
    return int(digits)


def _refused(text: str, bounds: Bounds, why: str) -> ValueError:
    names = f" or {bounds.names[0]} to {bounds.names[-1]}" if bounds.names else ""
    hint = " (Sunday is 0)" if bounds.names is DAYS else ""
    return ValueError(
        f"{bounds.title} {text!r} {why}; write numbers from {bounds.low} to {bounds.high}"
        f"{names}{hint}, ranges such as {bounds.low}-{bounds.high}, or */2"
    )
