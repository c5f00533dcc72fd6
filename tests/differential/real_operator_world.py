"""A world for the tests of the operator on a real server: the cluster, and all that it lacks.

There is no node, so ``World.kubelet`` writes the statuses of Pods. The agent's part is played with
the agent's own claims, reports and findings, each as the service account that the pod has.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
import types
from collections.abc import Callable
from typing import Any

import attrs
import yaml

from reconciler.agent import events, findings, report
from reconciler.agent.follow import Sessions
from reconciler.agent.surroundings import Pod
from reconciler.agent.trigger import Order, create_backupsession
from reconciler.agent.turn import Target
from reconciler.api import conditions as c
from reconciler.api import resources as r
from reconciler.api.resources import JsonObject, Resource
from reconciler.api.restore import HostRestoreStats
from reconciler.api.session import HostBackupStats, SnapshotStats
from reconciler.cli import operating
from reconciler.cluster.client import Client
from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.cluster.transport import Request, Response, WatchStream
from reconciler.decisions.plan import Settings
from reconciler.engine.clock import SystemClock
from reconciler.engine.loop import Loop
from reconciler.errors import Forbidden, NotFound
from reconciler.manifests import labels, names

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "stash_rc6" / "input.yaml"
OPERATOR = ("tandem", "tandem-operator")
CLOCK = SystemClock()
STEP = 0.05
"""Seconds between two looks at a server that works in its own time."""
QUIET = 0.8
"""Seconds without news after which the cluster is at rest."""
YEARLY = "0 3 1 1 *"
"""A schedule of which no slot passes while a test counts requests."""
KINDS = {
    resource.kind: resource
    for resource in vars(r).values()
    if isinstance(resource, Resource) and resource != r.CRON_JOBS
}
READS = ("GET", "WATCH")


@attrs.define
class Counting:
    """A transport that remembers what was asked of it."""

    inner: KubernetesTransport
    requests: list[str] = attrs.field(factory=list)

    def send(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.path}")
        return self.inner.send(request)

    def watch(self, request: Request) -> WatchStream:
        self.requests.append(f"WATCH {request.path}")
        return self.inner.watch(request)

    def writes(self) -> list[str]:
        return [each for each in self.requests if not each.startswith(READS)]


@attrs.frozen
class Cluster:
    """The real server, with Tandem's kinds and roles installed, and identities for it."""

    endpoint: Any
    folder: pathlib.Path
    ca: str

    def kubeconfig(self, token: str) -> pathlib.Path:
        path = self.folder / f"kubeconfig-{abs(hash(token))}"
        if not path.exists():
            (self.folder / "ca.crt").write_text(self.ca)
            entry = {"server": self.endpoint.url, "certificate-authority": "ca.crt"}
            path.write_text(
                yaml.safe_dump(
                    {
                        "apiVersion": "v1",
                        "kind": "Config",
                        "clusters": [{"name": "real", "cluster": entry}],
                        "users": [{"name": "it", "user": {"token": token}}],
                        "contexts": [
                            {"name": "real", "context": {"cluster": "real", "user": "it"}}
                        ],
                        "current-context": "real",
                    }
                )
            )
        return path

    def transport(self, token: str) -> KubernetesTransport:
        return KubernetesTransport.from_kubeconfig(str(self.kubeconfig(token)))

    @property
    def admin(self) -> Client:
        return Client(self.transport(self.endpoint.token))

    def token(self, namespace: str, account: str) -> str:
        """A token of a service account, as a pod of it has one."""
        path = r.SERVICE_ACCOUNTS.path(namespace, account, "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        headers = {"Content-Type": "application/json"}
        answer = self.endpoint.request("POST", path, body, headers)
        assert answer.status == 201, answer.body
        return str(answer.body["status"]["token"])

    def as_account(self, namespace: str, account: str) -> Client:
        return Client(self.transport(self.token(namespace, account)))


def wait_for(look: Callable[[], Any], what: str, seconds: float = 150.0) -> Any:
    """What ``look`` returns, once it is true.

    Patient: a fresh cluster's garbage collector learns of new kinds only every half minute.
    """
    deadline = CLOCK.monotonic() + seconds
    while not (found := look()):
        assert CLOCK.monotonic() < deadline, f"{what}: not after {seconds} s"
        CLOCK.sleep(STEP)
    return found


def listed(client: Client, resource: Resource) -> bool:
    try:
        return client.list(resource) is not None
    except NotFound:
        return False


@attrs.define
class World:
    """One namespace with the operator at work in it."""

    cluster: Cluster
    namespace: str
    admin: Client
    line: Counting
    loop: Loop
    agents: dict[str, Client] = attrs.field(factory=dict)
    finished: set[str] = attrs.field(factory=set)

    # -- what a user does and sees --

    def apply(self, *objects: JsonObject) -> None:
        for obj in objects:
            placed = {**obj, "metadata": {**obj["metadata"], "namespace": self.namespace}}
            self.admin.apply(KINDS[obj["kind"]], placed, field_manager="user")

    def get(self, kind: str, name: str) -> JsonObject:
        return self.admin.get(KINDS[kind], self.namespace, name)

    def find(self, kind: str, name: str) -> JsonObject | None:
        try:
            return self.get(kind, name)
        except NotFound:
            return None

    def all(self, kind: str) -> list[JsonObject]:
        return self.admin.list(KINDS[kind], self.namespace).items

    def phase(self, kind: str, name: str) -> str:
        return str((self.get(kind, name).get("status") or {}).get("phase"))

    # -- time --

    def until(self, look: Callable[[], Any], what: str, *parts: Callable[[], None]) -> Any:
        """Step the operator, and ``parts``, until ``look`` finds it so."""

        def step() -> Any:
            self.loop.settle()
            for part in parts:
                part()
            return look()

        return wait_for(step, what)

    def rest(self) -> None:
        """Until nothing has been reconciled or written for a while."""
        last, quiet = -1, CLOCK.monotonic()
        give_up = quiet + 40.0
        while CLOCK.monotonic() - quiet < QUIET:
            self.loop.settle()
            done = sum(self.loop.stats.reconciles.values())
            if done != last:
                last, quiet = done, CLOCK.monotonic()
            assert CLOCK.monotonic() < give_up, "it does not come to rest"
            CLOCK.sleep(STEP)

    # -- what a node does --

    def kubelet(self) -> None:
        """Pods of workloads become ready; pods of Jobs run, do what agents do, and end."""
        for pod in self.all("Pod"):
            if pod["metadata"].get("deletionTimestamp"):
                self._remove(pod)
            elif (pod["metadata"].get("labels") or {}).get(labels.TASK):
                self._job_pod(pod)
            elif (pod.get("status") or {}).get("phase") == "Pending":
                self._set(pod, _running(pod))

    def _remove(self, pod: JsonObject) -> None:
        with contextlib.suppress(NotFound):
            self.admin.delete(
                r.PODS, self.namespace, pod["metadata"]["name"], grace_period_seconds=0
            )

    def _job_pod(self, pod: JsonObject) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self.finished:
            return
        if (pod.get("status") or {}).get("phase") == "Pending":
            self._set(pod, _running(pod))
        if self._agent_of_job(pod):
            self.finished.add(uid)
            self._set(pod, {"phase": "Succeeded"})

    def _set(self, pod: JsonObject, status: JsonObject) -> None:
        name = pod["metadata"]["name"]
        with contextlib.suppress(NotFound):  # its controller was quicker
            self.admin.update_status(
                r.PODS,
                self.namespace,
                name,
                lambda found: {**(found.get("status") or {}), **status},
            )

    # -- what agents do --

    def agent(self, account: str) -> Client:
        if account not in self.agents:
            self.agents[account] = self.cluster.as_account(self.namespace, account)
        return self.agents[account]

    def _agent_of_job(self, pod: JsonObject) -> bool:
        """True when it has done its work."""
        task = pod["metadata"]["labels"][labels.TASK]
        port = self.agent(pod["spec"]["serviceAccountName"])
        args = arguments(pod)
        if task == "init":
            self._found(port, r.REPOSITORIES, args["repository"], c.BACKEND_REPOSITORY_INITIALIZED)
            return True
        if task == "maintain":
            session = args["backupsession"]
            self._found(port, r.BACKUP_SESSIONS, session, c.RETENTION_POLICY_APPLIED)
            self._found(port, r.BACKUP_SESSIONS, session, c.REPOSITORY_INTEGRITY_VERIFIED)
            self._found(port, r.REPOSITORIES, args["repository"], lastMaintainedSession=session)
            return True
        target = Target(args["target-kind"], args["target-name"])
        if task == "restore":
            return self.restore(port, args, pod)
        session = port.get(r.BACKUP_SESSIONS, self.namespace, args["backupsession"])
        return self.back_up(port, session, target, pod)

    def _found(
        self, port: Client, resource: Resource, name: str, *types_: str, **fields: Any
    ) -> None:
        tools: Any = types.SimpleNamespace(clock=CLOCK, stop=threading.Event())
        found = [findings.Finding(type_, "Succeeded", "done") for type_ in types_]
        obj = port.get(resource, self.namespace, name)
        findings.write(port, tools, resource, obj, findings=found, fields=fields)

    def back_up(self, port: Client, session: JsonObject, target: Target, pod: JsonObject) -> bool:
        """Claim a host of the target and report it; False when it is not our turn."""
        meta = session["metadata"]
        where = report.Address(self.namespace, meta["name"], meta["uid"], target)
        me = Pod(pod["metadata"]["name"], pod["metadata"]["uid"])
        for host in (target.entry(session) or {}).get("hosts") or ():
            name = host["hostname"]
            if report.claim(port, where, name, me, CLOCK.now()) is report.Turn.GO:
                snapshots = (SnapshotStats(name="abcd1234"),)
                stats = HostBackupStats(
                    hostname=name, phase="Succeeded", duration="1s", snapshots=snapshots
                )
                result = report.HostReport(stats)
                report.publish(port, where, [result], CLOCK.now())
                events.host_finished(port, CLOCK, session, target, result)
                return True
        return False

    def init_containers(self) -> None:
        """Every stash-init looks for its turn, as the service account of its pod."""
        for pod in self.all("Pod"):
            found = pod["spec"].get("initContainers") or ()
            own = [item for item in found if item["name"] == names.INIT_CONTAINER]
            if own and not pod["metadata"].get("deletionTimestamp"):
                now = CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ")
                state = {
                    "name": names.INIT_CONTAINER,
                    "image": own[0]["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": now}},
                }
                self._set(pod, {"initContainerStatuses": [state]})
                port = self.agent(pod["spec"]["serviceAccountName"])
                with contextlib.suppress(NotFound):  # the restore is gone: the pod goes on
                    self.restore(port, arguments({"spec": {"containers": own}}), pod)

    def restore(self, port: Client, args: dict[str, str], pod: JsonObject) -> bool:
        """Claim the hosts of the target and report them; False when it is not our turn."""
        resource = KINDS[args["invoker-kind"]]
        obj = port.get(resource, self.namespace, args["invoker-name"])
        target = Target(args["target-kind"], args["target-name"])
        name, uid = obj["metadata"]["name"], obj["metadata"]["uid"]
        where = report.Address(self.namespace, name, uid, target, resource)
        me = Pod(pod["metadata"]["name"], pod["metadata"]["uid"])
        for host in (target.entry(obj) or {}).get("hosts") or ():
            if report.claim(port, where, host["hostname"], me, CLOCK.now()) is report.Turn.GO:
                stats = HostRestoreStats(
                    hostname=host["hostname"], phase="Succeeded", duration="1s"
                )
                report.publish(port, where, [report.HostReport(stats)], CLOCK.now())
                return True
        return False

    def sidecars(self) -> None:
        """Every sidecar looks for its turn, as the service account of its pod."""
        for pod in self.all("Pod"):
            found = [item for item in pod["spec"]["containers"] if item["name"] == names.SIDECAR]
            if not found or (pod.get("status") or {}).get("phase") != "Running":
                continue
            args = arguments(pod)
            port = self.agent(pod["spec"]["serviceAccountName"])
            sessions = Sessions(port, self.namespace, "BackupBatch", args["invoker-name"])
            try:
                sessions.refresh()
            except Forbidden:  # its batch has gone, and its rights with it
                continue
            for session in sessions.current():
                target = Target(args["target-kind"], args["target-name"])
                self.back_up(port, session, target, pod)
            sessions.close()

    def trigger(self, batch: str) -> str:
        """What the pod of the CronJob does; the session's name."""
        before = {item["metadata"]["name"] for item in self.all("BackupSession")}
        order = Order(self.namespace, "BackupBatch", batch)

        def created() -> set[str]:
            create_backupsession(self.agent(names.CRON_JOB_ACCOUNT), order, CLOCK)
            return {item["metadata"]["name"] for item in self.all("BackupSession")} - before

        (name,) = wait_for(created, "a session of its own second")
        return name


def arguments(pod: JsonObject) -> dict[str, str]:
    found = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    flags = [flag for item in found for flag in item.get("args") or () if "=" in flag]
    return dict(flag.lstrip("-").split("=", 1) for flag in flags)


def _running(pod: JsonObject) -> JsonObject:
    now = CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "phase": "Running",
        "startTime": now,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        "containerStatuses": [
            {
                "name": item["name"],
                "image": item["image"],
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for item in pod["spec"]["containers"]
        ],
    }


def loop_of(line: Counting, namespace: str) -> Loop:
    """The operator as ``tandem run --namespace`` builds it."""
    return operating.build(Client(line), CLOCK, Settings(), 1, namespace)


# -- manifests ------------------------------------------------------------------------------------


def golden() -> list[JsonObject]:
    """What the golden test of Stash was given, in any namespace; its schedule stands still."""
    found = [obj for obj in yaml.safe_load_all(GOLDEN.read_text()) if obj["kind"] != "Namespace"]
    for obj in found:
        if obj["kind"] == "BackupBatch":
            obj["spec"]["schedule"] = YEARLY
    return found


def surroundings() -> tuple[JsonObject, ...]:
    """A Secret and a Repository."""
    s3 = {"endpoint": "http://minio", "bucket": "b", "prefix": "/shop"}
    backend = {"s3": s3, "storageSecretName": "backend"}
    return (
        made("Secret", "backend", stringData={"RESTIC_PASSWORD": "changeit"}),
        made("Repository", "repo", spec={"backend": backend}),
    )


def made(kind: str, name: str, **rest: Any) -> JsonObject:
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "metadata": {"name": name},
        **rest,
    }


def workload(kind: str, name: str) -> JsonObject:
    app = {"app": name}
    container = {
        "name": "app",
        "image": "app:1",
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}
    return made(
        kind,
        name,
        spec={
            "selector": app if kind == "ReplicationController" else {"matchLabels": app},
            "template": {"metadata": {"labels": app}, "spec": pod},
            **({} if kind == "DaemonSet" else {"replicas": 1}),
            **({"serviceName": name} if kind == "StatefulSet" else {}),
        },
    )


def claim(name: str) -> JsonObject:
    storage = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": storage}
    return made("PersistentVolumeClaim", name, spec=spec)


def member(kind: str, name: str) -> JsonObject:
    ref = {"apiVersion": KINDS[kind].api_version, "kind": kind, "name": name}
    if kind == "PersistentVolumeClaim":
        return {"target": {"ref": ref}, "task": {"name": "pvc-backup"}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    return {"target": {"ref": ref, "paths": ["/data"], "volumeMounts": mounts}}


def batch(*members: JsonObject, **spec: Any) -> JsonObject:
    return made(
        "BackupBatch",
        "web",
        spec={
            "repository": {"name": "repo"},
            "schedule": YEARLY,
            "retentionPolicy": {"name": "last-5", "keepLast": 5, "prune": True},
            "members": list(members),
            **spec,
        },
    )


def restored(kind: str, name: str) -> JsonObject:
    """A member of a restore."""
    found = member(kind, name)
    target = {**found["target"], "rules": [{"snapshots": ["latest"]}]}
    target.pop("paths", None)
    return {"target": target, **({"task": {"name": "pvc-restore"}} if "task" in found else {})}


def true_conditions(status: JsonObject) -> set[str]:
    return {item["type"] for item in status.get("conditions") or () if item["status"] == "True"}


def managers(obj: JsonObject) -> set[str]:
    return {entry["manager"] for entry in obj["metadata"].get("managedFields") or ()}


def containers(obj: JsonObject) -> list[str]:
    return [item["name"] for item in obj["spec"]["template"]["spec"]["containers"]]
