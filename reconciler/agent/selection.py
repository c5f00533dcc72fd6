"""Which snapshots a host restores, and which part of each: the rule of the host, made exact.

Called by ``restore``. Pure. The snapshots are chosen here, from the list of all of them, and named
to restic by their ids: so what is missing can be told by host and path, and ``latest`` never means
the latest of somebody else, as it does in Stash where a rule says ``snapshots: [latest]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs

from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.parsing import Snapshot
from reconciler.api.restore import Rule
from reconciler.api.restore_invoker import rule_for

LATEST = "latest"
_SPECIAL = re.compile(r"([*?\[\]\\])")


@attrs.frozen
class Order:
    """What one host is to restore. ``mounts``: where the volumes are that may be written.

    ``one_host``: nobody else restores by this rule, so a snapshot id can mean this host alone.
    """

    host: str
    rule: Rule
    mounts: tuple[str, ...] = ()
    one_host: bool = True

    @property
    def source(self) -> str:
        """The host whose data it is."""
        return self.rule.source_host or self.host


@attrs.frozen
class Part:
    """One call of restic. ``whole``: all that the snapshot has at ``path``, without patterns."""

    snapshot: Snapshot
    path: str
    whole: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


def order_for(
    rules: Sequence[Rule], host: str, hosts: Sequence[str], mounts: Sequence[str] = ()
) -> Order | None:
    """The order of a host; None when the rules are for other hosts only, which are all there.

    ``hosts``: all that the target consists of. Raises ToolFailed for a host without a rule where a
    rule names a host that does not exist: a misspelt name must not look like a success.
    """
    rule = rule_for(rules, host)
    if rule is not None:
        alone = len(hosts) <= 1 or rule.target_hosts == (host,)
        return Order(host, rule, tuple(mounts), alone)
    strangers = [name for each in rules for name in each.target_hosts if name not in hosts]
    if rules and not strangers:
        return None
    what = f"no rule is for host {host}"
    if strangers:
        what += f", and the rules name {_named(strangers)}, which this target does not have"
    raise _missing(f"{what}; write a rule without targetHosts, or name {host} in one")


def parts(order: Order, listed: Sequence[Snapshot]) -> tuple[Part, ...]:
    """For files. ``listed``: all snapshots, oldest first. Raises ToolFailed when one is missing."""
    rule = order.rule
    if rule.include and rule.exclude:
        text = "the rule has both include and exclude, and restic takes one of them"
        raise ToolFailed(Failure(Cause.OTHER, f"{text}; keep one"))
    if rule.paths:
        return tuple(_of_path(order, path, listed) for path in rule.paths)
    chosen = [part for given in _given(rule) for part in _of_snapshot(order, given, listed)]
    if not chosen:
        raise _missing(
            f"none of the snapshots {_named(rule.snapshots)} is one of host {order.source}; "
            f"write a rule with targetHosts: [{order.host}] and the sourceHost that is meant"
        )
    return tuple(dict.fromkeys(chosen))


def dump_of(order: Order, filename: str, listed: Sequence[Snapshot]) -> Snapshot:
    """For databases: the one snapshot with the dump. Raises ToolFailed."""
    rule = order.rule
    if rule.include or rule.exclude:
        text = "include and exclude choose among files, and a dump is one file; remove them"
        raise ToolFailed(Failure(Cause.OTHER, text))
    if len(rule.snapshots) > 1:
        text = (
            f"a database is restored from one snapshot, and the rule names {_named(rule.snapshots)}"
        )
        raise ToolFailed(Failure(Cause.OTHER, f"{text}; keep one"))
    path = f"/{filename}"
    if rule.snapshots and rule.snapshots != (LATEST,):
        found = _by_id(rule.snapshots[0], listed)
        if _allowed(order, found) and path in found.paths:
            return found
        raise _missing(
            f"snapshot {found.short_id} is of host {found.host} and holds {_named(found.paths)}; "
            f"host {order.host} needs {path} of host {order.source}"
        )
    own = [each for each in _of_host(order, listed) if path in each.paths]
    if not own:
        raise _nothing(order, path, listed)
    return own[-1]


def escaped(path: str) -> str:
    """A pattern of restic that matches this path alone."""
    return _SPECIAL.sub(r"\\\1", path)


# -- one of the rule's words ----------------------------------------------------------------------


def _given(rule: Rule) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rule.snapshots)) or (LATEST,)


def _of_path(order: Order, path: str, listed: Sequence[Snapshot]) -> Part:
    """The latest snapshot of a path, or the latest of a folder above it."""
    wanted = path.rstrip("/") or "/"
    _check_mount(order, wanted)
    best: Snapshot | None = None
    for each in _of_host(order, listed):
        if any(_within(wanted, held) for held in each.paths):
            best = each
    if best is None:
        raise _nothing(order, wanted, listed)
    held = max((one for one in best.paths if _within(wanted, one)), key=len)
    rule = order.rule
    if held == wanted:
        return _part(rule, best, held)
    if rule.include or rule.exclude:
        text = f"{wanted} is a part of {held}, which was backed up as a whole"
        raise ToolFailed(Failure(Cause.OTHER, f"{text}; name {held}, or restore without patterns"))
    return Part(best, wanted, includes=(escaped(wanted),))


def _of_snapshot(order: Order, given: str, listed: Sequence[Snapshot]) -> Iterable[Part]:
    if given == LATEST:
        return _latest(order, listed)
    found = _by_id(given, listed)
    if not _allowed(order, found):
        if order.rule.source_host:
            raise _missing(
                f"snapshot {found.short_id} is of host {found.host}, and the rule says sourceHost "
                f"{order.source}; correct one of them"
            )
        return ()
    for path in found.paths:
        _check_mount(order, path)
    return [_part(order.rule, found, path) for path in found.paths]


def _latest(order: Order, listed: Sequence[Snapshot]) -> Iterable[Part]:
    """Of each path the latest, for a snapshot has one path: a target of two has two snapshots."""
    own = list(_of_host(order, listed))
    newest = {path: each for each in own for path in each.paths}
    if not newest:
        raise _nothing(order, "", listed)
    here = {path: each for path, each in newest.items() if _mounted(order, path)}
    if not here:
        raise _missing(
            f"host {order.source} has snapshots of {_named(newest)}, and the target mounts "
            f"{_named(order.mounts)}; mount the volume where it was when it was backed up"
        )
    return [_part(order.rule, each, path) for path, each in sorted(here.items())]


def _part(rule: Rule, snapshot: Snapshot, path: str) -> Part:
    """Of a snapshot that has other paths too, which Tandem takes none of, this path alone."""
    if rule.include or rule.exclude:
        return Part(snapshot, path, whole=False, includes=rule.include, excludes=rule.exclude)
    others = len(snapshot.paths) > 1
    return Part(snapshot, path, includes=(escaped(path),) if others else ())


def _by_id(given: str, listed: Sequence[Snapshot]) -> Snapshot:
    found = [each for each in listed if each.id.startswith(given)]
    if len(found) == 1 and given:
        return found[0]
    if found:
        raise _missing(
            f"snapshot {given!r} is not one: {len(found)} begin so; write more of its id"
        )
    raise _missing(
        f"snapshot {given} is not in the repository; see the snapshots of the session that took it"
    )


def _allowed(order: Order, found: Snapshot) -> bool:
    return found.host == order.source or (order.one_host and not order.rule.source_host)


def _of_host(order: Order, listed: Sequence[Snapshot]) -> Iterable[Snapshot]:
    return (each for each in listed if each.host == order.source)


# -- where it would be written --------------------------------------------------------------------


def _mounted(order: Order, path: str) -> bool:
    """A volume is at the path, above it or below it; unknown mounts forbid nothing."""
    mounts = order.mounts
    return not mounts or any(_within(path, m) or _within(m, path) for m in mounts)


def _check_mount(order: Order, path: str) -> None:
    if not _mounted(order, path):
        raise _missing(
            f"{path} is in no volume of the target, which mounts {_named(order.mounts)}; mount the "
            "volume where it was when it was backed up"
        )


def _within(path: str, folder: str) -> bool:
    bare = folder.rstrip("/")
    return path.rstrip("/") == bare or path.startswith(f"{bare}/")


# -- what is said ---------------------------------------------------------------------------------


def _nothing(order: Order, path: str, listed: Sequence[Snapshot]) -> ToolFailed:
    of = f" with {path}" if path else ""
    text = f"the repository has no snapshot of host {order.source}{of}"
    own = sorted({held for each in _of_host(order, listed) for held in each.paths})
    if own:
        return _missing(f"{text}; of this host it has {_named(own)}: name one of these paths")
    hosts = sorted({each.host for each in listed})
    if hosts:
        return _missing(f"{text}; it has those of {_named(hosts)}: name one as sourceHost")
    return _missing(f"{text}, nor any other; check which Repository is meant, and back up first")


def _named(words: Iterable[str], most: int = 8) -> str:
    known = list(dict.fromkeys(words))
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(known[:most]) or "nothing") + more


def _missing(text: str) -> ToolFailed:
    return ToolFailed(Failure(Cause.NO_SNAPSHOT, text))
