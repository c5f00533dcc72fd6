"""The process node: containers are processes of this machine, claims are folders.

Made by ``EmbeddedCluster(node="process")`` for ``tandem demo`` and ``tandem up``. Where bubblewrap
works each container is isolated (``sandbox``); all share this machine's network, each Pod having
its own loopback address on Linux. Limits: no resource limits, no users (``securityContext`` is not
read), no attach, two Pods cannot listen on the same port of all addresses, and a Service's
port must be its Pods' port. Everything that it started ends with it, also when it is killed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from reconciler.api.resources import (
    CONFIG_MAPS,
    ENDPOINTS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICES,
    JsonObject,
    Resource,
)
from reconciler.cluster.port import Port
from reconciler.decisions.plan import Settings
from reconciler.embedded import execs
from reconciler.embedded.execs import Call
from reconciler.embedded.nodes import environment, images, sandbox
from reconciler.embedded.nodes.children import Child
from reconciler.embedded.nodes.executions import Process
from reconciler.embedded.nodes.images import Entrypoint
from reconciler.embedded.nodes.logs import follow, latest
from reconciler.embedded.nodes.node import NODE_NAME, Node
from reconciler.embedded.nodes.probes import Enter, Prober
from reconciler.embedded.nodes.runtime import Exit, Waiting, lost
from reconciler.embedded.nodes.sandbox import Launch, Mount
from reconciler.embedded.nodes.services import Names, write_hosts
from reconciler.embedded.nodes.volumes import Volumes
from reconciler.engine.clock import Clock
from reconciler.errors import NotFound

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SHUTDOWN_GRACE = 5.0
"""Seconds that processes get to end when the node itself stops."""


@attrs.define
class _Sandbox:
    """A Pod on this machine."""

    pod: JsonObject
    home: Path
    address: str
    folders: dict[str, Path]


@attrs.define
class _Running:
    """A container's present attempt."""

    child: Child
    prober: Prober
    enter: Enter
    mounts: Sequence[Mount]
    executions: list[Process] = attrs.field(factory=list)

    def end_executions(self) -> None:
        """What runs in a container ends with it."""
        for execution in self.executions:
            execution.kill()
        self.executions.clear()


class ProcessRuntime:
    """See ``runtime.Runtime``. ``isolate``: None lets it find out whether bubblewrap works."""

    watches: tuple[Resource, ...] = (
        SERVICES,
        ENDPOINTS,
        SECRETS,
        CONFIG_MAPS,
        PERSISTENT_VOLUMES,
    )

    def __init__(
        self,
        port: Port,
        clock: Clock,
        data_dir: Path,
        *,
        table: Mapping[str, Entrypoint],
        kubeconfig: Path | None = None,
        isolate: bool | None = None,
    ) -> None:
        self._port, self._clock = port, clock
        self.data_dir = data_dir.resolve()
        self._table, self._kubeconfig = table, kubeconfig
        works = sandbox.bubblewrap() is not None
        self.isolate = works if isolate is None else isolate
        self._volumes = Volumes(self.data_dir, self._read)
        self._names = Names()
        self._sandboxes: dict[str, _Sandbox] = {}
        self._running: dict[tuple[str, str], _Running] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        # Several nodes may share the machine: each takes its addresses from a block of its own.
        self._block = 64 + clock.random.randrange(64), clock.random.randrange(256)
        self._pods = 0
        self.on_change: list[Node] = []

    # What the node tells and asks

    def observe(self, resource: Resource, change: str, obj: JsonObject) -> None:
        if self._names.observe(resource, change, obj):
            for found in self._sandboxes.values():
                self._write_hosts(found)
        elif resource is PERSISTENT_VOLUMES:
            if change == "DELETED":
                self._volumes.discard(obj)
        elif change != "DELETED":
            self._refresh(resource, obj)

    def changed(self) -> set[str]:
        with self._lock:
            found, self._changed = self._changed, set()
        return found

    def next_due(self) -> dt.datetime | None:
        return None

    def _touch(self, uid: str) -> None:
        with self._lock:
            self._changed.add(uid)
        for node in self.on_change:
            node.wake()

    def _refresh(self, resource: Resource, obj: JsonObject) -> None:
        """A mounted Secret or ConfigMap changed: so do the files."""
        meta = obj["metadata"]
        for found in self._sandboxes.values():
            same = found.pod["metadata"].get("namespace", "") == meta.get("namespace", "")
            if same and self._volumes.uses(found.pod, resource, meta["name"]):
                with contextlib.suppress(Waiting):  # a needed key is gone: the old files stay
                    self._volumes.refresh(found.pod, found.home)

    def _read(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        try:
            return self._port.get(resource, namespace, name)
        except NotFound:
            return None

    # The sandbox of a Pod

    def prepare(self, pod: JsonObject) -> str:
        try:
            return self._prepared(pod)
        except OSError as error:  # a full disk, a path that is a file
            raise Waiting("FailedMount", f"{error.strerror}: {error.filename}") from None

    def _prepared(self, pod: JsonObject) -> str:
        uid = pod["metadata"]["uid"]
        if uid not in self._sandboxes:
            home = self._home(uid)
            # Secrets are files below: nobody else of this machine may look.
            home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            home.mkdir(exist_ok=True)
            folders = self._volumes.prepare(pod, home)
            found = _Sandbox(pod, home, self._new_address(), folders)
            self._sandboxes[uid] = found
            self._write_hosts(found)
            self._write_account(found)
        return self._sandboxes[uid].address

    def _home(self, uid: str) -> Path:
        return self.data_dir / "pods" / uid

    def _new_address(self) -> str:
        if sys.platform != "linux":
            return "127.0.0.1"  # only Linux answers on the whole of 127.0.0.0/8
        self._pods += 1
        third, fourth = divmod(self._pods, 250)
        return f"127.{self._block[0]}.{(self._block[1] + third) % 256}.{fourth + 1}"

    def _write_hosts(self, found: _Sandbox) -> None:
        meta = found.pod["metadata"]
        names = self._names.addresses(meta.get("namespace", ""))
        write_hosts(found.home / "hosts", meta["name"], found.address, names)

    def _write_account(self, found: _Sandbox) -> None:
        folder = found.home / "account"
        folder.mkdir(exist_ok=True)
        (folder / "namespace").write_text(found.pod["metadata"].get("namespace", ""))

    # Containers

    def start(self, pod: JsonObject, container: JsonObject, attempt: int) -> str:
        try:
            return self._started(pod, container, attempt)
        except OSError as error:
            text = f"{error.strerror}: {error.filename}"
            raise Waiting("CreateContainerError", text) from None

    def _started(self, pod: JsonObject, container: JsonObject, attempt: int) -> str:
        uid, name = pod["metadata"]["uid"], container["name"]
        self.prepare(pod)  # a restarted node has containers to start again, and no sandbox yet
        found = self._sandboxes[uid]
        made = self._environment(found, pod, container)
        mounts = self._mounts(found, container, made)
        enter = self._entrance(found, pod, container, made, mounts)
        # Kubernetes expands $(NAME) in a container's command, and not in probes, hooks and exec
        command = images.command_of(container, self._table)
        launch = enter([environment.expand(part, made) for part in command])
        log = self._logs(uid, name) / f"{attempt}.log"
        child = Child(launch, log, self._clock, lambda: self._touch(uid))
        prober = Prober(
            container,
            found.address,
            self._clock,
            enter,
            on_change=lambda: self._touch(uid),
        )
        self._running[uid, name] = _Running(child, prober, enter, mounts)
        return f"process://{child.pid}"

    def _environment(
        self, found: _Sandbox, pod: JsonObject, container: JsonObject
    ) -> dict[str, str]:
        shown = {**pod, "status": {**pod.get("status", {}), "podIP": found.address}}
        return environment.build(shown, container, self._read, self._base(found))

    def _entrance(
        self,
        found: _Sandbox,
        pod: JsonObject,
        container: JsonObject,
        made: Mapping[str, str],
        mounts: Sequence[Mount],
    ) -> Enter:
        """How any command runs in the container: with its environment, mounts and names."""
        hostname = pod["spec"].get("hostname") or pod["metadata"]["name"]

        kept = frozenset([*self._base(found).values(), *images.AGENT])

        def enter(command: Sequence[str]) -> Launch:
            launch = Launch(list(command), made, container.get("workingDir"))
            if self.isolate:
                return sandbox.isolated(launch, mounts, found.home / "hosts", hostname)
            names = self._names.addresses(pod["metadata"].get("namespace", ""))
            return sandbox.rewritten(launch, mounts, names, kept=kept)

        return enter

    def _base(self, found: _Sandbox) -> dict[str, str]:
        made = {
            "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "HOME": "/root" if self.isolate else str(found.home),
            "HOSTNAME": found.pod["metadata"]["name"],
            "LANG": "C.UTF-8",
            **self._names.variables(found.pod["metadata"].get("namespace", "")),
        }
        if not self.isolate:  # there is no file of a service account to say it
            made["KUBE_NAMESPACE"] = found.pod["metadata"].get("namespace", "")
        if self._kubeconfig is not None:
            made["KUBECONFIG"] = str(self._kubeconfig.resolve())
        return made

    def _mounts(
        self, found: _Sandbox, container: JsonObject, made: Mapping[str, str]
    ) -> list[Mount]:
        own = [self._mount(found, mount, made) for mount in container.get("volumeMounts") or ()]
        if not self.isolate:
            return own
        paths = {mount.path for mount in own}
        scratch = found.home / "tmp" / container["name"]
        scratch.mkdir(parents=True, exist_ok=True)
        extra = [Mount("/tmp", scratch), Mount(ACCOUNT, found.home / "account", read_only=True)]  # noqa: S108 -- a path inside the sandbox
        if self._kubeconfig is not None and self._kubeconfig.exists():
            path = self._kubeconfig.resolve()
            extra.append(Mount(str(path), path, read_only=True))
        return [*(mount for mount in extra if mount.path not in paths), *own]

    def _mount(self, found: _Sandbox, mount: JsonObject, made: Mapping[str, str]) -> Mount:
        source = found.folders[mount["name"]]
        inner = mount.get("subPath") or environment.expand(mount.get("subPathExpr", ""), made)
        if inner:
            source = source / inner
            if not source.resolve().is_relative_to(found.folders[mount["name"]].resolve()):
                raise Waiting("CreateContainerConfigError", f"subPath {inner!r} leaves the volume")
            if not source.exists():
                source.mkdir(parents=True)
        path = "/" + mount["mountPath"].strip("/")
        return Mount(path, source, read_only=bool(mount.get("readOnly")))

    def poll(self, uid: str, container: str) -> Exit | None:
        found = self._running.get((uid, container))
        if found is None:
            return lost(self._clock.now())
        if found.child.exit is not None:
            found.prober.stop()
            found.end_executions()
        return found.child.exit

    def probe(self, pod: JsonObject, container: JsonObject) -> bool:
        found = self._running.get((pod["metadata"]["uid"], container["name"]))
        return found is not None and found.prober.ready

    def healthy(self, pod: JsonObject, container: JsonObject) -> bool:
        found = self._running.get((pod["metadata"]["uid"], container["name"]))
        return found is None or found.prober.healthy

    def stop(self, uid: str, container: str, grace: float) -> None:
        found = self._running.get((uid, container))
        if found is None:
            return
        found.prober.stop()
        hook = self._pre_stop(uid, container)
        threading.Thread(
            target=_stop, args=(found, hook, grace), daemon=True, name="container-stop"
        ).start()

    def _pre_stop(self, uid: str, name: str) -> list[str]:
        for container in self._sandboxes[uid].pod["spec"].get("containers") or ():
            if container["name"] == name:
                hook = (container.get("lifecycle") or {}).get("preStop") or {}
                return [str(part) for part in (hook.get("exec") or {}).get("command") or ()]
        return []

    def remove(self, uid: str) -> None:
        for key in [key for key in self._running if key[0] == uid]:
            found = self._running.pop(key)
            found.prober.stop()
            found.end_executions()
            if found.child.exit is None:
                found.child.kill()
        self._sandboxes.pop(uid, None)
        shutil.rmtree(self._home(uid), ignore_errors=True)

    def close(self) -> None:
        running = [found for found in self._running.values() if found.child.exit is None]
        for found in running:
            found.prober.stop()
            found.end_executions()
            found.child.terminate()
        deadline = self._clock.monotonic() + SHUTDOWN_GRACE
        for found in running:
            if not found.child.wait(max(0.0, deadline - self._clock.monotonic())):
                found.child.kill()
        self._running.clear()

    # Commands and logs

    def execute(self, pod: JsonObject, container: str, call: Call) -> Process:
        """A command beside the container's own. Raises Refusal."""
        found = self._running.get((pod["metadata"]["uid"], container))
        if found is None or found.child.exit is not None:
            raise execs.not_running(container)
        launch = found.enter(call.argv)
        if not sandbox.finds(call.argv[0], launch.environment, found.mounts):
            raise execs.NotExecutable(f'exec: "{call.argv[0]}": executable file not found')
        execution = Process(launch, call)
        found.executions = [each for each in found.executions if each.wait(0) is None]
        found.executions.append(execution)
        return execution

    def _logs(self, uid: str, container: str) -> Path:
        return self._home(uid) / "logs" / container

    def logs(self, uid: str, container: str, *, following: bool) -> Iterator[bytes]:
        """The log of the latest attempt; followed until that attempt ends."""
        path = latest(self._logs(uid, container))
        found = self._running.get((uid, container))
        current = found.child if found is not None and found.child.log == path else None
        return follow(path, current if following else None)


def _stop(found: _Running, hook: Sequence[str], grace: float) -> None:
    if hook:
        launch = found.enter(hook)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(  # noqa: S603 -- the Pod's own command
                list(launch.argv),
                env=dict(launch.environment),
                cwd=launch.directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=grace,
                check=False,
            )
    found.child.stop(grace)


class ProcessNode(Node):
    """A node that runs containers as processes. Its data lies in ``data_dir``."""

    def __init__(
        self,
        port: Port,
        clock: Clock,
        data_dir: Path,
        settings: Settings,
        kubeconfig: Path | None = None,
        *,
        images_table: Mapping[str, Entrypoint] | None = None,
        isolate: bool | None = None,
        name: str = NODE_NAME,
    ) -> None:
        """``images_table``: name pattern → argv prefix, asked before Tandem's own entries."""
        table = {**(images_table or {}), **images.default_table(settings)}
        runtime = ProcessRuntime(
            port, clock, data_dir, table=table, kubeconfig=kubeconfig, isolate=isolate
        )
        runtime.on_change.append(self)
        self.processes = runtime
        super().__init__(port, clock, runtime, name=name)

    def execute(self, pod: JsonObject, container: str, call: Call) -> execs.Execution:
        """``execs.Handler``."""
        return self.processes.execute(pod, container, call)

    def logs(self, namespace: str, pod: str, container: str, follow: bool) -> Iterator[bytes]:  # noqa: FBT001 -- the server's LogHandler
        """``server.LogHandler``: the log of a container; its first one when none is named."""
        found = self.port.get(PODS, namespace, pod)
        name = container or found["spec"]["containers"][0]["name"]
        return self.processes.logs(found["metadata"]["uid"], name, following=follow)
