"""Backing up the hosts of a target: what ``progress`` needs to know beside its machines.

Made by the session decision. The sidecars of a workload take its hosts; every other target is one
host, and has a Job.
"""

from __future__ import annotations

import attrs

from reconciler.api import conditions as c
from reconciler.api.hosts import alias_of
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import JOBS, PERSISTENT_VOLUME_CLAIMS, JsonObject
from reconciler.decisions import access, hosts, progress, runners, targets, world
from reconciler.decisions.plan import Create, Write
from reconciler.decisions.progress import Session, Words
from reconciler.decisions.runners import Runner
from reconciler.decisions.targets import Target
from reconciler.manifests import jobs, names

WORDS = Words(whole="session", noun="backup", verb="back up", done="backed up")


@attrs.frozen
class BackupWork:
    """What an invoker asks for."""

    invoker: Invoker
    repository: Repository | None

    def expected(self, session: Session, target: Target) -> tuple[str, ...]:
        return hosts.expected(session.view, target, self._alias(target))

    def runner(self, session: Session, target: Target, host: str, job: JsonObject | None) -> Runner:
        if target.obj is None or not target.is_workload:
            return progress.of_job(session, target, job)
        obstacle = targets.obstacle(target, session.namespace)
        if obstacle:
            return Runner(dead=True, reason=c.SIDECAR_INJECTION_FAILED, message=obstacle)
        mark = f"{self.invoker.kind}/{self.invoker.name}"
        return runners.of_sidecar(session.view, target.obj, host, self._alias(target), mark)

    def successor(self, session: Session, target: Target, host: str) -> Runner | None:  # noqa: ARG002 -- see Work
        """A snapshot of two runs would be of two moments."""
        return None

    def last_sign(self, session: Session, entry: JsonObject) -> str:  # noqa: ARG002 -- see Work
        """Sidecars are there before the session: none waits for another."""
        return ""

    def job_name(self, session: Session, target: Target, host: str) -> str:  # noqa: ARG002 -- one
        return names.backup_job(world.name_of(session.obj), target.index)

    def create(self, session: Session, target: Target, host: str) -> list[Write]:
        built = self._built(session, target, host)
        if built is None:
            return []
        account = jobs.service_account(target.member.runtime_settings)
        claim = [Create(PERSISTENT_VOLUME_CLAIMS, built.claim)] if built.claim else []
        rules = [*access.for_jobs(session.view, session.namespace, account)]
        if target.member.hooks is not None:
            own = account or names.BACKUP_JOB_ACCOUNT
            rules += access.for_hooks(session.view, session.namespace, own)
        return [*rules, *claim, Create(JOBS, built.job)]

    def pod_beside(self, session: Session, target: Target, host: str) -> JsonObject | None:
        """The spec of the pod that would back the target up: a hook may need its volumes."""
        built = self._built(session, target, host)
        found: JsonObject | None = built.job["spec"]["template"]["spec"] if built else None
        return found

    def _built(self, session: Session, target: Target, host: str) -> jobs.Built | None:
        task = targets.task(session.view, target.member)
        if task is None or self.repository is None:
            return None
        return jobs.backup(
            self.invoker,
            target.index,
            self.repository,
            session=session.obj,
            host=host,
            task=task,
            functions=targets.functions_of(session.view, task),
            image=session.settings.image,
            deadline_seconds=int((session.deadline - session.now).total_seconds()),
        )

    def _alias(self, target: Target) -> str:
        return alias_of(self.invoker, target.index)
