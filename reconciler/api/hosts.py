"""Host names: by which name each piece of data is known in the restic repository.

The table is Stash's, with one rule more: members of a batch share a repository and are told apart
by host, so a member without an alias in a batch of several gets a stable one of its own. (In Stash
they were all ``host-0``, and the second was skipped.) Used by validation, decisions, manifests and
agent, so that all of them agree. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.api.invoker import Invoker
from reconciler.api.metadata import TargetRef
from reconciler.api.restore import RestoreTarget
from reconciler.api.restore_invoker import RestoreInvoker, ref_of
from reconciler.errors import TerminalError

DEFAULT_HOST: Final = "host-0"
"""The host of data that has no alias and needs none."""

SHORT_KINDS: Final = {
    "Deployment": "deploy",
    "ReplicaSet": "rs",
    "ReplicationController": "rc",
    "DeploymentConfig": "dc",
    "DaemonSet": "ds",
    "StatefulSet": "sts",
    "PersistentVolumeClaim": "pvc",
    "AppBinding": "app",
}
"""The short names of kinds, as in object names; every other kind is written in lower case."""


def short_kind(kind: str) -> str:
    """``deploy`` for Deployment, and so on."""
    return SHORT_KINDS.get(kind, kind.lower())


def default_alias(ref: TargetRef) -> str:
    """The alias of a member that was given none, in a batch of several."""
    return f"{short_kind(ref.kind)}-{ref.name}"


def alias_of(invoker: Invoker, index: int) -> str:
    """The alias of a member; "" for a member that is alone and was given none.

    Members without a target do not count: they have no data.
    """
    target = invoker.members[index].target
    if target is None:
        return ""
    alone = sum(member.target is not None for member in invoker.members) == 1
    return alias_for(target.ref, target.alias, alone=alone)


def restore_alias_of(restore: RestoreInvoker, index: int) -> str:
    """The alias of a restore's member, by the same rule: so the data is found that was backed up
    by a batch of the same members.
    """
    target = restore.members[index].target
    if target is None:
        return ""
    alone = sum(member.target is not None for member in restore.members) == 1
    return alias_for(ref_of(target), target.alias, alone=alone)


def alias_for(ref: TargetRef, given: str, *, alone: bool) -> str:
    """The alias of a target: the one that it was ``given``, or its own if it is not ``alone``."""
    return given or ("" if alone else default_alias(ref))


def host_name(
    ref_kind: str, alias: str, *, pod_name: str | None = None, node_name: str | None = None
) -> str:
    """The host of one runner: restic's ``--host``, and ``stats[].hostname``.

    A StatefulSet's pods differ by ordinal (of ``pod_name``), a DaemonSet's by ``node_name``; all
    other targets are one host. Raises TerminalError when the name that is needed is missing.
    """
    if ref_kind == "StatefulSet":
        ordinal = (pod_name or "").rpartition("-")[2]
        if not ordinal:
            raise TerminalError("the host of a StatefulSet's pod needs POD_NAME in its environment")
        return f"{alias or 'host'}-{ordinal}"
    if ref_kind == "DaemonSet":
        if not node_name:
            raise TerminalError("the host of a DaemonSet's pod needs NODE_NAME in its environment")
        return f"{alias}-{node_name}" if alias else node_name
    return alias or DEFAULT_HOST


def expected_hosts(
    ref_kind: str, alias: str, *, replicas: int = 1, node_names: Iterable[str] = ()
) -> tuple[str, ...]:
    """All hosts that a target consists of.

    ``replicas`` (``spec.replicas``) counts for a StatefulSet, ``node_names`` (where its pods are)
    for a DaemonSet; neither for anything else. A target may have no host at all.
    """
    if ref_kind == "StatefulSet":
        pods = (str(ordinal) for ordinal in range(replicas))
        return tuple(host_name(ref_kind, alias, pod_name=pod) for pod in pods)
    if ref_kind == "DaemonSet":
        return tuple(host_name(ref_kind, alias, node_name=node) for node in sorted(node_names))
    return (host_name(ref_kind, alias),)


def restore_host(
    target: RestoreTarget,
    alias: str,
    *,
    ordinal: str | None = None,
    pod_name: str | None = None,
    node_name: str | None = None,
) -> str:
    """The host that one runner restores. ``ordinal``: which set of claim templates (POD_ORDINAL).

    Raises TerminalError when the name that is needed is missing.
    """
    if not target.volume_claim_templates:
        return host_name(target.ref.kind, alias, pod_name=pod_name, node_name=node_name)
    if target.replicas is None:
        return alias or DEFAULT_HOST
    if not ordinal:
        raise TerminalError("the host of a set of claims needs POD_ORDINAL in its environment")
    return f"{alias or 'host'}-{ordinal}"


def ordinals(target: RestoreTarget) -> tuple[str, ...]:
    """The sets of claims that are made from a target's claim templates."""
    return tuple(map(str, range(1 if target.replicas is None else target.replicas)))
