"""Reading the View: the questions that several decisions ask, in the terms of the domain.

Called by the decision modules and by the key mappers in ``controllers``. It answers from raw JSON
where an object may be broken (another batch's spec must never break this one's decision), and
decides nothing.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from reconciler.api.backup import VOLUME_SNAPSHOTTER
from reconciler.api.decoding import decode
from reconciler.api.invoker import INVOKERS, Invoker, decode_invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import (
    APP_BINDINGS,
    BACKUP_BATCHES,
    BACKUP_SESSIONS,
    PERSISTENT_VOLUME_CLAIMS,
    REPOSITORIES,
    WORKLOADS,
    JsonObject,
    Resource,
)
from reconciler.api.session import FINAL_SESSION_PHASES
from reconciler.api.validation import validate
from reconciler.decisions.plan import View
from reconciler.errors import Fault, InvalidObject
from reconciler.manifests import labels

TARGETS: dict[str, Resource] = {
    resource.kind: resource for resource in (*WORKLOADS, PERSISTENT_VOLUME_CLAIMS, APP_BINDINGS)
}
"""The kinds that a member's target may have. Like Stash, the kind decides, not the version."""

SIDECAR_KINDS = frozenset(resource.kind for resource in WORKLOADS)


def status_of(obj: JsonObject) -> JsonObject:
    status: JsonObject = obj.get("status") or {}
    return status


def name_of(obj: JsonObject) -> str:
    return str(obj["metadata"]["name"])


def age_key(obj: JsonObject) -> tuple[str, str]:
    """Orders objects from the oldest on; of two that are equally old the name decides."""
    meta = obj["metadata"]
    return (meta.get("creationTimestamp") or "", meta["name"])


def created(obj: JsonObject, now: dt.datetime) -> dt.datetime:
    """When the object was created; an object that is not created yet (dry run): now."""
    text = obj["metadata"].get("creationTimestamp")
    return dt.datetime.fromisoformat(text) if text else now


SETTLING = dt.timedelta(seconds=10)
"""So long a new invoker sets itself up by one plan that takes its own success for granted."""


def settled_at(obj: JsonObject, now: dt.datetime) -> dt.datetime:
    return created(obj, now) + SETTLING


def is_new(obj: JsonObject, now: dt.datetime) -> bool:
    return now < settled_at(obj, now)


def terminating(obj: JsonObject) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


# -- invokers -------------------------------------------------------------------------------------


def invoker_resource(kind: str) -> Resource | None:
    return next((resource for resource in INVOKERS if resource.kind == kind), None)


def invoker(view: View, namespace: str, kind: str, name: str) -> JsonObject | None:
    resource = invoker_resource(kind)
    return view.get(resource, namespace, name) if resource else None


def read_invoker(obj: JsonObject) -> tuple[Invoker | None, tuple[Fault, ...]]:
    """The typed view, if the object can be read at all, and everything that is wrong with it."""
    try:
        typed = decode_invoker(obj, unknown="ignore")
    except InvalidObject as error:
        return None, error.faults
    return typed, tuple(validate(typed))


def invokers(view: View, namespace: str | None) -> Iterator[JsonObject]:
    for resource in INVOKERS:
        yield from view.list(resource, namespace)


def members(obj: JsonObject) -> list[JsonObject]:
    """The members in an invoker's raw spec; whatever is not of the right shape is left out."""
    spec = obj.get("spec") or {}
    found = spec.get("members") if obj["kind"] == BACKUP_BATCHES.kind else [spec]
    listed = found if isinstance(found, list) else []
    return [member for member in listed if isinstance(member, dict)]


_Answer = TypeVar("_Answer")
_MOST_KNOWN = 20_000


def remembered(question: Callable[[JsonObject], _Answer]) -> Callable[[JsonObject], _Answer]:
    """Remember the answer by the object itself; the question must depend on nothing else.

    For what every change asks of every invoker of a namespace: a view's objects never change.
    What is remembered holds the object, so its id is not reused.
    """
    known: dict[int, tuple[JsonObject, _Answer]] = {}

    @functools.wraps(question)
    def ask(obj: JsonObject) -> _Answer:
        held = known.get(id(obj))
        if held is not None and held[0] is obj:
            return held[1]
        if len(known) >= _MOST_KNOWN:
            known.clear()
        answer = question(obj)
        known[id(obj)] = (obj, answer)
        return answer

    return ask


@remembered
def references(obj: JsonObject) -> frozenset[tuple[str, str]]:
    """(kind, name) of every target in an invoker's raw spec."""
    refs = [(member.get("target") or {}).get("ref") or {} for member in members(obj)]
    return frozenset((ref.get("kind") or "", ref.get("name") or "") for ref in refs)


def repository_name(obj: JsonObject) -> str:
    """The Repository that an invoker's raw spec names; "" for none, or where none is used."""
    if takes_snapshots(obj):
        return ""
    return str(((obj.get("spec") or {}).get("repository") or {}).get("name") or "")


def takes_snapshots(obj: JsonObject) -> bool:
    """Whether an invoker's raw spec wants snapshots of claims, and so no sidecars."""
    return (obj.get("spec") or {}).get("driver") == VOLUME_SNAPSHOTTER


# -- sessions -------------------------------------------------------------------------------------


def phase_of(session: JsonObject) -> str:
    return status_of(session).get("phase") or "Pending"


def is_final(session: JsonObject) -> bool:
    return phase_of(session) in FINAL_SESSION_PHASES


def session_invoker(session: JsonObject) -> tuple[str, str]:
    """(kind, name) of a session's invoker."""
    ref = (session.get("spec") or {}).get("invoker") or {}
    return (ref.get("kind") or "", ref.get("name") or "")


def sessions_of(view: View, namespace: str, kind: str, name: str) -> list[JsonObject]:
    """The sessions of an invoker, from the oldest on.

    They are found by their labels; a session made by hand without them gets them from the session
    decision first. Long names share a label, so the spec decides.
    """
    found = view.list(BACKUP_SESSIONS, namespace, labels=labels.of_invoker(kind, name))
    mine = [session for session in found if session_invoker(session) == (kind, name)]
    return sorted(mine, key=age_key)


def has_begun(view: View, session: JsonObject) -> bool:
    """Whether the session runs, or the Repository of its invoker has let it in."""
    if phase_of(session) == "Running":
        return True
    namespace = session["metadata"]["namespace"]
    asks = invoker(view, namespace, *session_invoker(session))
    found = repository(view, namespace, repository_name(asks)) if asks else None
    return bool(found and name_of(session) in (status_of(found).get("activeSessions") or ()))


def awaits_retry(session: JsonObject) -> bool:
    """Whether the session has failed and another one is announced that is not made yet."""
    status = status_of(session)
    return bool(
        phase_of(session) == "Failed" and status.get("nextRetry") and not status.get("retried")
    )


def chain_of(session: JsonObject) -> tuple[str, int]:
    """The first session of the chain of retries, and the session's number in it (the first: 0)."""
    told = session["metadata"].get("annotations") or {}
    first, number = told.get(labels.RETRY_OF), told.get(labels.RETRY) or ""
    if first and number.isascii() and number.isdecimal():
        return first, int(number)
    return name_of(session), 0


def has_good_host(session: JsonObject) -> bool:
    """Whether at least one host of the session was backed up."""
    return any(
        stat.get("phase") == "Succeeded"
        for target in status_of(session).get("targets") or ()
        for stat in target.get("stats") or ()
    )


# -- repositories ---------------------------------------------------------------------------------


def repository(view: View, namespace: str, name: str) -> JsonObject | None:
    return view.get(REPOSITORIES, namespace, name)


def read_repository(obj: JsonObject) -> tuple[Repository | None, tuple[Fault, ...]]:
    """The typed Repository, if it can be read at all, and everything that is wrong with it."""
    try:
        typed = decode(Repository, obj, unknown="ignore")
    except InvalidObject as error:
        return None, error.faults
    return typed, tuple(validate(typed))


def repository_wait(repository: JsonObject, who: str) -> str:
    """Why a Repository does not list the session or restore that waits for it."""
    status = status_of(repository)
    which = f"Repository {name_of(repository)}"
    phase = status.get("phase") or "Pending"
    if phase == "Ready":
        return f"{which} has not let the {who} in yet."
    bad = [item for item in status.get("conditions") or () if item["status"] == "False"]
    problem = f": {bad[-1]['message'].rstrip('.')}" if bad else ""
    return f"{which} is {phase}{problem}."


def secret_problem(secret: JsonObject | None, repository: Repository) -> str:
    """Why the Repository's Secret cannot be used, with the remedy; "" when it can."""
    meta = repository.metadata
    what = f"Secret {meta.namespace}/{repository.spec.backend.storage_secret_name}"
    other = f"or name another one in spec.backend.storageSecretName of Repository {meta.name}"
    if secret is None:
        return f"{what} does not exist; create it with the key RESTIC_PASSWORD, {other}"
    # Values are none of the operator's business, and its cache does not keep them.
    if "RESTIC_PASSWORD" not in {**(secret.get("data") or {}), **(secret.get("stringData") or {})}:
        return f"{what} has no key RESTIC_PASSWORD; add it, {other}"
    return ""


def told(faults: Sequence[Fault]) -> str:
    """The faults as one message."""
    return "; ".join(str(fault) for fault in faults)
