"""The entry point of ``tandem``: the commands, and the one place that turns errors into exit codes.

Exit codes of every command: 0 done, 1 it failed and standard error says why, 2 wrong usage, 130
interrupted. ``tandem plan`` differs: 2 means changes, and wrong usage is 1, so that a script never
takes a misspelt option for a change.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from reconciler.cli import (
    agent,
    crds,
    debug,
    diagram,
    explain,
    pause,
    plan,
    restore,
    run,
    session_logs,
    snapshots,
    status,
    trigger,
    unlock,
    up,
    webhook,
)
from reconciler.cli.console import report_error
from reconciler.cli.demo import command as demo
from reconciler.errors import TandemError

INTERRUPTED = 130

app = typer.Typer(
    name="tandem",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # a traceback with local variables could show a secret
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tandem {metadata.version('tandem-backup')}")
        raise typer.Exit


@app.callback()
def tandem(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Batch backup for Kubernetes: all parts of an application, one schedule, one repository.

    Start with [bold]tandem demo[/bold]: a real batch backup on this machine, in about a minute.
    """


app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("run")(run.run)
app.command("webhook")(webhook.webhook)
app.command("plan")(plan.plan)
app.command("trigger")(trigger.trigger)
app.command("status")(status.status)
app.command("pause")(pause.pause)
app.command("resume")(pause.resume)
app.command("snapshots")(snapshots.snapshots)
app.command("restore")(restore.restore)
app.command("unlock")(unlock.unlock)
app.command("logs")(session_logs.logs)
app.command("explain")(explain.explain)
app.command("debug")(debug.debug)
app.command("crds")(crds.crds)
app.command("diagram")(diagram.diagram)
app.command("agent", context_settings=agent.FORWARD, add_help_option=False)(agent.agent)


def execute(arguments: Sequence[str], program: str = "tandem") -> int:
    """Run one command line (without the program's name) and return its exit code."""
    try:
        result = app(list(arguments), prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        _show(error)
        return 1 if arguments[:1] == ["plan"] else error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except TandemError as error:
        report_error(error)
        return 1
    return result if isinstance(result, int) else 0


def _show(error: typer.TyperException) -> None:
    # wrong usage knows how to show itself, with a pointer to --help
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        sys.stderr.write(f"error: {error}\n")


def main() -> None:
    """What the console script calls."""
    sys.exit(execute(sys.argv[1:]))


def plugin() -> None:
    """What the console script ``kubectl-tandem`` calls: kubectl runs it for ``kubectl tandem``."""
    sys.exit(execute(sys.argv[1:], "kubectl tandem"))


if __name__ == "__main__":
    main()
