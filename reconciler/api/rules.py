"""Rules that several kinds share. For the ``…_rules`` modules and ``validation`` only. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from reconciler.api.decoding import nearest
from reconciler.api.durations import parse_duration
from reconciler.api.metadata import ObjectMeta, TargetRef
from reconciler.api.resources import APP_BINDINGS, PERSISTENT_VOLUME_CLAIMS, WORKLOADS
from reconciler.errors import Fault

LONGEST_NAME: Final = 63
"""Names of invokers and repositories become values of labels (Kubernetes' limit)."""

WORKLOAD_KINDS: Final = frozenset(resource.kind for resource in WORKLOADS)
TARGET_KINDS: Final = {
    resource.kind: resource.api_version
    for resource in (*WORKLOADS, PERSISTENT_VOLUME_CLAIMS, APP_BINDINGS)
}
"""The kinds that Tandem knows as targets, with their versions."""


def one_of(path: str, value: str, known: tuple[str, ...]) -> Iterator[Fault]:
    """A fault if ``value`` is none of the known ones."""
    if value not in known:
        yield Fault(path, "is not a known value", nearest(value, known), value)


def name_faults(metadata: ObjectMeta) -> Iterator[Fault]:
    """A name that cannot be the value of a label."""
    length = len(metadata.name)
    if length > LONGEST_NAME:
        yield Fault(
            "metadata.name",
            f"is {length} characters long",
            f"shorten it to {LONGEST_NAME}, because labels carry it",
            metadata.name,
        )


def not_negative(path: str, value: int | None) -> Iterator[Fault]:
    """A number that counts something."""
    if value is not None and value < 0:
        yield Fault(path, "is negative", "write 0 or more", value)


def positive_duration(path: str, text: str) -> Iterator[Fault]:
    """A Go duration that takes some time; "" is none at all."""
    if not text:
        return
    try:
        duration = parse_duration(text)
    except ValueError as error:
        yield Fault(path, "is not a duration", str(error).rpartition("; ")[2], text)
        return
    if duration <= dt.timedelta(0):
        yield Fault(path, "is not a positive duration", "write for example 2h", text)


def ref_faults(path: str, ref: TargetRef) -> Iterator[Fault]:
    """A reference that names nothing, a misspelt kind, or a kind in another version."""
    for key, value in (("kind", ref.kind), ("name", ref.name)):
        if not value:
            yield Fault(f"{path}.{key}", "is missing", f"write the target's {key}")
    wanted = TARGET_KINDS.get(ref.kind)
    if wanted is None:
        yield from _misspelt_kind(path, ref.kind)
    elif ref.api_version and ref.api_version != wanted:
        problem = f"is not the version of {ref.kind}"
        yield Fault(f"{path}.apiVersion", problem, f"write {wanted}", ref.api_version)


def _misspelt_kind(path: str, kind: str) -> Iterator[Fault]:
    """Other kinds are allowed, since a Task may know them; these are certainly meant otherwise."""
    by_lower = {known.lower(): known for known in TARGET_KINDS}
    meant = by_lower.get(kind.lower()) or by_lower.get(kind.lower().removesuffix("s"))
    if meant:
        yield Fault(f"{path}.kind", "is not a known kind", f"did you mean {meant}?", kind)
