"""The operator is the loop with Tandem's controllers, on old and on new API servers."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import (
    BACKUP_BATCHES,
    CRON_JOBS,
    CRON_JOBS_V1BETA1,
    DEPLOYMENT_CONFIGS,
    Resource,
)
from reconciler.cluster.client import Client
from reconciler.decisions.controllers import CONTROLLERS
from reconciler.decisions.plan import Settings
from reconciler.embedded.server import Server
from reconciler.engine import operator
from reconciler.engine.clock import VirtualClock

CLOCK = VirtualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


class Serving(Client):
    """A client of a server that has some versions of CronJob."""

    def __init__(self, *versions: Resource) -> None:
        super().__init__(Server(CLOCK))
        self.versions = versions

    def serves(self, resource: Resource) -> bool:
        return resource in self.versions


def watched(port: Client) -> set[Resource]:
    found = operator.served(port, CONTROLLERS)
    return {resource for each in found for resource in each.resources}


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ((CRON_JOBS,), CRON_JOBS),
        ((CRON_JOBS, CRON_JOBS_V1BETA1), CRON_JOBS),
        ((CRON_JOBS_V1BETA1,), CRON_JOBS_V1BETA1),
        ((), CRON_JOBS),
    ],
)
def test_the_cron_jobs_that_the_server_has_are_watched_and_no_others(
    served: tuple[Resource, ...], expected: Resource
) -> None:
    found = watched(Serving(*served))
    assert found & {CRON_JOBS, CRON_JOBS_V1BETA1} == {expected}


def test_a_kind_that_is_absent_is_neither_decided_on_nor_watched() -> None:
    port = Serving(CRON_JOBS)
    found = operator.served(port, CONTROLLERS, [DEPLOYMENT_CONFIGS])
    assert DEPLOYMENT_CONFIGS not in {resource for each in found for resource in each.resources}
    assert {each.primary for each in CONTROLLERS} - {each.primary for each in found} == {
        DEPLOYMENT_CONFIGS
    }


def test_an_operator_without_its_kinds_waits_for_them_in_peace() -> None:
    loop = operator.build(Client(Server(CLOCK)), CLOCK, Settings())
    assert loop.settle() == 0
    assert loop.ready
    assert loop.view.list(BACKUP_BATCHES) == []
    assert loop.next_due() is None
