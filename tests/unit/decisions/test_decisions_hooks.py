"""When a post hook is due."""

from __future__ import annotations

import pytest

from reconciler.decisions import hooks


@pytest.mark.parametrize(
    ("policy", "after_success", "after_failure", "while_retries_are_left"),
    [
        ("Always", True, True, True),
        ("OnSuccess", True, False, False),
        ("OnFailure", False, True, True),
        ("OnFinalRetryFailure", False, True, False),
    ],
)
def test_the_execution_policy_decides(
    policy: str, after_success: bool, after_failure: bool, while_retries_are_left: bool
) -> None:
    assert hooks.is_due(policy, failed=False) is after_success
    assert hooks.is_due(policy, failed=True) is after_failure
    assert hooks.is_due(policy, failed=True, retry_left=True) is while_retries_are_left
