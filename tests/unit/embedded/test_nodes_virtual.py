"""How a Pod lives on a node: the status that a kubelet would write, on a virtual clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api.resources import CONFIG_MAPS, NODES, PODS, JsonObject
from reconciler.cluster.client import Client
from reconciler.cluster.transport import ExecResult
from reconciler.embedded.nodes.feed import Feed
from reconciler.embedded.nodes.virtual import Program, Run, VirtualNode
from reconciler.embedded.server import Server
from reconciler.engine.clock import VirtualClock
from reconciler.errors import ApiUnavailable, NotFound, Rejected

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


class Bench:
    """A server, a virtual node, and a clock that jumps from event to event."""

    def __init__(self, *programs: Program) -> None:
        self.clock = VirtualClock(NOON)
        server = Server(self.clock)
        self.client = Client(server)
        self.node = VirtualNode(self.client, self.clock, programs)
        server.on_exec(self.node.execute)

    def pod(self, name: str = "p", **spec: Any) -> JsonObject:
        containers = [{"name": "c", "image": "busybox"}]
        return self.client.create(
            PODS,
            {
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": containers, "nodeName": "tandem-node", **spec},
            },
        )

    def status(self, name: str = "p") -> JsonObject:
        status: JsonObject = self.client.get(PODS, "default", name)["status"]
        return status

    def run(self, seconds: float) -> None:
        end = self.clock.now() + dt.timedelta(seconds=seconds)
        self.node.settle()
        while (due := self.node.next_due()) is not None and due <= end:
            self.clock.advance_to(due)
            self.node.settle()
        self.clock.advance_to(end)
        self.node.settle()


def always(*runs: Run) -> Program:
    """The runs one after another; the last one again and again."""
    left = list(runs)
    return lambda pod, container: left.pop(0) if len(left) > 1 else left[0]


def by_name(runs: dict[str, Run]) -> Program:
    return lambda pod, container: runs.get(container)


def test_a_node_registers_itself_as_ready() -> None:
    bench = Bench()
    bench.run(0)
    (condition,) = bench.client.get(NODES, "", "tandem-node")["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")


def test_a_pod_becomes_ready_and_stays_running() -> None:
    bench = Bench()
    bench.pod()
    bench.run(3600)
    status = bench.status()
    assert status["phase"] == "Running"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert status["containerStatuses"][0]["state"] == {
        "running": {"startedAt": "2026-03-01T12:00:00Z"}
    }
    assert status["podIP"]


def test_a_pod_of_another_node_is_left_alone() -> None:
    bench = Bench()
    bench.pod(nodeName="elsewhere")
    bench.run(60)
    assert "podIP" not in bench.status()


def test_two_pods_never_share_an_address() -> None:
    bench = Bench()
    for number in range(600):
        bench.pod(f"p{number}")
    bench.run(0)
    assert len({bench.status(f"p{number}")["podIP"] for number in range(600)}) == 600


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_a_pod_that_never_restarts_ends_with_its_container(code: int, phase: str) -> None:
    bench = Bench(always(Run(30, code)))
    bench.pod(restartPolicy="Never")
    bench.run(60)
    status = bench.status()
    assert status["phase"] == phase
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["finishedAt"]) == (code, "2026-03-01T12:00:30Z")
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "False"


def test_a_crash_loop_backs_off_further_and_further() -> None:
    bench = Bench(always(Run(1, 1)))
    bench.pod()
    seen = []
    for _ in range(200):
        bench.run(1)
        entry = bench.status()["containerStatuses"][0]
        seen.append(entry["restartCount"])
    # Ends at 1, 2 (restarted at once), then after 10, 20, 40, 80 s of waiting.
    assert [seen.index(count) + 1 for count in range(2, 6)] == [12, 33, 74, 155]
    waiting = entry["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert bench.status()["phase"] == "Running"


def test_on_failure_restarts_until_it_succeeds() -> None:
    bench = Bench(always(Run(5, 1), Run(5, 0)))
    bench.pod(restartPolicy="OnFailure")
    bench.run(60)
    assert bench.status()["phase"] == "Succeeded"
    assert bench.status()["containerStatuses"][0]["restartCount"] == 1


def test_init_containers_run_one_after_another_before_the_others() -> None:
    bench = Bench(by_name({"first": Run(10), "second": Run(10)}))
    init = [{"name": name, "image": "busybox"} for name in ("first", "second")]
    bench.pod(initContainers=init)
    bench.run(15)
    states = [next(iter(e["state"])) for e in bench.status()["initContainerStatuses"]]
    assert states == ["terminated", "running"]
    assert bench.status()["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "PodInitializing"
    }
    assert bench.status()["phase"] == "Pending"
    bench.run(10)
    assert bench.status()["phase"] == "Running"


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    bench = Bench(by_name({"first": Run(1, 1)}))
    bench.pod(initContainers=[{"name": "first", "image": "busybox"}], restartPolicy="Never")
    bench.run(60)
    assert bench.status()["phase"] == "Failed"


def test_a_pod_runs_on_until_its_last_container_ends() -> None:
    bench = Bench(by_name({"a": Run(10), "b": Run(20)}))
    bench.pod(containers=[{"name": n, "image": "busybox"} for n in "ab"], restartPolicy="Never")
    bench.run(15)
    assert bench.status()["phase"] == "Running"
    bench.run(10)
    assert bench.status()["phase"] == "Succeeded"


def test_a_deleted_pod_is_stopped_and_goes() -> None:
    bench = Bench()
    bench.pod()
    bench.run(1)
    bench.client.delete(PODS, "default", "p")
    bench.run(0)
    with pytest.raises(NotFound):
        bench.client.get(PODS, "default", "p")
    assert bench.node.next_due() is None


def test_a_pod_fails_at_its_deadline() -> None:
    bench = Bench()
    bench.pod(activeDeadlineSeconds=60)
    bench.run(59)
    assert bench.status()["phase"] == "Running"
    bench.run(2)
    assert (bench.status()["phase"], bench.status()["reason"]) == ("Failed", "DeadlineExceeded")


def test_the_report_of_a_program_is_called_at_its_end_and_only_there() -> None:
    told: list[dt.datetime] = []
    bench: Bench

    def tell() -> None:
        told.append(bench.clock.now())

    bench = Bench(by_name({"c": Run(30, 0, tell)}))
    bench.pod(restartPolicy="Never")
    bench.pod("killed", restartPolicy="Never")
    bench.run(10)
    bench.client.delete(PODS, "default", "killed")
    bench.run(60)
    assert told == [NOON + dt.timedelta(seconds=30)]


def test_a_restarted_node_counts_what_ran_as_lost() -> None:
    bench = Bench()
    bench.pod()
    bench.pod("once", restartPolicy="Never")
    bench.run(60)
    bench.node = VirtualNode(bench.client, bench.clock)
    bench.run(1)
    assert bench.status("once")["phase"] == "Failed"
    entry = bench.status()["containerStatuses"][0]
    assert entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_finished_pod_stays_as_it_is_when_the_node_restarts() -> None:
    bench = Bench(always(Run(1)))
    bench.pod(restartPolicy="Never")
    bench.run(60)
    before = bench.client.get(PODS, "default", "p")
    bench.node = VirtualNode(bench.client, bench.clock)
    bench.run(60)
    assert bench.client.get(PODS, "default", "p") == before


def test_a_feed_that_lost_its_place_tells_only_what_differs() -> None:
    clock = VirtualClock(NOON)
    server = Server(clock)
    client = Client(server)
    for name in ("stays", "goes"):
        client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}})
    feed = Feed(client, CONFIG_MAPS)
    assert [change for change, _ in feed.poll(0)] == ["ADDED", "ADDED"]
    assert feed.poll(0) == []
    feed.close()
    client.delete(CONFIG_MAPS, "default", "goes")
    client.create(CONFIG_MAPS, {"metadata": {"name": "comes", "namespace": "default"}})
    server.compact()
    told: list[tuple[str, str]] = []
    for _ in range(4):
        told += [(change, obj["metadata"]["name"]) for change, obj in feed.poll(0)]
    assert told == [("DELETED", "goes"), ("ADDED", "comes")]


def test_a_pod_at_rest_is_not_written_again() -> None:
    bench = Bench()
    bench.pod()
    bench.run(1)
    version = bench.client.get(PODS, "default", "p")["metadata"]["resourceVersion"]
    bench.run(3600)
    assert bench.client.get(PODS, "default", "p")["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_the_same_programs_give_the_same_story(seconds: float) -> None:
    def story() -> list[JsonObject]:
        bench = Bench(always(Run(seconds, 1), Run(2, 0)))
        names = ("a", "b", "c")
        for name in names:
            bench.pod(name, restartPolicy="OnFailure")
        bench.run(120)
        return [bench.status(name) for name in names]

    first: Callable[[], list[JsonObject]] = story
    assert first() == story()


def test_a_program_may_answer_commands_while_it_runs() -> None:
    bench = Bench(always(Run(60, on_exec=lambda argv: ExecResult(len(argv), "said", ""))))
    bench.pod()
    with pytest.raises(ApiUnavailable, match="container not found"):
        bench.client.exec("default", "p", "c", ["a"], timeout=1)
    bench.run(1)
    assert bench.client.exec("default", "p", "c", ["a", "b"], timeout=1).exit_code == 2


def test_a_program_that_answers_no_commands_refuses_them() -> None:
    bench = Bench(always(Run(60)))
    bench.pod()
    bench.run(1)
    with pytest.raises(ApiUnavailable, match="runs no commands"):
        bench.client.exec("default", "p", "c", ["a"], timeout=1)


def test_a_server_without_a_node_refuses_commands() -> None:
    client = Client(Server(VirtualClock(NOON)))
    container = {"name": "c", "image": "busybox"}
    meta = {"name": "p", "namespace": "default"}
    client.create(PODS, {"metadata": meta, "spec": {"containers": [container]}})
    with pytest.raises(Rejected, match="does not have a host assigned"):
        client.exec("default", "p", "c", ["a"], timeout=1)
