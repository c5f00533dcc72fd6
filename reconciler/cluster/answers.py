"""Turns an API server's answers into values or typed errors.

Used by the client and by the transports for watches; the only place that reads ``Status`` bodies.
"""

from __future__ import annotations

from typing import Any

from reconciler.cluster.transport import Response
from reconciler.errors import (
    AlreadyExists,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Gone,
    NamespaceTerminating,
    NotFound,
    Rejected,
    TandemError,
)

_BY_CODE: dict[int, type[TandemError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: ApiUnavailable,
    409: Conflict,
    410: Gone,
    429: ApiUnavailable,
}


def value(response: Response) -> Any:
    """The body of a 2xx answer; any other answer raises its typed error."""
    if 200 <= response.status < 300:
        return response.body
    raise error(response.status, response.body)


def error(code: int, body: Any) -> TandemError:
    """The typed error for a ``Status`` object, or for whatever else a proxy in between sent.

    ``reason`` tells AlreadyExists from Conflict, and an expired list token (410 "Expired").
    """
    status = body if isinstance(body, dict) else {}
    message = str(status.get("message") or f"the API server answered {code}")
    if code == 409 and status.get("reason") == "AlreadyExists":
        return AlreadyExists(message)
    if code == 403 and _is_terminating(status):
        return NamespaceTerminating(message)
    kind = _BY_CODE.get(code) or (ApiUnavailable if code >= 500 else Rejected)
    return kind(message)


def _is_terminating(status: dict[str, Any]) -> bool:
    """Kubernetes' ``NamespaceTerminatingCause``; a proxy's answer may be of any shape."""
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = causes if isinstance(causes, list) else []
    return any(isinstance(c, dict) and c.get("reason") == "NamespaceTerminating" for c in found)


def watch_error(obj: dict[str, Any]) -> TandemError:
    """The typed error for the ``Status`` in an ERROR event of a watch."""
    code = obj.get("code")
    return error(code if isinstance(code, int) else 500, obj)
