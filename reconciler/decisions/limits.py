"""The deadline of a session or a restore, and how long it took.

Called by the decisions of both.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.durations import format_duration, parse_duration
from reconciler.api.resources import JsonObject
from reconciler.decisions import conditions, world
from reconciler.decisions.plan import Settings


def deadline(obj: JsonObject, time_out: str, now: dt.datetime, settings: Settings) -> dt.datetime:
    """Fixed once it is written: a later ``spec.timeOut`` is for those to come."""
    written = world.status_of(obj).get("sessionDeadline")
    if written:
        return conditions.moment(written)
    limit = settings.default_timeout
    if time_out:
        try:
            limit = parse_duration(time_out)
        except ValueError:
            limit = settings.default_timeout  # its owner is invalid and says so itself
    return world.created(obj, now) + limit


def duration(obj: JsonObject, now: dt.datetime) -> str:
    """From creation until now, in whole milliseconds."""
    elapsed = now - world.created(obj, now)
    return format_duration(elapsed - elapsed % dt.timedelta(milliseconds=1))
