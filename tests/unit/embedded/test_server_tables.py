"""What ``kubectl get`` prints: ages, a Pod's STATUS, the cells of the kinds that people look at."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from reconciler.embedded import columns, pod_columns, printing

NOW = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
EARLIER = "2026-01-09T23:00:00Z"


def obj(spec: Any = None, status: Any = None, **more: Any) -> dict[str, Any]:
    meta = {"name": "x", "creationTimestamp": EARLIER}
    return {"metadata": meta, "spec": spec or {}, "status": status or {}, **more}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (3600, "60m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (10 * 3600, "10h"),
        (2 * 86400, "2d"),
        (2 * 86400 + 3600, "2d1h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
        (4000 * 86400, "10y"),
    ],
)
def test_durations_are_printed_as_kubectl_does(seconds: float, text: str) -> None:
    assert printing.duration(seconds) == text


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"phase": "Running"}, "Running"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "ErrImagePull",
        ),
        ({"containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, "ExitCode:3"),
        ({"containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}, "Completed"),
        ({"initContainerStatuses": [{"state": {"running": {}}}]}, "Init:0/1"),
        (
            {"initContainerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]},
            "Init:ExitCode:1",
        ),
        (
            {
                "phase": "Running",
                "initContainerStatuses": [{"state": {"terminated": {"exitCode": 0}}}],
            },
            "Running",
        ),
    ],
)
def test_the_status_of_a_pod_says_what_is_the_matter(status: Any, text: str) -> None:
    assert pod_columns.status_of(obj({"initContainers": [{}]}, status)) == text


def test_a_pod_that_is_being_deleted_is_terminating() -> None:
    pod = obj(status={"phase": "Running"})
    pod["metadata"]["deletionTimestamp"] = EARLIER
    assert pod_columns.status_of(pod) == "Terminating"


def cells(kind: str, of: Any) -> dict[str, Any]:
    names, fill = columns.of(kind)
    found = fill(of, NOW)
    assert len(found) == len(names or columns.EVENT_COLUMNS)
    return dict(zip([name for name, _, _ in names or columns.EVENT_COLUMNS], found, strict=True))


def test_a_job_shows_how_far_it_is_and_how_long_it_took() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"completions": 3, "template": template}
    running = cells("Job", obj(spec, {"succeeded": 1, "startTime": EARLIER}))
    assert (running["Completions"], running["Duration"]) == ("1/3", "60m")
    done = {"succeeded": 3, "startTime": EARLIER, "completionTime": "2026-01-09T23:00:30Z"}
    assert cells("Job", obj(spec, done))["Duration"] == "30s"


def test_a_cron_job_shows_its_schedule_and_last_run() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {
        "schedule": "* * * * *",
        "suspend": True,
        "jobTemplate": {"spec": {"template": template}},
    }
    found = cells("CronJob", obj(spec, {"lastScheduleTime": EARLIER, "active": [{}]}))
    assert (found["Suspend"], found["Active"], found["Last Schedule"]) == ("True", 1, "60m")


def test_a_claim_shows_its_volume_once_it_is_bound() -> None:
    spec = {"volumeName": "pv", "storageClassName": "fast"}
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    found = cells("PersistentVolumeClaim", obj(spec, status))
    assert (found["Status"], found["Capacity"], found["Access Modes"]) == ("Bound", "1Gi", "RWO")
    assert not cells("PersistentVolumeClaim", obj({}, {"phase": "Pending"}))["Capacity"]


def test_an_event_shows_what_it_is_about() -> None:
    event = obj(
        involvedObject={"kind": "Pod", "name": "p"},
        reason="Started",
        type="Normal",
        message="it started\n",
        lastTimestamp=EARLIER,
        source={"component": "node", "host": "n"},
    )
    found = cells("Event", event)
    assert (found["Last Seen"], found["Object"], found["Message"]) == ("60m", "pod/p", "it started")
    assert found["Source"] == "node, n"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (".spec.a", [1]),
        (".spec.list[0].v", ["x"]),
        (".spec.list[*].v", ["x", "y"]),
        ('.spec.list[?(@.v=="y")].n', [2]),
        (".spec['a']", [1]),
        (".spec.none", []),
        (".spec.list[9]", []),
        (".spec.$$$", []),
    ],
)
def test_json_paths_find_what_printer_columns_name(path: str, wanted: list[Any]) -> None:
    spec = {"a": 1, "list": [{"v": "x", "n": 1}, {"v": "y", "n": 2}]}
    assert printing.at_path({"spec": spec}, path) == wanted


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "Namespace", "Node", "ServiceAccount"])
def test_an_object_with_nothing_in_it_has_a_row(kind: str) -> None:
    assert cells(kind, obj())["Name"] == "x"
