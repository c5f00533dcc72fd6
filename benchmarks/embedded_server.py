"""How many writes a second the embedded API server takes, in-process.

Run: ``python benchmarks/embedded_server.py [objects]``. Objects are BackupBatches of about 2.5 KB
(ten members), under the CRD of this repository: validation, pruning, managed fields and a watch
included.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import yaml

from reconciler.api.resources import BACKUP_BATCHES, CUSTOM_RESOURCE_DEFINITIONS
from reconciler.cluster.transport import APPLY_PATCH, MERGE_PATCH, Request
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock

CRD = pathlib.Path(__file__).parent.parent / "crds" / "stash.appscode.com_backupbatches.yaml"
CLOCK = SystemClock()


def batch(number: int) -> dict[str, Any]:
    """A BackupBatch of ten members."""
    members = [
        {
            "target": {
                "alias": f"member-{index}",
                "ref": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"app-{index}"},
                "paths": ["/var/lib/data", "/var/lib/more"],
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/data"}],
            }
        }
        for index in range(10)
    ]
    return {
        "apiVersion": BACKUP_BATCHES.api_version,
        "kind": BACKUP_BATCHES.kind,
        "metadata": {"name": f"batch-{number}", "namespace": "default"},
        "spec": {
            "driver": "Restic",
            "repository": {"name": "repository"},
            "schedule": "*/5 * * * *",
            "retentionPolicy": {"name": "keep-last-5", "keepLast": 5, "prune": True},
            "members": members,
        },
    }


def timed(name: str, count: int, step: Callable[[int], Any]) -> None:
    start = CLOCK.monotonic()
    for number in range(count):
        step(number)
    seconds = CLOCK.monotonic() - start
    print(f"{name:<28}{count / seconds:>10,.0f}/s{seconds / count * 1e6:>10,.0f} us each")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    server = Server(CLOCK)
    send = server.send
    crd = yaml.safe_load(CRD.read_text())
    assert send(Request("POST", CUSTOM_RESOURCE_DEFINITIONS.path(), body=crd)).status == 201
    path = BACKUP_BATCHES.path("default")
    stream = server.watch(Request("GET", path, {"watch": "true", "resourceVersion": "0"}))

    def named(number: int, subresource: str = "") -> str:
        return BACKUP_BATCHES.path("default", f"batch-{number}", subresource)

    def status(number: int) -> Request:
        body = {"status": {"phase": "Succeeded", "lastSession": f"batch-{number}-1"}}
        return Request("PATCH", named(number, "status"), body=body, content_type=MERGE_PATCH)

    def apply(number: int) -> Request:
        body = batch(number)
        body["spec"]["paused"] = True
        query = {"fieldManager": "tandem", "force": "true"}
        return Request("PATCH", named(number), query, body, content_type=APPLY_PATCH)

    timed("create", count, lambda n: send(Request("POST", path, body=batch(n))))
    timed("status merge patch", count, lambda n: send(status(n)))
    timed("server-side apply, changing", count, lambda n: send(apply(n)))
    timed("server-side apply, same", count, lambda n: send(apply(n)))
    timed("get", count, lambda n: send(Request("GET", named(n))))
    timed(f"list of {count}", 10, lambda _: send(Request("GET", path)))
    timed("watch events", count * 3, lambda _: stream.next(0))
    timed("delete", count, lambda n: send(Request("DELETE", named(n))))


if __name__ == "__main__":
    main()
