"""Snapshots of the claims of a target (driver VolumeSnapshotter): what ``progress`` needs to know.

Made by the session decision. A host is a claim, named by the claim; one Job a target makes the
VolumeSnapshots of all its claims. No restic and no Repository are involved.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from reconciler.api.invoker import Invoker
from reconciler.api.resources import (
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    STATEFUL_SETS,
    VOLUME_SNAPSHOTS,
    VOLUME_SNAPSHOTS_V1BETA1,
    JsonObject,
)
from reconciler.decisions import access, progress, world
from reconciler.decisions.plan import Create, Write
from reconciler.decisions.progress import Session, Words
from reconciler.decisions.runners import Runner
from reconciler.decisions.targets import Target
from reconciler.manifests import jobs, names

WORDS = Words(
    whole="session",
    noun="snapshot",
    verb="back up",
    done="snapshotted",
    hostless="has no claim to take a snapshot of; give it one, or take the target out of the spec.",
)
NOT_SERVED = "SnapshotsNotServed"


@attrs.frozen
class SnapshotWork:
    """What an invoker asks for."""

    invoker: Invoker

    def expected(self, session: Session, target: Target) -> tuple[str, ...]:  # noqa: ARG002 -- see Work
        return claims_of(target)

    def runner(self, session: Session, target: Target, host: str, job: JsonObject | None) -> Runner:  # noqa: ARG002 -- one Job for all hosts
        served = map(session.view.serves, (VOLUME_SNAPSHOTS, VOLUME_SNAPSHOTS_V1BETA1))
        if job is None and not any(served):
            message = (
                f"The cluster does not serve {VOLUME_SNAPSHOTS.group}: install the CRDs of "
                "VolumeSnapshots and a CSI driver that makes them, or write driver: Restic."
            )
            return Runner(dead=True, reason=NOT_SERVED, message=message)
        return progress.of_job(session, target, job)

    def successor(self, session: Session, target: Target, host: str) -> Runner | None:  # noqa: ARG002 -- see Work
        return None

    def last_sign(self, session: Session, entry: JsonObject) -> str:  # noqa: ARG002 -- see Work
        return ""

    def job_name(self, session: Session, target: Target, host: str) -> str:  # noqa: ARG002 -- one
        return names.snapshot_job(world.name_of(session.obj), target.index)

    def create(self, session: Session, target: Target, host: str) -> list[Write]:  # noqa: ARG002 -- one
        job = jobs.snapshots(
            self.invoker,
            target.index,
            session=session.obj,
            image=session.settings.image,
            deadline_seconds=int((session.deadline - session.now).total_seconds()),
        )
        account = jobs.service_account(target.member.runtime_settings)
        return [
            *access.for_snapshots(session.view, session.namespace, account),
            Create(JOBS, job),
        ]


def claims_of(target: Target) -> tuple[str, ...]:
    """The claims of the target as it is now, each once; none for one that is not there."""
    if target.ref.kind == PERSISTENT_VOLUME_CLAIMS.kind:
        return (target.ref.name,)
    if target.obj is None:
        return ()
    return tuple(dict.fromkeys((*_of_template(target.obj), *_of_ordinals(target))))


def _of_template(workload: JsonObject) -> Iterator[str]:
    spec = workload.get("spec") or {}
    for volume in ((spec.get("template") or {}).get("spec") or {}).get("volumes") or ():
        claim = volume.get("persistentVolumeClaim") or {}
        if claim.get("claimName"):
            yield str(claim["claimName"])


def _of_ordinals(target: Target) -> Iterator[str]:
    """A StatefulSet makes ``<template>-<name>-<ordinal>``; ``target.replicas`` may ask for others
    than run now: the claims of a set that was scaled down are still there.
    """
    if target.obj is None or target.ref.kind != STATEFUL_SETS.kind:
        return
    asked = target.member.target.replicas if target.member.target else None
    spec = target.obj.get("spec") or {}
    replicas = spec.get("replicas", 1) if asked is None else asked
    for ordinal in range(replicas):
        for template in spec.get("volumeClaimTemplates") or ():
            yield f"{template['metadata']['name']}-{target.ref.name}-{ordinal}"
