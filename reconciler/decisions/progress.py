"""How far one target of a session is: its hosts, its runners, its Jobs.

Called by the session decision and the restore decision, once a target, in the order of the
members. From the entry in the status and the world it makes the next entry and the writes that go
with it. Hosts and targets advance by ``statemachines.host`` and ``statemachines.target``. What
differs between backing up and restoring is in a ``Work`` (``backup_work``, ``restore_work``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs

from reconciler.api.resources import JOBS, JsonObject
from reconciler.decisions import conditions, owed_hooks, runners, runs, world
from reconciler.decisions.owed_hooks import Owed
from reconciler.decisions.plan import Delete, Settings, View, Write
from reconciler.decisions.runners import Runner
from reconciler.decisions.targets import Target
from reconciler.manifests import labels
from statemachines import host as host_machine
from statemachines import target as target_machine

TARGET_NOT_FOUND = "TargetNotFound"
MEMBER_REMOVED = "MemberRemoved"
DEADLINE_EXCEEDED = "DeadlineExceeded"
NO_HOSTS = "NoHosts"
HOST_FAILED = "HostFailed"
WAITING_FOR_TURN = "WaitingForTurn"
WAITING_FOR_REPOSITORY = "WaitingForRepository"
REPORT_GRACE = dt.timedelta(seconds=30)
"""A runner ends its tool at the deadline and has so long to report it; until then it may still use
the repository, and the host is not given up."""
_REMOVED = "The target is in the spec of its invoker no more."


@attrs.frozen
class Words:
    """How messages speak of what is done."""

    whole: str
    """What has the deadline: the session, or the restore."""
    noun: str
    verb: str
    done: str
    hostless: str = ""
    """What is said of a target without any host, if it is not that it has no pod."""


class Work(Protocol):
    """What is done to the hosts of a target."""

    def expected(self, session: Session, target: Target) -> tuple[str, ...]:
        """The hosts of the target as it is now."""

    def runner(self, session: Session, target: Target, host: str, job: JsonObject | None) -> Runner:
        """Who may claim a host that nobody has claimed; the target is there."""

    def successor(self, session: Session, target: Target, host: str) -> Runner | None:
        """Who goes on with a host whose runner has died; None: nobody may."""

    def last_sign(self, session: Session, entry: JsonObject) -> str:
        """When the target last got on (RFC 3339), if a missing runner waits for that; or ""."""

    def job_name(self, session: Session, target: Target, host: str) -> str:
        """The Job of a host whose target is no workload."""

    def create(self, session: Session, target: Target, host: str) -> list[Write]:
        """That Job and what it needs; nothing while something of it is missing."""


@attrs.frozen
class Session:
    """What is the same for all targets of a session."""

    obj: JsonObject
    """The BackupSession, RestoreSession or RestoreBatch."""
    work: Work | None
    """None when what is to be done cannot be read any more: then nothing new is started."""
    words: Words
    targets: tuple[Target, ...]
    started: bool
    """The session may use the repository."""
    waits_for: str
    """What it waits for until then, as a sentence."""
    deadline: dt.datetime
    now: dt.datetime
    settings: Settings
    view: View
    refused: tuple[str, str] | tuple[()] = ()
    """Reason and message, when no target is begun any more: the hook before them has failed."""
    owed: Owed | None = None
    """The post hooks of members; None where nobody owes any."""

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def is_late(self) -> bool:
        return self.now >= self.deadline

    def is_late_for(self, claim: JsonObject) -> bool:
        """Whether nothing is to be expected of a host any more."""
        return self.now >= self.report_until(claim)

    def report_until(self, claim: JsonObject) -> dt.datetime:
        """Until when the report of a host is waited for."""
        return self.deadline + (REPORT_GRACE if claim.get("runner") else dt.timedelta(0))


@attrs.frozen
class Step:
    """What one look at a target has led to."""

    entry: JsonObject
    writes: tuple[Write, ...] = ()
    look_at: tuple[dt.datetime, ...] = ()
    given_up: tuple[JsonObject, ...] = ()
    """The Failed stats that the operator has added because nobody else will."""
    lost_hooks: tuple[tuple[str, str], ...] = ()
    """(whose post hook, why) of those that nobody will run."""


@attrs.frozen
class _Host:
    name: str
    claim: JsonObject
    runner: Runner
    state: str
    overdue_at: dt.datetime
    job: JsonObject | None


def is_final(entry: JsonObject) -> bool:
    return entry.get("phase") in ("Succeeded", "Failed")


def advance(session: Session, entry: JsonObject, *, turn: bool) -> Step:
    """The next entry of a target. A final one never changes (invariant 2)."""
    if is_final(entry):
        return Step(entry)
    target = _target_of(session, entry)
    begins = session.started and turn and not session.is_late
    going = begins or entry.get("phase", "Pending") != "Pending"
    entry = _with_hosts(session, entry, target) if going else entry
    claims = entry.get("hosts") or ()
    seen = [_host(session, entry, target, claim, going=going) for claim in claims]
    given_up = [_lost(session, host) for host in seen if _is_lost(entry, host)]
    stats = [*(entry.get("stats") or ()), *given_up]
    hooks = [_settled(session, target, entry, stats, host) for host in seen]
    facts = attrs.evolve(
        _facts(session, target, entry, seen, stats, turn),
        hooks_settled=not any(each.owed for each in hooks),
    )
    stored = entry.get("phase", target_machine.PENDING)
    about = f"{entry['ref'].get('kind')} {entry['ref'].get('name')}"
    phase = target_machine.TABLE.advance(stored, facts, about=about).state
    found = _entry(session, entry, target, phase, seen, stats)
    if hooks:
        found["hosts"] = [each.claim for each in hooks]
    return Step(
        found,
        (*_job_writes(session, target, seen), *(w for each in hooks for w in each.writes)),
        (*_looks(session, seen, found), *_hook_looks(session, hooks)),
        tuple(given_up),
        tuple(each.lost for each in hooks if each.lost),
    )


def _settled(
    session: Session,
    target: Target | None,
    entry: JsonObject,
    stats: list[JsonObject],
    host: _Host,
) -> owed_hooks.Settled:
    """What the host's runner owes. ``stats``: those to be stored, of which ``entry`` has some."""
    if session.owed is None:
        return owed_hooks.Settled(host.claim)
    stat = next((item for item in stats if item.get("hostname") == host.name), None)
    stored = _report(entry, host.name) is not host_machine.Report.NONE
    known = owed_hooks.Host(host.claim, stat, stored, dead=host.runner.dead)
    return owed_hooks.settle(session.owed, target, known)


def _hook_looks(session: Session, hooks: Iterable[owed_hooks.Settled]) -> Iterator[dt.datetime]:
    return (moment for each in hooks for moment in each.look_at if moment > session.now)


def _target_of(session: Session, entry: JsonObject) -> Target | None:
    ref = entry["ref"]
    wanted = (ref.get("kind"), ref.get("name"))
    return next((t for t in session.targets if (t.ref.kind, t.ref.name) == wanted), None)


# -- hosts ----------------------------------------------------------------------------------------


def _with_hosts(session: Session, entry: JsonObject, target: Target | None) -> JsonObject:
    """The entry with its expected hosts: fixed once there is one, so scaling cannot hang it."""
    started = entry.get("startTime") or conditions.timestamp(session.now)
    if entry.get("hosts") or target is None or session.work is None:
        return {**entry, "startTime": started}
    found = [{"hostname": name} for name in session.work.expected(session, target)]
    return {**entry, "startTime": started, "hosts": found}


def _host(
    session: Session,
    entry: JsonObject,
    target: Target | None,
    claim: JsonObject,
    *,
    going: bool,
) -> _Host:
    report = _report(entry, claim["hostname"])
    job = _job(session, target, claim["hostname"])
    runner = _runner(session, target, claim, job)
    sign = session.work.last_sign(session, entry) if session.work else ""
    moments = (entry.get("startTime"), runner.since, sign)
    since = [conditions.moment(text) for text in moments if text]
    overdue_at = max(since, default=session.now) + session.settings.runner_grace
    observation = host_machine.Observation(
        target_started=going,
        runner_ready=runner.ready,
        claimed=bool(claim.get("runner")),
        runner_dead=runner.dead,
        runner_overdue=not runner.ready and session.now >= overdue_at,
        deadline_passed=session.is_late_for(claim),
        report=report,
    )
    state = host_machine.TABLE.advance(
        host_machine.PENDING, observation, about=f"host {claim['hostname']}"
    ).state
    return _Host(claim["hostname"], claim, runner, state, overdue_at, job)


def _report(entry: JsonObject, host: str) -> host_machine.Report:
    for stat in entry.get("stats") or ():
        if stat.get("hostname") == host:
            succeeded = stat.get("phase") == "Succeeded"
            return host_machine.Report.SUCCEEDED if succeeded else host_machine.Report.FAILED
    return host_machine.Report.NONE


def _runner(
    session: Session, target: Target | None, claim: JsonObject, job: JsonObject | None
) -> Runner:
    if claim.get("runner"):
        mine = job if _is_own(session, job) else None
        found = runners.of_claim(session.view, session.namespace, claim, mine, session.now)
        if not found.dead or target is None or session.work is None:
            return found
        return session.work.successor(session, target, claim["hostname"]) or found
    if target is None or session.work is None:
        return Runner(dead=True, reason=MEMBER_REMOVED, message=_REMOVED)
    if target.is_missing:
        message = target.absence(session.namespace, "create it.")
        return Runner(dead=True, reason=TARGET_NOT_FOUND, message=message)
    return session.work.runner(session, target, claim["hostname"], job)


def of_job(session: Session, target: Target, job: JsonObject | None) -> Runner:
    """The Job's pods, or why there is no Job yet. For a ``Work``."""
    if job is None and target.task_faults:
        message = world.told(target.task_faults)
        return Runner(reason=conditions.TASK_NOT_AVAILABLE, message=message)
    if job is not None and not _is_own(session, job):
        message = f"Job {world.name_of(job)} belongs to something else; delete it."
        return Runner(reason=conditions.NAME_TAKEN, message=message)
    return runners.of_job(session.view, job)


def _is_lost(entry: JsonObject, host: _Host) -> bool:
    return (
        host.state == host_machine.FAILED and _report(entry, host.name) is host_machine.Report.NONE
    )


def _lost(session: Session, host: _Host) -> JsonObject:
    """The report that nobody else will write."""
    reason, message = _why_lost(session, host)
    return {"hostname": host.name, "phase": "Failed", "error": f"{reason}: {message}"}


def _why_lost(session: Session, host: _Host) -> tuple[str, str]:
    if host.runner.dead or not session.is_late_for(host.claim):
        return host.runner.reason, host.runner.message
    passed = conditions.timestamp(session.deadline)
    what = host.runner.message or f"the {session.words.noun} had not finished."
    return DEADLINE_EXCEEDED, f"The {session.words.whole}'s deadline {passed} passed: {what}"


# -- the target -----------------------------------------------------------------------------------


def _facts(  # noqa: PLR0917 -- private, and called once
    session: Session,
    target: Target | None,
    entry: JsonObject,
    seen: list[_Host],
    stats: list[JsonObject],
    turn: bool,  # noqa: FBT001 -- private, and called once
) -> target_machine.Observation:
    reported = {stat.get("hostname") for stat in stats}
    return target_machine.Observation(
        session_started=session.started,
        turn_has_come=turn,
        some_runner_ready=any(host.runner.ready for host in seen),
        some_host_claimed=any(host.claim.get("runner") for host in seen),
        all_hosts_reported=bool(seen) and all(host.name in reported for host in seen),
        some_host_failed=any(stat.get("phase") == "Failed" for stat in stats),
        given_up=bool(_why_given_up(session, target, entry, seen)),
    )


def _why_given_up(
    session: Session, target: Target | None, entry: JsonObject, seen: list[_Host]
) -> tuple[str, str] | tuple[()]:
    """Why a target without any host is given up."""
    if seen:
        return ()
    if session.refused:
        return session.refused
    if session.is_late:
        passed = conditions.timestamp(session.deadline)
        why = _waits_for(session)
        return DEADLINE_EXCEEDED, f"The {session.words.whole}'s deadline {passed} passed: {why}"
    if "startTime" not in entry:
        return ()
    return _why_no_hosts(session, target, entry)


def _why_no_hosts(
    session: Session, target: Target | None, entry: JsonObject
) -> tuple[str, str] | tuple[()]:
    if target is None:
        return MEMBER_REMOVED, _REMOVED
    if target.is_missing:
        return TARGET_NOT_FOUND, target.absence(session.namespace, "create it.")
    if session.now < _grace_end(session, entry):
        return ()
    what = f"{target.ref.kind} {session.namespace}/{target.ref.name}"
    no_pod = f"has no pod to {session.words.verb}; scale it up."
    return NO_HOSTS, f"{what} {session.words.hostless or no_pod}"


def _waits_for(session: Session) -> str:
    return session.waits_for or "the target's turn had not come."


def _grace_end(session: Session, entry: JsonObject) -> dt.datetime:
    return conditions.moment(entry["startTime"]) + session.settings.runner_grace


def _entry(  # noqa: PLR0917 -- private, and called once
    session: Session,
    entry: JsonObject,
    target: Target | None,
    phase: str,
    seen: list[_Host],
    stats: list[JsonObject],
) -> JsonObject:
    reason, message = _why(session, entry, target, phase, seen, stats)
    found = {
        **entry,
        "totalHosts": len(seen) if seen else None,
        "phase": phase,
        "reason": reason,
        "message": message,
        "stats": stats,
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


def _why(  # noqa: PLR0917 -- private, and called once
    session: Session,
    entry: JsonObject,
    target: Target | None,
    phase: str,
    seen: list[_Host],
    stats: list[JsonObject],
) -> tuple[str, str]:
    """One word and one sentence for why the target is in its phase."""
    if phase == target_machine.PENDING:
        if session.started:
            return WAITING_FOR_TURN, "An earlier target of the sequence is not finished."
        return WAITING_FOR_REPOSITORY, session.waits_for
    if phase == target_machine.INJECTING:
        waiting = [host.runner for host in seen if not host.runner.ready]
        return (
            (waiting[0].reason, waiting[0].message) if waiting else (NO_HOSTS, "No pod is there.")
        )
    if phase == target_machine.FAILED:
        return _why_failed(session, target, entry, seen, stats)
    words = {
        target_machine.SCHEDULED: ("RunnerReady", "A runner is told to go."),
        target_machine.RUNNING: ("HostClaimed", "A runner is at work."),
        target_machine.SUCCEEDED: ("AllHostsSucceeded", f"Every host was {session.words.done}."),
    }
    return words[phase]


def _why_failed(
    session: Session,
    target: Target | None,
    entry: JsonObject,
    seen: list[_Host],
    stats: list[JsonObject],
) -> tuple[str, str]:
    given_up = _why_given_up(session, target, entry, seen)
    if given_up:
        return given_up
    failed = next(stat for stat in stats if stat.get("phase") == "Failed")
    lost = next((h for h in seen if h.name == failed.get("hostname") and _is_lost(entry, h)), None)
    reason = _why_lost(session, lost)[0] if lost else HOST_FAILED
    return reason, f"Host {failed.get('hostname')}: {failed.get('error') or 'it failed.'}"


def _looks(session: Session, seen: Iterable[_Host], entry: JsonObject) -> list[dt.datetime]:
    """When this target must be looked at again though nothing happens."""
    if is_final(entry) or "startTime" not in entry:
        return []
    found = [_grace_end(session, entry)]
    for host in seen:
        found += [session.report_until(host.claim)]
        found += [host.overdue_at] if not host.runner.ready else []
        found += [host.runner.look_at] if host.runner.look_at else []
    return [moment for moment in found if moment > session.now]


# -- its Jobs -------------------------------------------------------------------------------------


def _job(session: Session, target: Target | None, host: str) -> JsonObject | None:
    if target is None or target.is_workload or session.work is None:
        return None
    name = session.work.job_name(session, target, host)
    return session.view.get(JOBS, session.namespace, name)


def _is_own(session: Session, job: JsonObject | None) -> bool:
    """Whether it is the session's, and not another one's of the same name."""
    return job is not None and labels.is_controlled_by(job, session.obj["metadata"]["uid"])


def _job_writes(session: Session, target: Target | None, seen: Iterable[_Host]) -> Iterator[Write]:
    """The Jobs of a target that needs some, and the end of those that nobody waits for any more."""
    if target is None or target.is_workload or session.work is None:
        return
    made = set()
    for host in seen:
        if host.job is not None:
            yield from _stopped(session, host, host.job)
        elif host.state in (host_machine.INJECTING, host_machine.SCHEDULED) and not _lacks(target):
            name = session.work.job_name(session, target, host.name)
            if name not in made:  # several hosts may share a Job
                yield from session.work.create(session, target, host.name)
            made.add(name)


def _lacks(target: Target) -> bool:
    return target.is_missing or bool(target.task_faults)


def _stopped(session: Session, host: _Host, job: JsonObject) -> Iterator[Delete]:
    """A Job whose host was given up before anybody claimed it would only start in vain."""
    lost = host.state == host_machine.FAILED and not host.claim.get("runner")
    if lost and _is_own(session, job) and not runs.finished(job):
        meta = job["metadata"]
        yield Delete(JOBS, meta["namespace"], meta["name"], meta["uid"])
