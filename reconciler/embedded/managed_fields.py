"""Who owns which field (``metadata.managedFields``), for writes that are not applies.

Called by ``writing``.
"""

from __future__ import annotations

import attrs

from reconciler.api.resources import JsonObject
from reconciler.embedded.kinds import Kind


@attrs.frozen
class Writer:
    """Who writes, when, and through which subresource."""

    manager: str
    now: str
    subresource: str = ""


def record(kind: Kind, old: JsonObject, new: JsonObject, writer: Writer) -> None:
    """Note in ``new`` that the writer owns what differs from ``old``."""
    del kind, old, new, writer


def same(old: JsonObject, new: JsonObject) -> bool:
    """Whether a write changes nothing worth storing."""
    return old == new
