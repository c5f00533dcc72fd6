"""The history limit: which finished sessions of an invoker go.

Called by the invoker decision. Only final sessions are counted and deleted; Stash counts running
ones too and deletes them (spec 10.5). The newest good session always stays: it is the recovery
point. A session and its retries are one run and stay or go together; one that waits for its retry
stays. Skipped sessions are counted apart, so that they never push out one that ran.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from reconciler.api.resources import JsonObject
from reconciler.decisions import world

SKIPPED_KEPT_AT_LEAST = 1
"""The last skipped session says why nothing ran; it stays even with a limit of 0."""


def surplus(
    sessions: Sequence[JsonObject], limit: int, needed: Collection[str]
) -> list[JsonObject]:
    """The sessions to delete. ``sessions`` from the oldest on; ``needed``: names that stay."""
    final = [session for session in reversed(sessions) if world.is_final(session)]
    ran = [session for session in final if world.phase_of(session) != "Skipped"]
    skipped = [session for session in final if world.phase_of(session) == "Skipped"]
    good = [session for session in ran if world.phase_of(session) == "Succeeded"]
    kept = {*needed, *map(world.name_of, [*good[:1], *filter(world.awaits_retry, ran)])}
    runs = list(dict.fromkeys(_run(session) for session in ran))[: max(limit, 0)]
    old = [session for session in ran if _run(session) not in runs]
    old += skipped[max(limit, SKIPPED_KEPT_AT_LEAST) :]
    return [
        session
        for session in old
        if world.name_of(session) not in kept and not world.terminating(session)
    ]


def _run(session: JsonObject) -> str:
    """The name of the first session of its chain stands for the run."""
    return world.chain_of(session)[0]
