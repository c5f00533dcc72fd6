"""What ``tandem snapshots`` asks a Job for: the snapshots of a repository, on standard output.

Called by ``main``. A line of JSON a snapshot and a last one with their number, so that whoever
reads the log knows them among other lines, and knows when one is missing. It changes nothing and
takes no lock.
"""

from __future__ import annotations

import sys

import attrs
import orjson

from reconciler.agent.restore import snapshots
from reconciler.agent.workshop import Tools, open_workshop
from reconciler.api.resources import REPOSITORIES
from reconciler.cluster.port import Port


def show(port: Port, tools: Tools, namespace: str, name: str) -> None:
    """Raises ToolFailed."""
    found = snapshots(open_workshop(tools, port.get(REPOSITORIES, namespace, name), port=port))
    lines = [orjson.dumps({"snapshot": attrs.asdict(each)}) for each in found]
    lines.append(orjson.dumps({"snapshots": len(found)}))
    sys.stdout.write("".join(line.decode() + "\n" for line in lines))
    sys.stdout.flush()
