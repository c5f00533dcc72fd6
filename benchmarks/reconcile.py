"""How many batches a second the operator brings from cold to steady, and what that costs.

Run: ``python benchmarks/reconcile.py [--batches 1000] [--threads 0]``. The embedded API server and
the operator's loop run in this process. Each batch has a Deployment, a PersistentVolumeClaim and a
database; 50 batches share a namespace and its Repository. No node runs: a second figure has the
Deployments rolled out (by this program) after their sidecars came.

Every request of the operator is counted: reads at the start, writes, and Events. A second pass, an
hour in which nothing happens, and a restarted operator must write nothing; the program fails if
they do. Without threads the cluster's clock stands still while the operator works, so that the
counts do not depend on the machine; the figures are by the machine's clock.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import functools
import os
import pstats
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from reconciler.api import crds
from reconciler.api.resources import (
    APP_BINDINGS,
    BACKUP_BATCHES,
    CRON_JOBS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    FUNCTIONS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    REPOSITORIES,
    SECRETS,
    TASKS,
)
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.decisions.plan import Settings
from reconciler.embedded.server import Server
from reconciler.engine import operator
from reconciler.engine.clock import Clock, SystemClock, VirtualClock
from reconciler.engine.loop import Loop
from reconciler.manifests import catalog
from reconciler.observability.events import EventRecorder

Obj = dict[str, Any]
PER_NAMESPACE = 50
CLOCK = SystemClock()
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
IDLE = dt.timedelta(hours=1)


@attrs.define
class Counting:
    """The server, with the requests that reach it counted."""

    server: Server
    requests: Counter[str] = attrs.field(factory=Counter)

    def send(self, request: Request) -> Response:
        self.requests[request.method] += 1
        return self.server.send(request)

    def watch(self, request: Request) -> WatchStream:
        self.requests["WATCH"] += 1
        return self.server.watch(request)


def meta(number: int, name: str) -> Obj:
    return {"name": name, "namespace": f"bench-{number // PER_NAMESPACE}"}


def deployment(number: int) -> Obj:
    container = {
        "name": "web",
        "image": "example/web:1",
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    labels = {"app": f"web-{number}"}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": f"claim-{number}"}}]
    return {
        "metadata": meta(number, f"web-{number}"),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "volumes": volumes},
            },
        },
    }


def claim(number: int) -> Obj:
    resources = {"requests": {"storage": "1Gi"}}
    return {
        "metadata": meta(number, f"claim-{number}"),
        "spec": {"accessModes": ["ReadWriteMany"], "resources": resources},
    }


def database(number: int) -> Obj:
    service = {"scheme": "mysql", "name": f"db-{number}", "port": 3306}
    return {
        "metadata": meta(number, f"db-{number}"),
        "spec": {"type": "mysql", "version": "8.0", "clientConfig": {"service": service}},
    }


def batch(number: int) -> Obj:
    workload = {
        "alias": "web",
        "ref": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"web-{number}"},
        "paths": ["/data"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": f"claim-{number}"}
    binding = {
        "apiVersion": APP_BINDINGS.api_version,
        "kind": "AppBinding",
        "name": f"db-{number}",
    }
    return {
        "metadata": meta(number, f"batch-{number}"),
        "spec": {
            "schedule": "30 2 * * *",
            "repository": {"name": "repository"},
            "retentionPolicy": {"name": "keep-last-5", "keepLast": 5, "prune": True},
            "members": [
                {"target": workload},
                {"target": {"alias": "claim", "ref": volume}, "task": {"name": "pvc-backup"}},
                {"target": {"alias": "db", "ref": binding}, "task": {"name": "mysql-backup"}},
            ],
        },
    }


def furnish(user: Client, batches: int) -> None:
    """What users have made before the operator starts."""
    for definition in crds.crds():
        user.create(CUSTOM_RESOURCE_DEFINITIONS, definition)
    for resource, made in (
        *((FUNCTIONS, each) for each in catalog.functions(Settings().image)),
        *((TASKS, each) for each in catalog.tasks()),
    ):
        user.apply(resource, made, field_manager="tandem")
    for number in range(0, batches, PER_NAMESPACE):
        namespace = meta(number, "repository")["namespace"]
        user.create(NAMESPACES, {"metadata": {"name": namespace}})
        secret = {"metadata": meta(number, "backend"), "stringData": {"RESTIC_PASSWORD": "bench"}}
        user.create(SECRETS, secret)
        s3 = {"endpoint": "s3.amazonaws.com", "bucket": "bench", "prefix": namespace}
        backend = {"s3": s3, "storageSecretName": "backend"}
        repository = {"metadata": meta(number, "repository"), "spec": {"backend": backend}}
        user.create(REPOSITORIES, repository)
    for number in range(batches):
        user.create(PERSISTENT_VOLUME_CLAIMS, claim(number))
        user.create(APP_BINDINGS, database(number))
        user.create(DEPLOYMENTS, deployment(number))
        user.create(BACKUP_BATCHES, batch(number))


def roll_out(user: Client, batches: int) -> None:
    """What the Deployment controller and a node would report."""

    def done(obj: Obj) -> Obj:
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), 1)
        return {"observedGeneration": obj["metadata"]["generation"], **counts}

    for number in range(batches):
        place = meta(number, f"web-{number}")
        user.update_status(DEPLOYMENTS, place["namespace"], place["name"], done)


def operator_of(line: Counting, clock: Clock, threads: int = 0) -> Loop:
    client = Client(line)
    recorder = EventRecorder(client, clock)
    return operator.build(client, clock, Settings(), max(1, threads), recorder=recorder)


def settle(loop: Loop, threads: int) -> None:
    """To rest: on this thread, or with worker threads until nothing has happened for a while."""
    if not threads:
        loop.settle()
        return
    loop.start()
    before = -1
    while before != sum(loop.stats.reconciles.values()) or not before:
        before = sum(loop.stats.reconciles.values())
        CLOCK.sleep(1.0)
    loop.stop()


def cpu_seconds() -> float:
    """Of this process: what the wall clock would show on a machine with nothing else to do."""
    times = os.times()
    return times.user + times.system


def measured(name: str, loop: Loop, line: Counting, batches: int, threads: int) -> None:
    """Bring the loop to rest and say what it took."""
    writes, reconciles = loop.writes, sum(loop.stats.reconciles.values())
    requests = sum(line.requests.values())
    start, busy = CLOCK.monotonic(), cpu_seconds()
    settle(loop, threads)
    seconds = CLOCK.monotonic() - start - (1.0 if threads else 0.0)
    busy = cpu_seconds() - busy
    done = sum(loop.stats.reconciles.values()) - reconciles
    print(
        f"{name:<22}{batches / seconds:>8.0f} batches/s {done / seconds:>8.0f} reconciles/s "
        f"{batches / busy:>8.0f} batches/CPU-s "
        f"{(loop.writes - writes) / batches:>6.2f} writes/batch "
        f"{(sum(line.requests.values()) - requests) / batches:>6.2f} requests/batch"
    )


def check_rest(name: str, line: Counting, act: Callable[[], object]) -> None:
    """Fail unless ``act`` writes nothing at all."""
    before = writes_of(line)
    act()
    written = writes_of(line) - before
    print(f"{name:<22}{written:>8} writes")
    if written:
        sys.exit(f"{name}: {written} writes where none were needed")


def writes_of(line: Counting) -> int:
    return sum(count for verb, count in line.requests.items() if verb not in {"GET", "WATCH"})


def idle(loop: Loop, clock: VirtualClock) -> None:
    """Let an hour pass in which nothing happens, from moment to moment."""
    end = clock.now() + IDLE
    while (due := loop.next_due()) is not None and due <= end:
        clock.advance_to(due)
        loop.settle()
    clock.advance_to(end)
    loop.settle()


def check_scheduled(user: Client, batches: int) -> None:
    """Fail unless the work was really done."""
    phases = Counter(
        (obj.get("status") or {}).get("phase") for obj in user.list(BACKUP_BATCHES).items
    )
    cron_jobs = len(user.list(CRON_JOBS).items)
    print(f"{'at the end':<22}{dict(phases)}, {cron_jobs} CronJobs")
    if cron_jobs != batches or phases["Scheduled"] != batches:
        sys.exit("not every batch was scheduled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0, help="0: one thread, step by step")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    options = parser.parse_args()
    clock = CLOCK if options.threads else VirtualClock(NOON)
    server = Server(clock)
    user = Client(server)
    furnish(user, options.batches)
    line = Counting(server)
    loop = operator_of(line, clock, options.threads)
    profiler = cProfile.Profile()
    if options.profile:
        profiler.enable()
    measured("from cold to steady", loop, line, options.batches, options.threads)
    profiler.disable()
    print("writes:", dict(loop.stats.writes), "requests:", dict(line.requests))
    roll_out(user, options.batches)
    if options.threads:
        loop = operator_of(line, clock)
    measured("after the roll-out", loop, line, options.batches, 0)
    check_scheduled(user, options.batches)
    check_rest("second pass", line, loop.settle)
    check_rest("restarted operator", line, operator_of(line, clock).settle)
    if isinstance(clock, VirtualClock):
        check_rest("an idle hour", line, functools.partial(idle, loop, clock))
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
