"""``tandem agent``: the data side, as it runs in sidecars and Jobs.

A door only: the agent parses its own arguments, and is imported when it is called.
"""

from __future__ import annotations

from typing import Any, Final

import typer

FORWARD: Final[dict[str, Any]] = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
}
"""Context settings: everything after ``agent`` is the agent's own."""


def agent(context: typer.Context) -> None:
    """Back up, report and maintain, inside sidecars and Jobs (started by the operator).

    Example: tandem agent --help

    Exit codes: 0 done and reported, 1 failed and standard error says why, 2 wrong usage.
    """
    from reconciler.agent.main import app

    raise typer.Exit(app(context.args, prog_name="tandem agent", standalone_mode=False) or 0)
