"""Whatever users, pods and the API server do in whatever order, the invariants hold.

Hypothesis drives the real decisions, engine and embedded server on a virtual clock. A failure
prints as a program of a few lines. The numbers are those of ``statemachines.invariants``.
"""

from __future__ import annotations

import contextlib

import attrs
import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reconciler.api import resources as r
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.engine import operator
from reconciler.errors import ApiUnavailable

NAMESPACE = "shop"
FINAL = {"Succeeded", "Failed", "Skipped"}
MEMBERS = (("Deployment", "front"), ("StatefulSet", "cache"), ("PersistentVolumeClaim", "uploads"))


@attrs.define
class Unreliable:
    """The operator's way to the API server: the next ``broken`` writes fail, or lose the answer."""

    inner: object
    broken: list[str] = attrs.field(factory=list)

    def send(self, request: Request) -> Response:
        if request.method == "GET" or not self.broken:
            return self.inner.send(request)
        if self.broken.pop(0) == "reply lost":
            self.inner.send(request)
        raise ApiUnavailable("no answer")

    def watch(self, request: Request) -> WatchStream:
        return self.inner.watch(request)


@attrs.define
class Witness:
    """Sees every state of every session and repository, also those between two steps."""

    finals: dict[str, str] = attrs.field(factory=dict)
    stats: dict[tuple[str, str], dict[str, str]] = attrs.field(factory=dict)
    ran: set[str] = attrs.field(factory=set)
    complaints: list[str] = attrs.field(factory=list)

    def session(self, obj: r.JsonObject) -> None:
        uid, status = obj["metadata"]["uid"], obj.get("status") or {}
        name, phase = obj["metadata"]["name"], status.get("phase")
        if uid in self.finals and phase != self.finals[uid]:
            self.complaints.append(f"2: {name} went from {self.finals[uid]} to {phase}")
        if phase in FINAL:
            self.finals[uid] = phase
        if phase == "Running":
            self.ran.add(uid)
        self._fold(name, phase, status.get("targets") or [])
        for target in status.get("targets") or []:
            self._stats(uid, name, target)

    def _fold(self, name: str, phase: str, targets: list[r.JsonObject]) -> None:
        phases = [target["phase"] for target in targets]
        if not phases or phase == "Skipped":
            return
        final = all(each in ("Succeeded", "Failed") for each in phases)
        if final != (phase in FINAL):
            self.complaints.append(f"2: {name} is {phase} with targets {phases}")
        if (phase == "Succeeded") != all(each == "Succeeded" for each in phases):
            self.complaints.append(f"2: {name} is {phase} with targets {phases}")

    def _stats(self, uid: str, name: str, target: r.JsonObject) -> None:
        found = {stat["hostname"]: stat["phase"] for stat in target.get("stats") or []}
        known = self.stats.setdefault((uid, target["ref"]["name"]), {})
        for host, phase in known.items():
            if found.get(host) != phase:
                self.complaints.append(f"2: {name}: the report of {host} changed")
        known.update(found)

    def repository(self, obj: r.JsonObject) -> None:
        status = obj.get("status") or {}
        if status.get("maintaining") and status.get("activeSessions"):
            self.complaints.append(f"8: shared and exclusive use at once: {status}")


class Chaos(RuleBasedStateMachine):
    make_shop = None
    manifests = None

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.shop = self.stack.enter_context(self.make_shop())
        self.link = Unreliable(self.shop.cluster.server)
        self._new_operator()
        self.triggered = 0
        self.witness = Witness()
        self.shop.cluster.server.intercept(self._see)
        m = self.manifests
        self.shop.apply(m.workload("Deployment", "front"), m.claim("uploads"))
        self.shop.apply(m.workload("StatefulSet", "cache", 2))
        self.specs = {kind: self._workload_spec(kind, name) for kind, name in MEMBERS[:2]}
        self._apply_batch("Parallel", MEMBERS)
        self.shop.cluster.settle()

    def teardown(self) -> None:
        try:
            self._ends_well()
        finally:
            self.stack.close()

    def _ends_well(self) -> None:
        """6 and 9: left alone, every session becomes final, and nothing is written any more."""
        self.link.broken.clear()
        if self.shop.find("BackupBatch", "web"):
            self.shop.change("BackupBatch", "web", {"spec": {"paused": True}})
        self.shop.run(hours=50)
        phases = {s["metadata"]["name"]: s["status"]["phase"] for s in self._sessions()}
        assert set(phases.values()) <= FINAL, phases
        assert self.shop.cluster.settle() == 0
        self._complaints()
        if not self.shop.find("BackupBatch", "web"):
            for kind, name in MEMBERS[:2]:
                if self.shop.find(kind, name):
                    assert self._workload_spec(kind, name) == self.specs[kind]

    def _see(self, request: Request, proceed) -> Response:
        response = proceed(request)
        if request.method != "GET" and response.status < 300 and isinstance(response.body, dict):
            if response.body.get("kind") == "BackupSession":
                self.witness.session(response.body)
            if response.body.get("kind") == "Repository":
                self.witness.repository(response.body)
        return response

    def _new_operator(self) -> None:
        self.shop.cluster._parts.remove(self.shop.loop)
        self.shop.loop = operator.build(Client(self.link), self.shop.clock, self.shop.settings)
        self.shop.cluster.add_loop(self.shop.loop)

    def _apply_batch(self, order: str, members) -> None:
        m = self.manifests
        self.shop.apply(
            m.batch(
                *(m.member(kind, name) for kind, name in members),
                executionOrder=order,
                schedule="*/30 * * * *",
                timeOut="2h",
                backupHistoryLimit=2,
            )
        )

    def _workload_spec(self, kind: str, name: str) -> r.JsonObject:
        return self.shop.get(kind, name)["spec"]

    def _sessions(self) -> list[r.JsonObject]:
        return self.shop.all("BackupSession")

    # -- what may happen --

    @rule(minutes=st.sampled_from([0.1, 1, 7, 31, 130]))
    def time_passes(self, minutes: float) -> None:
        self.shop.run(minutes=minutes)

    @rule()
    def somebody_triggers_a_session(self) -> None:
        if self.shop.find("BackupBatch", "web"):
            self.triggered += 1
            self.shop.trigger(f"by-hand-{self.triggered}")

    @rule(paused=st.booleans())
    def somebody_pauses_or_resumes(self, paused: bool) -> None:
        if self.shop.find("BackupBatch", "web"):
            self.shop.change("BackupBatch", "web", {"spec": {"paused": paused}})

    @rule(
        order=st.sampled_from(["Parallel", "Sequential"]),
        members=st.permutations(MEMBERS).flatmap(
            lambda members: st.integers(1, 3).map(lambda n: members[:n])
        ),
    )
    def somebody_edits_the_batch(self, order: str, members) -> None:
        self._apply_batch(order, members)

    @rule(member=st.sampled_from(MEMBERS))
    def somebody_deletes_a_target(self, member) -> None:
        if self.shop.find(*member):
            self.shop.delete(*member)

    @rule()
    def somebody_deletes_the_batch(self) -> None:
        if self.shop.find("BackupBatch", "web"):
            self.shop.delete("BackupBatch", "web")

    @rule(seconds=st.sampled_from([5, 90, 4000]), member=st.sampled_from(MEMBERS))
    def backups_take_another_time(self, seconds: int, member) -> None:
        self.shop.data.seconds[member[1]] = seconds

    @rule(member=st.sampled_from(MEMBERS), which=st.sampled_from(["fails", "deaf", "crashes"]))
    def the_data_side_goes_wrong_or_is_mended(self, member, which: str) -> None:
        getattr(self.shop.data, which).symmetric_difference_update({member[1]})

    @rule(data=st.data())
    def a_pod_dies(self, data) -> None:
        pods = [pod["metadata"]["name"] for pod in self.shop.all("Pod")]
        if pods:
            name = data.draw(st.sampled_from(sorted(pods)))
            self.shop.client.delete(r.PODS, NAMESPACE, name, grace_period_seconds=0)

    @rule()
    def the_operator_is_replaced(self) -> None:
        self._new_operator()

    @rule(faults=st.lists(st.sampled_from(["refused", "reply lost"]), min_size=1, max_size=3))
    def the_api_server_stumbles(self, faults: list[str]) -> None:
        self.link.broken.extend(faults)

    @precondition(lambda self: self.shop.find("BackupBatch", "web"))
    @rule()
    def a_status_is_lost(self) -> None:
        self.shop.change("BackupBatch", "web", {"status": None})

    # -- what must hold --

    @invariant()
    def _complaints(self) -> None:
        assert self.witness.complaints == []

    @invariant()
    def one_session_of_a_batch_runs_at_a_time(self) -> None:
        """1."""
        running = [s for s in self._sessions() if (s.get("status") or {}).get("phase") == "Running"]
        assert len(running) <= 1, [s["metadata"]["name"] for s in running]

    @invariant()
    def a_skipped_session_says_why(self) -> None:
        """1."""
        for session in self._sessions():
            status = session.get("status") or {}
            if status.get("phase") == "Skipped":
                (why,) = [c for c in status["conditions"] if c["type"] == "Skipped"]
                assert why["reason"]
                assert why["message"]
                assert session["metadata"]["uid"] not in self.witness.ran


def test_the_invariants_hold_whatever_happens(make_shop, manifests):
    class Here(Chaos):
        pass

    Here.make_shop, Here.manifests = staticmethod(make_shop), manifests
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=settings.default.max_examples // 2,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
