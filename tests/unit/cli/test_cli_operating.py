"""What the operator finds out about itself."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api.resources import NAMESPACES, PODS
from reconciler.cli import operating
from reconciler.cluster.client import Client
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.errors import NotFound, TerminalError


@pytest.fixture
def client():
    made = Client(Server(VirtualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))))
    made.create(NAMESPACES, {"metadata": {"name": "backup"}})
    return made


def pod(*containers):
    return {
        "metadata": {"name": "tandem-operator-1", "namespace": "backup"},
        "spec": {"containers": [{"name": n, "image": image} for n, image in containers]},
    }


ENVIRON = {"POD_NAME": "tandem-operator-1"}


def test_sidecars_and_jobs_run_the_image_of_the_operators_own_container(client):
    client.create(PODS, pod(("mesh-proxy", "mesh:1"), ("operator", "registry.example/tandem:7")))
    assert operating.own_image(client, "backup", ENVIRON) == "registry.example/tandem:7"


def test_outside_of_a_pod_there_is_no_image_of_our_own(client):
    assert operating.own_image(client, "backup", {}) is None


def test_a_renamed_container_is_named_with_the_remedy(client):
    client.create(PODS, pod(("tandem", "registry.example/tandem:7")))
    with pytest.raises(TerminalError, match=r"backup/tandem-operator-1 .* operator.*--image"):
        operating.own_image(client, "backup", ENVIRON)


def test_a_pod_name_that_is_not_ours_is_not_hidden_by_a_default(client):
    with pytest.raises(NotFound, match="tandem-operator-1"):
        operating.own_image(client, "backup", ENVIRON)
