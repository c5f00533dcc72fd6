"""Restoring the hosts of a target: what ``progress`` needs to know beside its machines.

Made by the restore decision. The init containers of a workload's pods take its hosts; every host of
another target has a Job, and those of claim templates a set of claims each.
"""

from __future__ import annotations

import datetime as dt

import attrs

from reconciler.api import conditions as c
from reconciler.api import hosts as host_names
from reconciler.api.durations import parse_duration
from reconciler.api.repository import Repository
from reconciler.api.resources import JOBS, PERSISTENT_VOLUME_CLAIMS, JsonObject
from reconciler.api.restore import RestoreTarget
from reconciler.api.restore_invoker import RestoreInvoker
from reconciler.decisions import access, conditions, hosts, progress, runners, targets, world
from reconciler.decisions.plan import Create, View, Write
from reconciler.decisions.progress import Session, Words
from reconciler.decisions.runners import Runner
from reconciler.decisions.targets import Target
from reconciler.manifests import jobs, names, restore_jobs

WORDS = Words(whole="restore", noun="restore", verb="restore", done="restored")
CLAIM_TAKEN = "ClaimTaken"


@attrs.frozen
class RestoreWork:
    """What a restore asks for."""

    restore: RestoreInvoker
    repository: Repository | None

    def expected(self, session: Session, target: Target) -> tuple[str, ...]:
        sets = self._sets(target)
        return tuple(sets) if sets else hosts.expected(session.view, target, self._alias(target))

    def runner(self, session: Session, target: Target, host: str, job: JsonObject | None) -> Runner:
        if target.obj is not None and target.is_workload:
            return self._in_pods(session, target, target.obj, host)
        foreign = self._foreign_claim(session.view, target, host) if job is None else ""
        if foreign:
            message = (
                f"PersistentVolumeClaim {session.namespace}/{foreign} is there already, and this "
                "restore did not make it; delete it, or change the name of the claim template."
            )
            return Runner(dead=True, reason=CLAIM_TAKEN, message=message)
        return progress.of_job(session, target, job)

    def successor(self, session: Session, target: Target, host: str) -> Runner | None:
        """The next pod of a workload restores the whole host again; nothing is lost by that.

        Without any pod it is waited for until the deadline: somebody may scale the workload up.
        """
        if target.obj is None or not target.is_workload:
            return None
        found = self._in_pods(session, target, target.obj, host)
        if found.dead or found.ready or not found.since:
            return None if found.dead else found
        overdue = conditions.moment(found.since) + session.settings.runner_grace
        return None if session.now >= overdue else attrs.evolve(found, look_at=overdue)

    def last_sign(self, session: Session, entry: JsonObject) -> str:
        """A rollout makes pods one after another: one waits while another is restored."""
        stats = {stat.get("hostname"): stat for stat in entry.get("stats") or ()}
        signs = [
            _end(claim, stats.get(claim["hostname"]), session.now)
            for claim in entry.get("hosts") or ()
            if claim.get("startTime")
        ]
        return conditions.timestamp(max(signs)) if signs else ""

    def job_name(self, session: Session, target: Target, host: str) -> str:  # noqa: ARG002 -- see Work
        return names.restore_job(self.restore.name, target.index, self._sets(target).get(host))

    def create(self, session: Session, target: Target, host: str) -> list[Write]:
        task = targets.task(session.view, target.member)
        if self.repository is None or self._foreign_claim(session.view, target, host):
            return []
        ordinal = self._sets(target).get(host)
        built = restore_jobs.restore(
            self.restore,
            target.index,
            self.repository,
            obj=session.obj,
            host=host,
            ordinal=ordinal,
            task=task,
            functions=targets.functions_of(session.view, task) if task else {},
            image=session.settings.image,
            deadline_seconds=int((session.deadline - session.now).total_seconds()),
        )
        account = jobs.service_account(target.member.runtime_settings)
        claims = list(self._claims(target, host))
        claims += [built.claim] if built.claim else []
        rules = list(access.for_restore_jobs(session.view, session.namespace, account))
        if target.member.hooks is not None:
            own = account or names.RESTORE_JOB_ACCOUNT
            rules += access.for_hooks(session.view, session.namespace, own)
        made = [Create(PERSISTENT_VOLUME_CLAIMS, claim) for claim in claims]
        return [*rules, *made, Create(JOBS, built.job)]

    def _in_pods(self, session: Session, target: Target, obj: JsonObject, host: str) -> Runner:
        obstacle = targets.obstacle(target, session.namespace)
        if obstacle:
            return Runner(dead=True, reason=c.INIT_CONTAINER_INJECTION_FAILED, message=obstacle)
        mark = f"{self.restore.kind}/{self.restore.name}"
        return runners.of_init_container(session.view, obj, host, self._alias(target), mark)

    def _sets(self, target: Target) -> dict[str, str]:
        """The hosts that are sets of claims, each with its ordinal."""
        wanted = self.restore.members[target.index].target or RestoreTarget()
        if not wanted.volume_claim_templates:
            return {}
        alias = self._alias(target)
        return {
            host_names.restore_host(wanted, alias, ordinal=each): each
            for each in host_names.ordinals(wanted)
        }

    def _claims(self, target: Target, host: str) -> tuple[JsonObject, ...]:
        ordinal = self._sets(target).get(host)
        if ordinal is None:
            return ()
        return restore_jobs.claims(self.restore, target.index, ordinal)

    def _foreign_claim(self, view: View, target: Target, host: str) -> str:
        """A claim of the set that somebody else made: its data is not ours to write over."""
        for claim in self._claims(target, host):
            name = world.name_of(claim)
            found = view.get(PERSISTENT_VOLUME_CLAIMS, self.restore.namespace, name)
            if found is not None and not restore_jobs.is_own(found, self.restore):
                return name
        return ""

    def _alias(self, target: Target) -> str:
        return host_names.restore_alias_of(self.restore, target.index)


def _end(claim: JsonObject, stat: JsonObject | None, now: dt.datetime) -> dt.datetime:
    """When the host was finished; now, while it is at work."""
    if stat is None:
        return now
    began = conditions.moment(claim["startTime"])
    try:
        return began + parse_duration(stat.get("duration") or "0s")
    except ValueError:
        return began
