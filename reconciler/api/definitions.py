"""What the definitions in a cluster lack of the ones that this Tandem was built with.

Asked by ``tandem run`` before it works: an API server drops every field that a definition does not
name, so that with an older one the operator would write what nobody can read. Kinds of others,
such as AppBindings, are only read, and are not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.crds import crds
from reconciler.api.resources import STASH, JsonObject

REMEDY = "run: kubectl apply -k crds/"
_SHOWN = 3
"""Fields that a sentence names; the remedy is the same for all."""


def wanted() -> list[JsonObject]:
    """The definitions of Tandem's own kinds."""
    return [each for each in crds() if each["spec"]["group"] == STASH]


def lack(ours: JsonObject, found: JsonObject | None) -> str:
    """What the definition that was found lacks, in a sentence with the remedy; "" for nothing."""
    subject = f"CustomResourceDefinition {ours['metadata']['name']}"
    if found is None:
        return f"{subject} is not installed; {REMEDY}"
    (version,) = ours["spec"]["versions"]
    schema = _schema(found, version["name"])
    if schema is None:
        return f"{subject} does not serve version {version['name']}; {REMEDY}"
    fields = list(_lost(version["schema"]["openAPIV3Schema"], schema, ""))
    if not fields:
        return ""
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    return (
        f"{subject} is older than this Tandem: it has no {', '.join(fields[:_SHOWN])}{more},"
        f" and the API server drops what it does not name; {REMEDY}"
    )


def _schema(definition: JsonObject, name: str) -> JsonObject | None:
    """The schema of a version that is served; None without the version."""
    for version in definition["spec"]["versions"]:
        if version["name"] == name and version["served"]:
            schema: JsonObject = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            return schema
    return None


def _lost(ours: JsonObject, found: JsonObject, path: str) -> Iterator[str]:
    """Paths of the fields that ours names and the one that was found drops: the topmost only."""
    if found.get("x-kubernetes-preserve-unknown-fields"):
        return
    theirs = found.get("properties") or {}
    for name, schema in (ours.get("properties") or {}).items():
        place = f"{path}.{name}" if path else name
        if name in theirs:
            yield from _lost(schema, theirs[name], place)
        else:
            yield place
    for within, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if within in ours:
            yield from _lost(ours[within], found.get(within) or {}, path + mark)
