"""The embedded cluster as a scenario sees it: process node, HTTP, two operators as processes.

The operators are started as in the Deployment, ``tandem run --leader-elect``, so that they can be
killed; the server and the node run in this process, so that the server can go away and come back
with what it stores.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
from acceptance.cluster import CLOCK, OPERATOR_NAMESPACE, Cluster, resident, wait_until

from reconciler.decisions.plan import Settings
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.http import HttpServer
from reconciler.embedded.nodes import sandbox

HERE = Path(__file__).parent
IMAGE_PROGRAMS = HERE / "images" / "bin"
PROGRAMS = ("restic", "rclone", "kubectl", "mariadbd", "redis-server")
IMAGE = Settings().image
OPERATORS = ("operator-0", "operator-1")


def missing() -> str:
    """Why this cluster cannot run here; "" when it can."""
    if sandbox.bubblewrap() is None:
        return "bubblewrap cannot make sandboxes here"
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        absent.append("postgres")
    return f"not installed: {', '.join(absent)}" if absent else ""


@attrs.define
class Embedded(Cluster):
    """See the module. ``folder`` holds volumes and logs."""

    folder: Path
    inner: EmbeddedCluster
    operators: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict)

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path) -> Iterator[Embedded]:
        # containers find the test image's programs where the image has them: in their PATH
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{IMAGE_PROGRAMS}{os.pathsep}{path}{os.pathsep}/usr/sbin"
        try:
            with EmbeddedCluster(CLOCK, "process", folder / "data") as inner:
                made = cls(folder, inner)
                try:
                    made._install()
                    yield made
                finally:
                    made._stop_operators()
        finally:
            os.environ["PATH"] = path

    @property
    def kubeconfig(self) -> Path:  # type: ignore[override]
        return self.inner.kubeconfig

    def _install(self) -> None:
        self.kubectl("apply", "-f", str(HERE.parents[1] / "crds"))
        self.kubectl("create", "namespace", OPERATOR_NAMESPACE)
        for name in OPERATORS:
            self._start(name)
        wait_until(self.leader, "an operator leads", self.patience)

    def _start(self, name: str) -> None:
        arguments = ["run", f"--kubeconfig={self.kubeconfig}", "--leader-elect", f"--image={IMAGE}"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.operators[name] = subprocess.Popen(
                [sys.executable, "-m", "reconciler.cli.main", *arguments],
                stderr=log,
                env={**os.environ, "POD_NAME": name},
            )

    def _stop_operators(self) -> None:
        for process in self.operators.values():
            process.terminate()
        for process in self.operators.values():
            process.wait(self.patience)

    def execute(self, namespace: str, pod: str, command: list[str], container: str) -> str:
        done = self.client().exec(namespace, pod, container, command, timeout=self.patience)
        assert done.exit_code == 0, f"{command} in {pod}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def kill_operator(self) -> str:
        leader = wait_until(self.leader, "an operator leads", self.patience)
        name = leader.partition("_")[0]
        self.operators[name].send_signal(signal.SIGKILL)
        self.operators[name].wait(self.patience)
        self._start(name)
        return leader

    @contextlib.contextmanager
    def api_server_away(self) -> Iterator[None]:
        assert self.inner.http is not None
        port = int(self.inner.http.url.rpartition(":")[2])
        self.inner.http.stop()
        try:
            yield
        finally:
            self.inner.http = HttpServer(self.inner.server, port=port)
            self.inner.http.start()

    def agent_memory(self, namespace: str, pod: str) -> int:
        return 0  # a command in a container sees its own processes only

    def operator_memory(self) -> dict[str, int]:
        return {name: resident(process.pid) for name, process in self.operators.items()}
