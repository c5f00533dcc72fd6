"""A real cluster with a node, as a scenario sees it.

``TANDEM_ACCEPTANCE_KUBECONFIG`` names one that has Tandem in it; its pods' image is then
``TANDEM_ACCEPTANCE_IMAGE``, and scenarios that need the machine itself are not for it. Else the
control-plane kit beside the repository starts one, both images are built from this checkout, and
Tandem is installed by ``kubectl apply -k``. A cluster that ran before is used, and left running.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import attrs
import pytest
from acceptance.cluster import (
    OPERATOR_NAMESPACE,
    TEST_IMAGE,
    Cluster,
    resident,
    wait_until,
)

from reconciler.api import resources as r

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KIT = ROOT.parent / "shared" / "control-plane" / "cluster"
NAME = os.environ.get("TANDEM_ACCEPTANCE_CLUSTER", "acceptance")
PORT = os.environ.get("TANDEM_ACCEPTANCE_PORT", "18443")
TANDEM_IMAGE = "localhost/tandem:acceptance"
REQUIRED = "TANDEM_REQUIRE_REAL_CLUSTER"
_WRITES = ("create", "update", "patch", "delete")
PROGRAMS = ("containerd", "runc", "iptables", "conntrack", "ip", "dnsmasq", "gcc", "podman", "etcd")


def absent(why: str) -> NoReturn:
    """Skip; where the clusters are required (as in CI), fail."""
    if os.environ.get(REQUIRED):
        pytest.fail(why)
    pytest.skip(why)


def missing() -> str:
    """Why no cluster can be started here; "" when one can."""
    if not KIT.exists():
        return f"neither TANDEM_ACCEPTANCE_KUBECONFIG nor the control-plane kit ({KIT.name})"
    if os.geteuid() != 0:
        return "a node needs root; or name a cluster with TANDEM_ACCEPTANCE_KUBECONFIG"
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    lost = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    return f"not installed: {', '.join(lost)}" if lost else ""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    named = os.environ.get("TANDEM_ACCEPTANCE_KUBECONFIG")
    if named:
        image = os.environ.get("TANDEM_ACCEPTANCE_IMAGE", TEST_IMAGE)
        yield RealCluster(Path(named), image)
        return
    if why := missing():
        absent(why)
    # one cluster and one installation for all processes of a run
    with (Path("/run") / f"tandem-{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Node(Path(kit("up", "--port", PORT, "--node").split()[-1]), TEST_IMAGE)
        done = made.folder / f"installed-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
        if not done.exists():
            made.install()
            done.touch()
    yield made


def is_up() -> bool:
    """Whether the kit's cluster is there. Whoever found it absent takes it down at the end."""
    home = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache/control-plane"))
    return (home / f"run-{NAME}" / "containerd.sock").exists()


def kit(command: str, *arguments: str) -> str:
    """Run the control-plane kit; what it prints. What it says goes to standard error."""
    done = subprocess.run(
        [str(KIT), command, *arguments, "--name", NAME],
        stdout=subprocess.PIPE,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{KIT.name} {command} failed"
    return done.stdout


@attrs.define
class RealCluster(Cluster):
    """Any Kubernetes, reached by kubectl alone."""

    kubeconfig: Path
    test_image: str
    patience: float = 240.0

    def execute(self, namespace: str, pod: str, command: list[str], container: str) -> str:
        return self.kubectl("-n", namespace, "exec", pod, "-c", container, "--", *command)

    def kill_operator(self) -> str:
        leader = wait_until(self.leader, "an operator leads", self.patience)
        self._delete_operator(leader.partition("_")[0])
        return leader

    def _delete_operator(self, pod: str) -> None:
        force = ("--grace-period=0", "--force", "--ignore-not-found")
        self.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pod", pod, *force)

    def api_server_away(self) -> contextlib.AbstractContextManager[None]:
        pytest.skip("only a cluster of this machine's own can lose its API server")


@attrs.define
class Node(RealCluster):
    """The cluster of the kit: its processes are this machine's."""

    @property
    def folder(self) -> Path:
        return self.kubeconfig.parent

    def install(self) -> None:
        arguments = ("--port", PORT)
        kit("build", TEST_IMAGE, str(HERE / "images"), *arguments)
        kit("build", TANDEM_IMAGE, str(ROOT), "--file", str(ROOT / "deploy/Dockerfile"), *arguments)
        self.kubectl("apply", "-k", str(HERE / "deploy"))
        # the same tag may be another image than last time
        operator = ("-n", OPERATOR_NAMESPACE, "rollout")
        self.kubectl(*operator, "restart", "deployment/tandem-operator")
        self.kubectl(*operator, "status", "deployment/tandem-operator", "--timeout=180s")
        wait_until(self.leader, "an operator leads", self.patience)

    def kill_operator(self) -> str:
        leader = wait_until(self.leader, "an operator leads", self.patience)
        pod = leader.partition("_")[0]
        for pid in self._processes(pod):
            os.kill(pid, signal.SIGKILL)
        # a new pod: the old one would be restarted later and later, and a scenario kills often
        self._delete_operator(pod)
        return leader

    def _processes(self, pod: str) -> list[int]:
        """The processes of an operator's pod."""
        uid = self.client().get(r.PODS, OPERATOR_NAMESPACE, pod)["metadata"]["uid"]
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if b"\0run\0" in line and f"pod{uid}" in (entry / "cgroup").read_text():
                    found.append(int(entry.name))
        return found

    def operator_memory(self) -> dict[str, int]:
        pods = self.client().list(r.PODS, OPERATOR_NAMESPACE).items
        names = [pod["metadata"]["name"] for pod in pods]
        return {name: sum(map(resident, self._processes(name))) for name in names}

    def writes(self, namespace: str) -> dict[str, int]:
        found: Counter[str] = Counter()
        with (self.folder / "audit.log").open() as log:
            for line in log:
                if f'"namespace":"{namespace}"' in line:
                    each = json.loads(line)
                    user = each["user"]["username"]
                    # Kubernetes' own controllers have no account here
                    if user.startswith("system:serviceaccount:") and each["verb"] in _WRITES:
                        found[user.rpartition(":")[2]] += 1
        return dict(found.most_common())

    def images(self) -> dict[str, int]:
        form = ("--format", "{{.Size}}")
        done = subprocess.run(
            ["podman", "image", "inspect", TANDEM_IMAGE, *form],
            capture_output=True,
            text=True,
            check=True,
        )
        return {TANDEM_IMAGE: int(done.stdout)}

    # -- the node's own processes --

    @contextlib.contextmanager
    def api_server_away(self) -> Iterator[None]:
        start = self._killed("kube-apiserver")
        try:
            yield
        finally:
            start()
            wait_until(lambda: self._says_ok("/readyz"), "it answers", self.patience)

    def restart_kubelet(self) -> None:
        self._killed("kubelet")()
        health = "/api/v1/nodes/node1/proxy/healthz"
        wait_until(lambda: self._says_ok(health), "the kubelet answers", self.patience)

    def _says_ok(self, path: str) -> bool:
        with contextlib.suppress(AssertionError):
            return self.kubectl("get", "--raw", path) == "ok"
        return False

    def _killed(self, name: str) -> Callable[[], None]:
        """SIGKILL for one of the kit's processes; returns what starts it again as it was."""
        file = self.folder / f"{name}.pid"
        process = Path("/proc") / file.read_text()
        argv = (process / "cmdline").read_text().rstrip("\0").split("\0")
        where = (process / "cwd").readlink()
        # whose namespaces all of the node's processes share
        containerd = (self.folder / "containerd.pid").read_text()
        os.kill(int(process.name), signal.SIGKILL)

        def start() -> None:
            with (self.folder / f"{name}.log").open("ab") as log:
                again = subprocess.Popen(
                    ["nsenter", "--target", containerd, "--net", "--mount", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=where,
                    start_new_session=True,
                )
            file.write_text(str(again.pid))
            again.returncode = 0  # it outlives this process, on purpose

        return start
