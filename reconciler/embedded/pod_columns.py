"""A Pod's row in ``kubectl get pods``, above all its STATUS. Pure.

Called by ``columns``. After ``printPod`` in Kubernetes' ``printers/internalversion``.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from reconciler.api.resources import JsonObject
from reconciler.embedded.printing import age

_NONE = "<none>"


def _state(obj: JsonObject) -> JsonObject:
    return obj.get("status") or {}


def pod(obj: JsonObject, now: dt.datetime) -> list[Any]:
    """The cells of a Pod."""
    spec, status = obj["spec"], _state(obj)
    states = status.get("containerStatuses") or []
    ready = sum(bool(state.get("ready")) for state in states)
    restarts = sum(state.get("restartCount", 0) for state in states)
    return [
        obj["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or ())}",
        status_of(obj),
        restarts,
        age(obj["metadata"].get("creationTimestamp"), now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        _NONE,
    ]


def status_of(pod: JsonObject) -> str:
    """The STATUS of a Pod: its phase, or why it is not what it should be."""
    status = _state(pod)
    reason = status.get("reason") or status.get("phase") or "Unknown"
    initial = _initial_reason(pod)
    if initial:
        reason = initial
    else:
        for state in reversed(status.get("containerStatuses") or []):
            reason = _container_reason(state.get("state") or {}) or reason
    if "deletionTimestamp" in pod["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(reason)


def _initial_reason(pod: JsonObject) -> str:
    states = _state(pod).get("initContainerStatuses") or []
    for index, status in enumerate(states):
        state = status.get("state") or {}
        ended = state.get("terminated")
        if ended and ended.get("exitCode") == 0:
            continue
        reason = _container_reason(state)
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{index}/{len(pod['spec'].get('initContainers') or ())}"
    return ""


def _container_reason(state: JsonObject) -> str:
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason"):
        return str(waiting["reason"])
    if not ended:
        return ""
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return str(ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}")
