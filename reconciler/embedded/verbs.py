"""What each HTTP method does to a resource, its collection or a subresource.

Called by ``server.Server`` with the lock held and the resource found. The bodies of responses are
shared with the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.cluster import transport
from reconciler.cluster.transport import Request, Response
from reconciler.embedded import (
    apply,
    deleting,
    patches,
    reading,
    refusals,
    strategic,
    subresources,
    tables,
    writing,
)
from reconciler.embedded.kinds import Kind
from reconciler.embedded.managed_fields import Writer
from reconciler.embedded.reading import Pages
from reconciler.embedded.routing import Route
from reconciler.embedded.store import copied
from reconciler.embedded.structure import ANY
from reconciler.embedded.walkers import decode, prune
from reconciler.embedded.world import Options, World

_PATCHES = (transport.JSON_PATCH, transport.MERGE_PATCH, transport.STRATEGIC_MERGE_PATCH,
            transport.APPLY_PATCH)  # fmt: skip
_WHOLE = ("", "status")
Verb = Callable[[World, Request, Kind, Route], Response]


def serve(world: World, pages: Pages, request: Request, kind: Kind, route: Route) -> Response:
    """Answer a request for a resource. Raises Refusal."""
    _refuse_unknown_subresource(kind, route)
    if request.method == "GET" and not route.name:
        return _list(world, pages, request, kind, route)
    if request.method == "DELETE" and not route.name:
        return _delete_collection(world, pages, request, kind, route)
    verb = _VERBS.get(request.method)
    to_named = bool(route.name) and not (request.method == "POST" and route.subresource)
    if verb is None or (request.method == "POST") == to_named:
        raise refusals.method_not_allowed()
    return verb(world, request, kind, route)


def _refuse_unknown_subresource(kind: Kind, route: Route) -> None:
    if route.subresource and route.subresource not in kind.subresources:
        raise refusals.no_such_resource()
    if kind.resource.namespaced and route.name and not route.namespace:
        raise refusals.no_such_resource()


def options(request: Request) -> Options:
    """What the query of a write says."""
    query = request.query
    return Options(
        manager=query.get("fieldManager") or "unknown",
        dry_run="All" in query.get("dryRun", ""),
        force=query.get("force", "").lower() in ("true", "1"),
        field_validation=query.get("fieldValidation", ""),
    )


def _own(body: Any) -> Any:
    return copied(body) if isinstance(body, (dict, list)) else body


def _get(world: World, request: Request, kind: Kind, route: Route) -> Response:
    obj = reading.get(world, kind, route)
    if route.subresource == "scale":
        return Response(200, subresources.scale(kind, obj))
    return Response(200, tables.presented(request, kind, obj, world.clock.now()))


def _list(world: World, pages: Pages, request: Request, kind: Kind, route: Route) -> Response:
    page = reading.listed(world, kind, route, pages, request.query)
    return Response(200, tables.presented_list(request, kind, page, world.clock.now()))


def _create(world: World, request: Request, kind: Kind, route: Route) -> Response:
    body = _own(request.body)
    if route.subresource == "binding":
        return Response(201, subresources.bind(world, kind, route, body, options(request)))
    if route.subresource == "eviction":
        return Response(201, subresources.evict(world, kind, route, body))
    if route.subresource or (kind.resource.namespaced and not route.namespace):
        raise refusals.method_not_allowed()
    obj = writing.create(world, kind, route, body, options(request))
    return Response(201, tables.presented(request, kind, obj, world.clock.now()))


def _replace(world: World, request: Request, kind: Kind, route: Route) -> Response:
    body = _own(request.body)
    said = options(request)
    if route.subresource == "scale":
        return Response(200, subresources.rescale(world, kind, route, lambda _: body, said))
    if route.subresource == "finalize":
        return Response(200, subresources.finalize(world, kind, route, body, said))
    obj = writing.replace(world, kind, route, body, said)
    return Response(200, tables.presented(request, kind, obj, world.clock.now()))


def _patch(world: World, request: Request, kind: Kind, route: Route) -> Response:
    said = options(request)
    if request.content_type == transport.APPLY_PATCH:
        return _apply(world, request, kind, route)
    make = _maker(request.content_type, kind, _own(request.body))
    if route.subresource == "scale":
        return Response(200, subresources.rescale(world, kind, route, make, said))
    obj = writing.change(world, kind, route, make, said)
    return Response(200, tables.presented(request, kind, obj, world.clock.now()))


def _maker(content_type: str, kind: Kind, patch: Any) -> writing.Change:
    accepted = [
        kept for kept in _PATCHES if kept != transport.STRATEGIC_MERGE_PATCH or not kind.custom
    ]
    if content_type not in _PATCHES:
        raise refusals.Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if content_type not in accepted:
        raise refusals.unsupported_media_type(accepted)
    if content_type == transport.JSON_PATCH:
        return lambda old: patches.json_patch(old, patch)
    if not isinstance(patch, dict):
        raise refusals.bad_request("json: cannot unmarshal array into Go value of type map")
    if content_type == transport.STRATEGIC_MERGE_PATCH:
        return lambda old: strategic.merge(kind.structure or ANY, old, patch)
    return lambda old: patches.merge(old, patch)


def _apply(world: World, request: Request, kind: Kind, route: Route) -> Response:
    if not request.query.get("fieldManager"):
        cause = refusals.required("fieldManager", "is required for apply patch")
        raise refusals.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    config = _configuration(kind, route, _own(request.body))
    said = options(request)
    writer = Writer(said.manager, world.now(), route.subresource)
    live = world.store.get(kind.bucket, route.namespace, route.name)
    if live is None and route.subresource:
        raise refusals.not_found(kind.plural, kind.group, route.name)
    if live is None:
        _refuse_another_life(kind, route, config)
        new = apply.first(kind, config, writer)
        made = writing.create(world, kind, route, new, said, applied=True)
        return Response(201, tables.presented(request, kind, made, world.clock.now()))

    def make(old: JsonObject) -> JsonObject:
        return apply.onto(kind, old, config, writer, force=said.force)

    obj = writing.change(world, kind, route, make, said, applied=True)
    return Response(200, tables.presented(request, kind, obj, world.clock.now()))


def _refuse_another_life(kind: Kind, route: Route, config: JsonObject) -> None:
    """A uid means one object that was read before; an apply that cites one creates no other."""
    uid = (config.get("metadata") or {}).get("uid")
    if uid:
        said = f"the provided object specified uid {uid}, and no existing object was found"
        why = f"uid mismatch: {said}"
        raise refusals.conflict(kind.plural, kind.group, route.name, why)


def _configuration(kind: Kind, route: Route, body: Any) -> JsonObject:
    """The applied configuration in the shape of its kind. Raises Refusal 400 and 500."""
    if not isinstance(body, dict) or not body.get("kind") or not body.get("apiVersion"):
        raise refusals.bad_request("Object 'Kind' is missing in the applied configuration")
    config = writing.decoded(kind, route, body)
    meta = config["metadata"]
    if meta.setdefault("name", route.name) != route.name:
        raise refusals.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL "
            f"({route.name})"
        )
    if meta.get("managedFields"):
        raise refusals.bad_request("metadata.managedFields must be nil")
    meta.pop("managedFields", None)
    if kind.structure is None or kind.structure.shape == "any":
        return config
    unknown: list[str] = []
    if kind.custom:
        prune(kind.structure, config, unknown)
    else:
        config = decode(kind.structure, config, unknown=unknown)
    if unknown:
        message = (
            f"failed to create typed patch object: .{unknown[0]}: field not declared in schema"
        )
        raise refusals.Refusal(500, "", message)
    return config


def _delete(world: World, request: Request, kind: Kind, route: Route) -> Response:
    if route.subresource:
        raise refusals.method_not_allowed()
    obj = reading.get(world, kind, route)
    return Response(200, deleting.delete(world, kind, obj, _delete_options(request)))


def _delete_options(request: Request) -> deleting.DeleteOptions:
    return deleting.DeleteOptions.of(request.query, request.body)


def _delete_collection(
    world: World, pages: Pages, request: Request, kind: Kind, route: Route
) -> Response:
    page = reading.listed(world, kind, route, pages, request.query)
    for obj in page.items:
        deleting.delete(world, kind, obj, _delete_options(request))
    return Response(200, reading.list_body(kind, page))


_VERBS: dict[str, Verb] = {
    "GET": _get,
    "POST": _create,
    "PUT": _replace,
    "PATCH": _patch,
    "DELETE": _delete,
}
