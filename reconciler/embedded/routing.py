"""URL paths of a Kubernetes API, taken apart.

Called by ``server.Server`` for every request; pure.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Route:
    """A path below ``/api/v1`` or ``/apis/<group>/<version>``."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse(path: str) -> Route | None:
    """The route of a resource path; None when the path is another one (discovery, /version)."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        return _resource("", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) >= 4:
        return _resource(parts[1], parts[2], parts[3:])
    return None


def _resource(group: str, version: str, rest: list[str]) -> Route:
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        return _named(group, version, rest[1], rest[2:])
    return _named(group, version, "", rest)


def _named(group: str, version: str, namespace: str, rest: list[str]) -> Route:
    name = rest[1] if len(rest) > 1 else ""
    return Route(group, version, rest[0], namespace, name, "/".join(rest[2:]))
