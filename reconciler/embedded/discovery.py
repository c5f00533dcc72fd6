"""Discovery: what the server says it serves, in which groups and versions; /version and health.

Called by ``server.Server`` for GET requests that are no resource's; the OpenAPI documents come from
``openapi``. Aggregated discovery is not served: clients fall back to one document per group.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.api.resources import JsonObject
from reconciler.cluster.transport import Response
from reconciler.embedded import openapi
from reconciler.embedded.kinds import Kind, Registry

VERSION: JsonObject = {
    "major": "1",
    "minor": "31",
    "gitVersion": "v1.31.0+tandem",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "python",
    "platform": "tandem/embedded",
}
_HEALTH = ("/healthz", "/livez", "/readyz")
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_EXTRA: dict[str, list[tuple[str, JsonObject]]] = {
    "scale": [("get", _SCALE)],
    "binding": [("create", {"kind": "Binding"})],
    "exec": [("create", {"kind": "PodExecOptions"})],
    "eviction": [("create", {"group": "policy", "version": "v1", "kind": "Eviction"})],
}


def answer(registry: Registry, path: str, accept: str) -> Response | None:
    """The response of a discovery path; None when the path is another one."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        return _core(registry, parts)
    if parts[0] == "apis":
        return _grouped(registry, parts) if len(parts) <= 3 else None
    if parts[0] == "openapi":
        return openapi.answer(registry, path, accept)
    fixed = {"/version": VERSION, "/": {"paths": _paths(registry)}, **dict.fromkeys(_HEALTH, "ok")}
    return Response(200, fixed[path]) if path in fixed else None


def _paths(registry: Registry) -> list[str]:
    found = ["/api", "/api/v1", "/apis"]
    for group, versions in registry.groups().items():
        found += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
    return [*found, *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"]


def _core(registry: Registry, parts: list[str]) -> Response | None:
    if len(parts) == 1:
        return Response(
            200,
            {
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [],
            },
        )
    if parts[1:] == ["v1"]:
        return Response(200, _resources(registry, "", "v1"))
    return None


def _grouped(registry: Registry, parts: list[str]) -> Response | None:
    groups = registry.groups()
    if len(parts) == 1:
        found = [_group(name, versions) for name, versions in groups.items()]
        return Response(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": found})
    if parts[1] not in groups:
        return None
    if len(parts) == 2:
        body = _group(parts[1], groups[parts[1]])
        return Response(200, {"kind": "APIGroup", "apiVersion": "v1", **body})
    if parts[2] not in groups[parts[1]]:
        return None
    return Response(200, _resources(registry, parts[1], parts[2]))


def _group(name: str, versions: list[str]) -> JsonObject:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def _resources(registry: Registry, group: str, version: str) -> JsonObject:
    found: list[JsonObject] = []
    for kind in sorted(registry, key=lambda kind: kind.plural):
        if (kind.group, kind.resource.version) == (group, version) and kind.served:
            found.extend(_entries(kind))
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": found,
    }


def _entries(kind: Kind) -> Iterable[JsonObject]:
    entry: JsonObject = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.resource.namespaced,
        "kind": kind.name,
        "verbs": _VERBS,
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    yield entry
    for name in sorted(kind.subresources):
        yield _subresource(kind, name)


def _subresource(kind: Kind, name: str) -> JsonObject:
    verbs = ["get", "patch", "update"]
    if name in ("binding", "eviction"):
        verbs = ["create"]
    if name == "log":
        verbs = ["get"]
    if name == "exec":
        verbs = ["create", "get"]
    entry = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.resource.namespaced,
        "kind": kind.name,
        "verbs": verbs,
    }
    for _, more in _EXTRA.get(name, ()):
        entry.update(more)
    return entry
