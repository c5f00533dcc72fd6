"""What the tests of a batch share: to decide, and to read its status and conditions."""

from __future__ import annotations

from reconciler.api import resources as r
from reconciler.api.resources import Key
from reconciler.decisions import invoker

DECIDE = invoker.decide_for(r.BACKUP_BATCHES)
KEY = Key("shop", "web")


def decide(view, make, now=None, decision=DECIDE):
    return decision(KEY, view, now or make.now, make.settings)


def settle(view, make, now=None, decision=DECIDE):
    for _ in range(5):
        plan = decide(view, make, now, decision)
        if view.carry_out(plan) == 0:
            return plan
    raise AssertionError(f"no rest: {plan}")


def status(view, kind="BackupBatch"):
    return view.at(kind, "web")["status"]


def condition(view, type_, kind="BackupBatch"):
    return next((c for c in status(view, kind)["conditions"] if c["type"] == type_), None)
