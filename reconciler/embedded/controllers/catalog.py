"""All built-in controllers, with what wakes each: what the embedded cluster hands to the engine.

``reconciler.embedded.cluster`` calls ``built_in``. The garbage collector and the deletion of
namespaces are not here: they concern every resource, also those of CRDs (``collector``).
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.api.resources import (
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    JsonObject,
    Key,
    Resource,
)
from reconciler.decisions.controller import Controller, Keys, Watched, nothing, owned_by
from reconciler.decisions.plan import View
from reconciler.embedded.controllers import (
    accounts,
    claims,
    cronjob,
    daemonset,
    deployment,
    endpoints,
    events,
    job,
    ownership,
    replicaset,
    scheduler,
    statefulset,
)

FIELD_MANAGER = "kube-controller-manager"


def built_in() -> tuple[Controller, ...]:
    """Every controller, in the order in which a deterministic loop should ask them."""
    return (*_batch(), *_workloads(), *_surroundings())


def _batch() -> tuple[Controller, ...]:
    return (
        Controller("cronjob", CRON_JOBS, cronjob.decide, (Watched(JOBS, owned_by(CRON_JOBS)),)),
        Controller("job", JOBS, job.decide, (Watched(PODS, owned_by(JOBS)),)),
    )


def _workloads() -> tuple[Controller, ...]:
    revisions = Watched(CONTROLLER_REVISIONS, nothing)
    return (
        Controller(
            "deployment",
            DEPLOYMENTS,
            deployment.decide,
            (
                Watched(REPLICA_SETS, _of_owner_or_orphan(DEPLOYMENTS)),
                Watched(PODS, _deployment_of_pod),
            ),
        ),
        Controller(
            "replicaset",
            REPLICA_SETS,
            replicaset.decide,
            (Watched(PODS, _of_owner_or_orphan(REPLICA_SETS)),),
        ),
        Controller(
            "replicationcontroller",
            REPLICATION_CONTROLLERS,
            replicaset.decide_replication_controller,
            (Watched(PODS, _of_owner_or_orphan(REPLICATION_CONTROLLERS)),),
        ),
        Controller(
            "statefulset",
            STATEFUL_SETS,
            statefulset.decide,
            (
                Watched(PODS, _of_owner_or_orphan(STATEFUL_SETS)),
                Watched(PERSISTENT_VOLUME_CLAIMS, nothing),
                revisions,
            ),
        ),
        Controller(
            "daemonset",
            DAEMON_SETS,
            daemonset.decide,
            (Watched(PODS, owned_by(DAEMON_SETS)), Watched(NODES, _all(DAEMON_SETS)), revisions),
        ),
    )


def _surroundings() -> tuple[Controller, ...]:
    return (
        Controller(
            "serviceaccount",
            NAMESPACES,
            accounts.decide,
            (Watched(SERVICE_ACCOUNTS, _namespace_of),),
        ),
        Controller(
            "persistentvolumeclaim",
            PERSISTENT_VOLUME_CLAIMS,
            claims.decide,
            (
                Watched(PERSISTENT_VOLUMES, claims.claim_of_volume),
                Watched(PODS, claims.claims_of_pod),
            ),
        ),
        Controller(
            "persistentvolume",
            PERSISTENT_VOLUMES,
            claims.decide_volume,
            (Watched(PERSISTENT_VOLUME_CLAIMS, claims.volume_of_claim),),
        ),
        Controller(
            "scheduler",
            PODS,
            scheduler.decide,
            (
                Watched(NODES, scheduler.waiting_for_node),
                Watched(PERSISTENT_VOLUME_CLAIMS, scheduler.waiting_for_claim),
            ),
        ),
        Controller("event", EVENTS, events.decide),
        Controller(
            "endpoints",
            SERVICES,
            endpoints.decide,
            (Watched(PODS, endpoints.services_of), Watched(ENDPOINTS, _same_name)),
        ),
    )


def _of_owner_or_orphan(resource: Resource) -> Keys:
    """The owner; or, for an object that nobody controls, whoever might adopt it."""
    owner = owned_by(resource)

    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        if ownership.controller_of(obj) is not None:
            return owner(obj, view)
        labels = obj["metadata"].get("labels")
        candidates = view.list(resource, obj["metadata"].get("namespace", ""))
        return [
            Key.of(found)
            for found in candidates
            if ownership.matches(labels, replicaset.selector_of(found))
        ]

    return keys


def _deployment_of_pod(pod: JsonObject, view: View) -> Iterable[Key]:
    """The Deployment two steps up: ``Recreate`` waits for the last old Pod."""
    reference = ownership.controller_of(pod)
    if reference is None or reference["kind"] != REPLICA_SETS.kind:
        return ()
    place = pod["metadata"].get("namespace", "")
    parent = view.get(REPLICA_SETS, place, reference["name"])
    return owned_by(DEPLOYMENTS)(parent, view) if parent is not None else ()


def _all(resource: Resource) -> Keys:
    def keys(obj: JsonObject, view: View) -> Iterable[Key]:
        del obj
        return [Key.of(found) for found in view.list(resource)]

    return keys


def _namespace_of(obj: JsonObject, view: View) -> Iterable[Key]:
    del view
    return (Key("", obj["metadata"]["namespace"]),)


def _same_name(obj: JsonObject, view: View) -> Iterable[Key]:
    del view
    return (Key.of(obj),)
