"""Laws of schedules, against a model that knows nothing of parsing, croniter or walking.

The model looks at every minute in turn: does the wall clock match the sets that the expression was
written from? It agrees with Kubernetes wherever the offset changes by whole hours and not at
midnight. (Elsewhere Kubernetes has oddities, which the table of truth holds: it loses a day in
half-hour zones, and, where midnight is skipped, that day of a schedule that is not daily.)
"""

from __future__ import annotations

import datetime as dt
import zoneinfo

import attrs
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconciler.api.durations import (
    SECOND,
    format_duration,
    parse_duration,
    parse_nanoseconds,
)
from reconciler.api.schedule import Schedule

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Australia/Sydney",
         "Asia/Kolkata", "Pacific/Apia")  # fmt: skip
DAYS_LOOKED_AT = 8


@attrs.frozen
class Written:
    """A field as text, with the values that were meant and whether it restricts anything."""

    text: str
    values: frozenset[int]
    star: bool


@st.composite
def items(draw: st.DrawFn, position: int) -> Written:
    low, high = BOUNDS[position]
    step = draw(st.sampled_from([1, 1, 2, 5, 70]))
    suffix = f"/{step}" if step > 1 or draw(st.booleans()) else ""
    form = draw(st.sampled_from(["star", "one", "range"]))
    if form == "star":
        text = draw(st.sampled_from(["*", "?"])) + suffix
        return Written(text, frozenset(range(low, high + 1, step)), star=step == 1)
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    if form == "one":
        values = range(first, (high if suffix else first) + 1, step)
        return Written(spelt(draw, first, position) + suffix, frozenset(values), star=False)
    text = f"{spelt(draw, first, position)}-{spelt(draw, last, position)}{suffix}"
    return Written(text, frozenset(range(first, last + 1, step)), star=False)


def spelt(draw: st.DrawFn, value: int, position: int) -> str:
    names = NAMES.get(position)
    if names is None or draw(st.booleans()):
        return str(value)
    name = names[value - BOUNDS[position][0]]
    return name.upper() if draw(st.booleans()) else name


@st.composite
def fields(draw: st.DrawFn, position: int) -> Written:
    parts = draw(st.lists(items(position), min_size=1, max_size=3))
    values = frozenset().union(*(part.values for part in parts))
    return Written(",".join(p.text for p in parts), values, any(p.star for p in parts))


expressions = st.tuples(*(fields(position) for position in range(5)))
# Hours around which offsets change, so that short searches meet gaps and overlaps.
starts = st.one_of(
    st.integers(1_767_225_600, 1_830_297_600),
    st.builds(
        lambda change, before: change - before,
        # Berlin and London, New York, Sydney; spring and autumn of 2026.
        st.sampled_from([1_774_746_000, 1_792_890_000, 1_772_953_200, 1_793_512_800,
                         1_775_318_400, 1_791_043_200]),
        st.integers(-7200, 86_400),
    ),
)  # fmt: skip


def matches(expression: tuple[Written, ...], wall: dt.datetime) -> bool:
    minute, hour, day, month, weekday = expression
    if not (wall.minute in minute.values and wall.hour in hour.values):
        return False
    if wall.month not in month.values:
        return False
    by_day = wall.day in day.values
    by_weekday = wall.isoweekday() % 7 in weekday.values
    if day.star or weekday.star:
        return by_day and by_weekday
    return by_day or by_weekday


def first_match(expression: tuple[Written, ...], start: int, zone: zoneinfo.ZoneInfo) -> int | None:
    for at in range(start - start % 60 + 60, start + DAYS_LOOKED_AT * 86_400, 60):
        if matches(expression, dt.datetime.fromtimestamp(at, zone)):
            return at
    return None


@given(expression=expressions, start=starts, name=st.sampled_from(ZONES))
def test_a_schedule_fires_at_the_first_minute_that_matches(
    expression: tuple[Written, ...], start: int, name: str
) -> None:
    zone = zoneinfo.ZoneInfo(name)
    schedule = Schedule.parse(" ".join(field.text for field in expression))

    found = schedule.next_after(dt.datetime.fromtimestamp(start, zone))

    expected = first_match(expression, start, zone)
    if expected is not None:
        assert found is not None
        assert int(found.timestamp()) == expected
    else:
        assert found is None or found.timestamp() >= start + DAYS_LOOKED_AT * 86_400 - 60


@given(expression=expressions, start=starts, name=st.sampled_from(ZONES))
def test_a_fixed_offset_gives_the_same_as_the_zone_it_is_taken_from(
    expression: tuple[Written, ...], start: int, name: str
) -> None:
    """croniter (fixed offsets) and counting on (zones) agree while the offset does not change."""
    zone = zoneinfo.ZoneInfo(name)
    local = dt.datetime.fromtimestamp(start, zone)
    offset = local.utcoffset()
    assert offset is not None
    schedule = Schedule.parse(" ".join(field.text for field in expression))
    fixed = schedule.next_after(local.astimezone(dt.timezone(offset)))
    assume(fixed is None or constant(zone, start, int(fixed.timestamp()), offset))

    found = schedule.next_after(local)

    # By timestamp: in an hour that comes twice, equal moments of two zones compare unequal.
    assert fixed is None or (found is not None and found.timestamp() == fixed.timestamp())


def constant(zone: zoneinfo.ZoneInfo, start: int, end: int, offset: dt.timedelta) -> bool:
    return all(
        dt.datetime.fromtimestamp(at, zone).utcoffset() == offset
        for at in [*range(start, end, 86_400), end]
    )


@given(text=st.text(alphabet="0123456789*?/,- @TZ=evrydailmonsu+", max_size=20))
def test_any_text_is_a_schedule_or_refused_with_a_remedy(text: str) -> None:
    said = "; write "
    try:
        Schedule.parse(text)
    except ValueError as error:
        said = str(error)

    assert "; write " in said


@given(seconds=st.integers(1, 10**6), start=starts)
def test_every_fires_after_that_long(seconds: int, start: int) -> None:
    at = dt.datetime.fromtimestamp(start, dt.UTC)

    found = Schedule.parse(f"@every {seconds}s").next_after(at)

    assert found == at + dt.timedelta(seconds=seconds)


# -- durations --------------------------------------------------------------------------------


@given(
    duration=st.timedeltas(
        min_value=dt.timedelta(days=-40_000), max_value=dt.timedelta(days=40_000)
    )
)
@example(dt.timedelta(0))
@example(dt.timedelta(microseconds=1500))
@example(dt.timedelta(minutes=1, seconds=2.5))
def test_a_duration_comes_back_as_it_was(duration: dt.timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (dt.timedelta(hours=2), "2h0m0s"),
        (dt.timedelta(minutes=1, seconds=2.5), "1m2.5s"),
        (dt.timedelta(milliseconds=20), "20ms"),
        (dt.timedelta(microseconds=1500), "1.5ms"),
        (dt.timedelta(microseconds=7), "7µs"),
        (dt.timedelta(seconds=-1), "-1s"),
        (dt.timedelta(days=2), "48h0m0s"),
        (dt.timedelta(0), "0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(duration: dt.timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("1.s", 1), ("-1m", -60), ("+2s", 2),
     ("0", 0), ("-0", 0), ("300ms", 0.3), ("1us", 1e-6), ("1µs", 1e-6), ("1\u03bcs", 1e-6),
     ("1000ns", 1e-6), ("1h1h", 7200)],
)  # fmt: skip
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_nanoseconds(text) == round(seconds * SECOND)


@pytest.mark.parametrize(
    "text",
    ["", "5", "5d", "1h ", " 1h", "h", ".s", "1h-2m", "--1h", "1,5h", "\u0661h", "3000000h"],
)
def test_what_go_refuses_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="; write "):
        parse_nanoseconds(text)
