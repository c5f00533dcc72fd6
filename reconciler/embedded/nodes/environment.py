"""The environment of a container: ``env``, ``envFrom``, references, and ``$(NAME)`` expansion.

Called by ``process`` when a container starts. Reads Secrets and ConfigMaps through the given
function; values never leave this module but in the environment itself.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping

from reconciler.api.resources import CONFIG_MAPS, SECRETS, JsonObject, Resource
from reconciler.embedded.nodes.runtime import Waiting

Read = Callable[[Resource, str, str], JsonObject | None]
"""(resource, namespace, name) -> the object, or None."""
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z0-9_.-]+)\)")


def build(
    pod: JsonObject, container: JsonObject, read: Read, base: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment. Raises Waiting (``CreateContainerConfigError``)."""
    namespace = pod["metadata"].get("namespace", "")
    made = dict(base)
    for source in container.get("envFrom") or ():
        made |= _from_object(source, namespace, read)
    for entry in container.get("env") or ():
        value = _value(entry, pod, namespace, read, made)
        if value is not None:
            made[entry["name"]] = value
    return made


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; an unknown name stays as it is, ``$$`` is a dollar sign."""

    def replaced(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else environment.get(name, found[0])

    return _REFERENCE.sub(replaced, text)


def field(pod: JsonObject, path: str) -> str:
    """The value of a ``fieldRef`` (downward API); "" when the Pod has none."""
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = pod["metadata"].get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{name}="{value}"' for name, value in sorted(entries.items()))
    found: object = pod
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if path == "spec.serviceAccountName" and not found:
        return "default"
    return "" if found is None else str(found)


def data_of(obj: JsonObject) -> dict[str, bytes]:
    """The files of a Secret or ConfigMap."""
    if obj.get("kind") == "Secret":
        made = {name: base64.b64decode(text) for name, text in (obj.get("data") or {}).items()}
        return made | {name: text.encode() for name, text in (obj.get("stringData") or {}).items()}
    binary = {name: base64.b64decode(text) for name, text in (obj.get("binaryData") or {}).items()}
    return binary | {name: text.encode() for name, text in (obj.get("data") or {}).items()}


def _value(
    entry: JsonObject, pod: JsonObject, namespace: str, read: Read, made: Mapping[str, str]
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(str(entry.get("value", "")), made)
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "secretKeyRef" in source:
        return _key(SECRETS, source["secretKeyRef"], namespace, read)
    if "configMapKeyRef" in source:
        return _key(CONFIG_MAPS, source["configMapKeyRef"], namespace, read)
    return None  # resourceFieldRef: there are no limits here


def _key(resource: Resource, reference: JsonObject, namespace: str, read: Read) -> str | None:
    obj = read(resource, namespace, reference["name"])
    data = data_of(obj) if obj is not None else {}
    if reference["key"] in data:
        return data[reference["key"]].decode()
    if reference.get("optional"):
        return None
    if obj is None:
        raise _missing(resource, reference["name"])
    raise Waiting(
        "CreateContainerConfigError",
        f"couldn't find key {reference['key']} in {resource.kind} {namespace}/{reference['name']}",
    )


def _from_object(source: JsonObject, namespace: str, read: Read) -> dict[str, str]:
    resource, field_name = (
        (SECRETS, "secretRef") if "secretRef" in source else (CONFIG_MAPS, "configMapRef")
    )
    reference = source[field_name]
    obj = read(resource, namespace, reference["name"])
    if obj is None:
        if reference.get("optional"):
            return {}
        raise _missing(resource, reference["name"])
    prefix = source.get("prefix", "")
    return {f"{prefix}{name}": value.decode() for name, value in data_of(obj).items()}


def _missing(resource: Resource, name: str) -> Waiting:
    return Waiting("CreateContainerConfigError", f'{resource.kind.lower()} "{name}" not found')
