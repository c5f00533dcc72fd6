"""What the tests of a session share: to decide, to claim, to report, and to read its status."""

from __future__ import annotations

from reconciler.api.resources import Key
from reconciler.decisions import session

MARK = "BackupBatch/web"


def decide(view, make, now=None, name="web-1"):
    return session.decide(Key("shop", name), view, now or make.now, make.settings)


def settle(view, make, now=None, name="web-1"):
    for _ in range(6):
        plan = decide(view, make, now, name)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view, name="web-1"):
    return view.at("BackupSession", name)["status"]


def target(view, index=0):
    return status(view)["targets"][index]


def reason(view, type_="Skipped", name="web-1"):
    return next(c for c in status(view, name)["conditions"] if c["type"] == type_)["reason"]


def admit(view, *sessions):
    view.set_status(
        "Repository", "repo", phase="Ready", activeSessions=list(sessions or ("web-1",))
    )


def claim(view, pod="front-1", *, index=0, host=0, uid=None):
    found = status(view)["targets"]
    entry = found[index]["hosts"][host]
    entry.update(runner=pod, runnerUID=uid or view.at("Pod", pod)["metadata"]["uid"])
    entry["startTime"] = "2026-03-02T02:30:00Z"
    view.set_status("BackupSession", "web-1", targets=found)


def report(view, phase="Succeeded", index=0, host="host-0", **more):
    found = status(view)["targets"]
    stats = found[index].get("stats") or []
    found[index]["stats"] = [*stats, {"hostname": host, "phase": phase, **more}]
    view.set_status("BackupSession", "web-1", targets=found)


def reasons(plan):
    return [event.reason for event in plan.events]
