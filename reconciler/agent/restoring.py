"""A restore of one host, from the object in the cluster to the report: its rule, hooks and data.

Called by ``init_container`` and ``restore_job`` once the host is claimed. Like ``restore``, it
never raises: what is wrong with Repository, Secret or rule is in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import member_hooks, restore, selection
from reconciler.agent.flags import items
from reconciler.agent.handlers import Finder
from reconciler.agent.job import Begun, Work, repository_of
from reconciler.agent.report import HostReport
from reconciler.agent.selection import Order
from reconciler.agent.turn import seconds_left
from reconciler.agent.workshop import Tools, Workshop, open_workshop
from reconciler.api.resources import JsonObject
from reconciler.api.restore import RestoreMember, RestoreTarget, Rule
from reconciler.api.restore_invoker import RestoreInvoker, decode_restore
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError

DEFAULT_MOUNT = "/stash-data"
"""Where a claim is mounted that the target says nothing of, as in Stash."""

Prepared = tuple[Work, tuple[str, ...]]
"""What restores a host, and which secrets must be hidden."""

Prepare = Callable[[Port, Order | None], Prepared]
"""Reads what the work needs; None: there is nothing to do for the host. Raises TandemErrors."""


def host(port: Port, tools: Tools, begun: Begun, prepare: Prepare, where: Finder) -> HostReport:
    """Restore the claimed host, between the hooks of its member, which run at ``where``."""
    try:
        view = decode(begun.session)
        member = _member(view, begun)
    except TandemError as error:
        return restore.failed(begun.host, str(error))
    return member_hooks.around_restore(
        port,
        tools,
        where,
        member.hooks,
        begun.session,
        begun.host,
        lambda: _data(port, tools, begun, view, member, prepare),
    )


def _data(  # noqa: PLR0917 -- private, and called once
    port: Port,
    tools: Tools,
    begun: Begun,
    view: RestoreInvoker,
    member: RestoreMember,
    prepare: Prepare,
) -> HostReport:
    target = member.target or RestoreTarget()
    try:
        order = selection.order_for(target.rules, begun.host, _hosts(begun), mounts(target))
        repository = repository_of(port, view)
        work, secrets = prepare(port, order)
        shop = open_workshop(tools, repository, port=port, more_secrets=secrets)
    except TandemError as error:
        return restore.failed(begun.host, str(error))
    return work(shop, begun.host, seconds_left(begun.session, tools.clock.now()))


def files(changes: Callable[[Rule], Rule] = lambda rule: rule) -> Prepare:
    """The restore of files. ``changes``: what the flags of a Function make of the rule."""

    def prepare(port: Port, order: Order | None) -> Prepared:
        del port
        chosen = order and attrs.evolve(order, rule=changes(order.rule))

        def work(shop: Workshop, host: str, timeout: float | None) -> HostReport:
            return restore.files(shop, chosen, host, timeout=timeout)

        return work, ()

    return prepare


def changes(
    *,
    source_host: str = "",
    snapshots: str = "",
    paths: str = "",
    include: str = "",
    exclude: str = "",
) -> Callable[[Rule], Rule]:
    """What the flags of a Function say otherwise than the rule. Lists are comma-separated.

    The operator fills them from the rule, so a flag that repeats it says nothing: and a path with a
    comma is whole.
    """

    def change(rule: Rule) -> Rule:
        said = {
            "snapshots": _said(snapshots, rule.snapshots),
            "paths": _said(paths, rule.paths),
            "include": _said(include, rule.include),
            "exclude": _said(exclude, rule.exclude),
        }
        return attrs.evolve(rule, source_host=source_host or rule.source_host, **said)

    return change


def _said(flag: str, of_rule: tuple[str, ...]) -> tuple[str, ...]:
    return of_rule if flag in ("", ",".join(of_rule)) else items(flag)


def decode(obj: JsonObject) -> RestoreInvoker:
    """The restore as it is; a newer operator's fields do no harm."""
    return decode_restore(obj, unknown="ignore")


def mounts(target: RestoreTarget) -> tuple[str, ...]:
    """Where the volumes are that the data may be written to."""
    named = tuple(str(mount.get("mountPath") or "") for mount in target.volume_mounts)
    whole_claim = target.ref.kind == "PersistentVolumeClaim" and not named
    return (DEFAULT_MOUNT,) if whole_claim else tuple(filter(None, named))


def _member(view: RestoreInvoker, begun: Begun) -> RestoreMember:
    whose = begun.address.target
    index = whose.place_in(view)
    if index is None:
        raise NotFound(f"{view.kind} {view.name} has no member {whose.kind} {whose.name} any more")
    return view.members[index]


def _hosts(begun: Begun) -> Sequence[str]:
    entry = begun.address.target.entry(begun.session) or {}
    return [str(item["hostname"]) for item in entry.get("hosts") or ()]
