"""What the parts of the embedded server share: store, registry, clock, and new identities.

Made by ``server.Server``; every function below the server gets it with the server's lock held.
"""

from __future__ import annotations

import random  # noqa: TID251 -- a generator of its own: who else draws must not change uids
import threading
import uuid

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded.kinds import Kind, Registry
from reconciler.embedded.store import Store, copied
from reconciler.engine.clock import Clock

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of Kubernetes' random suffixes: no vowels, nothing that looks alike."""
_LONGEST_BASE = 58


class World:
    """The state of one embedded server."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.store = Store()
        self.registry = Registry()
        self.lock = threading.RLock()
        self._random = random.Random(seed)  # noqa: S311 -- reproducible names, not cryptography

    def now(self) -> str:
        """The time as Kubernetes writes it: UTC, whole seconds."""
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def new_name(self, base: str) -> str:
        """A name for ``generateName``."""
        return base[:_LONGEST_BASE] + "".join(self._random.choices(_ALPHABET, k=5))

    def new_number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


@attrs.frozen
class Options:
    """What a write's query says."""

    manager: str
    dry_run: bool = False
    force: bool = False
    field_validation: str = ""


def as_version(kind: Kind, obj: JsonObject) -> JsonObject:
    """``obj`` as this version of its resource serves it; shares everything but the top level."""
    if obj.get("apiVersion") == kind.resource.api_version:
        return obj
    return {**obj, "apiVersion": kind.resource.api_version}


def mutable(obj: JsonObject) -> JsonObject:
    """A private copy of a stored object, to be changed and stored."""
    return copied(obj)
