"""How many retries a session has left: ``spec.retryLeft``, or what its invoker allows.

Used by the session decision, which makes the retry, and by the hooks of the policy
``OnFinalRetryFailure``, which run when none is left. Pure.
"""

from __future__ import annotations

from reconciler.api.invoker import Invoker
from reconciler.api.resources import JsonObject


def left(session: JsonObject, invoker: Invoker) -> int:
    """How many more sessions may be tried after this raw one; 0: it is the last of its chain.

    A session made by hand has no ``spec.retryLeft``: it is the first of a chain.
    """
    config = invoker.retry_config
    if config is None:
        return 0
    written = (session.get("spec") or {}).get("retryLeft")
    return max(0, config.max_retry if written is None else int(written))
