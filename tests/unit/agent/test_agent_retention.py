"""A retention policy as restic's flags."""

from __future__ import annotations

import pytest

from reconciler.agent.retention import flags
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
