"""A View of plain dicts, and builders of the objects that decisions look at."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping, Sequence

import attrs
import pytest
from repository_steps import end, jobs_of, settle
from session_steps import MARK, admit

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject, Resource
from reconciler.decisions import catalog
from reconciler.decisions.plan import Apply, Create, Delete, Finalizers, Plan, Settings, Status
from reconciler.manifests import labels, names

NOW = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)
NAMESPACE = "shop"
RESOURCES = {
    resource.kind: resource
    for resource in vars(r).values()
    if isinstance(resource, Resource) and resource != r.CRON_JOBS_V1BETA1
}
SETTINGS = Settings(image="tandem/tandem:test")


def stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@attrs.define
class World:
    """Objects by resource, namespace and name; it can also take what a Plan writes."""

    objects: dict[tuple[str, str, str], JsonObject] = attrs.field(factory=dict)
    unserved: set[Resource] = attrs.field(factory=set)
    now: dt.datetime = NOW
    counter: int = 0

    # -- View --

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        return self.objects.get((resource.kind, namespace, name))

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        found = [
            obj
            for (kind, space, _), obj in sorted(self.objects.items())
            if kind == resource.kind and namespace in (None, space)
        ]
        if labels:
            found = [o for o in found if _has_labels(o, labels)]
        if owner_uid is not None:
            found = [o for o in found if owner_uid == _owner_uid(o)]
        return found

    def serves(self, resource: Resource) -> bool:
        return resource not in self.unserved

    # -- building --

    def add(self, *objects: JsonObject) -> None:
        for given in objects:
            obj = copy.deepcopy(given)
            resource = RESOURCES[obj["kind"]]
            meta = obj["metadata"]
            if resource.namespaced:
                meta.setdefault("namespace", NAMESPACE)
            self.counter += 1
            meta.setdefault("uid", f"uid-{meta['name']}-{obj['kind']}")
            meta.setdefault("creationTimestamp", stamp(self.now))
            meta.setdefault("generation", 1)
            meta["resourceVersion"] = str(self.counter)
            self.objects[obj["kind"], meta.get("namespace", ""), meta["name"]] = obj

    def at(self, kind: str, name: str) -> JsonObject:
        namespace = NAMESPACE if RESOURCES[kind].namespaced else ""
        return self.objects[kind, namespace, name]

    def remove(self, kind: str, name: str) -> None:
        namespace = NAMESPACE if RESOURCES[kind].namespaced else ""
        del self.objects[kind, namespace, name]

    def set_status(self, kind: str, name: str, **status: object) -> None:
        obj = copy.deepcopy(self.at(kind, name))
        obj["status"] = {**(obj.get("status") or {}), **status}
        self.add(obj)

    def set_meta(self, kind: str, name: str, **meta: object) -> None:
        obj = copy.deepcopy(self.at(kind, name))
        obj["metadata"].update(meta)
        self.add(obj)

    def set_spec(self, kind: str, name: str, **spec: object) -> None:
        obj = copy.deepcopy(self.at(kind, name))
        obj["spec"].update(spec)
        self.add(obj)

    # -- applying a plan, roughly as the server would --

    def carry_out(self, plan: Plan) -> int:
        return sum(self._write(write) for write in plan.writes)

    def _write(self, write: object) -> int:
        match write:
            case Apply(resource, obj, create):
                return self._apply(resource, obj, create)
            case Create(resource, obj):
                meta = obj["metadata"]
                if self.get(resource, meta.get("namespace", ""), meta["name"]):
                    return 0
                self.add(obj)
            case Delete(resource, namespace, name):
                self.objects.pop((resource.kind, namespace, name), None)
            case Status(resource, namespace, name, _, status):
                obj = copy.deepcopy(self.objects[resource.kind, namespace, name])
                self.add({**obj, "status": copy.deepcopy(status)})
            case Finalizers(resource, namespace, name, _, finalizers):
                obj = copy.deepcopy(self.objects[resource.kind, namespace, name])
                obj["metadata"]["finalizers"] = list(finalizers)
                self.add(obj)
        return 1

    def _apply(self, resource: Resource, obj: JsonObject, create: bool) -> int:
        meta = obj["metadata"]
        old = self.get(resource, meta.get("namespace", ""), meta["name"])
        if old is None:
            if create:
                self.add(obj)
            return int(create)
        new = merged(old, obj)
        if new == old:
            return 0
        self.add(new)
        return 1


def merged(old: object, new: object) -> object:
    """A merge that knows lists keyed by name: enough for what decisions apply."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{k: merged(old.get(k), v) for k, v in new.items()}}
    keyed = isinstance(new, list) and all(isinstance(i, dict) and "name" in i for i in new)
    if isinstance(old, list) and keyed:
        wanted = {i["name"]: i for i in new}
        kept = [merged(i, wanted.pop(i["name"], i)) for i in old if isinstance(i, dict)]
        return [*kept, *wanted.values()]
    return new


def _has_labels(obj: JsonObject, wanted: Mapping[str, str]) -> bool:
    present = obj["metadata"].get("labels") or {}
    return all(present.get(key) == value for key, value in wanted.items())


def _owner_uid(obj: JsonObject) -> str | None:
    return labels.controller_uid(obj)


class Builders:
    """Objects as users and controllers write them."""

    now = NOW
    settings = SETTINGS
    namespace = NAMESPACE

    @staticmethod
    def stamp(moment: dt.datetime) -> str:
        return stamp(moment)

    @staticmethod
    def secret(*keys: str) -> JsonObject:
        data = dict.fromkeys(keys or ("RESTIC_PASSWORD",), "")
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "backend"}, "data": data}

    @staticmethod
    def repository(**status: object) -> JsonObject:
        s3 = {"endpoint": "http://minio", "bucket": "b", "prefix": "/shop"}
        return {
            "apiVersion": r.REPOSITORIES.api_version,
            "kind": "Repository",
            "metadata": {"name": "repo"},
            "spec": {"backend": {"s3": s3, "storageSecretName": "backend"}},
            "status": status,
        }

    @staticmethod
    def workload(kind: str = "Deployment", name: str = "front", replicas: int = 1) -> JsonObject:
        return {
            "apiVersion": RESOURCES[kind].api_version,
            "kind": kind,
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "containers": [{"name": "app", "image": "app:1"}],
                        "volumes": [{"name": "data", "emptyDir": {}}],
                    },
                },
            },
        }

    @staticmethod
    def claim(name: str = "uploads") -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {},
        }

    @staticmethod
    def member(kind: str = "Deployment", name: str = "front", **more: object) -> JsonObject:
        ref = {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "name": name}
        if kind in {resource.kind for resource in r.WORKLOADS}:
            mounts = [{"name": "data", "mountPath": "/data"}]
            target = {"ref": ref, "paths": ["/data"], "volumeMounts": mounts}
            return {"target": target, **more}
        return {"target": {"ref": ref}, "task": {"name": "pvc-backup"}, **more}

    @staticmethod
    def batch(*members: JsonObject, name: str = "web", **spec: object) -> JsonObject:
        return {
            "apiVersion": r.BACKUP_BATCHES.api_version,
            "kind": "BackupBatch",
            "metadata": {"name": name, "finalizers": [names.FINALIZER]},
            "spec": {
                "repository": {"name": "repo"},
                "schedule": "0 3 * * *",
                "retentionPolicy": {"name": "last-5", "keepLast": 5, "prune": True},
                "members": list(members) or [Builders.member()],
                **spec,
            },
        }

    @staticmethod
    def configuration(name: str = "web", **spec: object) -> JsonObject:
        return {
            "apiVersion": r.BACKUP_CONFIGURATIONS.api_version,
            "kind": "BackupConfiguration",
            "metadata": {"name": name, "finalizers": [names.FINALIZER]},
            "spec": {
                "repository": {"name": "repo"},
                "schedule": "0 3 * * *",
                "retentionPolicy": {"name": "last-5", "keepLast": 5, "prune": True},
                **Builders.member(),
                **spec,
            },
        }

    @staticmethod
    def restored(kind: str = "Deployment", name: str = "front", **more: object) -> JsonObject:
        """A member of a restore."""
        ref = {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "name": name}
        rules = [{"snapshots": ["latest"]}]
        if kind in {resource.kind for resource in r.WORKLOADS}:
            mounts = [{"name": "data", "mountPath": "/data"}]
            return {"target": {"ref": ref, "volumeMounts": mounts, "rules": rules}, **more}
        return {"target": {"ref": ref, "rules": rules}, "task": {"name": "pvc-restore"}, **more}

    @staticmethod
    def restore_batch(*members: JsonObject, name: str = "back", **spec: object) -> JsonObject:
        found = list(members) or [Builders.restored()]
        return {
            "apiVersion": r.RESTORE_BATCHES.api_version,
            "kind": "RestoreBatch",
            "metadata": {"name": name, "finalizers": [names.FINALIZER]},
            "spec": {"repository": {"name": "repo"}, "members": found, **spec},
        }

    @staticmethod
    def restore_session(name: str = "back", **spec: object) -> JsonObject:
        return {
            "apiVersion": r.RESTORE_SESSIONS.api_version,
            "kind": "RestoreSession",
            "metadata": {"name": name, "finalizers": [names.FINALIZER]},
            "spec": {"repository": {"name": "repo"}, **Builders.restored(), **spec},
        }

    @staticmethod
    def session(
        name: str = "web-1",
        *,
        batch: str = "web",
        kind: str = "BackupBatch",
        slot: bool = False,
        age: dt.timedelta = dt.timedelta(0),
        status: JsonObject | None = None,
    ) -> JsonObject:
        reference = {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": kind,
            "name": batch,
            "uid": f"uid-{batch}-{kind}",
            "controller": True,
        }
        return {
            "apiVersion": r.BACKUP_SESSIONS.api_version,
            "kind": "BackupSession",
            "metadata": {
                "name": name,
                "creationTimestamp": stamp(NOW - age),
                "labels": labels.of_invoker(kind, batch),
                "annotations": {labels.SLOT: stamp(NOW)} if slot else {},
                "ownerReferences": [reference],
            },
            "spec": {"invoker": {"kind": kind, "name": batch}},
            "status": status or {},
        }

    @staticmethod
    def pod(
        name: str,
        *,
        owner: JsonObject,
        mark: str = "",
        fingerprint: str = "",
        ready: bool = True,
        phase: str = "Running",
        node: str = "n1",
        created: str = "",
        restore: str = "",
        state: JsonObject | None = None,
    ) -> JsonObject:
        """``restore``: whose init container it has; ``state``: what that does, running if absent"""
        annotations = {}
        containers = [{"name": "app", "image": "app:1"}]
        if mark:
            annotations = {labels.SIDECAR_INVOKER: mark, labels.SIDECAR_HASH: fingerprint}
            containers.append({"name": "stash", "image": "tandem/tandem:test"})
        status = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {"name": c["name"], "ready": ready, "state": {"running": {}}} for c in containers
            ],
        }
        first = []
        if restore:
            annotations |= {labels.RESTORE_INVOKER: restore, labels.RESTORE_HASH: fingerprint}
            first = [{"name": "stash-init", "image": "tandem/tandem:test"}]
            found = {"name": "stash-init", "state": state or {"running": {}}}
            status["initContainerStatuses"] = [found]
        meta = {"name": name, "annotations": annotations, "ownerReferences": [controlled(owner)]}
        if created:
            meta["creationTimestamp"] = created
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {"nodeName": node, "containers": containers, "initContainers": first},
            "status": status,
        }

    @staticmethod
    def replica_set(deployment: JsonObject) -> JsonObject:
        found = Builders.workload("ReplicaSet", f"{deployment['metadata']['name']}-abc")
        found["metadata"]["ownerReferences"] = [controlled(deployment)]
        return found

    @staticmethod
    def catalog() -> tuple[JsonObject, ...]:
        return tuple(write.obj for write in catalog.plan(SETTINGS).writes)


def controlled(owner: JsonObject) -> JsonObject:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


@pytest.fixture(scope="session")
def make() -> type[Builders]:
    return Builders


@pytest.fixture(scope="session")
def new_view() -> type[World]:
    """For property tests, which need many empty worlds a test."""
    return World


@pytest.fixture
def view() -> World:
    return World()


@pytest.fixture
def ready(view: World, make: type[Builders]) -> World:
    """A world in which a batch can be set up: Secret, initialised Repository, Tasks, targets."""
    view.add(
        make.secret(),
        make.repository(phase="Ready"),
        make.workload(),
        make.claim(),
        *make.catalog(),
    )
    return view


@pytest.fixture
def running(ready: World, make: type[Builders]) -> World:
    """A batch of a Deployment with one ready pod, and a session that may run."""
    ready.add(make.batch(), make.session())
    deployment = ready.at("Deployment", "front")
    replicas = make.replica_set(deployment)
    ready.add(replicas)
    ready.add(make.pod("front-1", owner=ready.at("ReplicaSet", "front-abc"), mark=MARK))
    admit(ready)
    return ready


@pytest.fixture
def wanted(view: World, make: type[Builders]) -> World:
    """A Repository with its Secret and a batch that names it."""
    view.add(make.secret(), make.repository(), make.batch(), make.workload())
    return view


@pytest.fixture
def usable(wanted: World, make: type[Builders]) -> World:
    """The same, initialised."""
    settle(wanted, make)
    (job,) = jobs_of(wanted, "init")
    end(wanted, job)
    settle(wanted, make)
    return wanted
