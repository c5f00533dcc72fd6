"""The data step of a restore's Job: ``restore-pvc``, ``restore-mysql``, and so on.

Called by the commands. By the rules of ``job``, but for one: a restore that is told to stop says
nothing. Half a restore is no result, and the Job's next pod takes the claim over and restores the
whole.
"""

from __future__ import annotations

import logging

from reconciler.agent import job, member_hooks, restoring
from reconciler.agent.job import Begun, Step
from reconciler.agent.workshop import Tools
from reconciler.api.resources import Resource
from reconciler.api.restore_invoker import RESTORE_INVOKERS
from reconciler.cluster.port import Port
from reconciler.errors import TerminalError

_log = logging.getLogger(__name__)


def run(port: Port, tools: Tools, step: Step, prepare: restoring.Prepare) -> int:
    """Restore one host and hand the result on. Whatever is wrong fails the host, not the pod."""
    begun = job.begin(port, tools, step)
    if not isinstance(begun, Begun):
        return begun
    pod = tools.surroundings.pod().name
    where = member_hooks.of_job(port, step.namespace, pod, step.target)
    report = restoring.host(port, tools, begun, prepare, where)
    if tools.stop:
        _log.warning("ended before the restore was done; the next pod restores the whole")
        return job.REFUSED
    return job.hand_on(port, tools, step, begun, report)


def resource_of(kind: str) -> Resource:
    """Raises TerminalError for a kind that restores nothing."""
    for resource in RESTORE_INVOKERS:
        if resource.kind == kind:
            return resource
    known = " or ".join(resource.kind for resource in RESTORE_INVOKERS)
    raise TerminalError(f"--invoker-kind must be {known}, found {kind!r}")
