"""One view of a restore: a RestoreBatch, or a RestoreSession as a batch of one.

Everything that acts on restores (decisions, manifests, agent) uses this view, so that both kinds
behave alike. Stash keeps the phase of a RestoreSession and that of its target in one field, so the
whole looks finished before it is; here the target's own is beside it (``targetPhase``), and
``entries`` and ``with_entries`` translate. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from reconciler.api.backup import VOLUME_SNAPSHOTTER, Driver, ExecutionOrder
from reconciler.api.decoding import Unknown, decode, encode
from reconciler.api.metadata import ObjectMeta, OwnerReference, TargetRef
from reconciler.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    RESTORE_BATCHES,
    RESTORE_SESSIONS,
    JsonObject,
    Resource,
)
from reconciler.api.restore import (
    RestoreBatch,
    RestoreBatchStatus,
    RestoreMember,
    RestoreMemberStatus,
    RestoreSession,
    RestoreTarget,
    Rule,
)
from reconciler.api.runtime import RestoreHooks

RESTORE_INVOKERS: Final = (RESTORE_BATCHES, RESTORE_SESSIONS)
"""The resources that restore."""

ORDINAL: Final = "${POD_ORDINAL}"
"""What stands for the ordinal in the name of a claim template."""

_ENTRY: Final = ("totalHosts", "startTime", "reason", "message", "hosts", "stats")
"""What the entry of a target has, and the status of a RestoreSession too."""


@attrs.frozen(kw_only=True)
class RestoreInvoker:
    """What is restored, from where and in which order, whatever kind says so."""

    resource: Resource
    metadata: ObjectMeta
    members: tuple[RestoreMember, ...]
    """In order, each with its rules in ``target.rules``, also where the spec has them elsewhere."""
    driver: Driver
    execution_order: ExecutionOrder
    repository: str
    """The name of the Repository, in the same namespace."""
    hooks: RestoreHooks | None
    """Hooks around the whole restore; a member's own hooks are with the member."""
    time_out: str
    """A Go duration, or ""."""
    status: RestoreBatchStatus
    """Of both kinds in the shape of a batch's: ``members[0]`` is a RestoreSession's target."""

    @classmethod
    def of(cls, obj: RestoreBatch | RestoreSession) -> RestoreInvoker:
        """The view of a typed object."""
        batch = isinstance(obj, RestoreBatch)
        return cls(
            resource=obj.RESOURCE,
            metadata=obj.metadata,
            members=obj.spec.members if isinstance(obj, RestoreBatch) else (_only_member(obj),),
            driver=obj.spec.driver,
            execution_order=(
                obj.spec.execution_order if isinstance(obj, RestoreBatch) else "Parallel"
            ),
            repository=obj.spec.repository.name,
            hooks=obj.spec.hooks if batch else None,
            time_out=obj.spec.time_out,
            status=obj.status if isinstance(obj, RestoreBatch) else _status_of(obj),
        )

    @property
    def takes_snapshots(self) -> bool:
        """Whether claims are made of VolumeSnapshots, and no Repository is involved."""
        return self.driver == VOLUME_SNAPSHOTTER

    @property
    def kind(self) -> str:
        return self.resource.kind

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    def member_path(self, index: int) -> str:
        """The field path of a member, for faults."""
        return f"spec.members[{index}]" if self.kind == RESTORE_BATCHES.kind else "spec"

    def ref(self, index: int) -> TargetRef:
        """What the member is called in the status, in args and in messages."""
        return ref_of(self.members[index].target or RestoreTarget())

    def owner_reference(self) -> OwnerReference:
        """For objects that live and die with the restore."""
        return OwnerReference(
            api_version=self.resource.api_version,
            kind=self.kind,
            name=self.name,
            uid=self.metadata.uid,
            controller=True,
            block_owner_deletion=True,
        )


def ref_of(target: RestoreTarget) -> TargetRef:
    """The target's ref; for one that only has claim templates, the first of them without ordinal.

    Two members with the same template would make the same claims, so this names one of them alone.
    """
    if target.ref.name or not target.volume_claim_templates:
        return target.ref
    name = str((target.volume_claim_templates[0].get("metadata") or {}).get("name") or "")
    return TargetRef(
        api_version=PERSISTENT_VOLUME_CLAIMS.api_version,
        kind=PERSISTENT_VOLUME_CLAIMS.kind,
        name=name.replace(f"-{ORDINAL}", "").replace(ORDINAL, ""),
    )


def raw_ref(member: JsonObject) -> JsonObject:
    """The same of a member in JSON, whatever else is wrong with it."""
    target = member.get("target") or {}
    ref = target.get("ref") or {}
    known = {key: str(ref.get(key) or "") for key in ("apiVersion", "kind", "name")}
    found = TargetRef(api_version=known["apiVersion"], kind=known["kind"], name=known["name"])
    templates = tuple(target.get("volumeClaimTemplates") or ())
    return encode(ref_of(RestoreTarget(ref=found, volume_claim_templates=templates)))


def rule_for(rules: Sequence[Rule], host: str) -> Rule | None:
    """The rule by which a host is restored: the one that names it, else the one for all hosts."""
    named = next((rule for rule in rules if host in rule.target_hosts), None)
    return named or next((rule for rule in rules if not rule.target_hosts), None)


def decode_restore(obj: JsonObject, *, unknown: Unknown = "refuse") -> RestoreInvoker:
    """The view of a RestoreBatch or RestoreSession in JSON. Raises InvalidObject."""
    if obj.get("kind") == RESTORE_SESSIONS.kind:
        return RestoreInvoker.of(decode(RestoreSession, obj, unknown=unknown))
    return RestoreInvoker.of(decode(RestoreBatch, obj, unknown=unknown))


# -- the status in JSON ---------------------------------------------------------------------------


def entries(obj: JsonObject) -> list[JsonObject]:
    """The entries of the status, one a target; none before the operator has looked at it.

    A RestoreSession's is made anew; ``reports`` is what to change.
    """
    status = obj.get("status") or {}
    if obj["kind"] == RESTORE_BATCHES.kind:
        return list(status.get("members") or ())
    if not status.get("targetPhase"):
        return []
    kept = {key: status[key] for key in _ENTRY if key in status}
    return [{"ref": raw_ref(obj["spec"]), "phase": status["targetPhase"], **kept}]


def with_entries(kind: str, status: JsonObject, found: Iterable[JsonObject]) -> JsonObject:
    """The status with these entries in the place of those that it has."""
    if kind == RESTORE_BATCHES.kind:
        return {**status, "members": list(found)}
    rest = {key: value for key, value in status.items() if key not in (*_ENTRY, "targetPhase")}
    for entry in found:
        rest["targetPhase"] = entry["phase"]
        rest |= {key: entry[key] for key in _ENTRY if key in entry}
    return rest


def reports(obj: JsonObject, kind: str, name: str) -> JsonObject | None:
    """The part of the object that has the target's ``hosts`` and ``stats``: itself, to be changed.

    None when the target is not in the status.
    """
    status: JsonObject = obj.get("status") or {}
    if obj["kind"] == RESTORE_SESSIONS.kind:
        known = [entry["ref"] for entry in entries(obj)]
        found = [status] * len(known)
    else:
        found = list(status.get("members") or ())
        known = [entry["ref"] for entry in found]
    wanted = (kind, name)
    pairs = zip(known, found, strict=True)
    return next((each for ref, each in pairs if (ref.get("kind"), ref.get("name")) == wanted), None)


def _only_member(obj: RestoreSession) -> RestoreMember:
    """The member that a RestoreSession's spec contains, deprecated rules in their place."""
    spec = obj.spec
    found = RestoreMember(
        **{field.name: getattr(spec, field.name) for field in attrs.fields(RestoreMember)}
    )
    if found.target is None or found.target.rules or not spec.rules:
        return found
    return attrs.evolve(found, target=attrs.evolve(found.target, rules=spec.rules))


def _status_of(obj: RestoreSession) -> RestoreBatchStatus:
    status = obj.status
    entry = RestoreMemberStatus(
        ref=ref_of(obj.spec.target or RestoreTarget()),
        total_hosts=status.total_hosts,
        phase=status.target_phase,
        reason=status.reason,
        message=status.message,
        start_time=status.start_time,
        hosts=status.hosts,
        stats=status.stats,
    )
    return RestoreBatchStatus(
        phase=status.phase,
        session_duration=status.session_duration,
        session_deadline=status.session_deadline,
        conditions=status.conditions,
        members=(entry,) if status.target_phase else (),
    )
