"""``runtimeSettings``: what a user may say about the containers and pods that Tandem makes.

Called by ``sidecar``, ``jobs`` and ``cron_job``. Settings come as JSON (spec 1.10). Unlike Stash,
requests without limits are applied and the user's image pull secrets are kept (spec 10.31, 10.49).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.resources import JsonObject

_CONTAINER_FIELDS = (
    "resources",
    "livenessProbe",
    "readinessProbe",
    "lifecycle",
    "securityContext",
)
_POD_FIELDS = (
    "nodeSelector",
    "serviceAccountName",
    "automountServiceAccountToken",
    "nodeName",
    "securityContext",
    "imagePullSecrets",
    "affinity",
    "schedulerName",
    "tolerations",
    "priorityClassName",
    "priority",
    "readinessGates",
    "runtimeClassName",
    "enableServiceLinks",
)
_NOTHING: tuple[Any, ...] = (None, "", {}, [])


def container(base: JsonObject, settings: Mapping[str, Any]) -> JsonObject:
    """The container with the settings applied; variables replace those of their name."""
    chosen = {key: settings[key] for key in _CONTAINER_FIELDS if _given(settings, key)}
    env = [*(settings.get("env") or ()), *_niceness(settings)]
    sources = [*base.get("envFrom", ()), *(settings.get("envFrom") or ())]
    result = {**base, **chosen}
    if env or "env" in base:
        result["env"] = _upserted(base.get("env", ()), env)
    if sources:
        result["envFrom"] = sources
    return result


def _given(settings: Mapping[str, Any], key: str) -> bool:
    return settings.get(key) not in _NOTHING


def _niceness(settings: Mapping[str, Any]) -> list[JsonObject]:
    """Nice and ionice travel as environment variables (kmodules' names, as Stash's)."""
    nice, ionice = settings.get("nice") or {}, settings.get("ionice") or {}
    found = {
        "NICE_ADJUSTMENT": nice.get("adjustment"),
        "IONICE_CLASS": ionice.get("class"),
        "IONICE_CLASS_DATA": ionice.get("classData"),
    }
    return [{"name": name, "value": str(v)} for name, v in found.items() if v is not None]


def _upserted(env: Sequence[JsonObject], more: Sequence[JsonObject]) -> list[JsonObject]:
    by_name = {item["name"]: item for item in (*env, *more)}
    return list(by_name.values())


def pod(base: JsonObject, settings: Mapping[str, Any]) -> JsonObject:
    """The pod spec with each given setting in it; 0 and False are given, empty is not."""
    chosen = {key: settings[key] for key in _POD_FIELDS if _given(settings, key)}
    return {**base, **chosen}
