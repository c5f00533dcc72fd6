"""Create, update and patch of the embedded server: one object changes, or a Refusal says why not.

Called by ``server.Server`` with the lock held. The order of things is the real server's: decode,
carry over what the caller may not change, default, prune, validate, note who owns which field,
store. A write that changes nothing is not stored and makes no event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded import admission, deleting, managed_fields, refusals
from reconciler.embedded.kinds import Kind
from reconciler.embedded.managed_fields import Writer
from reconciler.embedded.routing import Route
from reconciler.embedded.world import Options, World, as_version, mutable

_SERVERS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
"""Metadata that only the server sets."""
_ADDRESS = ("name", "generateName", "namespace", "resourceVersion")
"""Metadata by which an object is found, read before the whole is decoded."""
Change = Callable[[JsonObject], JsonObject]


def create(
    world: World, kind: Kind, route: Route, body: Any, options: Options, *, applied: bool = False
) -> JsonObject:
    """POST; also the first apply of an object. ``body`` becomes the server's own."""
    obj = decoded(kind, route, body)
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise refusals.Refusal(
            500, "", "resourceVersion should not be set on objects to be created"
        )
    _name(world, kind, meta)
    _refuse_closed_namespace(world, kind, route, meta["name"])
    if world.store.get(kind.bucket, route.namespace, meta["name"]) is not None:
        raise refusals.already_exists(kind.plural, kind.group, meta["name"])
    _stamp(world, meta)
    if kind.has_status:
        obj.pop("status", None)
    admission.complete(kind, obj, options)
    if not applied:
        managed_fields.record(kind, {}, obj, Writer(options.manager, world.now()))
    admission.create(world, kind, obj)
    if options.dry_run:
        return obj
    stored = world.store.put(kind.bucket, obj)
    admission.stored(world, kind, stored)
    return stored


def decoded(kind: Kind, route: Route, body: Any) -> JsonObject:
    """The request's object, of the right kind and in the right namespace. Raises Refusal 400."""
    if not isinstance(body, dict):
        raise refusals.bad_request("the object provided is unrecognized (must be of type object)")
    body.setdefault("kind", kind.name)
    body.setdefault("apiVersion", kind.resource.api_version)
    if (body["kind"], body["apiVersion"]) != (kind.name, kind.resource.api_version):
        _, _, version = body["apiVersion"].rpartition("/")
        raise refusals.bad_request(
            f'{body["kind"]} in version "{version}" cannot be handled as a {kind.name}: no kind '
            f'"{body["kind"]}" is registered for version "{body["apiVersion"]}" in scheme '
            '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
        )
    meta = body.get("metadata")
    if meta is None:
        meta = body["metadata"] = {}
    if not isinstance(meta, dict):
        raise refusals.bad_request("the object provided is unrecognized (metadata is no object)")
    for key in _ADDRESS:
        if not isinstance(meta.get(key) or "", str):
            raise refusals.bad_request(
                f"json: cannot unmarshal into Go struct field {kind.name}.metadata.{key} "
                "of type string"
            )
    _place(kind, route, meta)
    return body


def _place(kind: Kind, route: Route, meta: JsonObject) -> None:
    if not kind.resource.namespaced:
        meta.pop("namespace", None)
        return
    if not meta.get("namespace"):
        meta["namespace"] = route.namespace
    if meta["namespace"] != route.namespace:
        raise refusals.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _name(world: World, kind: Kind, meta: JsonObject) -> None:
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = world.new_name(str(meta["generateName"]))
    if not meta.get("name"):
        raise refusals.invalid(
            kind.name,
            kind.group,
            "",
            [refusals.required("metadata.name", "name or generateName is required")],
        )


def _stamp(world: World, meta: JsonObject) -> None:
    for name in (*_SERVERS, "resourceVersion", "selfLink", "generation"):
        meta.pop(name, None)
    meta["uid"] = world.new_uid()
    meta["creationTimestamp"] = world.now()


def _refuse_closed_namespace(world: World, kind: Kind, route: Route, name: str) -> None:
    if not kind.resource.namespaced:
        return
    namespace = world.store.get(("", "namespaces"), "", route.namespace)
    if namespace is None:
        raise refusals.not_found("namespaces", "", route.namespace)
    if "deletionTimestamp" in namespace["metadata"]:
        why = (
            f"unable to create new content in namespace {route.namespace} because it is being "
            "terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {route.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise refusals.forbidden(kind.plural, kind.group, name, why, causes=[cause])


def replace(world: World, kind: Kind, route: Route, body: Any, options: Options) -> JsonObject:
    """PUT of the whole object or of a subresource."""
    new = decoded(kind, route, body)
    meta = new["metadata"]
    if meta.get("name", "") != route.name:
        raise refusals.bad_request(
            f"the name of the object ({meta.get('name', '')}) does not match the name on the URL "
            f"({route.name})"
        )
    if kind.custom and not meta.get("resourceVersion"):
        cause = refusals.Cause(
            "metadata.resourceVersion", "Invalid value", "must be specified for an update", "0x0"
        )
        _stored(world, kind, route)
        raise refusals.invalid(kind.plural, kind.group, route.name, [cause])
    return change(world, kind, route, lambda _: new, options)


def _stored(world: World, kind: Kind, route: Route) -> JsonObject:
    obj = world.store.get(kind.bucket, route.namespace, route.name)
    if obj is None:
        raise refusals.not_found(kind.plural, kind.group, route.name)
    return obj


def change(
    world: World,
    kind: Kind,
    route: Route,
    make: Change,
    options: Options,
    *,
    applied: bool = False,
) -> JsonObject:
    """Store what ``make`` makes of (a copy of) the present object.

    ``applied`` says that ``make`` has seen to the managed fields itself (server-side apply).
    """
    old = as_version(kind, _stored(world, kind, route))
    new = _shaped(kind, make(mutable(old)))
    _refuse_stale(kind, old, new)
    _carry_over(kind, old, new, route.subresource)
    admission.complete(kind, new, options)
    if not applied:
        writer = Writer(options.manager, world.now(), route.subresource)
        managed_fields.record(kind, old, new, writer)
    admission.update(world, kind, new, old, route.subresource)
    _generation(kind, old, new)
    if managed_fields.same(old, new):
        return old
    if options.dry_run:
        return new
    return _commit(world, kind, new)


def _shaped(kind: Kind, new: Any) -> JsonObject:
    """What a patch made is still an object of its kind. Raises Refusal 400."""
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise refusals.bad_request("the patched object is no object, or its metadata is none")
    identity = {"kind": kind.name, "apiVersion": kind.resource.api_version}
    for field, wanted in identity.items():
        if new.setdefault(field, wanted) != wanted:
            raise refusals.bad_request(f"{field} cannot be changed to {new[field]}")
    return new


def _commit(world: World, kind: Kind, new: JsonObject) -> JsonObject:
    if deleting.is_over(kind, new):
        deleting.finish(world, kind, new)
        return new
    stored = world.store.put(kind.bucket, new)
    admission.stored(world, kind, stored)
    return stored


def _refuse_stale(kind: Kind, old: JsonObject, new: JsonObject) -> None:
    was, now = old["metadata"], new["metadata"]
    if now.get("uid") and now["uid"] != was["uid"]:
        raise refusals.precondition(
            kind.plural, kind.group, was["name"], "UID", want=now["uid"], have=was["uid"]
        )
    if now.get("resourceVersion") and now["resourceVersion"] != was["resourceVersion"]:
        raise refusals.modified(kind.plural, kind.group, was["name"])


def _carry_over(kind: Kind, old: JsonObject, new: JsonObject, subresource: str) -> None:
    """What this request may not change stays as it was."""
    was, now = old["metadata"], new["metadata"]
    for name in (*_SERVERS, "generation", "selfLink"):
        now.pop(name, None)
        if name in was:
            now[name] = was[name]
    now["resourceVersion"] = was["resourceVersion"]
    if now.get("managedFields") is None and "managedFields" in was:
        now["managedFields"] = was["managedFields"]
    if subresource == "status":
        _only_status(old, new)
    elif kind.has_status and not subresource:
        _without_status(old, new)


def _only_status(old: JsonObject, new: JsonObject) -> None:
    status, fields = new.get("status"), new["metadata"].get("managedFields")
    new.clear()
    new.update(mutable(old))
    new["metadata"]["managedFields"] = fields
    if fields is None:
        del new["metadata"]["managedFields"]
    new.pop("status", None)
    if status is not None:
        new["status"] = status


def _without_status(old: JsonObject, new: JsonObject) -> None:
    new.pop("status", None)
    if "status" in old:
        new["status"] = mutable(old["status"])


def _generation(kind: Kind, old: JsonObject, new: JsonObject) -> None:
    meta = new["metadata"]
    if "generation" not in meta:
        return
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if kind.has_status else set())
    if any(old.get(key) != new.get(key) for key in {*old, *new} - ignored):
        meta["generation"] += 1
