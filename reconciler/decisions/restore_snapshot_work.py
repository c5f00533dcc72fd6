"""Claims made from VolumeSnapshots (a restore with the driver VolumeSnapshotter).

Made by the restore decision, for ``progress``. A host is a claim of the member's templates, named
by the claim, and each has a Job, which makes it. No restic and no Repository are involved.
"""

from __future__ import annotations

import attrs

from reconciler.api import hosts
from reconciler.api.resources import JOBS, JsonObject
from reconciler.api.restore import RestoreTarget
from reconciler.api.restore_invoker import RestoreInvoker
from reconciler.decisions import access, progress, world
from reconciler.decisions.plan import Create, Write
from reconciler.decisions.progress import Session
from reconciler.decisions.runners import Runner
from reconciler.decisions.targets import Target
from reconciler.manifests import jobs, names, restore_jobs


@attrs.frozen
class RestoreSnapshotWork:
    """What a restore asks for."""

    restore: RestoreInvoker

    def expected(self, session: Session, target: Target) -> tuple[str, ...]:  # noqa: ARG002 -- see Work
        wanted = self.restore.members[target.index].target or RestoreTarget()
        return tuple(
            world.name_of(claim)
            for ordinal in hosts.ordinals(wanted)
            for claim in restore_jobs.claims(self.restore, target.index, ordinal)
        )

    def runner(self, session: Session, target: Target, host: str, job: JsonObject | None) -> Runner:  # noqa: ARG002 -- see Work
        return progress.of_job(session, target, job)

    def successor(self, session: Session, target: Target, host: str) -> Runner | None:  # noqa: ARG002 -- see Work
        return None

    def last_sign(self, session: Session, entry: JsonObject) -> str:  # noqa: ARG002 -- see Work
        return ""

    def job_name(self, session: Session, target: Target, host: str) -> str:  # noqa: ARG002 -- see Work
        return names.snapshot_restore_job(self.restore.name, target.index, host)

    def create(self, session: Session, target: Target, host: str) -> list[Write]:
        job = restore_jobs.of_snapshot(
            self.restore,
            target.index,
            obj=session.obj,
            host=host,
            image=session.settings.image,
            deadline_seconds=int((session.deadline - session.now).total_seconds()),
        )
        account = jobs.service_account(target.member.runtime_settings)
        rules = access.for_snapshot_restores(session.view, session.namespace, account)
        return [*rules, Create(JOBS, job)]
