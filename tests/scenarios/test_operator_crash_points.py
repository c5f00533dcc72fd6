"""The operator may die, or lose an answer, at every one of its writes: the work ends the same.

Every crash point is tried, none is sampled: an undisturbed run counts the operator's writes, and
then each write in turn is the one at which it happens.
"""

from __future__ import annotations

import attrs
import pytest

from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.engine import operator
from reconciler.errors import ApiUnavailable


class OperatorKilled(BaseException):
    """Not an Exception, so that nothing in the engine can survive it."""


@attrs.define
class Interrupted:
    """A transport on which the write number ``at`` goes wrong in the way of ``how``."""

    inner: object
    how: str = "never"
    at: int = 0
    writes: int = 0
    failed: list[str] = attrs.field(factory=list)

    def send(self, request: Request) -> Response:
        if request.method == "GET":
            return self.inner.send(request)
        self.writes += 1
        if self.how == "never" or self.writes != self.at:
            return self.inner.send(request)
        self.failed.append(f"{request.method} {request.path}")
        if "before" not in self.how:
            self.inner.send(request)
        raise OperatorKilled if "killed" in self.how else ApiUnavailable("no answer")

    def watch(self, request: Request) -> WatchStream:
        return self.inner.watch(request)


def start_operator(shop, transport) -> None:
    if shop.loop in shop.cluster._parts:
        shop.cluster._parts.remove(shop.loop)
    shop.loop = operator.build(Client(transport), shop.clock, shop.settings)
    shop.cluster.add_loop(shop.loop)


def run(shop, transport, **duration) -> None:
    """Let time pass; an operator that is killed is followed by another."""
    end = shop.clock.now().timestamp() + sum(
        amount * {"minutes": 60, "seconds": 1}[unit] for unit, amount in duration.items()
    )
    while True:
        try:
            shop.run(seconds=max(0.0, end - shop.clock.now().timestamp()))
        except OperatorKilled:
            start_operator(shop, transport)
        else:
            return


def live_through_a_backup(shop, manifests, transport) -> None:
    """From nothing to one scheduled session, its maintenance, and the batch's removal."""
    start_operator(shop, transport)
    before = manifests.workload("Deployment", "front")
    shop.apply(
        before,
        manifests.claim("uploads"),
        manifests.batch(
            manifests.member("Deployment", "front"),
            manifests.member("PersistentVolumeClaim", "uploads"),
            executionOrder="Sequential",
            backupHistoryLimit=1,
        ),
    )
    run(shop, transport, minutes=40)


def outcome(shop) -> dict[str, object]:
    """The state of the world that must not depend on what happened on the way."""
    (session,) = shop.all("BackupSession")
    status = session["status"]
    repository = shop.get("Repository", "repo")["status"]
    return {
        "phase": status["phase"],
        "targets": [
            (t["ref"]["name"], t["phase"], [(s["hostname"], s["phase"]) for s in t["stats"]])
            for t in status["targets"]
        ],
        "maintained": repository["lastMaintainedSession"] == session["metadata"]["name"],
        "lock table": (repository.get("activeSessions") or [], repository.get("maintaining")),
        "repository": repository["phase"],
        "batch": shop.get("BackupBatch", "web")["status"]["phase"],
        "containers": [
            c["name"]
            for c in shop.get("Deployment", "front")["spec"]["template"]["spec"]["containers"]
        ],
        "rollouts": shop.get("Deployment", "front")["metadata"]["generation"],
        "pods that failed": [p for p in shop.all("Pod") if p["status"]["phase"] == "Failed"],
        "objects": sorted(
            (kind, obj["metadata"]["name"])
            for kind in ("CronJob", "Job", "ServiceAccount", "RoleBinding")
            for obj in shop.all(kind)
        ),
        "work": [(what, name) for what, name, _ in shop.data.history],
    }


def live_through_a_restore(shop, manifests, transport) -> None:
    """A restore of a claim, a workload and cloned claims, beside the batch of the workload."""
    start_operator(shop, transport)
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.claim("uploads"),
        manifests.batch(manifests.member("Deployment", "front")),
        manifests.restore_batch(
            manifests.restored("PersistentVolumeClaim", "uploads"),
            manifests.restored("Deployment", "front"),
            manifests.cloned("copy"),
            executionOrder="Sequential",
        ),
    )
    run(shop, transport, minutes=10)


def restored(shop) -> dict[str, object]:
    """The state of the world after a restore, whatever happened on the way."""
    status = shop.get("RestoreBatch", "back")["status"]
    template = shop.get("Deployment", "front")["spec"]["template"]["spec"]
    return {
        "phase": status["phase"],
        "targets": [
            (t["ref"]["name"], t["phase"], [(s["hostname"], s["phase"]) for s in t["stats"]])
            for t in status["members"]
        ],
        "lock table": shop.get("Repository", "repo")["status"].get("activeRestores") or [],
        "containers": [c["name"] for c in template["containers"]],
        "init containers": [c["name"] for c in template["initContainers"]],
        "pods that failed": [p for p in shop.all("Pod") if p["status"]["phase"] == "Failed"],
        "objects": sorted(
            (kind, obj["metadata"]["name"])
            for kind in ("Job", "PersistentVolumeClaim", "ServiceAccount", "RoleBinding")
            for obj in shop.all(kind)
        ),
        "order": [name for what, name, _ in shop.data.history if what == "restore begins"],
    }


SYNC = {"exec": {"command": ["sync"]}}
HOOKS = {"preBackup": SYNC, "postBackup": SYNC}


def live_through_hooks(shop, manifests, transport) -> None:
    """A batch with hooks of its own, and a member whose runner dies between its hooks."""
    start_operator(shop, transport)
    shop.data.hooked = {"uploads"}
    shop.data.seconds = {"front": 1000}
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.claim("uploads"),
        manifests.batch(
            {**manifests.member("Deployment", "front"), "hooks": HOOKS},
            {**manifests.member("PersistentVolumeClaim", "uploads"), "hooks": HOOKS},
            hooks=HOOKS,
        ),
    )
    run(shop, transport, minutes=35)
    (session,) = shop.all("BackupSession")
    front = next(t for t in session["status"]["targets"] if t["ref"]["name"] == "front")
    shop.delete("Pod", front["hosts"][0]["runner"])
    run(shop, transport, minutes=10)


def thawed(shop) -> dict[str, object]:
    """What became of the hooks, whatever happened on the way."""
    (session,) = shop.all("BackupSession")
    status = session["status"]
    return {
        "phase": status["phase"],
        "targets": {t["ref"]["name"]: t["phase"] for t in status["targets"]},
        "hooks": {t["ref"]["name"]: t["hosts"][0].get("hooks") for t in status["targets"]},
        "conditions": sorted(
            (c["type"], c["status"]) for c in status["conditions"] if "Hook" in c["type"]
        ),
        "runs": [what for what, _, _ in shop.data.history if "Backup" in what],
        "lock table": shop.get("Repository", "repo")["status"].get("activeSessions") or [],
        "objects": sorted(
            (kind, obj["metadata"]["name"])
            for kind in ("Job", "ServiceAccount", "RoleBinding")
            for obj in shop.all(kind)
        ),
    }


WAYS = ["killed before", "killed after", "refused before", "reply lost"]


def differences(live, look, how, writes, wanted, make_shop, manifests):  # noqa: PLR0917 -- a table
    """What differs from ``wanted`` when each write in turn goes wrong in the way of ``how``."""
    found = {}
    for at in range(1, writes + 1):
        with make_shop() as shop:
            transport = Interrupted(shop.cluster.server, how, at)
            live(shop, manifests, transport)
            seen = look(shop)
            assert transport.failed, f"write {at} was never made"
            writes_at_rest = shop.cluster.settle()
            if seen != wanted or writes_at_rest:
                found[at, *transport.failed] = {
                    key: (seen[key], wanted[key]) for key in wanted if seen[key] != wanted[key]
                }
    return found


@pytest.mark.parametrize("how", WAYS)
def test_whatever_happens_at_any_write_the_backup_ends_the_same(how, make_shop, manifests):
    with make_shop() as shop:
        calm = Interrupted(shop.cluster.server)
        live_through_a_backup(shop, manifests, calm)
        wanted = outcome(shop)
    assert wanted["phase"] == "Succeeded"
    assert wanted["maintained"]
    assert calm.writes > 10
    live = live_through_a_backup
    assert differences(live, outcome, how, calm.writes, wanted, make_shop, manifests) == {}


@pytest.mark.parametrize("how", WAYS)
def test_whatever_happens_at_any_write_the_restore_ends_the_same(how, make_shop, manifests):
    with make_shop() as shop:
        calm = Interrupted(shop.cluster.server)
        live_through_a_restore(shop, manifests, calm)
        wanted = restored(shop)
    assert wanted["phase"] == "Succeeded"
    assert wanted["order"] == ["uploads", "front", "copy"]
    assert (wanted["containers"], wanted["init containers"]) == (["app", "stash"], ["stash-init"])
    assert calm.writes > 10
    live = live_through_a_restore
    assert differences(live, restored, how, calm.writes, wanted, make_shop, manifests) == {}


@pytest.mark.parametrize("how", WAYS)
def test_whatever_happens_at_any_write_each_hook_is_run_once(how, make_shop, manifests):
    with make_shop() as shop:
        calm = Interrupted(shop.cluster.server)
        live_through_hooks(shop, manifests, calm)
        wanted = thawed(shop)
    assert wanted["phase"] == "Failed"
    assert wanted["targets"] == {"front": "Failed", "uploads": "Succeeded"}
    assert wanted["hooks"]["front"] == {"post": "Succeeded"}
    assert wanted["runs"] == ["preBackup", "postBackup deploy-front", "postBackup"]
    live = live_through_hooks
    assert differences(live, thawed, how, calm.writes, wanted, make_shop, manifests) == {}
