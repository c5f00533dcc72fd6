"""A retention policy as restic's flags."""

from __future__ import annotations

import pytest

from reconciler.agent.parsing import Snapshot
from reconciler.agent.retention import Scope, flags, scopes
from reconciler.errors import InvalidObject

WHO = "BackupBatch demo/shop"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"keepLast": 3}, "--keep-last 3"),
        (
            {
                "name": "p",
                "keepLast": 1,
                "keepHourly": 2,
                "keepDaily": 3,
                "keepWeekly": 4,
                "keepMonthly": 5,
                "keepYearly": 6,
                "keepTags": ["a", "b"],
                "prune": True,
                "dryRun": True,
            },
            (
                "--keep-last 1 --keep-hourly 2 --keep-daily 3 --keep-weekly 4 --keep-monthly 5"
                " --keep-yearly 6 --keep-tag a --keep-tag b --prune --dry-run"
            ),
        ),
        ({"keepDaily": 7, "keepLast": 0, "prune": False}, "--keep-daily 7"),
    ],
)
def test_each_rule_is_a_flag_in_stashs_order(policy, expected) -> None:
    assert flags(policy, WHO) == tuple(expected.split())


def test_tags_alone_do_not_remove_the_newest_snapshot() -> None:
    assert flags({"keepTags": ["gold"]}, WHO) == ("--keep-last", "1", "--keep-tag", "gold")


@pytest.mark.parametrize("policy", [{}, {"name": "p", "prune": True}, {"keepLast": 0}])
def test_a_policy_that_keeps_nothing_is_refused_with_a_remedy(policy) -> None:
    with pytest.raises(InvalidObject, match=r"shop: spec.retentionPolicy: keeps nothing.*keepLast"):
        flags(policy, WHO)


def listed(*each: str) -> list[Snapshot]:
    """Snapshots from ``id host path``."""
    found = [line.split() for line in each]
    return [Snapshot(f"{id_:0<8}rest", "", host, tuple(paths)) for id_, host, *paths in found]


MINE = {"a0000000", "b0000000", "c0000000"}


@pytest.mark.parametrize(
    ("hosts", "snapshots", "expected"),
    [
        ("h g", ["a h /1", "9 h /1", "b g /2"], [Scope(("h", "g"))]),
        ("h", ["a h /1", "9 h /2"], [Scope(("h",), "/1")]),
        ("h", ["a h /1", "b h /2", "9 h /3"], [Scope(("h",), "/1"), Scope(("h",), "/2")]),
        ("h", ["a h /1", "9 h /1 /2"], [Scope(("h",), "/1")]),
        ("h g", ["a h /1", "9 h /2", "b g /1", "8 g /3"], [Scope(("h", "g"), "/1")]),
        ("h g", ["a h /1", "9 h /2", "b g /1"], [Scope(("h",), "/1"), Scope(("g",))]),
        ("h", ["8 h /1", "9 h /2"], [Scope(("h",))]),
        ("h h", [], [Scope(("h",))]),
    ],
    ids=[
        "nobody else has snapshots of these hosts",
        "somebody else has another path",
        "each own path is a call",
        "somebody else has the path among others",
        "hosts with the same path share a call",
        "only the host that is shared needs its path",
        "the session took no snapshot of it",
        "there is no snapshot at all",
    ],
)
def test_a_policy_is_for_what_the_session_took_in_as_few_calls_as_can_be(
    hosts: str, snapshots: list[str], expected: list[Scope]
) -> None:
    assert list(scopes(hosts.split(), MINE, listed(*snapshots))) == expected
