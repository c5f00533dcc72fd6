"""What a decision says: the Plan, and the View it was made from.

Every ``decide`` function has the shape ``decide(key, view, now, settings) -> Plan``; the engine
calls it and applies the Plan. A Plan is data: it can be printed (``tandem plan``), compared in
tests and applied twice without harm.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import attrs

from reconciler.api.resources import JsonObject, Key, Resource


class View(Protocol):
    """A consistent reading of the world: the informer cache, or objects from files.

    Every object has its apiVersion and kind. Objects are shared and must not be changed. Nothing
    here makes a request.
    """

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        """The object, or None. ``namespace`` is "" for cluster-scoped resources."""

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        owner_uid: str | None = None,
    ) -> Sequence[JsonObject]:
        """All objects (of one namespace), with these labels, controlled by this owner.

        Sorted by namespace and name, so that decisions are deterministic.
        """

    def serves(self, resource: Resource) -> bool:
        """Whether the cluster serves the resource (by discovery)."""


@attrs.frozen
class Apply:
    """Server-side apply of ``obj``: the fields that Tandem wants, and no others.

    Fields applied before and absent now are removed by the server. ``uid`` and
    ``resource_version`` (in ``obj.metadata``) act as preconditions where set.
    ``create`` False: never bring the object into being (a workload belongs to its user).
    """

    resource: Resource
    obj: JsonObject
    create: bool = True


@attrs.frozen
class Create:
    """Create ``obj`` under its computed name; AlreadyExists counts as done (names are locks)."""

    resource: Resource
    obj: JsonObject


@attrs.frozen
class Delete:
    """Delete an object, if its uid is still ``uid``. Absence counts as done."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"


@attrs.frozen
class Status:
    """Replace the whole status of an object, if it is still at ``resource_version``.

    A conflict means that somebody else wrote first: the engine reads and decides again.
    """

    resource: Resource
    namespace: str
    name: str
    resource_version: str
    status: JsonObject


@attrs.frozen
class Finalizers:
    """Set the object's finalizers, if it is still at ``resource_version``."""

    resource: Resource
    namespace: str
    name: str
    resource_version: str
    finalizers: tuple[str, ...]


Write = Apply | Create | Delete | Status | Finalizers


@attrs.frozen
class EventIntent:
    """A Kubernetes Event to record about ``regarding``. Repeats are counted, not added."""

    regarding: JsonObject
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"
    source: str = "tandem"


@attrs.frozen
class Plan:
    """The difference between the world as it is and as it should be.

    ``writes`` are applied in order; the first failure stops the rest (the next reconcile goes on).
    ``events`` are recorded after the writes succeeded. ``wake_at`` (aware, UTC) is when this key
    must be looked at again though nothing changed (a deadline, a next slot); None: on change only.
    """

    writes: tuple[Write, ...] = ()
    events: tuple[EventIntent, ...] = ()
    wake_at: dt.datetime | None = None


@attrs.frozen
class Settings:
    """What the operator was started with; the same for every decision."""

    image: str = "tandem/tandem:latest"
    operator_namespace: str = "tandem"
    field_manager: str = "tandem"
    default_timeout: dt.timedelta = dt.timedelta(hours=24)
    """Deadline of a session without ``spec.timeOut``."""
    runner_grace: dt.timedelta = dt.timedelta(minutes=5)
    """How long a runner may be missing or not ready before its hosts are given up."""


class Decide(Protocol):
    """The signature of every decision."""

    def __call__(self, key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan: ...
