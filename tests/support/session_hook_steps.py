"""What the tests of a session's hooks share: to decide, to claim, to report, and to end a Job."""

from __future__ import annotations

import datetime as dt

from reconciler.api.resources import Key
from reconciler.decisions import session

MARK = "BackupBatch/web"
SYNC = {"exec": {"command": ["sync"]}}
BOTH = {"preBackup": SYNC, "postBackup": SYNC}
DAY = dt.timedelta(hours=24)


def decide(view, make, now=None):
    return session.decide(Key("shop", "web-1"), view, now or make.now, make.settings)


def settle(view, make, now=None):
    for _ in range(9):
        plan = decide(view, make, now)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view):
    return view.at("BackupSession", "web-1")["status"]


def target(view, index=0):
    return status(view)["targets"][index]


def condition(view, type_):
    found = status(view).get("conditions") or []
    return next((item for item in found if item["type"] == type_), None)


def jobs(view):
    return sorted(name for kind, _, name in view.objects if kind == "Job")


def end_job(view, name, type_="Failed", at="2026-03-02T02:30:00Z", **more):
    item = {"type": type_, "status": "True", "lastTransitionTime": at, **more}
    view.set_status("Job", name, conditions=[item])


def admit(view):
    view.set_status("Repository", "repo", phase="Ready", activeSessions=["web-1"])


def front(view, make):
    view.add(make.replica_set(view.at("Deployment", "front")))
    view.add(make.pod("front-1", owner=view.at("ReplicaSet", "front-abc"), mark=MARK))


def claim(view, pod="front-1", index=0, host=0, uid=None):
    found = status(view)["targets"]
    entry = found[index]["hosts"][host]
    entry.update(runner=pod, runnerUID=uid or view.at("Pod", pod)["metadata"]["uid"])
    entry["startTime"] = "2026-03-02T02:30:00Z"
    view.set_status("BackupSession", "web-1", targets=found)


def report(view, phase="Succeeded", index=0, host="host-0", said=None):
    found = status(view)["targets"]
    stats = found[index].get("stats") or []
    found[index]["stats"] = [*stats, {"hostname": host, "phase": phase}]
    if said:
        found[index]["hosts"][0]["hooks"] = said
    view.set_status("BackupSession", "web-1", targets=found)
