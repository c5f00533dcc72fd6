"""How the embedded server says no: ``Status`` bodies with a real API server's words.

Raised anywhere below ``server.Server`` and turned into a Response there; nothing else catches it.
Wording, reasons and causes follow Kubernetes' ``apimachinery`` (``api/errors``,
``util/validation/field``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from reconciler import errors
from reconciler.api.resources import JsonObject

_REASONS = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Duplicate value": "FieldValueDuplicate",
    "Not found": "FieldValueNotFound",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
}


class Refusal(errors.TandemError):
    """A request that the server refuses: an HTTP status and a Status body."""

    def __init__(
        self, code: int, reason: str, message: str, details: JsonObject | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def body(self) -> JsonObject:
        status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return {**status, "code": self.code}

    def as_error(self) -> errors.TandemError:
        """The typed error of the house, for callers that get no Response."""
        return typed(self.code, self.reason, self.message)


def typed(code: int, reason: str, message: str) -> errors.TandemError:
    """An HTTP failure as the house's error."""
    if code == 409:
        return (errors.AlreadyExists if reason == "AlreadyExists" else errors.Conflict)(message)
    known: dict[int, type[errors.TandemError]] = {
        401: errors.Forbidden,
        403: errors.Forbidden,
        404: errors.NotFound,
        410: errors.Gone,
    }
    if code == 429 or code >= 500:
        return errors.ApiUnavailable(message)
    return known.get(code, errors.Rejected)(message)


def qualified(name: str, group: str) -> str:
    """``deployments.apps``, or ``pods`` in the core group."""
    return f"{name}.{group}" if group else name


def _details(name: str, group: str, kind: str, **more: Any) -> JsonObject:
    found: JsonObject = {"name": name} if name else {}
    if group:
        found["group"] = group
    return {**found, "kind": kind, **more}


def not_found(plural: str, group: str, name: str) -> Refusal:
    message = f'{qualified(plural, group)} "{name}" not found'
    return Refusal(404, "NotFound", message, _details(name, group, plural))


def no_such_resource() -> Refusal:
    message = "the server could not find the requested resource"
    return Refusal(404, "NotFound", message, {})


def already_exists(plural: str, group: str, name: str) -> Refusal:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, _details(name, group, plural))


def modified(plural: str, group: str, name: str) -> Refusal:
    why = (
        "the object has been modified; please apply your changes to the latest version"
        " and try again"
    )
    return conflict(plural, group, name, why)


def conflict(plural: str, group: str, name: str, why: str) -> Refusal:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(name, group, plural))


def precondition(plural: str, group: str, name: str, what: str, *, want: str, have: str) -> Refusal:
    place = "UID in object meta" if what == "UID" else "ResourceVersion in object meta"
    return conflict(
        plural, group, name, f"Precondition failed: {what} in precondition: {want}, {place}: {have}"
    )


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str, **more: Any) -> Refusal:
    message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    return Refusal(403, "Forbidden", message, _details(name, group, plural, **more))


def method_not_allowed() -> Refusal:
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, {})


def unsupported_media_type(accepted: Iterable[str]) -> Refusal:
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
    )
    return Refusal(415, "UnsupportedMediaType", message)


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


@attrs.frozen
class Cause:
    """One fault of an object: ``path`` and, in Kubernetes' words, what is wrong there.

    ``problem`` is one of the phrases of ``_REASONS``; ``value`` is already printed.
    """

    path: str
    problem: str
    detail: str = ""
    value: str | None = None

    @property
    def message(self) -> str:
        value = "" if self.value is None else f": {self.value}"
        return f"{self.problem}{value}" + (f": {self.detail}" if self.detail else "")

    def as_json(self) -> JsonObject:
        return {
            "reason": _REASONS.get(self.problem, "FieldValueInvalid"),
            "message": self.message,
            "field": self.path,
        }

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def required(path: str, detail: str = "") -> Cause:
    return Cause(path, "Required value", detail)


def invalid_value(path: str, value: Any, detail: str) -> Cause:
    return Cause(path, "Invalid value", detail, printed(value))


def forbidden_value(path: str, detail: str) -> Cause:
    return Cause(path, "Forbidden", detail)


def unsupported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    names = ", ".join(f'"{name}"' for name in supported)
    return Cause(path, "Unsupported value", f"supported values: {names}", printed(value))


def duplicate(path: str, value: Any) -> Cause:
    return Cause(path, "Duplicate value", "", printed(value))


def printed(value: Any) -> str:
    """A value as Go's field errors print it."""
    if value is None:
        return '"null"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, dict):
        return "map[string]interface {}{" + ", ".join(_pairs(value)) + "}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(printed(item) for item in value) + "}"
    return str(value)


def _pairs(value: JsonObject) -> list[str]:
    return [f"{printed(key)}:{printed(value[key])}" for key in sorted(value)]


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> Refusal:
    """422 with all causes."""
    found = list(causes)
    texts = [str(cause) for cause in found]
    told = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {told}'
    details = _details(name, group, kind, causes=[cause.as_json() for cause in found])
    return Refusal(422, "Invalid", message, details)
