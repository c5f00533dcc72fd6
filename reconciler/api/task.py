"""Function and Task: how a backup by Job is made of containers.

A Task is a list of steps; each step is a Function, a container with ``${VARIABLES}``. Types only,
used by manifests, which substitute the variables.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from reconciler.api.metadata import ObjectMeta
from reconciler.api.resources import FUNCTIONS, TASKS, JsonObject, Resource
from reconciler.api.runtime import ContainerRuntimeSettings


@attrs.frozen(kw_only=True)
class Param:
    """A value for a variable of a Function."""

    name: str
    value: str


@attrs.frozen(kw_only=True)
class TaskRef:
    """The Task that does the work, with values for its variables."""

    name: str
    params: tuple[Param, ...] = ()


@attrs.frozen(kw_only=True)
class FunctionSpec:
    """One container, with variables."""

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[JsonObject, ...] = ()
    volume_mounts: tuple[JsonObject, ...] = ()
    volume_devices: tuple[JsonObject, ...] = ()
    runtime_settings: ContainerRuntimeSettings | None = None
    pod_security_policy_name: str = ""


@attrs.frozen(kw_only=True)
class Function:
    """One step of a backup or restore: a container, with variables."""

    RESOURCE: ClassVar[Resource] = FUNCTIONS

    metadata: ObjectMeta
    spec: FunctionSpec


@attrs.frozen(kw_only=True)
class TaskStep:
    """A Function by name, with values for its variables."""

    name: str
    params: tuple[Param, ...] = ()


@attrs.frozen(kw_only=True)
class TaskSpec:
    """The steps, run one after another, and the volumes that they share."""

    steps: tuple[TaskStep, ...] = ()
    volumes: tuple[JsonObject, ...] = ()


@attrs.frozen(kw_only=True)
class Task:
    """A backup or restore as a list of Functions in one pod."""

    RESOURCE: ClassVar[Resource] = TASKS

    metadata: ObjectMeta
    spec: TaskSpec
