"""Every order of everything, up to three targets and two faults: the proof of the machines."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 60.0
"""Of one processor, for all configurations together."""


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_no_invariant_is_broken_in_any_order_and_the_proof_takes_less_than_a_minute():
    """In a process of its own: the tracer of coverage takes three times as long."""
    before = children_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "statemachines.exploration"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    *configurations, total = done.stdout.splitlines()[1:]
    # 1 to 3 targets of two kinds: Parallel without their order, Sequential with it
    # and five with hooks
    assert len(configurations) == (2 + 3 + 4) + (2 + 4 + 8) + 5
    assert all(line.endswith("none") for line in (*configurations, total)), done.stdout
    assert children_seconds() - before < MOST_SECONDS
