"""Validating admission webhooks: who is asked about a write, and what a denial looks like.

``Webhooks`` is an interceptor of ``server.Server``, put in by ``cluster.EmbeddedCluster`` when it
serves HTTP. A write that concerns a webhook is rehearsed first (a dry run), so the webhook sees
what would be stored: pruned, defaulted, valid. A denial is the real server's. ``webhook_calls``
makes the call.

Not here: mutating webhooks (a changed object needs its manager's fields and validation again,
which is inside of the server), conversion to another version of a kind (``matchPolicy:
Equivalent`` counts as Exact), the single objects of a deletecollection, bindings and evictions.
Between the rehearsal and the write somebody else may write; the webhook was then asked about an
older object.
"""

from __future__ import annotations

import http
import uuid
from collections.abc import Callable, Iterator, Set
from typing import Any, Final

import attrs

from reconciler.api.resources import NAMESPACES, JsonObject
from reconciler.cluster.transport import Request, Response
from reconciler.embedded import routing, webhook_calls
from reconciler.embedded.controllers.ownership import matches
from reconciler.embedded.refusals import Refusal
from reconciler.embedded.routing import Route
from reconciler.embedded.webhook_calls import Call, Failed

GROUP: Final = "admissionregistration.k8s.io"
_CONFIGURATIONS: Final = f"/apis/{GROUP}/v1/validatingwebhookconfigurations"
_OPERATIONS: Final = {
    "POST": frozenset({"CREATE"}),
    "PUT": frozenset({"UPDATE"}),
    "PATCH": frozenset({"CREATE", "UPDATE"}),
    "DELETE": frozenset({"DELETE"}),
}
"""What a method may be: an apply (PATCH) creates what is not there."""

Proceed = Callable[[Request], Response]
Caller = Callable[[Call], JsonObject]


@attrs.frozen
class _Write:
    """A write as it would end."""

    request: Request
    route: Route
    operation: str
    new: JsonObject | None
    old: JsonObject | None
    namespace_labels: JsonObject | None
    """None: the object is in no namespace."""


class Webhooks:
    """An interceptor. ``caller`` asks one webhook, and raises ``Failed``."""

    def __init__(self, caller: Caller = webhook_calls.call) -> None:
        self._caller = caller

    def __call__(self, request: Request, proceed: Proceed) -> Response:
        route = routing.parse(request.path)
        if route is None or not _is_asked_about(request, route):
            return proceed(request)
        asked = [hook for hook in _hooks(proceed) if _rules(hook, route, _possible(request))]
        if not asked:
            return proceed(request)
        rehearsed = proceed(_rehearsal(request))
        if rehearsed.status >= http.HTTPStatus.MULTIPLE_CHOICES:
            return rehearsed
        try:
            warnings = list(self._ask(asked, _write(request, route, rehearsed, proceed), proceed))
        except Refusal as refusal:
            return Response(refusal.code, refusal.body)
        return _warned(proceed(request), warnings)

    def _ask(self, hooks: list[JsonObject], write: _Write, proceed: Proceed) -> Iterator[str]:
        """The warnings of all. Raises Refusal."""
        for hook in hooks:
            if not _concerns(hook, write):
                continue
            try:
                response = self._caller(_call(hook, write, proceed))
            except Failed as failed:
                if hook.get("failurePolicy") == "Ignore":
                    continue
                raise _unanswered(hook, failed) from None
            yield from response.get("warnings") or ()
            if not response.get("allowed"):
                raise _denied(hook, response.get("status") or {})


# -- whom it concerns -----------------------------------------------------------------------------


def _is_asked_about(request: Request, route: Route) -> bool:
    """Not about webhooks: a broken one must not keep anybody from mending it."""
    collection = request.method == "DELETE" and not route.name
    acting = request.method == "POST" and bool(route.subresource)
    return request.method in _OPERATIONS and route.group != GROUP and not (collection or acting)


def _possible(request: Request) -> frozenset[str]:
    return _OPERATIONS[request.method]


def _hooks(proceed: Proceed) -> list[JsonObject]:
    """In the real server's order: by the names of their configurations."""
    found = proceed(Request("GET", _CONFIGURATIONS)).body["items"]
    found = sorted(found, key=lambda each: str(each["metadata"]["name"]))
    return [hook for each in found for hook in each.get("webhooks") or ()]


def _rules(hook: JsonObject, route: Route, operations: frozenset[str]) -> bool:
    return any(_rule(rule, route, operations) for rule in hook.get("rules") or ())


def _rule(rule: JsonObject, route: Route, operations: frozenset[str]) -> bool:
    scope = "Namespaced" if route.namespace else "Cluster"
    return (
        _in(rule, "apiGroups", {route.group})
        and _in(rule, "apiVersions", {route.version})
        and _in(rule, "operations", operations)
        and any(_resource(each, route) for each in rule.get("resources") or ())
        and rule.get("scope", "*") in ("*", scope)
    )


def _in(rule: JsonObject, key: str, values: Set[str]) -> bool:
    return not (values | {"*"}).isdisjoint(rule.get(key) or ())


def _resource(pattern: str, route: Route) -> bool:
    """``pods``, ``pods/status``, ``*`` (no subresource), ``pods/*``, ``*/scale``, ``*/*``."""
    plural, _, subresource = pattern.partition("/")
    return plural in ("*", route.plural) and subresource in ("*", route.subresource)


def _concerns(hook: JsonObject, write: _Write) -> bool:
    """An object's old state or its new one is enough for a selector."""
    states = [state for state in (write.new, write.old) if state is not None]
    labels = write.namespace_labels
    return (
        _rules(hook, write.route, frozenset({write.operation}))
        and any(matches(each["metadata"].get("labels"), hook["objectSelector"]) for each in states)
        and (labels is None or matches(labels, hook["namespaceSelector"]))
    )


# -- what it is asked -----------------------------------------------------------------------------


def _rehearsal(request: Request) -> Request:
    query = {**request.query, "dryRun": "All"}
    return attrs.evolve(request, query=query, accept="application/json")


def _write(request: Request, route: Route, rehearsed: Response, proceed: Proceed) -> _Write:
    found = None
    if request.method != "POST":
        found = proceed(Request("GET", _path(request, route)))
    old = found.body if found is not None and found.status == http.HTTPStatus.OK else None
    new = rehearsed.body if request.method != "DELETE" else None
    operation = {"DELETE": "DELETE"}.get(request.method, "UPDATE" if old else "CREATE")
    return _Write(request, route, operation, new, old, _labels(route, new or old, proceed))


def _path(request: Request, route: Route) -> str:
    """Of the object, or of its Scale."""
    other = route.subresource not in ("", "scale")
    return request.path.removesuffix(f"/{route.subresource}") if other else request.path


def _labels(route: Route, obj: JsonObject | None, proceed: Proceed) -> JsonObject | None:
    if (route.group, route.plural) == ("", "namespaces"):
        return dict((obj or {}).get("metadata", {}).get("labels") or {})
    if not route.namespace:
        return None
    found = proceed(Request("GET", NAMESPACES.path(name=route.namespace))).body
    return dict(found["metadata"].get("labels") or {})


def _call(hook: JsonObject, write: _Write, proceed: Proceed) -> Call:
    route, obj = write.route, write.new or write.old or {}
    group, _, version = str(obj["apiVersion"]).rpartition("/")
    kind = {"group": group, "version": version, "kind": obj["kind"]}
    resource = {"group": route.group, "version": route.version, "resource": route.plural}
    request: JsonObject = {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": resource,
        "subResource": route.subresource,
        "requestKind": kind,
        "requestResource": resource,
        "name": obj["metadata"]["name"],
        "namespace": route.namespace,
        "operation": write.operation,
        "userInfo": {"username": write.request.user, "groups": ["system:masters"]},
        "object": write.new,
        "oldObject": write.old,
        "dryRun": "All" in write.request.query.get("dryRun", ""),
    }
    review = {
        "apiVersion": f"admission.k8s.io/{(hook.get('admissionReviewVersions') or ['v1'])[0]}",
        "kind": "AdmissionReview",
        "request": {key: value for key, value in request.items() if value not in (None, "")},
    }
    return webhook_calls.of(hook, review, proceed)


# -- what it said ---------------------------------------------------------------------------------


def _denied(hook: JsonObject, said: JsonObject) -> Refusal:
    """After Kubernetes' ``webhook/errors.ToStatusErr``."""
    by = f'admission webhook "{hook["name"]}" denied the request'
    why = said.get("message") or said.get("reason")
    code = max(400, int(said.get("code") or 0))
    message = f"{by}: {why}" if why else f"{by} without explanation"
    return Refusal(code, str(said.get("reason") or ""), message, said.get("details"))


def _unanswered(hook: JsonObject, failed: Failed) -> Refusal:
    why = f'failed calling webhook "{hook["name"]}": {failed}'
    details: dict[str, Any] = {"causes": [{"message": why}]}
    return Refusal(500, "InternalError", f"Internal error occurred: {why}", details)


def _warned(response: Response, warnings: list[str]) -> Response:
    if not warnings:
        return response
    shown = ", ".join(f'299 - "{_quoted(each)}"' for each in dict.fromkeys(warnings))
    return attrs.evolve(response, headers={**response.headers, "Warning": shown})


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
