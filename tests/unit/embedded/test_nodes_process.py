"""Containers as processes of this machine: what a Pod's author relies on.

Nothing sleeps: the tests wait for watch events, with a limit. Where bubblewrap works, the tests of
what both ways promise run with it and without it.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.resources import (
    CONFIG_MAPS,
    ENDPOINTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICES,
    JsonObject,
)
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.embedded.nodes import sandbox
from reconciler.embedded.nodes.process import ProcessNode
from reconciler.embedded.nodes.sandbox import Launch, Mount
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound

LIMIT = 20.0
needs_bubblewrap = pytest.mark.skipif(
    sandbox.bubblewrap() is None, reason="bubblewrap cannot make sandboxes here"
)


class Bench:
    """A server and a process node on the system clock."""

    def __init__(self, folder: Path, *, isolate: bool) -> None:
        self.clock = SystemClock()
        self.client = Client(Server(self.clock))
        self.node = ProcessNode(
            self.client,
            self.clock,
            folder,
            Settings(),
            isolate=isolate,
            images_table={"echo": ("echo",)},
        )
        self.node.start()

    def pod(self, script: str, name: str = "p", **fields: Any) -> None:
        container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
        container |= fields.pop("container", {})
        spec = {"containers": [container], "nodeName": "tandem-node", "restartPolicy": "Never"}
        self.create(PODS, name, spec={**spec, **fields})

    def create(self, resource: Any, name: str, **fields: Any) -> None:
        place = {"namespace": "default"} if resource.namespaced else {}
        self.client.create(resource, {"metadata": {"name": name, **place}, **fields})

    def wait(self, holds: Callable[[JsonObject], bool], name: str = "p") -> JsonObject:
        """The Pod as soon as this holds."""
        selector = f"metadata.name={name}"
        stream = self.client.watch(PODS, "default", resource_version="0", field_selector=selector)
        deadline = self.clock.monotonic() + LIMIT
        pod: JsonObject = {}
        try:
            while (left := deadline - self.clock.monotonic()) > 0:
                event = stream.next(left)
                if event is not None:
                    pod = event.object
                    if event.type == "DELETED" or holds(pod):
                        return pod
        finally:
            stream.close()
        raise AssertionError(f"in {LIMIT} s it did not come about: {pod.get('status')}")

    def ended(self, name: str = "p") -> str:
        """What the Pod printed, once it has succeeded."""
        self.wait(lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"), name)
        status = self.client.get(PODS, "default", name)["status"]
        printed = self.printed(name)
        assert status["phase"] == "Succeeded", printed
        return printed

    def printed(self, name: str = "p", *, follow: bool = False) -> str:
        return b"".join(self.node.logs("default", name, "", follow)).decode()


@pytest.fixture(params=[pytest.param(True, marks=needs_bubblewrap), False])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "node", isolate=request.param)
    yield made
    made.node.stop()


@pytest.fixture
def sandboxed(tmp_path: Path) -> Iterator[Bench]:
    if sandbox.bubblewrap() is None:
        pytest.skip("bubblewrap cannot make sandboxes here")
    made = Bench(tmp_path / "node", isolate=True)
    yield made
    made.node.stop()


def _running(pod: JsonObject) -> bool:
    return bool(pod["status"].get("phase") == "Running")


def _waiting(reason: str) -> Callable[[JsonObject], bool]:
    def holds(pod: JsonObject) -> bool:
        entries = pod["status"].get("containerStatuses") or [{}]
        return bool(entries[0].get("state", {}).get("waiting", {}).get("reason") == reason)

    return holds


def test_a_container_runs_its_command_and_its_output_is_the_log(bench: Bench) -> None:
    bench.pod("echo hello; echo trouble >&2")
    assert bench.ended() == "hello\ntrouble\n"


def test_a_failing_container_fails_its_pod_with_its_exit_code(bench: Bench) -> None:
    bench.pod("exit 7")
    pod = bench.wait(lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


def test_an_image_of_the_table_is_its_local_command(bench: Bench) -> None:
    container = {"command": None, "args": ["one", "two"], "image": "registry.example:5000/echo:v1"}
    bench.pod("", container={k: v for k, v in container.items() if v})
    bench.client.delete(PODS, "default", "p", grace_period_seconds=0)
    spec = {"nodeName": "tandem-node", "restartPolicy": "Never"}
    plain = {"name": "c", **{k: v for k, v in container.items() if v}}
    bench.create(PODS, "q", spec={**spec, "containers": [plain]})
    assert bench.ended("q") == "one two\n"


def test_an_unknown_image_without_a_command_waits_and_says_why(bench: Bench) -> None:
    spec = {"containers": [{"name": "c", "image": "strange"}], "nodeName": "tandem-node"}
    bench.create(PODS, "p", spec=spec)
    pod = bench.wait(_waiting("ErrImagePull"))
    state = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert "'strange'" in state["message"]
    assert "image table" in state["message"]


def test_a_program_that_is_not_there_is_told(bench: Bench) -> None:
    bench.pod("", container={"command": ["no-such-program"]}, restartPolicy="Never")
    pod = bench.wait(
        lambda pod: _waiting("RunContainerError")(pod) or pod["status"].get("phase") == "Failed"
    )
    assert "no-such-program" in str(pod["status"]) + bench.printed()


def test_environment_comes_from_values_fields_and_objects(bench: Bench) -> None:
    secret = base64.b64encode(b"hush").decode()
    bench.create(SECRETS, "s", data={"key": secret})
    bench.create(CONFIG_MAPS, "m", data={"colour": "green", "size": "big"})
    bench.pod(
        'echo "$NAME $GREETING $SECRET $COLOUR $FROM_size $0"',
        container={
            "args": ["$(NAME)-$(MISSING)-$$(NAME)"],
            "env": [
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "GREETING", "value": "hello-$(NAME)"},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
                {
                    "name": "COLOUR",
                    "valueFrom": {"configMapKeyRef": {"name": "m", "key": "colour"}},
                },
            ],
            "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "FROM_"}],
        },
    )
    assert bench.ended() == "p hello-p hush green big p-$(MISSING)-$(NAME)\n"


def test_no_secret_of_the_environment_stands_in_a_command_line(bench: Bench) -> None:
    bench.pod("sleep 600", container={"env": [{"name": "PASSWORD", "value": "canary-5417"}]})
    bench.wait(_running)
    lines = [_command_line(entry) for entry in Path("/proc").glob("[0-9]*")]
    assert not [line for line in lines if b"canary-5417" in line]


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_missing_secret_is_waited_for(bench: Bench) -> None:
    reference = {"secretKeyRef": {"name": "late", "key": "key"}}
    bench.pod("echo $IT", container={"env": [{"name": "IT", "valueFrom": reference}]})
    pod = bench.wait(_waiting("CreateContainerConfigError"))
    state = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert state["message"] == 'secret "late" not found'
    bench.create(SECRETS, "late", stringData={"key": "here"})
    assert bench.ended() == "here\n"


def _claim(bench: Bench, name: str) -> None:
    volume = {"volumeHandle": f"pvc-{name}", "driver": "local.tandem.appscode.com"}
    modes = ["ReadWriteOnce"]
    size = {"storage": "1Gi"}
    bench.create(
        PERSISTENT_VOLUMES,
        f"pvc-{name}",
        spec={
            "csi": volume,
            "accessModes": modes,
            "capacity": size,
            "persistentVolumeReclaimPolicy": "Delete",
        },
    )
    spec = {"volumeName": f"pvc-{name}", "accessModes": modes, "resources": {"requests": size}}
    bench.create(PERSISTENT_VOLUME_CLAIMS, name, spec=spec)


def _mounted(volume: JsonObject, path: str, **mount: Any) -> JsonObject:
    return {
        "volumes": [{"name": "v", **volume}],
        "container": {"volumeMounts": [{"name": "v", "mountPath": path, **mount}]},
    }


def test_a_claim_keeps_what_a_pod_wrote_for_the_next_one(sandboxed: Bench) -> None:
    _claim(sandboxed, "data")
    volume = {"persistentVolumeClaim": {"claimName": "data"}}
    sandboxed.pod("mkdir -p /data/deep; echo kept > /data/deep/file", **_mounted(volume, "/data"))
    sandboxed.ended()
    again = _mounted(volume, "/elsewhere/here", subPath="deep", readOnly=True)
    sandboxed.pod("cat /elsewhere/here/file; touch /elsewhere/here/x || echo no", "q", **again)
    assert sandboxed.ended("q").startswith("kept\n")
    assert sandboxed.printed("q").endswith("no\n")


def test_without_a_sandbox_mount_paths_are_rewritten(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "node", isolate=False)
    fields = _mounted({"emptyDir": {}}, "/data")
    fields["container"] |= {
        "command": ["sh", "-c", 'echo text > "$0"; cat "$FILE"; echo "$TANDEM_ROOT_MAP"'],
        "args": ["/data/file"],
        "env": [{"name": "FILE", "value": "/data/file"}],
    }
    bench.pod("", **fields)
    printed = bench.ended()
    bench.node.stop()
    assert printed.startswith("text\n")
    assert '"/data"' in printed
    assert not Path("/data/file").exists()


def test_what_the_node_says_of_this_machine_is_not_rewritten(tmp_path: Path) -> None:
    mount = Mount("/tmp", tmp_path)
    said = {"KUBECONFIG": "/tmp/cluster/kubeconfig", "OUT": "/tmp/output"}
    launch = Launch(["/tmp/venv/bin/python", "/tmp/x"], said)
    kept = frozenset(["/tmp/cluster/kubeconfig", "/tmp/venv/bin/python"])
    made = sandbox.rewritten(launch, [mount], {}, kept=kept)
    assert made.environment["KUBECONFIG"] == "/tmp/cluster/kubeconfig"
    assert made.environment["OUT"] == f"{tmp_path}/output"
    assert made.argv[-2:] == ["/tmp/venv/bin/python", f"{tmp_path}/x"]


def test_without_a_sandbox_a_qualified_service_name_becomes_its_address() -> None:
    addresses = {"db": "127.1.2.3", "db.shop.svc": "127.1.2.3"}
    made = sandbox.rewritten(Launch(["client", "db.shop.svc", "db"], {"DB": "db"}), [], addresses)
    assert made.argv[-2:] == ["127.1.2.3", "db"]
    assert made.environment["DB"] == "db"
    assert json.loads(made.environment["TANDEM_ROOT_MAP"]) == addresses


def test_a_name_server_file_that_is_a_link_is_shown_too(tmp_path: Path) -> None:
    real = tmp_path / "stub-resolv.conf"
    real.write_text("nameserver 127.0.0.53\n")
    link = tmp_path / "resolv.conf"
    link.symlink_to(real)
    assert sandbox.resolver(link) == ["--ro-bind", str(real), str(real)]
    assert sandbox.resolver(real) == []


def test_a_mount_below_a_folder_of_the_machine_leaves_no_trace_there(sandboxed: Bench) -> None:
    sandboxed.create(SECRETS, "s", stringData={"user": "root"})
    volume = {"secret": {"secretName": "s"}}
    fields = _mounted(volume, "/etc/stash-test/deep/secret")
    sandboxed.pod(
        "cd /etc/stash-test/deep/secret; stat -c '%a %n' user; cat user; grep -c root /etc/passwd",
        **fields,
    )
    assert sandboxed.ended().split() == ["600", "user", "root1"] or "root" in sandboxed.printed()
    assert not Path("/etc/stash-test").exists()


def test_a_container_sees_neither_the_files_nor_the_processes_of_the_machine(
    sandboxed: Bench, tmp_path: Path
) -> None:
    secret = tmp_path / "of-the-host"
    secret.write_text("x")
    sandboxed.pod(
        f"ls {secret} || echo hidden; ls /proc | grep -c '^[0-9]'; touch /usr/x || echo ro"
    )
    printed = sandboxed.ended()
    assert "hidden" in printed
    assert "ro" in printed
    assert int(printed.split("hidden\n")[1].split()[0]) < 10
    assert not Path("/usr/x").exists()


def test_a_changed_secret_reaches_a_running_container(sandboxed: Bench) -> None:
    sandboxed.create(SECRETS, "s", stringData={"key": "old"})
    fields = _mounted({"secret": {"secretName": "s"}}, "/secret")
    script = "cat /secret/key; until grep -q new /secret/key; do sleep 0.05; done; echo changed"
    sandboxed.pod(script, **fields)
    sandboxed.wait(_running)
    found = sandboxed.client.get(SECRETS, "default", "s")
    data = {"key": base64.b64encode(b"new").decode()}
    sandboxed.client.replace(SECRETS, {**found, "data": data})
    assert sandboxed.ended().endswith("changed\n")


def test_labels_and_keys_are_projected_as_files(sandboxed: Bench) -> None:
    sandboxed.create(CONFIG_MAPS, "m", data={"a": "1", "b": "2"})
    sources = [
        {"configMap": {"name": "m", "items": [{"key": "b", "path": "deep/b.txt"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    fields = _mounted({"projected": {"sources": sources}}, "/info")
    sandboxed.pod("cd /info; find . -type f | sort; cat deep/b.txt name", **fields)
    assert sandboxed.ended() == "./deep/b.txt\n./name\n2p"


def test_a_service_is_reached_by_its_name(sandboxed: Bench) -> None:
    sandboxed.create(SERVICES, "db", spec={"ports": [{"port": 3306}]})
    address = {"ip": "127.99.1.2", "hostname": "db-0"}
    sandboxed.create(ENDPOINTS, "db", subsets=[{"addresses": [address], "ports": [{"port": 3306}]}])
    names = ("db", "db.default", "db.default.svc", "db-0.db.default.svc.cluster.local")
    wanted = " ".join(names)
    script = f"for n in {wanted}; do until getent hosts $n; do sleep 0.05; done; done"
    sandboxed.pod(script)
    lines = sandboxed.ended().splitlines()
    assert [line.split()[0] for line in lines] == ["127.99.1.2"] * 4


def test_readiness_follows_its_probe(bench: Bench) -> None:
    fields = _mounted({"emptyDir": {}}, "/state")
    probe = {"exec": {"command": ["test", "-e", "/state/ready"]}, "periodSeconds": 1}
    fields["container"] |= {
        "readinessProbe": probe,
        "command": ["sh", "-c", 'sleep 0.3; touch "$0"; sleep 600'],
        "args": ["/state/ready"],
    }
    bench.pod("", **fields)
    bench.wait(lambda pod: _running(pod) and not _ready(pod))
    bench.wait(_ready)


def _ready(pod: JsonObject) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_a_container_that_fails_its_liveness_probe_is_restarted(bench: Bench) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    bench.pod("exec sleep 600", container={"livenessProbe": probe}, restartPolicy="Always")
    bench.wait(lambda pod: _restarts(pod) > 0)


def test_http_probes_follow_a_startup_probe(bench: Bench) -> None:
    code = (
        "import http.server as h, sys\n"
        "h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[2]), bind=sys.argv[1])\n"
    )
    port = 20000 + bench.clock.random.randrange(10000)
    field = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    place = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    container = {
        "command": [sys.executable, "-c", code, "$(IP)", str(port)],
        "env": [field],
        "ports": [{"name": "web", "containerPort": port}],
        "startupProbe": {**place, "failureThreshold": 30},
        "readinessProbe": place,
        "livenessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    bench.pod("", container=container)
    pod = bench.wait(_ready)
    assert _restarts(pod) == 0


def test_a_crashing_container_backs_off(bench: Bench) -> None:
    bench.pod("exit 1", restartPolicy="Always")
    pod = bench.wait(_waiting("CrashLoopBackOff"))
    entry = pod["status"]["containerStatuses"][0]
    assert entry["restartCount"] >= 1
    assert entry["lastState"]["terminated"]["exitCode"] == 1


def test_a_deleted_pod_is_asked_to_end_before_it_is_killed(bench: Bench) -> None:
    volume = _mounted({"emptyDir": {}}, "/out")
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    bench.pod(script, **volume)
    bench.wait(_running)
    log = bench.node.logs("default", "p", "", follow=True)
    assert next(log) == b"up\n"
    bench.client.delete(PODS, "default", "p")
    bench.wait(lambda pod: False)
    assert b"".join(log) == b"bye\n"


def test_a_process_that_ignores_the_request_is_killed_after_its_grace(bench: Bench) -> None:
    bench.pod(
        "trap '' TERM; echo up; while :; do sleep 0.05; done", terminationGracePeriodSeconds=1
    )
    bench.wait(_running)
    assert next(bench.node.logs("default", "p", "", follow=True)) == b"up\n"
    bench.client.delete(PODS, "default", "p")
    bench.wait(lambda pod: False)
    with pytest.raises(NotFound):
        bench.client.get(PODS, "default", "p")


def test_a_followed_log_ends_with_its_container(bench: Bench) -> None:
    bench.pod("echo one; sleep 0.3; echo two")
    bench.wait(lambda pod: bool(pod["status"].get("containerStatuses")) and not _is_waiting(pod))
    assert bench.printed(follow=True) == "one\ntwo\n"


def _is_waiting(pod: JsonObject) -> bool:
    return "waiting" in pod["status"]["containerStatuses"][0]["state"]


def test_a_restarted_node_starts_again_what_ran_and_keeps_its_files(
    bench: Bench, tmp_path: Path
) -> None:
    fields = _mounted({"emptyDir": {}}, "/state")
    script = 'echo again >> "$0"; cat "$0"; exec sleep 600'
    fields["container"] |= {"command": ["sh", "-c", script], "args": ["/state/file"]}
    bench.pod("", restartPolicy="Always", **fields)
    bench.wait(_running)
    assert next(bench.node.logs("default", "p", "", follow=True)) == b"again\n"
    bench.node.stop()
    isolate = bench.node.processes.isolate
    folder = tmp_path / "node"
    bench.node = ProcessNode(bench.client, bench.clock, folder, Settings(), isolate=isolate)
    bench.node.start()
    bench.wait(lambda pod: _restarts(pod) == 1)
    assert next(bench.node.logs("default", "p", "", follow=True)) == b"again\nagain\n"


def _restarts(pod: JsonObject) -> int:
    return int((pod["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0))


def test_nothing_outlives_the_node(bench: Bench) -> None:
    bench.pod("sleep 1234.5 & sleep 1234.5")
    bench.wait(_running)
    log = bench.node.logs("default", "p", "", follow=False)
    assert list(log) == []
    bench.node.stop()
    lines = [_command_line(entry) for entry in Path("/proc").glob("[0-9]*")]
    assert not [line for line in lines if b"sleep 1234.5" in line.replace(b"\0", b" ")]
