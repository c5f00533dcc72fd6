"""What a host restores: its rule, and which snapshots of the repository that means."""

from __future__ import annotations

import pytest

from reconciler.agent.failures import ToolFailed
from reconciler.agent.parsing import Snapshot
from reconciler.agent.selection import Order, dump_of, escaped, order_for, parts
from reconciler.api.restore import Rule


def snapshot(name: str, host: str, *paths: str) -> Snapshot:
    return Snapshot(name * 8, "2026-03-02T02:30:00Z", host, paths)


LISTED = [
    snapshot("1", "host-0", "/data"),
    snapshot("2", "host-0", "/config"),
    snapshot("3", "host-0", "/data"),
    snapshot("4", "host-1", "/data"),
    snapshot("5", "app-db", "/dumpfile.sql"),
    snapshot("6", "app-db", "/dumpfile.sql"),
    snapshot("7", "host-2", "/a[1]", "/b"),
]


def chosen(order: Order) -> list[tuple[str, str]]:
    return [(part.snapshot.id[0], part.path) for part in parts(order, LISTED)]


def order(host: str = "host-0", mounts: tuple[str, ...] = (), *, alone: bool = True, **rule):
    return Order(host, Rule(**rule), mounts, alone)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (order(paths=("/data",)), [("3", "/data")]),
        (order(paths=("/data/", "/config")), [("3", "/data"), ("2", "/config")]),
        (order(paths=("/data",), source_host="host-1"), [("4", "/data")]),
        # nothing said, and latest: of each path the latest of this host, not of anybody
        (order(), [("2", "/config"), ("3", "/data")]),
        (order(snapshots=("latest",)), [("2", "/config"), ("3", "/data")]),
        (order(snapshots=("latest",), mounts=("/data",)), [("3", "/data")]),
        (order(snapshots=("latest",), source_host="host-1"), [("4", "/data")]),
        # by id: an older one, several, and one twice
        (order(snapshots=("11111111",)), [("1", "/data")]),
        (order(snapshots=("1", "2", "11")), [("1", "/data"), ("2", "/config")]),
        # the id of another host's: where it can mean this host alone
        (order(snapshots=("4",)), [("4", "/data")]),
        (order(snapshots=("4",), source_host="host-1"), [("4", "/data")]),
        (order(snapshots=("1", "4"), alone=False), [("1", "/data")]),
        (order("host-1", snapshots=("1", "4"), alone=False), [("4", "/data")]),
        # a folder below the one that was backed up
        (order(paths=("/data/sub",)), [("3", "/data/sub")]),
        (order(paths=("/data",), mounts=("/data/volume",)), [("3", "/data")]),
        (order(paths=("/data",), mounts=("/",)), [("3", "/data")]),
    ],
)  # fmt: skip
def test_a_rule_means_these_snapshots(wanted, found) -> None:
    assert chosen(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (order(paths=("/none",)),
         "no snapshot of host host-0 with /none; of this host it has /config, /data: name one"),
        (order("host-9", paths=("/data",)),
         "no snapshot of host host-9 with /data; it has those of app-db, host-0, host-1, host-2"),
        (order("host-9"), "no snapshot of host host-9; it has those of"),
        (order(snapshots=("9",)), "snapshot 9 is not in the repository"),
        (order(snapshots=("",)), "snapshot '' is not one: 7 begin so"),
        (order(snapshots=("4",), source_host="host-0"),
         "snapshot 44444444 is of host host-1, and the rule says sourceHost host-0"),
        (order("host-2", snapshots=("1", "4"), alone=False),
         "none of the snapshots 1, 4 is one of host host-2; write a rule with targetHosts: [host"),
        (order(include=("a",), exclude=("b",), paths=("/data",)), "both include and exclude"),
        (order(paths=("/data/sub",), include=("a",)), "/data/sub is a part of /data"),
        (order(paths=("/data",), mounts=("/srv",)),
         "/data is in no volume of the target, which mounts /srv; mount the volume where it was"),
        (order(snapshots=("1",), mounts=("/srv",)), "/data is in no volume of the target"),
        (order(snapshots=("latest",), mounts=("/srv",)),
         "host host-0 has snapshots of /data, /config, and the target mounts /srv"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_by_host_and_path_with_a_remedy(wanted, said) -> None:
    with pytest.raises(ToolFailed) as caught:
        parts(wanted, LISTED)
    assert said in str(caught.value)


def test_an_empty_repository_is_called_so() -> None:
    with pytest.raises(ToolFailed, match="nor any other; check which Repository is meant"):
        parts(order(), [])


def test_the_users_patterns_are_passed_on_and_a_part_of_a_snapshot_is_a_pattern_too() -> None:
    (part,) = parts(order(paths=("/data",), exclude=("*.tmp",)), LISTED)
    assert (part.whole, part.includes, part.excludes) == (False, (), ("*.tmp",))
    (part,) = parts(order(paths=("/data",), include=("*.html",)), LISTED)
    assert (part.whole, part.includes) == (False, ("*.html",))
    (part,) = parts(order("host-2", paths=("/a[1]",)), LISTED)
    assert (part.whole, part.includes) == (True, (r"/a\[1\]",))
    assert escaped("/a*b?c[d]e\\f") == r"/a\*b\?c\[d\]e\\f"


def test_a_dump_is_the_latest_of_the_host_or_the_one_that_is_named() -> None:
    assert dump_of(order("app-db"), "dumpfile.sql", LISTED).id[0] == "6"
    assert dump_of(order("app-db", snapshots=("latest",)), "dumpfile.sql", LISTED).id[0] == "6"
    assert dump_of(order("app-db", snapshots=("5",)), "dumpfile.sql", LISTED).id[0] == "5"
    assert dump_of(order("other", source_host="app-db"), "dumpfile.sql", LISTED).id[0] == "6"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (order("app-db", snapshots=("5", "6")), "the rule names 5, 6; keep one"),
        (order("app-db", include=("x",)), "a dump is one file; remove them"),
        (order("app-db", snapshots=("3",)),
         "snapshot 33333333 is of host host-0 and holds /data; host app-db needs /dumpfile.sql"),
        (order("host-0"), "no snapshot of host host-0 with /dumpfile.sql; of this host it has"),
    ],
)  # fmt: skip
def test_a_dump_that_is_not_there_is_told(wanted, said) -> None:
    with pytest.raises(ToolFailed) as caught:
        dump_of(wanted, "dumpfile.sql", LISTED)
    assert said in str(caught.value)


# -- the rule of a host ---------------------------------------------------------------------------

ALL = Rule(snapshots=("latest",))
FIRST = Rule(target_hosts=("host-0",), paths=("/data",))
HOSTS = ("host-0", "host-1")


def test_the_rule_that_names_the_host_wins_over_the_one_for_all() -> None:
    assert order_for((ALL, FIRST), "host-0", HOSTS) == Order("host-0", FIRST, (), True)
    assert order_for((ALL, FIRST), "host-1", HOSTS) == Order("host-1", ALL, (), False)
    assert order_for((ALL,), "host-0", ("host-0",)) == Order("host-0", ALL, (), True)


def test_a_host_that_no_rule_is_for_stays_as_it_is() -> None:
    assert order_for((FIRST,), "host-1", HOSTS) is None


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ((Rule(target_hosts=("host0",)),), "rules name host0, which this target does not have"),
        ((), "no rule is for host host-0; write a rule without targetHosts, or name host-0 in one"),
    ],
)
def test_a_misspelt_host_is_no_success(rules, said) -> None:
    with pytest.raises(ToolFailed) as caught:
        order_for(rules, "host-0", ("host-0",))
    assert said in str(caught.value)
