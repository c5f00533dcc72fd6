"""The embedded cluster with real processes: what ``tandem up`` gives.

Nothing sleeps: the tests wait for watch events, with a limit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICES,
    JsonObject,
    Resource,
)
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes import sandbox
from reconciler.embedded.nodes.process import ProcessNode
from reconciler.engine.clock import SystemClock

LIMIT = 30.0
pytestmark = pytest.mark.skipif(
    sandbox.bubblewrap() is None, reason="bubblewrap cannot make sandboxes here"
)


class Town:
    """A running cluster, and waiting for what it brings about."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.cluster = EmbeddedCluster(self.clock, node="process", data_dir=folder)
        self.client = self.cluster.client()
        self.cluster.start()

    def create(self, resource: Resource, name: str, **fields: Any) -> JsonObject:
        meta = {"name": name, "namespace": "default", **fields.pop("metadata", {})}
        return self.client.create(resource, {"metadata": meta, **fields})

    def wait(
        self, resource: Resource, name: str, holds: Callable[[JsonObject], bool]
    ) -> JsonObject:
        """The object as soon as this holds; its last state when it is deleted."""
        selector = f"metadata.name={name}"
        stream = self.client.watch(
            resource, "default", resource_version="0", field_selector=selector
        )
        deadline = self.clock.monotonic() + LIMIT
        found: JsonObject = {}
        try:
            while (left := deadline - self.clock.monotonic()) > 0:
                event = stream.next(left)
                if event is None:
                    continue
                found = event.object
                if event.type == "DELETED" or holds(found):
                    return found
        finally:
            stream.close()
        raise AssertionError(f"in {LIMIT} s it did not come about: {found.get('status')}")

    def comes_true(self, holds: Callable[[], bool]) -> bool:
        """For what no watch tells: looks again and again until the limit."""
        deadline = self.clock.monotonic() + LIMIT
        pause = threading.Condition()
        with pause:
            while not holds() and self.clock.monotonic() < deadline:
                self.clock.wait(pause, 0.02)
        return holds()

    def finished(self, job: str) -> str:
        """What the Job's Pod printed, once the Job has succeeded."""
        self.wait(JOBS, job, lambda obj: bool(_conditions(obj) & {"Complete", "Failed"}))
        pods = self.client.list(PODS, "default", label_selector=f"job-name={job}").items
        printed = self.log(pods[-1]["metadata"]["name"])
        assert "Complete" in _conditions(self.client.get(JOBS, "default", job)), printed
        return printed

    def _logs(self, pod: str, *, follow: bool) -> Iterator[bytes]:
        assert isinstance(self.cluster.node, ProcessNode)
        return self.cluster.node.logs("default", pod, "", follow)

    def log(self, pod: str) -> str:
        return b"".join(self._logs(pod, follow=False)).decode()

    def first_output(self, pod: str) -> bytes:
        """Waits until the container has printed something."""
        return next(self._logs(pod, follow=True))


def _conditions(obj: JsonObject) -> set[str]:
    found = obj.get("status", {}).get("conditions") or ()
    return {each["type"] for each in found if each["status"] == "True"}


def _script(script: str, **fields: Any) -> JsonObject:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    return {"containers": [{**container, **fields.pop("container", {})}], **fields}


def _job(script: str, **fields: Any) -> JsonObject:
    return {"template": {"spec": {"restartPolicy": "Never", **_script(script, **fields)}}}


def _with_claim(name: str) -> JsonObject:
    return {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}],
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/data"}]},
    }


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path / "cluster")
    yield made
    made.cluster.stop()


def test_a_job_reads_what_a_pod_wrote_to_a_claim(town: Town) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    town.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
    writer = _script("echo from the pod > /data/file", **_with_claim("data"))
    town.create(PODS, "writer", spec={**writer, "restartPolicy": "Never"})
    town.wait(PODS, "writer", lambda pod: pod["status"].get("phase") == "Succeeded")
    town.create(JOBS, "reader", spec=_job("cat /data/file", **_with_claim("data")))
    assert town.finished("reader") == "from the pod\n"


def test_the_data_of_a_deleted_claim_is_removed(town: Town) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    town.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
    town.create(JOBS, "writer", spec=_job("echo x > /data/file", **_with_claim("data")))
    town.finished("writer")
    (folder,) = (town.cluster.data_dir / "volumes").iterdir()
    assert (folder / "file").read_text() == "x\n"
    town.client.delete(PERSISTENT_VOLUME_CLAIMS, "default", "data")
    assert town.comes_true(lambda: not folder.exists())
    assert town.client.list(PERSISTENT_VOLUMES).items == []


def test_a_mounted_secret_has_the_mode_that_the_pod_asks_for(town: Town) -> None:
    town.create(SECRETS, "s", stringData={"password": "hush"})
    fields = {
        "volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o400}}],
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/etc/repository/secret"}]},
    }
    script = "cd /etc/repository/secret; cat password; stat -c ' %a' password"
    town.create(JOBS, "reader", spec=_job(script, **fields))
    assert town.finished("reader") == "hush 400\n"


def test_a_client_reaches_a_deployment_by_its_services_name(town: Town) -> None:
    server = "import http.server as h;h.test(h.SimpleHTTPRequestHandler,port=18734,bind='%s')"
    container = {
        "command": [sys.executable, "-c", server % "$(IP)"],
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "readinessProbe": {"tcpSocket": {"port": 18734}, "periodSeconds": 1},
    }
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": _script("", container=container)}
    selector = {"matchLabels": labels}
    town.create(DEPLOYMENTS, "web", spec={"selector": selector, "template": template})
    town.create(SERVICES, "web", spec={"selector": labels, "ports": [{"port": 18734}]})
    town.wait(DEPLOYMENTS, "web", lambda obj: "Available" in _conditions(obj))
    code = (
        "import time, urllib.request\n"
        "for _ in range(100):\n"
        "    try:\n"
        "        print(urllib.request.urlopen('http://web.default.svc:18734').status)\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.1)\n"
    )
    town.create(JOBS, "client", spec=_job("", container={"command": [sys.executable, "-c", code]}))
    assert town.finished("client") == "200\n"


def test_a_container_reaches_the_api_server_with_its_kubeconfig(town: Town) -> None:
    code = (
        "import kubernetes as k\n"
        "k.config.load_kube_config()\n"
        "print(k.client.CoreV1Api().api_client.call_api(\n"
        "    *k.client.CoreV1Api().api_client.param_serialize(\n"
        "        'GET', '/api/v1/namespaces/default/configmaps/m')).read().decode())\n"
    )
    town.create(CONFIG_MAPS, "m", data={"answer": "forty-two"})
    town.create(JOBS, "asker", spec=_job("", container={"command": [sys.executable, "-c", code]}))
    assert json.loads(town.finished("asker"))["data"] == {"answer": "forty-two"}


def test_a_crash_looping_container_says_so(town: Town) -> None:
    town.create(PODS, "broken", spec=_script("echo about to fail; exit 3"))

    def loops(pod: JsonObject) -> bool:
        entries = pod["status"].get("containerStatuses") or [{}]
        waiting = entries[0].get("state", {}).get("waiting", {})
        return bool(waiting.get("reason") == "CrashLoopBackOff")

    pod = town.wait(PODS, "broken", loops)
    assert pod["status"]["phase"] == "Running"
    assert town.log("broken") == "about to fail\n"


def test_a_killed_process_is_started_again(town: Town) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": _script("echo up; exec sleep 4321.5")}
    selector = {"matchLabels": {"a": "b"}}
    town.create(DEPLOYMENTS, "web", spec={"selector": selector, "template": template})
    town.wait(DEPLOYMENTS, "web", lambda obj: "Available" in _conditions(obj))
    (pod,) = town.client.list(PODS, "default").items
    town.first_output(pod["metadata"]["name"])
    (victim,) = _processes("4321.5")
    os.kill(victim, signal.SIGKILL)

    def restarted(pod: JsonObject) -> bool:
        entry = pod["status"]["containerStatuses"][0]
        return bool(entry["restartCount"] == 1 and entry["ready"])

    after = town.wait(PODS, pod["metadata"]["name"], restarted)
    last = after["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 137


def test_everything_is_gone_after_stop(town: Town) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": _script("sleep 5432.5 & echo up; wait")}
    selector = {"matchLabels": {"a": "b"}}
    spec = {"replicas": 2, "selector": selector, "template": template}
    town.create(DEPLOYMENTS, "web", spec=spec)
    town.wait(DEPLOYMENTS, "web", lambda obj: "Available" in _conditions(obj))
    for pod in town.client.list(PODS, "default").items:
        town.first_output(pod["metadata"]["name"])
    assert _processes("5432.5")
    town.cluster.stop()
    assert _processes("5432.5") == []


def test_everything_is_gone_when_the_cluster_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from reconciler.api.resources import PODS\n"
        "from reconciler.embedded.cluster import EmbeddedCluster\n"
        "from reconciler.engine.clock import SystemClock\n"
        "cluster = EmbeddedCluster(SystemClock(), 'process', Path(sys.argv[1]))\n"
        "cluster.start()\n"
        "spec = {'containers': [{'name': 'c', 'image': 'busybox',\n"
        "                        'command': ['sh', '-c', 'echo up; sleep 6543.5']}]}\n"
        "meta = {'name': 'p', 'namespace': 'default'}\n"
        "client = cluster.client()\n"
        "client.create(PODS, {'metadata': meta, 'spec': spec})\n"
        "stream = client.watch(PODS, resource_version='0')\n"
        "while (stream.next(None).object['status'].get('phase')) != 'Running':\n"
        "    pass\n"
        "for chunk in cluster.node.logs('default', 'p', '', True):\n"
        "    print(chunk.decode(), end='', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"up\n"
        running = _processes("6543.5")
        assert running
        host.kill()
        host.wait()
    for pid in running:
        assert _ends(pid)


def _processes(word: str) -> list[int]:
    """The processes that have this word as an argument of their own (not in a script)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[:2] == [b"sleep", word.encode()]:
            found.append(int(entry.name))
    return found


def _ends(pid: int) -> bool:
    """Whether the process is gone within the limit; ``tail --pid`` waits for it."""
    done = subprocess.run(
        ["tail", "--pid", str(pid), "-f", "/dev/null"], timeout=LIMIT, check=False
    )
    return done.returncode == 0
