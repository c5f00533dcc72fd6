"""What a scenario may do to a cluster, whichever it is.

A scenario is written against ``Cluster``; ``embedded`` and ``node`` are the two there are. All that
a user does goes through the stock kubectl; what only looks goes through Tandem's own client,
because a scenario looks often.
"""

from __future__ import annotations

import abc
import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from reconciler.api import resources as r
from reconciler.cluster.client import Client
from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.engine.clock import SystemClock
from reconciler.errors import ApiUnavailable, NotFound

T = TypeVar("T")

CLOCK = SystemClock()
OPERATOR_NAMESPACE = "tandem"
LEASE = "tandem-operator"
TEST_IMAGE = "localhost/tandem-acceptance:1"
"""As the manifests name it."""
_LOOK_EVERY = 0.05


def wait_until(look: Callable[[], T | None], what: str, seconds: float) -> T:
    """What ``look`` returns, as soon as that is true. An absent object or server is "not yet"."""
    deadline = CLOCK.monotonic() + seconds
    while True:
        with contextlib.suppress(NotFound, ApiUnavailable):
            if found := look():
                return found
        assert CLOCK.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        CLOCK.sleep(_LOOK_EVERY)


class Cluster(abc.ABC):
    """A Kubernetes with Tandem installed. Scenarios live in namespaces of their own."""

    kubeconfig: Path
    test_image: str = TEST_IMAGE
    patience: float = 120.0
    """Seconds within which whatever is under way should have come about."""

    def kubectl(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """What the stock kubectl prints; with ``fails``, what it prints when it is refused."""
        done = subprocess.run(
            [
                "kubectl",
                f"--kubeconfig={self.kubeconfig}",
                f"--cache-dir={self.kubeconfig.parent}/kubectl-cache",
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
            env={**os.environ, "KUBECONFIG": ""},
        )
        assert (done.returncode != 0) is fails, f"kubectl {arguments}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def client(self) -> Client:
        return Client(KubernetesTransport.from_kubeconfig(str(self.kubeconfig)))

    @abc.abstractmethod
    def execute(self, namespace: str, pod: str, command: list[str], container: str) -> str:
        """What a command prints in a container that runs."""

    # -- accidents --

    @abc.abstractmethod
    def kill_operator(self) -> str:
        """SIGKILL for the operator that leads; its identity. It is started again."""

    def leader(self) -> str:
        """The identity of the operator that holds the lease; "" for nobody."""
        lease = self.client().get(r.LEASES, OPERATOR_NAMESPACE, LEASE)
        return str((lease.get("spec") or {}).get("holderIdentity") or "")

    @abc.abstractmethod
    def api_server_away(self) -> contextlib.AbstractContextManager[None]:
        """In this context nobody reaches the API server; what it stores stays."""

    def restart_kubelet(self) -> None:
        raise NotImplementedError("only a real node has a kubelet")

    # -- figures --

    def operator_memory(self) -> dict[str, int]:
        """Bytes of memory of each operator, by name."""
        raise NotImplementedError

    def agent_memory(self, namespace: str, pod: str) -> int:
        """Bytes of memory of the agent in a pod."""
        line = (
            "for p in /proc/[0-9]*; do"
            " if tr '\\0' ' ' < $p/cmdline | grep -q 'agent run-backup'; then"
            " grep VmRSS $p/status; fi; done"
        )
        found = self.execute(namespace, pod, ["sh", "-c", line], "stash")
        return max((int(row.split()[1]) * 1024 for row in found.splitlines()), default=0)

    def writes(self, namespace: str) -> dict[str, int]:
        """How often each account has written into a namespace; {} where nobody counts."""
        return {}

    def images(self) -> dict[str, int]:
        """Bytes of Tandem's image, by name; {} where there is none."""
        return {}


def resident(pid: int) -> int:
    """Bytes that a process of this machine holds in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def holds(obj: dict[str, Any], type_: str, status: str = "True") -> bool:
    """Whether an object has this condition."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return any(c["type"] == type_ and c["status"] == status for c in found)
