"""When a calendar of cron fields fires next.

For ``schedule`` only, which reads the fields and states the rules that both modules keep.

croniter finds the next time where the offset from UTC never changes. It is given explicit lists of
numbers only, since it reads some expressions differently (``3-3`` as the whole field). In zones
with daylight saving ``_walk`` counts on as Kubernetes does, its oddities included (it loses a day
where the clock skips midnight, or changes by half an hour): what is shown as the next session must
be what will happen.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from typing import Final

import attrs
from croniter import CroniterBadDateError, croniter

UTC = dt.UTC

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_YEARS_AHEAD: Final = 5
"""Kubernetes gives up after so many years; ``0 0 30 2 *`` never fires."""


@attrs.frozen
class Bounds:
    """What a field may hold."""

    title: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def all(self) -> frozenset[int]:
        return frozenset(range(self.low, self.high + 1))


FIELDS: Final = (
    Bounds("minute", 0, 59),
    Bounds("hour", 0, 23),
    Bounds("day of the month", 1, 31),
    Bounds("month", 1, 12, MONTHS),
    Bounds("day of the week", 0, 6, DAYS),
)


@attrs.frozen
class Field:
    """The values of one field. ``star``: written as ``*`` or ``?``, so it restricts nothing."""

    values: frozenset[int]
    star: bool = False


@attrs.frozen
class Calendar:
    """The five fields of a schedule."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    def matches_day(self, local: dt.datetime) -> bool:
        """Whether the schedule fires on that day.

        Both day fields must match if one of them is a star, else one is enough (crontab(5)).
        """
        day = local.day in self.day.values
        weekday = local.isoweekday() % 7 in self.weekday.values
        either = not (self.day.star or self.weekday.star)
        return day or weekday if either else day and weekday


def next_time(calendar: Calendar, start: int, zone: dt.tzinfo) -> int | None:
    """The first time after ``start`` (Unix seconds) on the clock of ``zone``; None: never."""
    if not all(f.values for f in (calendar.minute, calendar.hour, calendar.month)):
        return None
    if isinstance(zone, dt.timezone) or getattr(zone, "key", "") == "UTC":
        return _next_at_fixed_offset(calendar, start, zone)
    return _walk(calendar, start, zone)


def _next_at_fixed_offset(calendar: Calendar, start: int, zone: dt.tzinfo) -> int | None:
    expression = _for_croniter(calendar)
    if expression is None:
        return None
    local = dt.datetime.fromtimestamp(start, zone)
    last_year = (local + dt.timedelta(seconds=1)).year + _YEARS_AHEAD
    try:
        found: dt.datetime = croniter(
            expression, local, max_years_between_matches=_YEARS_AHEAD + 1
        ).get_next(dt.datetime)
    except CroniterBadDateError:
        return None
    return int(found.timestamp()) if found.year <= last_year else None


@functools.lru_cache(maxsize=1024)
def _for_croniter(calendar: Calendar) -> str | None:
    """The calendar as lists of numbers; None when no day can match.

    croniter's own rule for the two day fields is not relied on: where it matters one is a star.
    """
    day, weekday = calendar.day, calendar.weekday
    days = _listed(day.values, FIELDS[2].all)
    weekdays = _listed(weekday.values, FIELDS[4].all)
    if day.star or weekday.star:
        if not (day.values and weekday.values):
            return None
    elif "*" in {days, weekdays}:
        days = weekdays = "*"
    elif not day.values and not weekday.values:
        return None
    else:
        days, weekdays = (days or "*"), (weekdays or "*")
    minutes = _listed(calendar.minute.values, FIELDS[0].all)
    hours = _listed(calendar.hour.values, FIELDS[1].all)
    months = _listed(calendar.month.values, FIELDS[3].all)
    return f"{minutes} {hours} {days} {months} {weekdays}"


def _listed(values: frozenset[int], everything: frozenset[int]) -> str:
    return "*" if values == everything else ",".join(map(str, sorted(values)))


# -- counting on, in a zone with daylight saving ----------------------------------------------


def _walk(calendar: Calendar, start: int, zone: dt.tzinfo) -> int | None:
    """Kubernetes' way to the next time: month, day, hour, minute, each counted on until it fits.

    Carrying into the next larger unit begins again from the top. Because hours are counted in
    elapsed time, an hour that is skipped never fits and one that comes twice fits twice.
    """
    walk = _Walk(start + 1, zone)
    last_year = walk.local.year + _YEARS_AHEAD
    steps = (
        (lambda at: at.month in calendar.month.values, walk.next_month),
        (calendar.matches_day, walk.next_day),
        (lambda at: at.hour in calendar.hour.values, walk.next_hour),
        (lambda at: at.minute in calendar.minute.values, walk.next_minute),
    )
    while walk.local.year <= last_year:
        if all(_counted_on(walk, fits, step) for fits, step in steps):
            # Only a whole minute fires: its second is 0 unless nothing had to be counted on.
            if walk.local.second == 0:
                return walk.at
            walk.to_next_whole_minute()
    return None


def _counted_on(walk: _Walk, fits: Callable[[dt.datetime], bool], step: Callable[[], bool]) -> bool:
    """Step until it fits; False when that carried into the next larger unit."""
    while not fits(walk.local):
        if step():
            return False
    return True


class _Walk:
    """A moment (Unix seconds) that is counted on by the units of a zone's clock.

    The first step of any unit cuts off what is smaller; later steps rely on that. A step says
    whether it carried.
    """

    def __init__(self, at: int, zone: dt.tzinfo) -> None:
        self.zone = zone
        self.cut = False
        self._move(at)

    def next_month(self) -> bool:
        at = self._cut_to(self.local.replace(day=1, hour=0, minute=0, second=0))
        year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
        self._move(_instant(at.replace(year=year, month=month, day=1), self.zone))
        return self.local.month == 1

    def next_day(self) -> bool:
        at = self._cut_to(self.local.replace(hour=0, minute=0, second=0))
        self._move(_instant(at + dt.timedelta(days=1), self.zone))
        hour = self.local.hour
        if hour:  # midnight was skipped: on to the next, so the day is lost, as in Kubernetes
            self._move(self.at + 3600 * (24 - hour))
        return self.local.day == 1

    def next_hour(self) -> bool:
        self._cut_to(self.local.replace(minute=0, second=0))
        self._move(self.at + 3600)
        return self.local.hour == 0

    def next_minute(self) -> bool:
        self.cut = True
        self._move(self.at - self.at % 60 + 60)
        return self.local.minute == 0

    def to_next_whole_minute(self) -> None:
        self.cut = True
        self._move(self.at - self.at % 60 + 60)

    def _cut_to(self, local: dt.datetime) -> dt.datetime:
        if not self.cut:
            self.cut = True
            self._move(_instant(local, self.zone))
        return self.local

    def _move(self, at: int) -> None:
        self.at = at
        self.local = dt.datetime.fromtimestamp(at, self.zone).replace(tzinfo=None, fold=0)


def _instant(local: dt.datetime, zone: dt.tzinfo) -> int:
    """The Unix seconds of a wall-clock time, as Go's ``time.Date`` finds them.

    The offset in force when the clock in UTC shows that time is tried first; this settles which
    of two moments, or which substitute for none, is meant.
    """
    wall = int(local.replace(tzinfo=UTC).timestamp())
    offset = _offset(wall, zone)
    if _offset(wall - offset, zone) != offset:
        offset = _offset(wall - offset, zone)
    return wall - offset


def _offset(at: int, zone: dt.tzinfo) -> int:
    found = dt.datetime.fromtimestamp(at, zone).utcoffset()
    return int(found.total_seconds()) if found is not None else 0
