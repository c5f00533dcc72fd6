"""A world for scenario tests: the embedded cluster, the operator, and a model of the data side.

Everything runs on one thread and a virtual clock. The model does what ``tandem agent`` does to the
API, and nothing else: it claims hosts, reports them, initialises and maintains repositories, and
creates the session of a slot.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterator

import attrs
import pytest
from volume_snapshots import SnapshotController

from reconciler.agent import restore_job, snapshot_restore, snapshots
from reconciler.agent.job import Step
from reconciler.agent.runner import Stop
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.turn import Target
from reconciler.agent.workshop import Tools
from reconciler.api import resources as r
from reconciler.api import restore_invoker
from reconciler.api.resources import JsonObject
from reconciler.cluster.client import Client
from reconciler.decisions import catalog
from reconciler.decisions.plan import EventIntent, Settings
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.embedded.nodes.virtual import Run
from reconciler.engine import operator
from reconciler.engine.clock import VirtualClock
from reconciler.engine.loop import Loop
from reconciler.errors import NotFound
from reconciler.manifests import labels, names

START = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)
NAMESPACE = "shop"


def stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@attrs.define
class DataSide:
    """The agents of all pods. ``seconds`` and ``fails`` are by target name."""

    clock: VirtualClock
    client: Client
    seconds: dict[str, float] = attrs.field(factory=dict)
    fails: set[str] = attrs.field(factory=set)
    deaf: set[str] = attrs.field(factory=set)
    """Targets whose runners never claim anything."""
    crashes: set[str] = attrs.field(factory=set)
    """Targets whose Job pods end with an error, without a report."""
    hooked: set[str] = attrs.field(factory=set)
    """Targets whose runners tell of their hooks."""
    wrong_password: bool = False
    maintenance_fails: bool = False
    trigger_fails: bool = False
    driver: SnapshotController = attrs.field()
    """Makes VolumeSnapshots ready."""
    history: list[tuple[str, str, str]] = attrs.field(factory=list)
    """(what, name, when) of everything that took or freed a repository."""

    @driver.default
    def _driver(self) -> SnapshotController:
        return SnapshotController(self.client, binds=True)

    # -- what runs in Job pods --

    def program(self, pod: JsonObject, container: str) -> Run | None:
        own = pod["metadata"].get("labels") or {}
        task = own.get(labels.TASK)
        if task in ("init", "maintain"):
            return self._repository_run(pod, task)
        own_agent = {
            "create-vs": self._create_vs,
            "restore-vs": self._restore_vs,
            "run-hook": self._hook,
        }
        act = own_agent.get(next(iter(self._args(pod)), ""))
        if act is not None:
            return Run(5.0, 0, functools.partial(act, pod))
        if task == "backup":
            return self._backup_run(pod, container)
        if task == "restore" or container == names.INIT_CONTAINER:
            return self._restore_run(pod, container)
        if "create-backupsession" in str(pod["spec"]["containers"][0].get("args")):
            failed = self.trigger_fails
            return Run(1.0, 1) if failed else Run(1.0, 0, lambda: self._trigger(pod))
        return None

    def _repository_run(self, pod: JsonObject, task: str) -> Run:
        args = dict(a.lstrip("-").split("=", 1) for a in self._args(pod) if "=" in a)
        namespace = pod["metadata"]["namespace"]
        if task == "init":
            failed = self.wrong_password
            return Run(2.0, int(failed), lambda: self._initialised(namespace, args, not failed))
        session = args["backupsession"]
        self.history.append(("maintenance begins", session, stamp(self.clock.now())))
        if self.maintenance_fails:
            return Run(5.0, 1)
        return Run(5.0, 0, lambda: self._maintained(namespace, args))

    @staticmethod
    def _args(pod: JsonObject) -> list[str]:
        return list(pod["spec"]["containers"][0].get("args") or ())

    def _initialised(self, namespace: str, args: dict[str, str], good: bool) -> None:
        reason = "BackendRepositoryFound" if good else "FailedToInitializeBackendRepository"
        message = "restic found it" if good else "wrong password; mend the Secret backend"
        item = self._condition("BackendRepositoryInitialized", good, reason, message)
        self._set(r.REPOSITORIES, namespace, args["repository"], item)

    def _maintained(self, namespace: str, args: dict[str, str]) -> None:
        session = args["backupsession"]
        for type_ in ("RetentionPolicyApplied", "RepositoryIntegrityVerified"):
            item = self._condition(type_, True, "Successfully", "done")
            self._set(r.BACKUP_SESSIONS, namespace, session, item)
        self.history.append(("maintenance ends", session, stamp(self.clock.now())))

    def _condition(self, type_: str, good: bool, reason: str, message: str) -> JsonObject:
        return {
            "type": type_,
            "status": "True" if good else "False",
            "lastTransitionTime": stamp(self.clock.now()),
            "reason": reason,
            "message": message,
        }

    def _hook(self, pod: JsonObject) -> None:
        """``run-hook``: it succeeds, and says so."""
        args = dict(a.lstrip("-").split("=", 1) for a in self._args(pod) if "=" in a)
        namespace, which, host = args["namespace"], args["hook-type"], args.get("hostname", "")
        resource, name = r.BACKUP_SESSIONS, args["backupsession"]
        if not name:
            resource, name = restore_job.resource_of(args["invoker-kind"]), args["invoker-name"]
        self.history.append((f"{which} {host}".strip(), name, stamp(self.clock.now())))
        if not host:
            type_ = f"Global{which[0].upper()}{which[1:]}HookSucceeded"
            item = self._condition(type_, True, "ExecutedSuccessfully", "done")
            self._set(resource, namespace, name, item)
            return

        def settled(obj: JsonObject) -> JsonObject:
            for target in obj["status"]["targets"]:
                for claim in target.get("hosts") or ():
                    if claim["hostname"] == host:
                        claim["hooks"] = {**claim.get("hooks", {}), "post": "Succeeded"}
            status: JsonObject = obj["status"]
            return status

        self.client.update_status(resource, namespace, name, settled)

    def _agent_of(self, pod: JsonObject) -> tuple[Tools, dict[str, str], Target]:
        """The real agent's tools; while it waits, the driver works."""
        args = dict(a.lstrip("-").split("=", 1) for a in self._args(pod) if "=" in a)
        meta = pod["metadata"]
        environ = {"POD_NAME": meta["name"], "POD_UID": meta["uid"]}
        clock = _Driven(self.clock, self.driver.settle, self.clock.now() + dt.timedelta(days=1))
        tools = Tools(Surroundings.of(environ), clock, Stop(), "", "")
        return tools, args, Target(args["target-kind"], args["target-name"])

    def _restore_vs(self, pod: JsonObject) -> None:
        tools, args, target = self._agent_of(pod)
        kind = restore_job.resource_of(args["invoker-kind"])
        own = (args["namespace"], args["invoker-name"], target, "", args["hostname"])
        snapshot_restore.restore_vs(self.client, tools, Step(*own, resource=kind))

    def _create_vs(self, pod: JsonObject) -> None:
        tools, args, target = self._agent_of(pod)
        step = Step(args["namespace"], args["backupsession"], target, "")
        snapshots.create_vs(self.client, tools, step)

    def _set(self, resource: r.Resource, namespace: str, name: str, item: JsonObject) -> None:
        def change(obj: JsonObject) -> JsonObject:
            status = obj.get("status") or {}
            rest = [c for c in status.get("conditions") or () if c["type"] != item["type"]]
            return {**status, "conditions": [*rest, item]}

        try:
            self.client.update_status(resource, namespace, name, change)
        except NotFound:
            return

    def _backup_run(self, pod: JsonObject, container: str) -> Run:
        if container.startswith("update-status"):
            return Run(1.0, 0, lambda: self._report_of_pod(pod))
        target = self._target_name(pod)
        if target in self.crashes:
            return Run(1.0, 1)
        return Run(self.seconds.get(target, 10.0))

    @staticmethod
    def _target_name(pod: JsonObject) -> str:
        found = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        args = [arg for item in found for arg in item.get("args") or ()]
        return next(a.partition("=")[2] for a in args if a.startswith("--target-name="))

    def _restore_run(self, pod: JsonObject, container: str) -> Run:
        """Claim and report are one write here: who claims first is the business of other tests."""
        every = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        own = next(item for item in every if item["name"] == container)
        args = dict(arg.lstrip("-").split("=", 1) for arg in own["args"] if "=" in arg)
        if own is not every[-1] and container != names.INIT_CONTAINER:
            return Run(1.0)  # update-status comes after it
        target = args["target-name"]
        self.history.append(("restore begins", target, stamp(self.clock.now())))
        return Run(self.seconds.get(target, 10.0), 0, lambda: self._restored(pod, args))

    def _restored(self, pod: JsonObject, args: dict[str, str]) -> None:
        target = args["target-name"]
        claim = {
            "runner": pod["metadata"]["name"],
            "runnerUID": pod["metadata"]["uid"],
            "startTime": stamp(self.clock.now()),
        }
        phase = "Failed" if target in self.fails else "Succeeded"

        def change(obj: JsonObject) -> JsonObject | None:
            entry = restore_invoker.reports(obj, args["target-kind"], target)
            if entry is None or entry.get("stats") or not entry.get("hosts"):
                return None
            entry["hosts"] = [{**host, **claim} for host in entry["hosts"]]
            entry["stats"] = [
                {"hostname": host["hostname"], "phase": phase, "duration": "10s"}
                for host in entry["hosts"]
            ]
            status: JsonObject = obj["status"]
            return status

        resource = next(
            each for each in restore_invoker.RESTORE_INVOKERS if each.kind == args["invoker-kind"]
        )
        namespace = pod["metadata"]["namespace"]
        self.client.update_status(resource, namespace, args["invoker-name"], change)

    def _report_of_pod(self, pod: JsonObject) -> None:
        for session in self.sessions():
            for target in session.get("status", {}).get("targets") or ():
                for host in target.get("hosts") or ():
                    if host.get("runnerUID") == pod["metadata"]["uid"]:
                        self._report(session, target, host)

    def _trigger(self, pod: JsonObject) -> None:
        """``create-backupsession``: the slot is in the Job's name."""
        args = dict(a.lstrip("-").split("=", 1) for a in self._args(pod) if "=" in a)
        job = pod["metadata"]["labels"]["job-name"]
        number = int(job.rpartition("-")[2])
        slot = number if len(str(number)) == 10 else number * 60
        self.create_session(
            pod["metadata"]["namespace"],
            args["invoker-kind"],
            args["invoker-name"],
            f"{args['invoker-name']}-{slot}",
            slot=stamp(dt.datetime.fromtimestamp(slot, dt.UTC)),
        )

    def create_session(
        self, namespace: str, kind: str, name: str, session: str, *, slot: str = ""
    ) -> None:
        resource = r.BACKUP_BATCHES if kind == "BackupBatch" else r.BACKUP_CONFIGURATIONS
        owner = self.client.get(resource, namespace, name)
        self.client.create(
            r.BACKUP_SESSIONS,
            {
                "apiVersion": r.BACKUP_SESSIONS.api_version,
                "kind": "BackupSession",
                "metadata": {
                    "name": session,
                    "namespace": namespace,
                    "labels": {**labels.COMMON, **labels.of_invoker(kind, name)},
                    "annotations": {labels.SLOT: slot} if slot else {},
                    "ownerReferences": [labels.owner(owner)],
                },
                "spec": {"invoker": {"apiGroup": r.STASH, "kind": kind, "name": name}},
            },
        )

    # -- what every agent does on its own --

    def sessions(self) -> list[JsonObject]:
        return self.client.list(r.BACKUP_SESSIONS).items

    def settle(self) -> int:
        return sum(self._act(*each) for each in list(self._open_hosts()))

    def next_due(self) -> dt.datetime | None:
        ends = (
            self._ends(target, host)
            for _, target, host in self._open_hosts()
            if host.get("runner") and target["ref"]["kind"] in _SIDECAR_KINDS
        )
        return min((end for end in ends if end > self.clock.now()), default=None)

    def _open_hosts(self) -> Iterator[tuple[JsonObject, JsonObject, JsonObject]]:
        for session in self.sessions():
            for target in session.get("status", {}).get("targets") or ():
                done = {stat["hostname"] for stat in target.get("stats") or ()}
                if target["phase"] in ("Scheduled", "Running"):
                    for host in target["hosts"]:
                        if host["hostname"] not in done:
                            yield session, target, host

    def _act(self, session: JsonObject, target: JsonObject, host: JsonObject) -> int:
        if not host.get("runner"):
            return self._claim(session, target, host)
        mine = target["ref"]["kind"] in _SIDECAR_KINDS
        if mine and self._ends(target, host) <= self.clock.now() and self._alive(session, host):
            return self._report(session, target, host)
        return 0

    def _alive(self, session: JsonObject, host: JsonObject) -> bool:
        try:
            pod = self.client.get(r.PODS, session["metadata"]["namespace"], host["runner"])
        except NotFound:
            return False
        return bool(pod["metadata"]["uid"] == host["runnerUID"])

    def _ends(self, target: JsonObject, host: JsonObject) -> dt.datetime:
        seconds = self.seconds.get(target["ref"]["name"], 10.0)
        return dt.datetime.fromisoformat(host["startTime"]) + dt.timedelta(seconds=seconds)

    def _claim(self, session: JsonObject, target: JsonObject, host: JsonObject) -> int:
        pod = self._runner(session, target, host)
        if pod is None or target["ref"]["name"] in self.deaf:
            return 0
        claim = {
            "runner": pod["metadata"]["name"],
            "runnerUID": pod["metadata"]["uid"],
            "startTime": stamp(self.clock.now()),
        }
        name = session["metadata"]["name"]
        self.history.append(("backup begins", name, stamp(self.clock.now())))

        def change(found: JsonObject, entry: JsonObject) -> None:
            entry["hosts"] = [
                {**item, **claim} if item["hostname"] == host["hostname"] else item
                for item in entry["hosts"]
            ]

        return self._change(session, target, change)

    def _runner(
        self, session: JsonObject, target: JsonObject, host: JsonObject
    ) -> JsonObject | None:
        namespace, ref = session["metadata"]["namespace"], target["ref"]
        for pod in self.client.list(r.PODS, namespace).items:
            meta = pod["metadata"]
            if ref["kind"] in _SIDECAR_KINDS:
                if not meta["name"].startswith(f"{ref['name']}-"):
                    continue
                if ref["kind"] == "StatefulSet" and (
                    meta["name"].rpartition("-")[2] != host["hostname"].rpartition("-")[2]
                ):
                    continue
                states = pod.get("status", {}).get("containerStatuses") or ()
                if any(s["name"] == names.SIDECAR and s.get("ready") for s in states):
                    return pod
            elif (meta.get("labels") or {}).get(labels.TASK) == "backup":
                owner = meta["labels"]["job-name"]
                job = self.client.get(r.JOBS, namespace, owner)
                same = labels.controller_uid(job) == session["metadata"]["uid"]
                if same and self._target_name(pod) == ref["name"] and _lives(pod):
                    return pod
        return None

    def _report(self, session: JsonObject, target: JsonObject, host: JsonObject) -> int:
        failed = target["ref"]["name"] in self.fails
        stat = {
            "hostname": host["hostname"],
            "phase": "Failed" if failed else "Succeeded",
            "duration": "10s",
            **({"error": "disk full"} if failed else {"snapshots": [{"name": "abcd1234"}]}),
        }
        self.history.append(("backup ends", session["metadata"]["name"], stamp(self.clock.now())))

        def change(found: JsonObject, entry: JsonObject) -> None:
            present = [item["hostname"] for item in entry.get("stats") or ()]
            if host["hostname"] not in present:
                entry["stats"] = [*(entry.get("stats") or ()), stat]
            for claim in entry["hosts"] if target["ref"]["name"] in self.hooked else ():
                if claim["hostname"] == host["hostname"]:
                    claim["hooks"] = {"pre": "Succeeded", "post": "Succeeded"}

        return self._change(session, target, change)

    def _change(
        self,
        session: JsonObject,
        target: JsonObject,
        change: Callable[[JsonObject, JsonObject], None],
    ) -> int:
        def changed(obj: JsonObject) -> JsonObject:
            for entry in obj["status"]["targets"]:
                if entry["ref"] == target["ref"]:
                    change(obj, entry)
            status: JsonObject = obj["status"]
            return status

        meta = session["metadata"]
        self.client.update_status(r.BACKUP_SESSIONS, meta["namespace"], meta["name"], changed)
        return 1


@attrs.frozen
class _Driven:
    """The virtual clock; who waits lets somebody else work instead."""

    clock: VirtualClock
    work: Callable[[], object]
    limit: dt.datetime

    def wait(self, condition: object, seconds: float) -> None:
        del condition
        assert self.clock.now() < self.limit, "the agent waits for something that never comes"
        self.work()
        self.clock.advance_to(self.clock.now() + dt.timedelta(seconds=seconds + 0.001))

    def __getattr__(self, name: str) -> object:
        return getattr(self.clock, name)


_SIDECAR_KINDS = frozenset(resource.kind for resource in r.WORKLOADS)


_PLAIN_SELECTORS = ("ReplicationController", "DeploymentConfig")


def _lives(pod: JsonObject) -> bool:
    return pod.get("status", {}).get("phase") in ("Pending", "Running")


@attrs.define
class OperatorWorld:
    """What a scenario test drives and looks at."""

    clock: VirtualClock
    cluster: EmbeddedCluster
    client: Client
    data: DataSide
    loop: Loop | None
    settings: Settings
    events: list[tuple[str, str]] = attrs.field(factory=list)

    def apply(self, *objects: JsonObject) -> None:
        for obj in objects:
            self.client.apply(_RESOURCES[obj["kind"]], obj, field_manager="user")

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> JsonObject:
        resource = _RESOURCES[kind]
        return self.client.get(resource, namespace if resource.namespaced else "", name)

    def find(self, kind: str, name: str, namespace: str = NAMESPACE) -> JsonObject | None:
        try:
            return self.get(kind, name, namespace)
        except NotFound:
            return None

    def all(self, kind: str) -> list[JsonObject]:
        return self.client.list(_RESOURCES[kind]).items

    def change(self, kind: str, name: str, patch: JsonObject) -> None:
        self.client.patch(
            _RESOURCES[kind], NAMESPACE, name, patch, content_type="application/merge-patch+json"
        )

    def delete(self, kind: str, name: str) -> None:
        self.client.delete(_RESOURCES[kind], NAMESPACE, name)

    def run(self, **duration: float) -> None:
        self.cluster.run_until(self.clock.now() + dt.timedelta(**duration))

    def run_to(self, hour: int, minute: int, second: int = 0) -> None:
        self.cluster.run_until(
            self.clock.now().replace(hour=hour, minute=minute, second=second, microsecond=0)
        )

    def stop_operator(self) -> None:
        self.cluster._parts.remove(self.loop)
        self.loop = None

    def start_operator(self) -> None:
        """Another operator, which knows nothing but what the API server tells."""
        self.loop = operator.build(self.client, self.clock, self.settings, recorder=_Recorder(self))
        self.cluster.add_loop(self.loop)

    def outage(self, **duration: float) -> None:
        """Time in which nothing at all runs, Kubernetes' own controllers neither."""
        self.clock.advance_to(self.clock.now() + dt.timedelta(**duration))

    def trigger(self, session: str, batch: str = "web", *, kind: str = "BackupBatch") -> None:
        self.data.create_session(NAMESPACE, kind, batch, session)

    def sessions(self, batch: str = "web") -> dict[str, str]:
        found = [s for s in self.all("BackupSession") if s["spec"]["invoker"]["name"] == batch]
        found.sort(key=lambda s: (s["metadata"]["creationTimestamp"], s["metadata"]["name"]))
        return {s["metadata"]["name"]: s.get("status", {}).get("phase", "") for s in found}

    def session(self, name: str) -> JsonObject:
        status: JsonObject = self.get("BackupSession", name)["status"]
        return status

    def target(self, session: str, name: str) -> JsonObject:
        found = self.session(session)["targets"]
        return next(t for t in found if t["ref"]["name"] == name)

    def phases(self, session: str) -> dict[str, str]:
        return {t["ref"]["name"]: t["phase"] for t in self.session(session)["targets"]}

    def condition(self, kind: str, name: str, type_: str) -> JsonObject | None:
        found = self.get(kind, name).get("status", {}).get("conditions") or ()
        return next((c for c in found if c["type"] == type_), None)

    def member_condition(self, batch: str, target: str, type_: str) -> JsonObject:
        for entry in self.get("BackupBatch", batch)["status"]["memberConditions"]:
            if entry["target"]["name"] == target:
                return next(c for c in entry["conditions"] if c["type"] == type_)
        raise LookupError(target)


_RESOURCES = {
    resource.kind: resource
    for resource in vars(r).values()
    if isinstance(resource, r.Resource) and resource != r.CRON_JOBS_V1BETA1
}


# -- manifests ------------------------------------------------------------------------------------


def namespace() -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def secret(**data: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "backend", "namespace": NAMESPACE},
        "stringData": data or {"RESTIC_PASSWORD": "changeit"},
    }


def repository() -> JsonObject:
    return {
        "apiVersion": r.REPOSITORIES.api_version,
        "kind": "Repository",
        "metadata": {"name": "repo", "namespace": NAMESPACE},
        "spec": {
            "backend": {
                "s3": {"endpoint": "http://minio", "bucket": "b", "prefix": "/shop"},
                "storageSecretName": "backend",
            }
        },
    }


def workload(kind: str, name: str, replicas: int = 1) -> JsonObject:
    app = {"app": name}
    spec: JsonObject = {
        "selector": app if kind in _PLAIN_SELECTORS else {"matchLabels": app},
        "template": {
            "metadata": {"labels": app},
            "spec": {
                "containers": [
                    {
                        "name": "app",
                        "image": "app:1",
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    }
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {
        "apiVersion": _RESOURCES[kind].api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def claim(name: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def database(name: str) -> JsonObject:
    return {
        "apiVersion": r.APP_BINDINGS.api_version,
        "kind": "AppBinding",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"type": "mysql", "clientConfig": {"url": "mysql://db:3306"}},
    }


def member(kind: str, name: str) -> JsonObject:
    ref = {"apiVersion": _RESOURCES[kind].api_version, "kind": kind, "name": name}
    if kind in _SIDECAR_KINDS:
        mounts = [{"name": "data", "mountPath": "/data"}]
        return {"target": {"ref": ref, "paths": ["/data"], "volumeMounts": mounts}}
    task = "pvc-backup" if kind == "PersistentVolumeClaim" else "mysql-backup"
    return {"target": {"ref": ref}, "task": {"name": task}}


def batch(*members: JsonObject, name: str = "web", **spec: object) -> JsonObject:
    return {
        "apiVersion": r.BACKUP_BATCHES.api_version,
        "kind": "BackupBatch",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "repository": {"name": "repo"},
            "schedule": "0 3 * * *",
            "retentionPolicy": {"name": "last-5", "keepLast": 5, "prune": True},
            "members": list(members),
            **spec,
        },
    }


def restored(kind: str, name: str) -> JsonObject:
    """A member of a restore."""
    found = member(kind, name)
    target = {**found["target"], "rules": [{"snapshots": ["latest"]}]}
    target.pop("paths", None)
    return {"target": target, **({"task": {"name": "pvc-restore"}} if "task" in found else {})}


def cloned(name: str) -> JsonObject:
    """A member of a restore that makes a claim of its own."""
    template = {"metadata": {"name": name}, "spec": claim(name)["spec"]}
    return {"target": {"volumeClaimTemplates": [template], "rules": [{}]}}


def restore_batch(*members: JsonObject, name: str = "back", **spec: object) -> JsonObject:
    return {
        "apiVersion": r.RESTORE_BATCHES.api_version,
        "kind": "RestoreBatch",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"repository": {"name": "repo"}, "members": list(members), **spec},
    }


_BUILDERS = (
    namespace,
    secret,
    repository,
    workload,
    claim,
    database,
    member,
    batch,
    restored,
    cloned,
    restore_batch,
)


@pytest.fixture
def manifests() -> type:
    """The builders above, by name."""

    class Manifests:
        pass

    for function in _BUILDERS:
        setattr(Manifests, function.__name__, staticmethod(function))
    return Manifests


@contextlib.contextmanager
def _made_shop() -> Iterator[OperatorWorld]:
    """A settled world with a namespace, a backend Secret and a Repository."""
    clock = VirtualClock(START)
    settings = Settings(image="tandem/tandem:test")
    programs: list[Callable[[JsonObject, str], Run | None]] = []
    cluster = EmbeddedCluster(clock, "virtual", programs=programs)
    client = cluster.client()
    data = DataSide(clock, client)
    programs.append(data.program)
    cluster.install_crds()
    for write in catalog.plan(settings).writes:
        client.apply(write.resource, write.obj, field_manager="tandem")
    made = OperatorWorld(clock, cluster, client, data, None, settings)

    loop = operator.build(client, clock, settings, recorder=_Recorder(made))
    made.loop = loop
    cluster.add_loop(loop)
    cluster.add_loop(data)
    made.apply(namespace(), secret(), repository())
    cluster.settle()
    yield made
    cluster.stop()


@pytest.fixture
def shop() -> Iterator[OperatorWorld]:
    """One such world."""
    with _made_shop() as made:
        yield made


@pytest.fixture
def make_shop() -> Callable[[], contextlib.AbstractContextManager[OperatorWorld]]:
    """As many such worlds as a test wants, each in a with block."""
    return _made_shop


@attrs.frozen
class _Recorder:
    world: OperatorWorld

    def record(self, intent: EventIntent) -> None:
        self.world.events.append((intent.reason, intent.message))
