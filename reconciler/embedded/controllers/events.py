"""Events are forgotten an hour after they last happened, as an API server does (``--event-ttl``).

Run by the embedded cluster, so that one which runs for days does not grow.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.resources import EVENTS, JsonObject, Key
from reconciler.decisions.plan import Delete, Plan, Settings, View
from reconciler.embedded.controllers import ownership, pods

LIFETIME = dt.timedelta(hours=1)


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Wait for the end of one Event's time, then delete it."""
    del settings
    event = view.get(EVENTS, key.namespace, key.name)
    if event is None or ownership.deleting(event):
        return Plan()
    end = _last_seen(event) + LIFETIME
    if now < end:
        return Plan(wake_at=end)
    meta = event["metadata"]
    return Plan(writes=(Delete(EVENTS, key.namespace, key.name, meta["uid"]),))


def _last_seen(event: JsonObject) -> dt.datetime:
    seen = event.get("lastTimestamp") or event.get("eventTime")
    return pods.moment(seen or event["metadata"]["creationTimestamp"])
