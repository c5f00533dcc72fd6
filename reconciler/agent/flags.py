"""The command-line flags of ``tandem agent``, as annotated types shared by its subcommands.

Used by ``main`` only. Names and defaults are Stash's, so that container args written for its
image work unchanged. Flags of Stash without an effect here (metrics, analytics, logger, and what
the objects in the cluster already say) are accepted and ignored; any other unknown flag is an
error, because a misspelt flag that does nothing is worse than a crash at start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

IGNORED = frozenset(
    {
        # the logger and analytics flags that Stash's operator forwards to every container
        *("alsologtostderr", "logtostderr", "log-backtrace-at", "log-dir", "stderrthreshold"),
        *("v", "vmodule", "enable-analytics", "use-kubeapiserver-fqdn-for-aks", "service-name"),
        # metrics are exported from the cluster's objects, not pushed
        *("metrics-enabled", "metrics-labels", "metrics-pushgateway-url", "pushgateway-url"),
        *("prom-job-name", "metrics-dir"),
        # the Repository object is the one source of the backend, the invoker that of its policy
        *("provider", "bucket", "endpoint", "region", "path", "max-connections"),
        *("retention-keep-last", "retention-keep-hourly", "retention-keep-daily"),
        *("retention-keep-weekly", "retention-keep-monthly", "retention-keep-yearly"),
        *("retention-keep-tags", "retention-prune", "retention-dry-run"),
        # the session names its invoker, and the invoker its Repository
        *("invoker-kind", "invoker-name", "repository"),
        # computed from the status of the session, or meant for other commands
        *("host", "restoresession", "master", "backoff-max-wait"),
    }
)
"""Names (without dashes) of the flags that are accepted and have no effect."""

LENIENT = {"ignore_unknown_options": True, "allow_extra_args": True}
"""Context settings of commands that call :func:`refuse_unknown`."""

Kubeconfig = Annotated[
    str, typer.Option(help="Path of a kubeconfig; default: KUBECONFIG, else the pod's account.")
]
Namespace = Annotated[
    str, typer.Option(help="Namespace; default: KUBE_NAMESPACE, MY_POD_NAMESPACE, the account's.")
]
SecretDir = Annotated[str, typer.Option(help="Directory with one file a key of the Secret.")]
ScratchDir = Annotated[str, typer.Option(help="Directory for restic's cache and temporary files.")]
EnableCache = Annotated[str, typer.Option(help="true or false: keep a restic cache.")]
InvokerKind = Annotated[str, typer.Option(help="Kind of the invoker, for example BackupBatch.")]
InvokerName = Annotated[str, typer.Option(help="Name of the invoker.")]
TargetKind = Annotated[str, typer.Option(help="Kind of the target.")]
TargetName = Annotated[str, typer.Option(help="Name of the target.")]
BackupSession = Annotated[str, typer.Option("--backupsession", help="Name of the BackupSession.")]
Repository = Annotated[str, typer.Option(help="Name of the Repository.")]
OutputDir = Annotated[str, typer.Option(help="Directory of output.json, shared by the steps.")]
Hostname = Annotated[str, typer.Option(help="Host to report; default: the only expected one.")]
BackupPaths = Annotated[str, typer.Option(help="Comma-separated paths to back up.")]
Exclude = Annotated[str, typer.Option(help="Comma-separated patterns to leave out.")]
AppBinding = Annotated[
    str, typer.Option("--appbinding", help="Name of the AppBinding; default: the target's name.")
]
WaitTimeout = Annotated[int, typer.Option(help="Seconds to wait for the database to be ready.")]
DatabaseArguments = Annotated[
    str,
    typer.Option(
        "--mysql-args",
        "--mariadb-args",
        "--pg-args",
        "--postgres-args",
        "--mongodb-args",
        "--mongo-args",
        "--redis-args",
        help="Arguments for the database's program, split as a shell does.",
    ),
]
SourceHostname = Annotated[str, typer.Option(help="Whose data; default: what the rule says.")]
Snapshots = Annotated[
    str,
    typer.Option("--snapshots", "--snapshot", help="Snapshots; default: what the rule says."),
]
RestorePaths = Annotated[str, typer.Option(help="Comma-separated paths; default: the rule's.")]
Include = Annotated[str, typer.Option(help="Comma-separated patterns to restore alone.")]
RestoreModel = Annotated[str, typer.Option(help="init-container or job.")]
BackupCommand = Annotated[
    str, typer.Option("--backup-cmd", help="PostgreSQL: pg_dumpall (default) or pg_dump.")
]
HookType = Annotated[str, typer.Option(help="preBackup or postBackup.")]
Executor = Annotated[str, typer.Option("--pod", help="The pod that the hook is for.")]
Host = Annotated[list[str] | None, typer.Option(help="A host to apply the policy to; repeatable.")]
Report = Annotated[bool, typer.Option(help="Report to the session too (a one-step Function).")]


def refuse_unknown(extra: Sequence[str]) -> None:
    """Raise a usage error for the first argument that is neither known nor ignored."""
    value_may_follow = False
    for argument in extra:
        if not argument.startswith("-"):
            if value_may_follow:
                value_may_follow = False
                continue
            raise typer.BadParameter(f"unexpected argument {argument!r}")
        name, has_value, _ = argument.lstrip("-").partition("=")
        if name not in IGNORED:
            raise typer.BadParameter(f"no such flag: --{name}")
        value_may_follow = not has_value


def truth(text: str) -> bool:
    """The value of a boolean flag as Go writes it (``--enable-cache=false``)."""
    lowered = text.strip().lower()
    if lowered in ("", "1", "t", "true"):
        return True
    if lowered in ("0", "f", "false"):
        return False
    raise typer.BadParameter(f"{text!r} is neither true nor false")


def items(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated flag, without blanks and empty ones."""
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)
