"""Schedules are Kubernetes' own: what it accepts, what it refuses, and when it fires."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import zoneinfo
from typing import Any

import pytest

from reconciler.api.schedule import Schedule

TRUTH: list[dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parents[2] / "data" / "cron.json").read_text()
)
"""Schedules with their next times (Unix seconds; null: never), by Kubernetes' cron library."""


def times(case: dict[str, Any]) -> list[int | None]:
    schedule = Schedule.parse(case["schedule"])
    moment = dt.datetime.fromisoformat(case["from"]).astimezone(zoneinfo.ZoneInfo(case["zone"]))
    found: list[int | None] = []
    for _ in case["next"]:
        following = schedule.next_after(moment)
        if following is None:
            return [*found, None]
        found.append(int(following.timestamp()))
        moment = following
    return found


def test_the_truth_is_all_there() -> None:
    assert len(TRUTH) == 621


@pytest.mark.parametrize(
    "case",
    [case for case in TRUTH if "next" in case],
    ids=lambda case: f"{case['schedule']} {case['zone']} {case['from']}",
)
def test_a_schedule_fires_when_kubernetes_fires_it(case: dict[str, Any]) -> None:
    assert times(case) == case["next"]


@pytest.mark.parametrize(
    "case", [case for case in TRUTH if "error" in case], ids=lambda case: case["schedule"]
)
def test_a_schedule_that_kubernetes_refuses_is_refused_with_a_remedy(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"; write "):
        Schedule.parse(case["schedule"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("0 0 3 * * *", "has 6 fields"),
        ("0 0 * * 7", "Sunday is 0"),
        ("60 * * * *", "minute '60' is outside 0 to 59"),
        ("0 22-2 * * *", "hour '22-2' ends before it begins"),
        ("*/0 * * * *", "has a step of 0"),
        ("0 0 L * *", "day of the month 'L' is not a number, a name or a range"),
        ("1-2-3 * * * *", "is not a number"),
        ("1/2/3 * * * *", "is not a number"),
        ("*/99999999999999999999 * * * *", "is not a number"),
        ("@hurly", "is not a known word"),
        (" @daily", "has 1 fields"),
        ("@every 5", "is not a duration"),
        ("TZ=Mars/Olympus 0 3 * * *", "'Mars/Olympus' is not a time zone"),
        ("TZ=../etc/passwd 0 3 * * *", "is not a time zone"),
        ("TZ=UTC", "has no schedule after the zone"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"; write ") as caught:
        Schedule.parse(text)

    assert said in str(caught.value)


def moments(text: str, start: str, count: int) -> list[str]:
    schedule, moment = Schedule.parse(text), dt.datetime.fromisoformat(start)
    found = []
    for _ in range(count):
        following = schedule.next_after(moment)
        assert following is not None
        found.append(following.isoformat())
        moment = following
    return found


def test_a_time_that_daylight_saving_skips_is_skipped_that_day() -> None:
    assert moments("TZ=Europe/Berlin 30 2 * * *", "2026-03-27T12:00:00+00:00", 3) == [
        "2026-03-28T01:30:00+00:00",
        "2026-03-30T00:30:00+00:00",
        "2026-03-31T00:30:00+00:00",
    ]


def test_a_time_that_comes_twice_fires_twice() -> None:
    assert moments("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00+00:00", 3) == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-25T01:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]


def test_the_answer_is_in_the_zone_of_the_question() -> None:
    asked = dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo"))

    following = Schedule.parse("TZ=Europe/Berlin 0 3 * * *").next_after(asked)

    assert following is not None
    assert following.isoformat() == "2026-01-01T11:00:00+09:00"


def test_without_a_zone_the_clock_of_the_question_counts() -> None:
    five_hours_west = dt.timezone(dt.timedelta(hours=-5))

    following = Schedule.parse("0 3 * * *").next_after(
        dt.datetime(2026, 1, 1, tzinfo=five_hours_west)
    )

    assert following == dt.datetime(2026, 1, 1, 3, tzinfo=five_hours_west)


def test_a_range_of_one_hour_is_one_hour_and_not_every_hour() -> None:
    assert moments("0 3-3 * * *", "2026-01-01T00:00:00+00:00", 2) == [
        "2026-01-01T03:00:00+00:00",
        "2026-01-02T03:00:00+00:00",
    ]


@pytest.mark.parametrize(
    "text", ["0 0 30 2 *", ", * * * *", "* , * * *", "* * , * *", "* * , * ,", "* * * * ,"]
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_what_can_never_match_never_fires(text: str, zone: str) -> None:
    assert (
        Schedule.parse(text).next_after(dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo(zone)))
        is None
    )


def test_an_empty_day_list_beside_a_weekday_leaves_the_weekday() -> None:
    assert moments("0 0 , * 1", "2026-01-01T00:00:00+00:00", 1) == ["2026-01-05T00:00:00+00:00"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_kubernetes_looks_five_years_ahead_and_no_further(zone: str) -> None:
    leap_day = Schedule.parse("0 0 29 2 *")
    at = dt.datetime(2096, 3, 1, tzinfo=zoneinfo.ZoneInfo(zone))

    assert leap_day.next_after(at) is None  # 2100 is no leap year, 2104 is too far
    assert leap_day.next_after(at.replace(year=2098)) is None
    assert leap_day.next_after(at.replace(year=2099)) is not None


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_moment_between_seconds_counts_as_the_second_before(zone: str) -> None:
    at = dt.datetime(2026, 1, 1, 2, 59, 59, 999_999, tzinfo=zoneinfo.ZoneInfo(zone))

    following = Schedule.parse("0 3 * * *").next_after(at)

    assert following == dt.datetime(2026, 1, 1, 3, tzinfo=zoneinfo.ZoneInfo(zone))


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="must be aware"):
        Schedule.parse("@daily").next_after(dt.datetime(2026, 1, 1))  # noqa: DTZ001 -- on purpose


def test_a_schedule_remembers_how_it_was_written() -> None:
    assert Schedule.parse("TZ=UTC @every 90s").text == "TZ=UTC @every 90s"
