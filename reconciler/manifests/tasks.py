"""Task and Function resolution: from a member's task to containers and volumes.

Called by ``jobs``. Precedence of variables, highest first, is Stash's (stash-data 6.2):
operator-computed, the member's ``task.params``, the Task's step params, the Function's default.
Every fault is collected, so that a user sees all that is missing at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from reconciler.api.resources import JsonObject
from reconciler.errors import Fault
from reconciler.manifests import functions, names, runtime

_CONTAINER_FIELDS = (
    "image",
    "command",
    "args",
    "workingDir",
    "ports",
    "volumeMounts",
    "volumeDevices",
)


@attrs.frozen
class Resolved:
    """The steps of a Task as containers, in order, and the Task's volumes."""

    containers: tuple[JsonObject, ...]
    volumes: tuple[JsonObject, ...]
    faults: tuple[Fault, ...] = ()


def resolve(
    task: JsonObject, known: Mapping[str, JsonObject], variables: Mapping[str, str]
) -> Resolved:
    """Substitute the variables in the Task, then in the Function of each step."""
    faults: list[Fault] = []
    where = f"Task/{task['metadata']['name']}.spec"
    spec = functions.substitute(task.get("spec") or {}, variables, where, faults)
    steps = spec.get("steps") or ()
    if not steps:
        faults.append(Fault(f"{where}.steps", "the Task has no steps", "add at least one step"))
    containers = []
    for index, step in enumerate(steps):
        function = known.get(step["name"])
        if function is None:
            faults.append(_missing(f"{where}.steps[{index}].name", step["name"]))
        else:
            containers.append(_container(function, index, step, variables, faults))
    return Resolved(tuple(containers), tuple(spec.get("volumes") or ()), tuple(faults))


def _missing(path: str, name: str) -> Fault:
    remedy = "create the Function, or name an existing one"
    return Fault(path, f"the Function {name} does not exist", remedy)


def _container(
    function: JsonObject,
    index: int,
    step: JsonObject,
    variables: Mapping[str, str],
    faults: list[Fault],
) -> JsonObject:
    params = {item["name"]: str(item["value"]) for item in step.get("params") or ()}
    name = function["metadata"]["name"]
    where = f"Function/{name}.spec"
    spec = functions.substitute(function["spec"], {**params, **variables}, where, faults)
    chosen = {key: spec[key] for key in _CONTAINER_FIELDS if spec.get(key)}
    base = {"name": names.container(name, index), **chosen}
    return runtime.container(base, spec.get("runtimeSettings") or {})
