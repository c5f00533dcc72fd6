"""Of several operators one works; it ends when it may no longer, and says what it waits for."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from reconciler.api.resources import LEASES
from reconciler.cli import leading, operating
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock
from reconciler.engine.leader import Terms
from reconciler.errors import TemporaryError

SHORT = Terms(duration=3, renew_deadline=0.5, retry=0.1)
CLOCK = SystemClock()


@pytest.fixture
def client():
    return Client(Server(CLOCK))


def candidate(client, name, uid="1"):
    environ = {"POD_NAME": name, "POD_UID": uid}
    return leading.elector(client, CLOCK, "default", environ, terms=SHORT)


def test_a_candidate_is_known_by_the_name_and_the_uid_of_its_pod(client):
    assert candidate(client, "tandem-1", "u").identity == "tandem-1_u"


def test_outside_of_a_pod_two_candidates_of_one_machine_differ(client):
    one, two = (leading.elector(client, CLOCK, "default", {}) for _ in range(2))
    assert one.identity != two.identity


def test_work_begins_with_the_lease_and_ends_when_told(client):
    told, log = threading.Event(), []

    def start():
        log.append("start")
        told.set()

    leading.lead(
        candidate(client, "a"), told, start=start, stop=lambda: log.append("stop"), end=log.clear
    )
    assert log == ["start", "stop"]
    assert client.get(LEASES, "default", leading.LEASE)["spec"]["holderIdentity"] == ""


def test_a_lease_that_another_one_took_ends_the_work_without_a_clean_up(client):
    told, log = threading.Event(), []

    def start():
        lease = client.get(LEASES, "default", leading.LEASE)
        lease["spec"] |= {"holderIdentity": "thief", "leaseDurationSeconds": 60}
        client.replace(LEASES, lease)

    with pytest.raises(TemporaryError, match=leading.LEASE):
        leading.lead(
            candidate(client, "a"),
            told,
            start=start,
            stop=lambda: log.append("stop"),
            end=lambda: log.append("end"),
        )
    assert set(log) == {"end"}


def test_what_hinders_the_start_is_told_to_the_caller(client):
    def start():
        raise TemporaryError("the kinds are not served yet")

    with pytest.raises(TemporaryError, match="not served yet"):
        leading.lead(
            candidate(client, "a"), threading.Event(), start=start, stop=lambda: None, end=None
        )


def test_the_end_at_once_waits_for_nothing_that_hangs():
    program = """
import threading
from reconciler.cli import leading
threading.Thread(target=threading.Event().wait).start()
leading.end_at_once()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ending at once" in done.stderr


def test_the_health_page_tells_who_leads(client):
    first, second = candidate(client, "a"), candidate(client, "b")
    assert leading.state(second) == "has not seen Lease tandem-operator yet"
    first.step()
    second.step()
    assert leading.state(first) == "a_1 leads"
    assert leading.state(second) == "waits for Lease tandem-operator, held by a_1"


def test_who_waits_is_ready_though_its_cache_is_empty(client):
    first, second = candidate(client, "a"), candidate(client, "b")
    loop = operating.build(client, CLOCK, Settings(), 1)
    assert not operating.ready(loop, second), "it may not even reach the API server"
    first.step()
    second.step()
    assert operating.ready(loop, second)
    assert not operating.ready(loop, first), "it leads, and its cache is not complete"
