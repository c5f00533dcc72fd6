"""Short-lived Jobs for what needs a repository's Secret: so the Secret never leaves the cluster.

Used by ``snapshots``, ``restore`` and ``unlock``. The Job is the operator's own shape of a
repository Job (``manifests.jobs``), with the settings of a batch that uses the repository; it is
removed when its log has been read, and by its deadline if nobody does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

import attrs

from reconciler.api.invoker import INVOKERS
from reconciler.api.repository import Repository
from reconciler.api.resources import (
    FUNCTIONS,
    JOBS,
    PODS,
    REPOSITORIES,
    SERVICE_ACCOUNTS,
    JsonObject,
)
from reconciler.api.runtime import RuntimeSettings
from reconciler.cli import summary
from reconciler.cluster.port import Port
from reconciler.decisions import runs, world
from reconciler.engine.clock import Clock
from reconciler.errors import (
    InvalidObject,
    NotFound,
    Rejected,
    TemporaryError,
    TerminalError,
)
from reconciler.manifests import jobs, names

INTERVAL = 0.5
"""Seconds between two looks at the Job."""
_BUILT_IN = "pvc-backup"
"""A Function that the operator installs: its image is the operator's own."""


@attrs.frozen
class Errands:
    """Where the Jobs run, and how long they may take. ``image``: "" asks the cluster for it."""

    port: Port
    clock: Clock
    namespace: str
    image: str
    seconds: float

    def run(self, name: str, make: Callable[[Repository, str], jobs.Errand]) -> list[str]:
        """The lines that the Job for Repository ``name`` printed.

        Raises NotFound, InvalidObject (the Repository), TerminalError with what it said when it
        failed, TemporaryError when it took too long.
        """
        obj = self.port.get(REPOSITORIES, self.namespace, name)
        typed, faults = world.read_repository(obj)
        if typed is None or faults:
            raise InvalidObject(f"Repository {self.namespace}/{name}", faults)
        settings = self._settings(name)
        self._check_account(jobs.service_account(settings) or names.BACKUP_JOB_ACCOUNT)
        token = f"{self.clock.now().timestamp()}-{self.clock.random.random()}"
        wanted = jobs.of_repository(
            typed,
            obj,
            make(typed, token),
            settings=settings,
            image=self.image or self._image(),
            deadline_seconds=int(self.seconds) + 1,
        )
        job = self.port.create(JOBS, wanted)
        try:
            return self._finished(job)
        finally:
            with contextlib.suppress(NotFound):
                self.port.delete(JOBS, self.namespace, job["metadata"]["name"])

    def _settings(self, repository: str) -> RuntimeSettings | None:
        """Those of the first batch that uses it, as for the operator's own Jobs."""
        for resource in INVOKERS:
            for obj in summary.listed(self.port, resource, self.namespace):
                if world.repository_name(obj) == repository:
                    typed, _ = world.read_invoker({**obj, "kind": resource.kind})
                    return typed.runtime_settings if typed else None
        return None

    def _check_account(self, account: str) -> None:
        """Without it the Job would never get a pod, and nobody would say why."""
        try:
            self.port.get(SERVICE_ACCOUNTS, self.namespace, account)
        except NotFound as error:
            raise NotFound(
                f"ServiceAccount {self.namespace}/{account} is not there, which Jobs of Tandem"
                " run with; the operator makes it once a batch of this namespace uses the"
                " Repository: is it running, and is there such a batch?"
            ) from error

    def _image(self) -> str:
        try:
            found = self.port.get(FUNCTIONS, "", _BUILT_IN)
        except NotFound as error:
            raise NotFound(
                f"Function {_BUILT_IN} is not there, whose image is the operator's; is the"
                " operator installed? Else name Tandem's image with --image"
            ) from error
        return str(found["spec"]["image"])

    def _finished(self, job: JsonObject) -> list[str]:
        name = job["metadata"]["name"]
        give_up = self.clock.monotonic() + self.seconds
        while not (end := runs.finished(job)):
            pods = self._pods(name)
            if any(runs.has_ended(pod) for pod in pods):
                break  # one try is enough for a question; the Job would ask again
            if self.clock.monotonic() > give_up:
                raise TemporaryError(
                    f"Job {self.namespace}/{name}: not finished after {self.seconds:.0f} s;"
                    f" {_waiting(pods)}"
                )
            self.clock.sleep(INTERVAL)
            job = self.port.get(JOBS, self.namespace, name)
        pods = self._pods(name)
        lines = [line for pod in pods for line in self._log(pod)]
        if end != "Complete" and not any(_succeeded(pod) for pod in pods):
            said = next((line for line in reversed(lines) if line.strip()), runs.failure(job))
            raise TerminalError(f"Job {self.namespace}/{name} failed: {said}")
        return lines

    def _pods(self, job: str) -> list[JsonObject]:
        return self.port.list(PODS, self.namespace, label_selector=f"job-name={job}").items

    def _log(self, pod: JsonObject) -> list[str]:
        try:
            return list(self.port.logs(self.namespace, pod["metadata"]["name"], names.SIDECAR))
        except (NotFound, Rejected):
            return []


def _succeeded(pod: JsonObject) -> bool:
    return world.status_of(pod).get("phase") == "Succeeded"


def _waiting(pods: Iterable[JsonObject]) -> str:
    """What its pods wait for, in Kubernetes' words."""
    found = []
    for pod in pods:
        for state in world.status_of(pod).get("containerStatuses") or ():
            waits = (state.get("state") or {}).get("waiting") or {}
            if waits:
                found.append(f"{waits.get('reason', '')} {waits.get('message', '')}".strip())
        found += (
            str(condition.get("message") or condition.get("reason"))
            for condition in world.status_of(pod).get("conditions") or ()
            if condition["type"] == "PodScheduled" and condition["status"] != "True"
        )
    return "its pod waits: " + "; ".join(found) if found else "it has no pod that says why"
