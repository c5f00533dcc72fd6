"""The rules for RestoreSession and RestoreBatch. For ``validation`` only. Pure.

Stash checks its rules only where they are deprecated, so in practice never; a restore without a
rule that fits restored nothing there and was called Succeeded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from reconciler.api.backup import VOLUME_SNAPSHOTTER, Driver, ExecutionOrder
from reconciler.api.backup_rules import handler_faults
from reconciler.api.restore import (
    RestoreBatch,
    RestoreMember,
    RestoreSession,
    RestoreTarget,
    Rule,
)
from reconciler.api.restore_invoker import ref_of
from reconciler.api.rules import name_faults, one_of, positive_duration, ref_faults
from reconciler.api.runtime import RestoreHooks
from reconciler.errors import Fault


def restore_session_faults(restore: RestoreSession) -> Iterator[Fault]:
    """Every fault of a RestoreSession by itself."""
    spec = restore.spec
    yield from name_faults(restore.metadata)
    yield from _common(spec.driver, spec.repository.name, spec.time_out)
    yield from _hooks("spec.hooks", spec.hooks)
    if spec.rules and spec.target is not None and spec.target.rules:
        yield Fault("spec.rules", "stands beside spec.target.rules", "keep spec.target.rules only")
    yield from rule_faults("spec.rules", spec.rules)
    yield from _target("spec", spec.target, needs_rules=not spec.rules and _restic(spec.driver))
    yield from _sources("spec", spec.target, spec.driver)


def restore_batch_faults(restore: RestoreBatch) -> Iterator[Fault]:
    """Every fault of a RestoreBatch by itself."""
    spec = restore.spec
    yield from name_faults(restore.metadata)
    yield from _common(spec.driver, spec.repository.name, spec.time_out)
    yield from one_of("spec.executionOrder", spec.execution_order, get_args(ExecutionOrder))
    yield from _hooks("spec.hooks", spec.hooks)
    if not spec.members:
        yield Fault("spec.members", "is empty", "add a member with a target")
    for index, member in enumerate(spec.members):
        path = f"spec.members[{index}]"
        yield from _hooks(f"{path}.hooks", member.hooks)
        yield from _target(path, member.target, needs_rules=_restic(spec.driver))
        yield from _sources(path, member.target, spec.driver)
    yield from _duplicates(spec.members)


def rule_faults(path: str, rules: tuple[Rule, ...]) -> Iterator[Fault]:
    """Rules of which it is not clear which one counts for a host, or what it restores."""
    for_all: str | None = None
    seen: dict[str, str] = {}
    for index, rule in enumerate(rules):
        at = f"{path}[{index}]"
        yield from _what(at, rule)
        if not rule.target_hosts:
            if for_all is not None:
                yield Fault(
                    f"{at}.targetHosts", f"is empty, as that of {for_all}", "name the hosts of one"
                )
            for_all = for_all or at
        for host in rule.target_hosts:
            if host in seen:
                problem = f"names a host of {seen[host]}"
                yield Fault(f"{at}.targetHosts", problem, "name each host once", host)
            seen.setdefault(host, at)


def _what(at: str, rule: Rule) -> Iterator[Fault]:
    if rule.snapshots and rule.paths:
        yield Fault(
            at,
            "has both snapshots and paths",
            "write snapshots to restore them whole, or paths to restore the latest of each",
        )
    if rule.include and rule.exclude:
        yield Fault(at, "has both include and exclude", "keep one: restic takes one of them")


def _restic(driver: str) -> bool:
    return driver == "Restic"


def _common(driver: str, repository: str, time_out: str) -> Iterator[Fault]:
    yield from one_of("spec.driver", driver, get_args(Driver))
    if _restic(driver) and not repository:
        yield Fault("spec.repository.name", "is missing", "name a Repository of the same namespace")
    yield from positive_duration("spec.timeOut", time_out)


def _hooks(path: str, hooks: RestoreHooks | None) -> Iterator[Fault]:
    if hooks is not None:
        yield from handler_faults(f"{path}.preRestore", hooks.pre_restore)
        yield from handler_faults(f"{path}.postRestore", hooks.post_restore)


def _target(path: str, target: RestoreTarget | None, *, needs_rules: bool) -> Iterator[Fault]:
    if target is None:
        yield Fault(f"{path}.target", "is missing", "say where the data goes")
        return
    if not target.volume_claim_templates:
        yield from ref_faults(f"{path}.target.ref", target.ref)
    if needs_rules and not target.rules:
        yield Fault(
            f"{path}.target.rules",
            "is empty, so nothing would be restored",
            "write for example rules: [{snapshots: [latest]}]",
        )
    yield from rule_faults(f"{path}.target.rules", target.rules)


def _sources(path: str, target: RestoreTarget | None, driver: str) -> Iterator[Fault]:
    """With snapshots, claims are all that is made, and each is made of a snapshot."""
    if target is None or driver != VOLUME_SNAPSHOTTER:
        return
    at = f"{path}.target.volumeClaimTemplates"
    if not target.volume_claim_templates:
        yield Fault(at, "is empty, so nothing would be restored", "write the claims to be made")
    for index, template in enumerate(target.volume_claim_templates):
        source = (template.get("spec") or {}).get("dataSource") or {}
        if source.get("kind") != "VolumeSnapshot" or not source.get("name"):
            example = "{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: …}"
            yield Fault(
                f"{at}[{index}].spec.dataSource", "names no VolumeSnapshot", f"write {example}"
            )


def _duplicates(members: tuple[RestoreMember, ...]) -> Iterator[Fault]:
    seen: dict[tuple[str, str], int] = {}
    for index, member in enumerate(members):
        if member.target is None:
            continue
        ref = ref_of(member.target)
        first = seen.setdefault((ref.kind, ref.name), index)
        if first != index:
            yield Fault(
                f"spec.members[{index}].target.ref",
                f"is the target of spec.members[{first}] too",
                "name each target once, with all its rules",
                str(ref),
            )
