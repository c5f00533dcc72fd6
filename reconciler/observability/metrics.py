"""Metrics in Prometheus' text format.

Figures about backups are computed from the objects in the cache whenever they are asked for, so
that a restart loses none; figures about the process come from the loop's own counters. Used by the
health server of ``tandem run``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import attrs

from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_CONFIGURATIONS,
    BACKUP_SESSIONS,
    REPOSITORIES,
    JsonObject,
    Resource,
)
from reconciler.decisions.plan import View
from reconciler.engine.loop import Loop

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@attrs.frozen
class Metric:
    """One metric with all its samples at this moment."""

    name: str
    help: str
    type: Literal["counter", "gauge"]
    samples: Sequence[Sample]


Collector = Callable[[], Iterable[Metric]]


def render(collectors: Iterable[Collector]) -> str:
    """The text that a scrape gets."""
    return "".join(
        line for collect in collectors for metric in collect() for line in _lines(metric)
    )


def of_loop(loop: Loop) -> Collector:
    """What the engine has done since the process started."""

    def collect() -> Iterator[Metric]:
        stats = loop.stats
        yield Metric(
            "tandem_reconciles_total",
            "Reconciles by controller and outcome.",
            "counter",
            [({"controller": c, "outcome": o}, n) for (c, o), n in list(stats.reconciles.items())],
        )
        yield Metric(
            "tandem_reconcile_seconds_total",
            "Time spent in reconciles.",
            "counter",
            [({"controller": c}, n) for c, n in list(stats.seconds.items())],
        )
        yield Metric(
            "tandem_writes_total",
            "Requests that changed the cluster, by verb and kind.",
            "counter",
            [({"verb": v, "kind": k}, n) for (v, k), n in list(stats.writes.items())],
        )
        yield Metric(
            "tandem_queue_length",
            "Keys that wait for a worker.",
            "gauge",
            [({}, loop.queue_length)],
        )

    return collect


def of_backups(view: View) -> Collector:
    """What the objects say about backups and repositories."""

    def collect() -> Iterator[Metric]:
        invokers = [
            (_invoker(resource, obj), obj)
            for resource in (BACKUP_BATCHES, BACKUP_CONFIGURATIONS)
            for obj in view.list(resource)
        ]
        yield _phases("tandem_backup_phase", "1 for the phase that the invoker is in.", invokers)
        yield _moments(
            "tandem_backup_next_session_timestamp_seconds",
            "When the next session is due.",
            "nextSessionTime",
            invokers,
        )
        yield _moments(
            "tandem_backup_last_session_timestamp_seconds",
            "When the last session was created.",
            "lastSessionTime",
            invokers,
        )
        yield _last_successes(view)
        repositories = [(_named(obj), obj) for obj in view.list(REPOSITORIES)]
        yield _phases("tandem_repository_phase", "1 for the phase it is in.", repositories)

    return collect


def _last_successes(view: View) -> Metric:
    latest: dict[tuple[str, str, str], float] = {}
    for session in view.list(BACKUP_SESSIONS):
        if _status(session).get("phase") != "Succeeded":
            continue
        invoker = (session.get("spec") or {}).get("invoker") or {}
        place = (
            session["metadata"].get("namespace", ""),
            str(invoker.get("kind", "")),
            str(invoker.get("name", "")),
        )
        created = _seconds(session["metadata"].get("creationTimestamp"))
        latest[place] = max(created or 0.0, latest.get(place, 0.0))
    return Metric(
        "tandem_backup_last_success_timestamp_seconds",
        "When the newest session that succeeded was created.",
        "gauge",
        [
            ({"namespace": namespace, "kind": kind, "name": name}, moment)
            for (namespace, kind, name), moment in sorted(latest.items())
        ],
    )


def _phases(name: str, text: str, objects: Iterable[tuple[Labels, JsonObject]]) -> Metric:
    samples = [
        ({**labels, "phase": str(_status(obj)["phase"])}, 1.0)
        for labels, obj in objects
        if _status(obj).get("phase")
    ]
    return Metric(name, text, "gauge", samples)


def _moments(
    name: str, text: str, field: str, objects: Iterable[tuple[Labels, JsonObject]]
) -> Metric:
    found = ((labels, _seconds(_status(obj).get(field))) for labels, obj in objects)
    return Metric(name, text, "gauge", [(labels, at) for labels, at in found if at is not None])


def _invoker(resource: Resource, obj: JsonObject) -> Labels:
    return {"kind": resource.kind, **_named(obj)}


def _named(obj: JsonObject) -> Labels:
    meta = obj["metadata"]
    return {"namespace": meta.get("namespace", ""), "name": meta["name"]}


def _status(obj: JsonObject) -> JsonObject:
    return obj.get("status") or {}


def _seconds(moment: object) -> float | None:
    """Unix seconds of an RFC 3339 time; None for anything else."""
    try:
        return dt.datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return None


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type}\n"
    for labels, number in metric.samples:
        inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield (
            f"{metric.name}{{{inner}}} {number:.17g}\n"
            if inner
            else f"{metric.name} {number:.17g}\n"
        )


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
