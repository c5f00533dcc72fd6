"""What shows that the backup is one: a file and a table restored and compared with the originals.

Called by ``story``. The restores are Jobs of the demo's namespace that use restic and the
database's client directly, so that they prove the repository without any code of Tandem's.
"""

from __future__ import annotations

from typing import Final

import attrs

from reconciler.api.resources import JOBS
from reconciler.cli.demo import application
from reconciler.cli.demo.application import NAMESPACE, Blanks
from reconciler.cli.demo.stage import Stage
from reconciler.cli.summary import SessionLine
from reconciler.errors import TerminalError

JOBS_OF: Final = {
    "restore-file": "file wp-config.php of Deployment wordpress",
    "restore-table": "table wp_posts of MariaDB wordpress-db",
}
"""The Jobs of the manifest, and what each of them restores."""


@attrs.frozen
class Check:
    """One comparison, and what it found."""

    what: str
    ok: bool
    detail: str


def restored(
    stage: Stage, blanks: Blanks, session: SessionLine, seconds: float
) -> tuple[Check, ...]:
    """Restore from the session's snapshots and compare. Raises TemporaryError if it takes long."""
    snapshots = {
        "file_snapshot": snapshot_of(session, "Deployment"),
        "table_snapshot": snapshot_of(session, "AppBinding"),
    }
    objects = application.manifests(application.RESTORE, blanks, **snapshots)
    application.apply(stage.port, objects)
    return tuple(_check(stage, job, what, seconds) for job, what in JOBS_OF.items())


def snapshot_of(session: SessionLine, kind: str) -> str:
    """The id of the first snapshot of the target of this kind."""
    for target in session.targets:
        for host in target.hosts:
            if target.kind == kind and host.snapshots:
                return host.snapshots[0].id
    raise TerminalError(f"BackupSession {session.name} has no snapshot of its {kind}")


def _check(stage: Stage, job: str, what: str, seconds: float) -> Check:
    def ended() -> bool | None:
        status = stage.port.get(JOBS, NAMESPACE, job).get("status") or {}
        kinds = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
        return "Complete" in kinds if kinds & {"Complete", "Failed"} else None

    ok = stage.until(ended, f"Job {job} has ended", seconds)
    pods = stage.pods(f"job-name={job}")
    lines = [line for pod in pods for line in stage.log(pod["metadata"]["name"])]
    detail = " | ".join(lines[-1:] if ok else lines[-5:])
    return Check(what, ok, detail)
