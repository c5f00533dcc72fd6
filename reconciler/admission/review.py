"""An AdmissionReview in, its answer out: may the object be stored, and what is unwise about it.

Called by ``server`` for each request. The rules are those of ``reconciler.api``, read as the
operator reads them, so nothing is denied here that the operator would work with. What is stored
already is never locked: a fault that the old object has too is a warning. Does no I/O of its own;
the advice may ask ``view`` for the neighbours of an invoker.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from reconciler.admission import advice
from reconciler.api.crds import KINDS
from reconciler.api.decoding import decode, subject
from reconciler.api.resources import JsonObject
from reconciler.api.validation import validate
from reconciler.decisions.plan import View
from reconciler.errors import Fault, InvalidObject

VERSIONS: Final = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
"""Both have the same fields; an answer has the version of its question."""

_TYPES: Final = {(kind.resource.group, kind.resource.kind): kind.cls for kind in KINDS}
_JUDGED: Final = ("CREATE", "UPDATE")
_INDEX: Final = re.compile(r"\[\d+\]")
_UNPROCESSABLE: Final = 422
_LONGEST: Final = 250
"""Characters of a warning: API servers may cut what is longer than 256."""


@attrs.frozen
class Verdict:
    """What is to be said about one object."""

    subject: str = ""
    faults: tuple[Fault, ...] = ()
    """Why it is denied; empty: it is allowed."""
    warnings: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.faults


def answer(review: Any, view: View, now: dt.datetime) -> tuple[JsonObject, Verdict]:
    """The AdmissionReview to send back. Raises InvalidObject for what is no AdmissionReview."""
    request = _request(review)
    verdict = judge(request, view, now)
    response: JsonObject = {"uid": request.get("uid", ""), "allowed": verdict.allowed}
    if verdict.warnings:
        response["warnings"] = [_short(each) for each in verdict.warnings]
    if verdict.faults:
        response["status"] = _status(request, verdict)
    answered = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}
    return answered, verdict


def judge(request: JsonObject, view: View, now: dt.datetime) -> Verdict:
    """The verdict about a request of an AdmissionReview."""
    kind = request.get("kind") or {}
    cls = _TYPES.get((kind.get("group", ""), kind.get("kind", "")))
    new, old = request.get("object") or {}, request.get("oldObject") or {}
    if cls is None or not _concerns_us(request) or _is_deleted(new):
        return Verdict()
    if old and old.get("spec") == new.get("spec"):
        return Verdict(warnings=tuple(map(_stored, faults(cls, new))))
    fresh, known = _apart(faults(cls, new), faults(cls, old) if old else ())
    unwise = () if fresh else advice.of(new, old, view, now)
    return Verdict(subject(cls, new), tuple(fresh), (*map(_stored, known), *unwise))


def faults(cls: type[Any], obj: JsonObject) -> tuple[Fault, ...]:
    """Every fault of an object, found as the operator finds it: unknown fields are no fault."""
    try:
        return validate(decode(cls, obj, unknown="ignore"))
    except InvalidObject as error:
        return error.faults


def _request(review: Any) -> JsonObject:
    version = review.get("apiVersion") if isinstance(review, dict) else None
    if version not in VERSIONS:
        raise InvalidObject("AdmissionReview", [_not_a_review(version)])
    request = review.get("request")
    if not isinstance(request, dict):
        raise InvalidObject("AdmissionReview", [Fault("request", "is missing")])
    return request


def _not_a_review(version: object) -> Fault:
    shown = version if isinstance(version, str) else None
    return Fault("apiVersion", "is not a version of AdmissionReview", f"send {VERSIONS[0]}", shown)


def _concerns_us(request: JsonObject) -> bool:
    """Writes of statuses are the operator's and the agents'; a deletion needs no valid object."""
    return request.get("operation") in _JUDGED and not request.get("subResource")


def _is_deleted(obj: JsonObject) -> bool:
    """What is being deleted must be able to lose its finalizers, whatever is wrong with it."""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def _apart(new: Iterable[Fault], old: Iterable[Fault]) -> tuple[list[Fault], list[Fault]]:
    """The faults that a change brings, and those that were there before it.

    They are told apart by all but the indices of lists: a member that moved up is no new member.
    """
    before = Counter(map(_signature, old))
    fresh: list[Fault] = []
    known: list[Fault] = []
    for fault in new:
        signature = _signature(fault)
        (known if before[signature] else fresh).append(fault)
        before[signature] -= before[signature] > 0
    return fresh, known


def _signature(fault: Fault) -> tuple[str, str, str]:
    return (_INDEX.sub("[]", fault.path), _INDEX.sub("[]", fault.problem), repr(fault.value))


def _stored(fault: Fault) -> str:
    return f"{fault} (it was so before)"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _status(request: JsonObject, verdict: Verdict) -> JsonObject:
    """As an API server's own refusal of an invalid object: clients show its causes one by one."""
    kind = request["kind"]
    return {
        "status": "Failure",
        "code": _UNPROCESSABLE,
        "reason": "Invalid",
        "message": str(InvalidObject(verdict.subject, verdict.faults)),
        "details": {
            "group": kind.get("group", ""),
            "kind": kind["kind"],
            "name": request.get("name", ""),
            "causes": list(_causes(verdict.faults)),
        },
    }


def _causes(found: Iterable[Fault]) -> Iterator[JsonObject]:
    for fault in found:
        message = str(fault).removeprefix(f"{fault.path}: ")
        yield {"reason": "FieldValueInvalid", "field": fault.path, "message": message}
