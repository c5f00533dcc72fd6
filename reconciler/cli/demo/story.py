"""The steps of the demo, in the order in which they are told.

Called by ``command``. Each step changes the cluster as a user would, with manifests, and then waits
for the state of the world that the step is about.
"""

from __future__ import annotations

from typing import Final

import attrs

from reconciler.api.resources import BACKUP_BATCHES, DEPLOYMENTS, REPOSITORIES, STATEFUL_SETS
from reconciler.cli import screens, summary
from reconciler.cli.demo import application, evidence
from reconciler.cli.demo.application import BATCH, NAMESPACE, Blanks
from reconciler.cli.demo.evidence import Check
from reconciler.cli.demo.stage import Stage
from reconciler.cli.summary import SessionLine, Summary
from reconciler.errors import TerminalError

START_SECONDS: Final = 90.0
"""For the application, and for the batch, to be ready: a database is set up on a slow machine."""
SESSION_SECONDS: Final = 180.0
"""For a session to end: a whole minute until the slot, and the backup."""
FINISH_SECONDS: Final = 60.0
"""For maintenance, and for a restore."""
READY_PHASES: Final = frozenset({"Scheduled", "Running", "Succeeded", "Failed"})


@attrs.frozen
class Outcome:
    """What the demo has shown."""

    session: SessionLine
    repository: summary.RepositoryLine
    checks: tuple[Check, ...]

    @property
    def proven(self) -> bool:
        return all(check.ok for check in self.checks)


def tell(stage: Stage) -> Outcome:
    """The whole story. Raises TandemError, with the reason, where it ends badly."""
    blanks = Blanks.made_up()
    _application(stage, blanks)
    _batch(stage, blanks)
    session = _session(stage)
    repository = _maintained(stage, session)
    stage.progress.step("Restoring one file and one table, and comparing them with the originals")
    checks = evidence.restored(stage, blanks, session, FINISH_SECONDS)
    return Outcome(session, repository, checks)


def _application(stage: Stage, blanks: Blanks) -> None:
    stage.progress.step("Starting a WordPress-like application: files, uploads and a MariaDB")
    application.apply(stage.port, application.manifests(application.APPLICATION, blanks))

    def ready() -> bool | None:
        deployment = stage.port.get(DEPLOYMENTS, NAMESPACE, "wordpress")
        database = stage.port.get(STATEFUL_SETS, NAMESPACE, "wordpress-db")
        counts = [
            (each.get("status") or {}).get("readyReplicas") for each in (deployment, database)
        ]
        return True if all(counts) else None

    stage.until(ready, "the application is ready", START_SECONDS)


def _batch(stage: Stage, blanks: Blanks) -> None:
    stage.progress.step(
        "Declaring one BackupBatch for all three, every minute, into one repository"
    )
    application.apply(stage.port, application.manifests(application.BACKUP, blanks))

    def scheduled() -> bool | None:
        return True if look(stage).phase in READY_PHASES else None

    stage.until(scheduled, "the batch is scheduled", START_SECONDS)


def look(stage: Stage) -> Summary:
    """The batch as it is now, shown and returned."""
    obj = stage.port.get(BACKUP_BATCHES, NAMESPACE, BATCH)
    found = summary.gather(stage.port, BACKUP_BATCHES, obj)
    stage.progress.show(found)
    return found


def _session(stage: Stage) -> SessionLine:
    stage.progress.step("Waiting for a slot of the schedule, and for the session that it starts")

    def ended() -> SessionLine | None:
        found = look(stage)
        if found.repository.phase == "Failed":
            raise TerminalError(_why_not(found.repository, stage))
        if not found.sessions:
            slot = screens.relative(found.next, stage.clock.now())
            stage.progress.waiting(f"next slot {slot}")
            return None
        stage.progress.waiting("")
        # the oldest one: a slow machine may already be at the next slot
        first = found.sessions[-1]
        return first if first.final else None

    session = stage.until(ended, "the session has ended", SESSION_SECONDS)
    if session.phase != "Succeeded":
        raise TerminalError(_why(session))
    return session


def _why_not(repository: summary.RepositoryLine, stage: Stage) -> str:
    reasons = [c.message for c in repository.conditions if c.status != "True"]
    told = "; ".join((*reasons, stage.diagnosis()))
    return f"Repository {repository.name} is Failed: {told}"


def _why(session: SessionLine) -> str:
    reasons = [
        f"{target.kind} {target.name}: "
        + "; ".join(host.error for host in target.hosts if host.error)
        + (target.message or target.reason)
        for target in session.targets
        if target.phase != "Succeeded"
    ]
    reasons += [f"{c.type}: {c.message}" for c in session.conditions if c.status != "True"]
    return f"BackupSession {session.name} is {session.phase}: " + "; ".join(reasons)


def _maintained(stage: Stage, session: SessionLine) -> summary.RepositoryLine:
    stage.progress.step("Applying the retention policy and verifying the repository")

    def done() -> summary.RepositoryLine | None:
        status = stage.port.get(REPOSITORIES, NAMESPACE, BATCH).get("status") or {}
        found = look(stage).repository
        return found if status.get("lastMaintainedSession") == session.name else None

    return stage.until(done, "the repository is verified", FINISH_SECONDS)
