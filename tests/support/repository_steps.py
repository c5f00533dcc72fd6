"""What the tests of a Repository share: to decide, to end its Jobs, and to read its status."""

from __future__ import annotations

from reconciler.api.resources import Key
from reconciler.decisions import repository
from reconciler.manifests import labels

KEY = Key("shop", "repo")


def decide(view, make, now=None):
    return repository.decide(KEY, view, now or make.now, make.settings)


def settle(view, make, now=None):
    for _ in range(8):
        plan = decide(view, make, now)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view):
    return view.at("Repository", "repo")["status"]


def jobs_of(view, task):
    return [
        obj
        for (kind, _, _), obj in view.objects.items()
        if kind == "Job" and obj["metadata"].get("labels", {}).get(labels.TASK) == task
    ]


def end(view, job, type_="Complete", **more):
    done = {"type": type_, "status": "True", **more}
    view.set_status("Job", job["metadata"]["name"], conditions=[done])
