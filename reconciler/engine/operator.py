"""Tandem's operator: the loop with Tandem's own controllers.

Used by ``tandem run``, by the demo, and by every scenario test and benchmark, so that all of them
run what a cluster runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs

from reconciler.api.resources import CRON_JOBS, CRON_JOBS_V1BETA1, OPTIONAL, Resource
from reconciler.cluster import trimming
from reconciler.cluster.port import Port
from reconciler.decisions.controller import Controller, Watched
from reconciler.decisions.controllers import CONTROLLERS
from reconciler.decisions.plan import Settings
from reconciler.engine.clock import Clock
from reconciler.engine.loop import Loop
from reconciler.engine.workers import Recorder

OLDER: dict[Resource, Resource] = {CRON_JOBS: CRON_JOBS_V1BETA1}
"""What an older API server has instead (CronJob is in batch/v1beta1 only before 1.21)."""


def build(
    port: Port,
    clock: Clock,
    settings: Settings,
    workers: int = 4,
    *,
    recorder: Recorder | None = None,
    namespace: str | None = None,
) -> Loop:
    """The operator's loop, not started. Asks the API server once what it serves of what some
    clusters lack; so a kind that comes later is known after the next start.

    ``recorder`` is an ``observability.events.EventRecorder``; without one no Events are made.
    Raises ApiUnavailable when the server does not answer.
    """
    absent = [resource for resource in OPTIONAL if not port.serves(resource)]
    return Loop(
        port,
        clock,
        served(port, CONTROLLERS, absent),
        settings,
        workers,
        recorder=recorder,
        namespace=namespace,
        absent=absent,
        trim=trimming.for_manager(settings.field_manager),
    )


def served(
    port: Port, controllers: Iterable[Controller], absent: Collection[Resource] = ()
) -> tuple[Controller, ...]:
    """The controllers, watching of two versions of a resource only the one that is served, and
    nothing that is ``absent``.
    """
    instead = {
        newer: older
        for newer, older in OLDER.items()
        if not port.serves(newer) and port.serves(older)
    }
    unwanted = (set(OLDER.values()) - set(instead.values())) | set(absent)
    return tuple(
        attrs.evolve(
            each,
            primary=instead.get(each.primary, each.primary),
            watches=tuple(
                Watched(instead.get(watched.resource, watched.resource), watched.keys)
                for watched in each.watches
                if watched.resource not in unwanted
            ),
        )
        for each in controllers
        if each.primary not in unwanted
    )
