"""Get, list and watch of the embedded server.

Called by ``server.Server`` with the lock held. Lists are consistent: the pages of one list come
from a snapshot, which is forgotten when newer ones need its place (then 410, as after compaction).
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Mapping

import attrs
import orjson

from reconciler.api.resources import JsonObject
from reconciler.embedded import refusals, selectors
from reconciler.embedded.kinds import Kind
from reconciler.embedded.routing import Route
from reconciler.embedded.store import Change
from reconciler.embedded.watching import Watch
from reconciler.embedded.world import World, as_version

_SNAPSHOTS = 256


@attrs.frozen
class Page:
    """A part of a list as of ``version``."""

    items: list[JsonObject]
    version: int
    token: str = ""
    remaining: int | None = None


class Pages:
    """Snapshots of lists that somebody reads page by page."""

    def __init__(self) -> None:
        self._rest: OrderedDict[str, tuple[list[JsonObject], int, int]] = OrderedDict()
        self._number = 0

    def first(self, items: list[JsonObject], version: int, limit: int, *, counted: bool) -> Page:
        """The first ``limit`` items (0: all of them)."""
        if not limit or len(items) <= limit:
            return Page(items, version)
        return self._page(items, version, 0, limit, counted=counted)

    def following(self, token: str, limit: int, *, counted: bool) -> Page:
        """The next page. Raises Refusal 410 when the snapshot is forgotten."""
        try:
            key = str(orjson.loads(base64.urlsafe_b64decode(token))["start"])
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise refusals.bad_request("continue key is not valid: " + token) from None
        if key not in self._rest:
            raise refusals.expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )
        items, version, start = self._rest[key]
        return self._page(items, version, start, limit, counted=counted)

    def _page(
        self, items: list[JsonObject], version: int, start: int, limit: int, *, counted: bool
    ) -> Page:
        end = start + limit if limit else len(items)
        if end >= len(items):
            return Page(items[start:], version)
        self._number += 1
        key = str(self._number)
        self._rest[key] = (items, version, end)
        while len(self._rest) > _SNAPSHOTS:
            self._rest.popitem(last=False)
        text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": key})
        remaining = len(items) - end if counted else None
        return Page(items[start:end], version, base64.urlsafe_b64encode(text).decode(), remaining)


def get(world: World, kind: Kind, route: Route) -> JsonObject:
    """The stored object. Raises Refusal 404."""
    obj = world.store.get(kind.bucket, route.namespace, route.name)
    if obj is None:
        raise refusals.not_found(kind.plural, kind.group, route.name)
    return as_version(kind, obj)


def predicate(kind: Kind, query: Mapping[str, str]) -> selectors.Predicate:
    """The selection that a query asks for."""
    return selectors.both(
        selectors.by_label(query.get("labelSelector", "")),
        selectors.by_field(query.get("fieldSelector", ""), kind.fields),
    )


def listed(world: World, kind: Kind, route: Route, pages: Pages, query: Mapping[str, str]) -> Page:
    """One page of a list."""
    limit = _number(query, "limit")
    counted = not query.get("labelSelector") and not query.get("fieldSelector")
    if token := query.get("continue", ""):
        return pages.following(token, limit, counted=counted)
    wanted = predicate(kind, query)
    _refuse_future(world, query.get("resourceVersion", ""))
    found = world.store.all(kind.bucket, route.namespace)
    if wanted is not selectors.everything:
        found = [obj for obj in found if wanted(obj)]
    items = [as_version(kind, obj) for obj in found] if kind.custom else found
    return pages.first(items, world.store.version, limit, counted=counted)


def _refuse_future(world: World, version: str) -> None:
    if version and not version.isdigit():
        raise refusals.bad_request(f'invalid resource version "{version}"')
    if version and int(version) > world.store.version:
        message = f"Too large resource version: {version}, current: {world.store.version}"
        raise refusals.Refusal(504, "Timeout", message, {"retryAfterSeconds": 1})


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "") or "0"
    try:
        return int(text)
    except ValueError:
        raise refusals.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def list_body(kind: Kind, page: Page) -> JsonObject:
    """A page as a list object."""
    meta: JsonObject = {"resourceVersion": str(page.version)}
    if page.token:
        meta["continue"] = page.token
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
    return {
        "kind": kind.listed_as,
        "apiVersion": kind.resource.api_version,
        "metadata": meta,
        "items": page.items if kind.custom else [_bare(obj) for obj in page.items],
    }


def _bare(obj: JsonObject) -> JsonObject:
    """A built-in kind's object as a list shows it: the list has its kind and apiVersion."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def watch(
    world: World,
    kind: Kind,
    route: Route,
    query: Mapping[str, str],
    present: Callable[[JsonObject], JsonObject] | None = None,
) -> Watch:
    """Open a watch from the query's resourceVersion; "" and "0" begin with what exists.

    A version that is compacted away gives one ERROR event with the 410 Status, as the real server's
    watch cache does.
    """
    wanted = predicate(kind, query)
    if route.name:
        wanted = selectors.both(wanted, lambda obj: bool(obj["metadata"]["name"] == route.name))
    stream = _stream(world, kind, route, query, wanted)
    if present is not None:
        stream.present = present
    version = query.get("resourceVersion", "") or "0"
    if not version.isdigit():
        raise refusals.bad_request(f'Invalid value: "{version}": resource version must be a number')
    initial = query.get("sendInitialEvents") == "true"
    if version == "0" or initial:
        stream.open(_existing(world, kind, route))
        if initial:
            stream.put("BOOKMARK", _end_of_initial(world, kind))
        return stream
    changes = world.store.since(kind.bucket, int(version))
    stream.open(changes or [])
    if changes is None:
        message = f"too old resource version: {version} ({world.store.version})"
        stream.put("ERROR", refusals.expired(message).body)
        stream.end()
    return stream


def _stream(
    world: World,
    kind: Kind,
    route: Route,
    query: Mapping[str, str],
    wanted: selectors.Predicate,
) -> Watch:
    mark = {"kind": kind.name, "apiVersion": kind.resource.api_version}
    return Watch(
        world.store,
        kind.bucket,
        route.namespace,
        wanted,
        clock=world.clock,
        lock=world.lock,
        convert=lambda obj: as_version(kind, obj),
        bookmark=mark if query.get("allowWatchBookmarks") == "true" else None,
        timeout=float(_number(query, "timeoutSeconds")) or None,
    )


def _existing(world: World, kind: Kind, route: Route) -> list[Change]:
    found = world.store.all(kind.bucket, route.namespace)
    return [Change(world.store.version, "ADDED", obj, None) for obj in found]


def _end_of_initial(world: World, kind: Kind) -> JsonObject:
    meta = {
        "resourceVersion": str(world.store.version),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }
    return {"kind": kind.name, "apiVersion": kind.resource.api_version, "metadata": meta}
