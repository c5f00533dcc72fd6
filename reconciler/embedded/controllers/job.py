"""Job: Pods that run to the end, so many times (the kube controller's rule).

Run by the embedded cluster. Counts completions, retries failures with back-off (10 s, doubled, at
most 6 min) up to ``backoffLimit``, ends at ``activeDeadlineSeconds``, and removes itself after
``ttlSecondsAfterFinished``. Pod names are ``<job>-<number>-<hash>``. Not there: ``Indexed`` jobs
and pod failure policies.
"""

from __future__ import annotations

import datetime as dt

import attrs

from reconciler.api.resources import JOBS, PODS, JsonObject, Key
from reconciler.decisions.plan import Delete, EventIntent, Plan, Settings, View, Write
from reconciler.embedded.controllers import ownership, pods, statuses

BACK_OFF = dt.timedelta(seconds=10)
LONGEST_BACK_OFF = dt.timedelta(minutes=6)
SOURCE = "job-controller"


@attrs.frozen
class _Count:
    """The Pods of a Job, sorted by what became of them."""

    active: list[JsonObject]
    succeeded: int
    failed: int
    last_failure: dt.datetime | None


@attrs.frozen
class _Verdict:
    """The end of a Job: a condition with its reason."""

    condition: str
    reason: str = ""
    message: str = ""


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """Pods and status of one Job."""
    del settings
    job = view.get(JOBS, key.namespace, key.name)
    if job is None or ownership.deleting(job):
        return Plan()
    children = ownership.owned(view, PODS, job)
    count = _count(job, children)
    if outcome(job) is not None:
        return _after(job, count, now)
    if job["spec"].get("suspend"):
        return _suspended(job, count, now)
    started = _started(job, now)
    verdict = _verdict(job, children, count, started, now)
    if verdict is not None:
        return _finish(job, count, started, now, verdict)
    return _run(job, children, count, started, now)


def outcome(job: JsonObject) -> str | None:
    """``Complete`` or ``Failed`` when the Job is finished, else None."""
    for kind in ("Complete", "Failed"):
        found = pods.condition(job, kind)
        if found is not None and found["status"] == "True":
            return kind
    return None


def _count(job: JsonObject, children: list[JsonObject]) -> _Count:
    before = job.get("status", {})
    succeeded = sum(pods.phase(pod) == "Succeeded" for pod in children)
    failures = [pod for pod in children if pods.phase(pod) == "Failed"]
    # A finished Pod that somebody deleted stays counted.
    return _Count(
        active=[pod for pod in children if pods.is_active(pod)],
        succeeded=max(succeeded, before.get("succeeded", 0)),
        failed=max(len(failures), before.get("failed", 0)),
        last_failure=max((_finished_at(pod) for pod in failures), default=None),
    )


def _finished_at(pod: JsonObject) -> dt.datetime:
    ends = [
        container["state"]["terminated"]["finishedAt"]
        for container in pod.get("status", {}).get("containerStatuses", ())
        if "terminated" in container.get("state", {})
    ]
    return pods.moment(max(ends, default=pod["metadata"]["creationTimestamp"]))


def _started(job: JsonObject, now: dt.datetime) -> dt.datetime:
    text = job.get("status", {}).get("startTime")
    return pods.moment(text) if text else now


def _deadline(job: JsonObject, started: dt.datetime) -> dt.datetime | None:
    seconds = job["spec"].get("activeDeadlineSeconds")
    return None if seconds is None else started + dt.timedelta(seconds=seconds)


def _verdict(
    job: JsonObject,
    children: list[JsonObject],
    count: _Count,
    started: dt.datetime,
    now: dt.datetime,
) -> _Verdict | None:
    """What ends the Job now, if anything does."""
    if _is_complete(job, count):
        return _Verdict("Complete")
    limit = job["spec"].get("backoffLimit", 6)
    if count.failed > limit or _restarts_exhausted(job, children, limit):
        reached = "Job has reached the specified backoff limit"
        return _Verdict("Failed", "BackoffLimitExceeded", reached)
    deadline = _deadline(job, started)
    if deadline is not None and now >= deadline:
        late = "Job was active longer than specified deadline"
        return _Verdict("Failed", "DeadlineExceeded", late)
    return None


def _is_complete(job: JsonObject, count: _Count) -> bool:
    completions = _completions(job)
    if completions is None:  # a work queue: one success ends it, once the others are done
        return count.succeeded > 0 and not count.active
    return count.succeeded >= completions


def _completions(job: JsonObject) -> int | None:
    spec = job["spec"]
    if spec.get("completions") is not None:
        return int(spec["completions"])
    return 1 if spec.get("parallelism") is None else None


def _restarts_exhausted(job: JsonObject, children: list[JsonObject], limit: int) -> bool:
    """With ``restartPolicy: OnFailure`` restarts in place count as failures."""
    if job["spec"]["template"].get("spec", {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        int(container.get("restartCount", 0))
        for pod in children
        for part in ("initContainerStatuses", "containerStatuses")
        for container in pod.get("status", {}).get(part) or ()
    )
    return restarts >= limit if limit else restarts > 0


def _after(job: JsonObject, count: _Count, now: dt.datetime) -> Plan:
    """A finished Job keeps nothing running, and goes when its time to live is over."""
    writes: list[Write] = [pods.delete(pod) for pod in count.active]
    if job.get("status", {}).get("active"):
        status = {name: value for name, value in job["status"].items() if name != "active"}
        writes += statuses.write(JOBS, job, status)
    lifetime = job["spec"].get("ttlSecondsAfterFinished")
    if lifetime is None:
        return Plan(writes=tuple(writes))
    ended = pods.condition(job, outcome(job) or "") or {}
    expiry = pods.moment(ended["lastTransitionTime"]) + dt.timedelta(seconds=lifetime)
    if now < expiry:
        return Plan(writes=tuple(writes), wake_at=expiry)
    meta = job["metadata"]
    gone = Delete(JOBS, meta["namespace"], meta["name"], meta["uid"])
    return Plan(writes=(*writes, gone))


def _suspended(job: JsonObject, count: _Count, now: dt.datetime) -> Plan:
    status = _status(job, count, None)
    status["conditions"] = [
        statuses.condition(
            job, "Suspended", now, value=True, reason="JobSuspended", message="Job suspended"
        )
    ]
    removals = [pods.delete(pod) for pod in count.active]
    return Plan(writes=(*removals, *statuses.write(JOBS, job, status)))


def _status(job: JsonObject, count: _Count, started: dt.datetime | None) -> JsonObject:
    numbers = {
        "active": len(count.active),
        "ready": sum(pods.is_ready(pod) for pod in count.active),
        "succeeded": count.succeeded,
        "failed": count.failed,
    }
    status: JsonObject = {name: number for name, number in numbers.items() if number}
    if started is not None:
        status["startTime"] = pods.timestamp(started)
    if job.get("status", {}).get("conditions"):
        status["conditions"] = job["status"]["conditions"]
    return status


def _finish(
    job: JsonObject, count: _Count, started: dt.datetime, now: dt.datetime, verdict: _Verdict
) -> Plan:
    status = _status(job, attrs.evolve(count, active=[]), started)
    made = statuses.condition(
        job, verdict.condition, now, value=True, reason=verdict.reason, message=verdict.message
    )
    status["conditions"] = [made]
    if verdict.condition == "Complete":
        status["completionTime"] = pods.timestamp(now)
        event = EventIntent(job, "Completed", "Job completed", source=SOURCE)
    else:
        event = EventIntent(job, verdict.reason, verdict.message, "Warning", SOURCE)
    removals = [pods.delete(pod) for pod in count.active]
    return Plan(writes=(*removals, *statuses.write(JOBS, job, status)), events=(event,))


def _run(
    job: JsonObject,
    children: list[JsonObject],
    count: _Count,
    started: dt.datetime,
    now: dt.datetime,
) -> Plan:
    retry_at = _retry_at(count)
    missing = _wanted(job, count) - len(count.active)
    creations: list[JsonObject] = []
    if missing > 0 and (retry_at is None or now >= retry_at):
        creations = _new_pods(job, children, missing)
    surplus = sorted(count.active, key=pods.removal_order)[: max(0, -missing)]
    status = _status(job, count, started)
    status.pop("conditions", None)  # a resumed Job is no longer Suspended
    waits = [_deadline(job, started)]
    if missing > 0 and not creations:
        waits.append(retry_at)
    return Plan(
        writes=(
            *(pods.create(pod) for pod in creations),
            *(pods.delete(pod) for pod in surplus),
            *statuses.write(JOBS, job, status),
        ),
        events=tuple(_created(job, pod) for pod in creations),
        wake_at=statuses.earliest(waits),
    )


def _wanted(job: JsonObject, count: _Count) -> int:
    parallelism = int(job["spec"].get("parallelism") or 1)
    if job["spec"].get("parallelism") == 0:
        return 0
    completions = _completions(job)
    if completions is None:
        return len(count.active) if count.succeeded else parallelism
    return min(parallelism, completions - count.succeeded)


def _retry_at(count: _Count) -> dt.datetime | None:
    if count.last_failure is None:
        return None
    doubled: dt.timedelta = BACK_OFF * 2 ** min(count.failed - 1, 6)
    return count.last_failure + min(doubled, LONGEST_BACK_OFF)


def _new_pods(job: JsonObject, children: list[JsonObject], missing: int) -> list[JsonObject]:
    taken = {pod["metadata"]["name"] for pod in children}
    meta = job["metadata"]
    made: list[JsonObject] = []
    number = 0
    while len(made) < missing:
        name = ownership.child_name(
            meta["name"], f"{number}-{ownership.digest([meta['uid'], number])}"
        )
        if name not in taken:
            made.append(_pod(job, name))
        number += 1
    return made


def _pod(job: JsonObject, name: str) -> JsonObject:
    meta = job["metadata"]
    labels = {
        "job-name": meta["name"],
        "controller-uid": meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "batch.kubernetes.io/controller-uid": meta["uid"],
    }
    template = job["spec"]["template"]
    return pods.from_template(template, name=name, resource=JOBS, owner=job, labels=labels)


def _created(job: JsonObject, pod: JsonObject) -> EventIntent:
    message = f"Created pod: {pod['metadata']['name']}"
    return EventIntent(job, "SuccessfulCreate", message, source=SOURCE)
