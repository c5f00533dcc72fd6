"""What a session costs: time from its slot, writes, memory, and the size of the image.

Run it alone for figures worth writing down: ``tox -e acceptance-node -- -k figures``. The bounds
are wide; they find what has gone wrong by a factor, not by a tenth.
"""

from __future__ import annotations

import datetime as dt

import pytest
from acceptance import batches as b
from acceptance.cluster import CLOCK
from acceptance.place import Place, phase

from reconciler.api.resources import JsonObject

MIB = 1 << 20


def test_figures(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.apply("workloads.yaml", "backend.yaml")
    members = b.workload("Deployment", "web"), b.claim("uploads")
    place.apply(b.batch(*members, schedule=b.EVERY_MINUTE))
    place.set_up()
    place.ready("Deployment", "web")

    session = place.until(lambda: _of_a_slot(place), "a slot has its session")
    name = session["metadata"]["name"]
    slot = dt.datetime.fromisoformat(session["metadata"]["annotations"][_SLOT])
    place.in_phase(name, "Running", "Succeeded")
    running = (CLOCK.now() - slot).total_seconds()
    place.succeeded(name)
    succeeded = (CLOCK.now() - slot).total_seconds()
    place.patch("BackupBatch", "shop", {"spec": {"paused": True}})
    place.maintained(name)
    maintained = (CLOCK.now() - slot).total_seconds()

    cluster = place.cluster
    operators = cluster.operator_memory()
    sidecar = cluster.agent_memory(place.namespace, place.ready_pod("web"))
    figures: dict[str, str] = {
        "from the slot to Running": f"{running:.1f} s",
        "from the slot to Succeeded": f"{succeeded:.1f} s",
        "from the slot to the repository free again": f"{maintained:.1f} s",
        **{f"memory of {each}": f"{size / MIB:.0f} MiB" for each, size in operators.items()},
        "memory of the sidecar": f"{sidecar / MIB:.0f} MiB",
        **{f"writes by {who}": str(n) for who, n in cluster.writes(place.namespace).items()},
        **{f"image {each}": f"{size / MIB:.0f} MiB" for each, size in cluster.images().items()},
    }
    with capsys.disabled():
        print(f"\n{type(cluster).__name__}: a Deployment and a claim, one session")
        for what, figure in figures.items():
            print(f"  {what:<46} {figure:>12}")
    assert running < succeeded < 120
    assert max(operators.values()) < 300 * MIB
    assert sidecar < 200 * MIB


_SLOT = "tandem.appscode.com/slot"


def _of_a_slot(place: Place) -> JsonObject | None:
    """The session of a slot that has passed since the batch is set up."""
    found = [
        s for s in place.all("BackupSession") if _SLOT in (s["metadata"].get("annotations") or {})
    ]
    return next((s for s in found if phase(s) in ("", "Pending", "Running")), None)
