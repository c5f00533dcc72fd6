"""Commands in running containers, as hooks and ``kubectl exec`` use them.

Each promise is kept in this process and over HTTP, with bubblewrap and without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as package
from kubernetes import config
from kubernetes.stream import stream

from reconciler.api.resources import CONFIG_MAPS, PODS, JsonObject
from reconciler.cluster.client import Client
from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.cluster.transport import OUTPUT_LIMIT, ExecResult, Request
from reconciler.decisions.plan import Settings
from reconciler.embedded.http import HttpServer
from reconciler.embedded.nodes import sandbox
from reconciler.embedded.nodes.process import ProcessNode
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock
from reconciler.errors import ApiUnavailable, NotFound, Rejected, TerminalError, TimedOut

LIMIT = 20.0
needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed"
)


class Bench:
    """A process node with a Pod of two containers; ``client`` runs the commands."""

    def __init__(self, folder: Path, *, isolate: bool) -> None:
        self.clock = SystemClock()
        self.server = Server(self.clock)
        self.inside = Client(self.server)
        self.http = HttpServer(self.server)
        self.http.start()
        self.kubeconfig = folder / "kubeconfig"
        self.http.write_kubeconfig(self.kubeconfig)
        self.outside = Client(KubernetesTransport.from_kubeconfig(str(self.kubeconfig)))
        self.node = ProcessNode(
            self.inside, self.clock, folder / "node", Settings(), isolate=isolate
        )
        self.server.on_exec(self.node.execute)
        self.node.start()
        self._pod()

    def _pod(self) -> None:
        self.inside.create(
            CONFIG_MAPS,
            {"metadata": {"name": "files", "namespace": "default"}, "data": {"greeting": "hello"}},
        )
        mounts = [{"name": "files", "mountPath": "/files"}]
        self.pod(
            "p",
            containers=[_container("a", volumeMounts=mounts), _container("b")],
            volumes=[{"name": "files", "configMap": {"name": "files"}}],
        )
        self.wait("p", "Running")

    def pod(self, name: str, **spec: Any) -> None:
        base = {"nodeName": "tandem-node", "restartPolicy": "Never"}
        meta = {"name": name, "namespace": "default"}
        self.inside.create(PODS, {"metadata": meta, "spec": {**base, **spec}})

    def wait(self, name: str, phase: str) -> None:
        selector = f"metadata.name={name}"
        events = self.inside.watch(PODS, "default", resource_version="0", field_selector=selector)
        deadline = self.clock.monotonic() + LIMIT
        while (left := deadline - self.clock.monotonic()) > 0:
            event = events.next(left)
            if event is not None and event.object.get("status", {}).get("phase") == phase:
                return
        raise AssertionError(f"{name} is not {phase} within {LIMIT} s")

    def kubectl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            **options,
        )

    def stop(self) -> None:
        self.node.stop()
        self.http.stop()


def _container(name: str, **fields: Any) -> JsonObject:
    return {
        "name": name,
        "image": "busybox",
        "command": ["sleep", "600"],
        "env": [{"name": "WHO", "value": name}],
        **fields,
    }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            True,
            id="isolated",
            marks=pytest.mark.skipif(sandbox.bubblewrap() is None, reason="no bubblewrap here"),
        ),
        pytest.param(False, id="rewritten"),
    ],
)
def bench(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("exec"), isolate=request.param)
    yield made
    made.stop()


Run = Callable[..., ExecResult]


@pytest.fixture(params=["inside", "outside"])
def run(request: pytest.FixtureRequest, bench: Bench) -> Run:
    """Run a command in container a (or another one) of Pod p."""
    port: Client = getattr(bench, request.param)

    def call(
        *argv: str, pod: str = "p", container: str = "a", timeout: float | None = LIMIT
    ) -> Any:
        return port.exec("default", pod, container, argv, timeout=timeout)

    return call


def test_a_command_has_the_environment_of_its_container_and_its_streams_apart(run: Run) -> None:
    done = run("sh", "-c", "echo I am $WHO; echo oh >&2; exit 7", container="b")
    assert done == ExecResult(7, "I am b\n", "oh\n")


def test_a_command_sees_the_mounts_of_its_container(run: Run) -> None:
    assert run("cat", "/files/greeting").stdout == "hello"
    assert run("cat", "/files/greeting", container="b").exit_code != 0


def test_nothing_in_a_command_is_expanded_as_in_a_containers_own(run: Run) -> None:
    assert run("echo", "$(WHO) $$").stdout == "$(WHO) $$\n"


def test_of_much_output_the_end_is_kept(run: Run) -> None:
    done = run("sh", "-c", "yes | head -c 3000000; echo the end")
    assert len(done.stdout) == OUTPUT_LIMIT
    assert done.stdout.endswith("the end\n")


def test_a_command_that_a_signal_ended_says_so_by_its_code(run: Run) -> None:
    assert run("sh", "-c", "kill -9 $$").exit_code == 137


def test_what_a_command_leaves_in_the_background_is_not_waited_for(run: Run) -> None:
    assert run("sh", "-c", "sleep 600 & echo done").stdout == "done\n"


def test_a_command_that_takes_too_long_is_given_up(run: Run) -> None:
    with pytest.raises(TimedOut, match=r"Pod default/p, container a: .* within 0\.2 s"):
        run("sleep", "600", timeout=0.2)


def test_a_program_that_is_not_there_cannot_be_run(run: Run) -> None:
    with pytest.raises(TerminalError, match='"no-such-program": executable file not found'):
        run("no-such-program")


def test_a_pod_that_is_not_there_is_not_found(run: Run) -> None:
    with pytest.raises(NotFound, match='pods "other" not found'):
        run("true", pod="other")


def test_a_container_that_the_pod_does_not_have_is_refused(run: Run) -> None:
    with pytest.raises(Rejected, match="container other is not valid for pod p"):
        run("true", container="other")


def test_a_pod_that_has_ended_takes_no_commands(bench: Bench, run: Run) -> None:
    if not any(pod["metadata"]["name"] == "done" for pod in bench.inside.list(PODS).items):
        bench.pod("done", containers=[_container("a", command=["true"])])
    bench.wait("done", "Succeeded")
    with pytest.raises(Rejected, match="completed pod; current phase is Succeeded"):
        run("true", pod="done")


def test_a_container_that_does_not_run_yet_may_do_so_later(bench: Bench, run: Run) -> None:
    if not any(pod["metadata"]["name"] == "slow" for pod in bench.inside.list(PODS).items):
        waiting = _container("a", command=None, image="nowhere/unknown:1")
        bench.pod("slow", containers=[waiting])
    bench.wait("slow", "Pending")
    with pytest.raises(ApiUnavailable, match='container not found \\("a"\\)'):
        run("true", pod="slow")


def test_a_command_ends_with_its_container(bench: Bench) -> None:
    bench.pod("brief", containers=[_container("a")], terminationGracePeriodSeconds=0)
    bench.wait("brief", "Running")
    ended = threading.Event()

    def execute() -> None:
        bench.inside.exec("default", "brief", "a", ["sleep", "600"], timeout=None)
        ended.set()

    threading.Thread(target=execute, daemon=True).start()
    uid = bench.inside.get(PODS, "default", "brief")["metadata"]["uid"]
    running = bench.node.processes._running[uid, "a"]
    deadline = bench.clock.monotonic() + LIMIT
    while not running.executions:
        assert bench.clock.monotonic() < deadline
    bench.inside.delete(PODS, "default", "brief")
    assert ended.wait(LIMIT)


@needs_kubectl
def test_kubectl_exec_gives_output_and_exit_code(bench: Bench) -> None:
    done = bench.kubectl("exec", "p", "-c", "a", "--", "sh", "-c", "echo $WHO; exit 3")
    assert (done.returncode, done.stdout) == (3, "a\n")
    assert "exit code 3" in done.stderr


@needs_kubectl
def test_kubectl_exec_passes_input_until_its_end(bench: Bench) -> None:
    done = bench.kubectl("exec", "-i", "p", "-c", "a", "--", "wc", "-c", input="x" * 200_000)
    assert (done.returncode, done.stdout.strip()) == (0, "200000"), done.stderr


@needs_kubectl
def test_kubectl_exec_on_a_terminal(bench: Bench) -> None:
    shell = (
        f"kubectl --kubeconfig {bench.kubeconfig} exec -it p -c a -- sh -c 'test -t 0 && echo yes'"
    )
    if shutil.which("script") is None:
        pytest.skip("script, which makes a terminal, is not installed")
    done = subprocess.run(
        ["script", "-qec", shell, "/dev/null"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, "yes" in done.stdout) == (0, True), done.stdout


@needs_kubectl
def test_kubectl_exec_tells_what_is_wrong(bench: Bench) -> None:
    assert 'pods "other" not found' in bench.kubectl("exec", "other", "--", "true").stderr
    missing = bench.kubectl("exec", "p", "-c", "a", "--", "no-such-program")
    assert "executable file not found" in missing.stderr
    assert missing.returncode == 1


def test_the_kubernetes_package_runs_a_command(bench: Bench) -> None:
    with config.new_client_from_config(str(bench.kubeconfig)) as made:
        api = package.CoreV1Api(made)
        found = stream(
            api.connect_get_namespaced_pod_exec,
            "p",
            "default",
            container="a",
            command=["echo", "hello"],
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        found.run_forever(LIMIT)
        assert found.read_stdout() == "hello\n"
        assert found.returncode == 0
        found.sock.shutdown()  # the package leaves it open when the server ended first


def test_a_client_that_speaks_no_websocket_is_told_so(bench: Bench) -> None:
    transport = KubernetesTransport.from_kubeconfig(str(bench.kubeconfig))
    path = "/api/v1/namespaces/default/pods/p/exec"
    query = {"command": "true", "container": "a"}
    answer = transport.send(Request("POST", path, query))
    assert answer.status == 400
    assert "WebSockets" in answer.body["message"]
    assert "at least one command" in transport.send(Request("POST", path)).body["message"]
