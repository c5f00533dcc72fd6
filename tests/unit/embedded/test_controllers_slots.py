"""The latest missed slot of a schedule is found without walking through all of them."""

from __future__ import annotations

import datetime as dt
import zoneinfo

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.schedule import Schedule
from reconciler.embedded.controllers.cronjob import Slots, latest_slot

SCHEDULES = ("* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 1 * *", "@every 11m")
BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
YEAR = 365 * 24 * 3600
CHANGES = (
    dt.datetime(2026, 10, 25, 1, tzinfo=dt.UTC),  # the clocks of Berlin go back
    dt.datetime(2026, 4, 4, 15, tzinfo=dt.UTC),  # those of Lord Howe, by half an hour
    dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC),
)


def _around(moment: dt.datetime) -> st.SearchStrategy[int]:
    middle = int((moment - BEGIN).total_seconds())
    return st.integers(middle - 7200, middle + 7200)


@settings(max_examples=300, deadline=None)
@given(
    text=st.sampled_from(SCHEDULES),
    zone=st.sampled_from(("UTC", "Europe/Berlin", "Australia/Lord_Howe")),
    start=st.integers(0, YEAR) | st.sampled_from(CHANGES).flatmap(_around),
    gap=st.integers(0, 7200) | st.integers(0, 3 * 24 * 3600),
)
def test_the_latest_slot_is_the_one_that_a_walk_would_end_at(
    text: str, zone: str, start: int, gap: int
) -> None:
    slots = Slots(Schedule.parse(text), zoneinfo.ZoneInfo(zone))
    since = BEGIN + dt.timedelta(seconds=start)
    now = since + dt.timedelta(seconds=gap)
    walked, following = None, slots.after(since)
    while following is not None and following <= now:
        walked, following = following, slots.after(following)
    assert latest_slot(slots, since, now) == walked
