"""The sidecar: whose turn it is, what it does in its turn, and what becomes of the result."""

from __future__ import annotations

import attrs

from reconciler.agent.session import Duty, Sidecar
from reconciler.agent.turn import Target
from reconciler.api import resources as r


def sidecar(application, environ=None):
    tools = application.tools
    if environ is not None:
        tools = attrs.evolve(tools, surroundings=type(tools.surroundings).of(environ))
    duty = Duty("demo", "BackupBatch", "shop", Target("Deployment", "web"))
    return Sidecar(application.cluster.port, tools, duty)


def test_a_session_that_lets_the_target_go_is_backed_up_and_reported(application, make):
    application.cluster.put(r.BACKUP_SESSIONS, make.session())
    assert sidecar(application).step(0) is True
    target = application.cluster.session()["targets"][0]
    (stat,) = target["stats"]
    assert (stat["hostname"], stat["phase"]) == ("host-0", "Succeeded")
    assert stat["snapshots"][0]["path"] == "/data"
    assert stat["snapshots"][0]["fileStats"]["totalFiles"] == 1
    assert target["hosts"][0]["runner"] == "web-abc"
    (snapshot,) = application.snapshots()
    assert snapshot["hostname"] == "host-0"
    assert snapshot["id"].startswith(stat["snapshots"][0]["name"])
    assert ("Host Backup Succeeded", 'backup succeeded for host host-0 of "Deployment"/"web".') in (
        application.cluster.events()
    )
