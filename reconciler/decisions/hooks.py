"""The rules of hooks: when a post hook is due. Pure.

Asked by the agent around its work, and by the operator for the hooks of a whole batch and for those
that a dead runner still owes.
"""

from __future__ import annotations

from typing import Final

ALWAYS: Final = "Always"
ON_SUCCESS: Final = "OnSuccess"
ON_FAILURE: Final = "OnFailure"
ON_FINAL_RETRY_FAILURE: Final = "OnFinalRetryFailure"


def is_due(policy: str, *, failed: bool, retry_left: bool = False) -> bool:
    """Whether a post hook of this executionPolicy runs. ``failed``: the pre hook or the work."""
    return {
        ALWAYS: True,
        ON_SUCCESS: not failed,
        ON_FAILURE: failed,
        ON_FINAL_RETRY_FAILURE: failed and not retry_left,
    }[policy]
