"""``backup-<database>`` and ``restore-<database>``: one pair of commands a driver.

Used by ``main`` alone. This module parses flags and calls one function a command; it decides
nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs
import typer

from reconciler.agent import database, drivers, flags, job, restore_job, restoring
from reconciler.agent.drivers import Driver
from reconciler.agent.process import finish, tools
from reconciler.agent.selection import Order
from reconciler.agent.turn import Target
from reconciler.agent.workshop import Tools
from reconciler.cluster.port import Port


@attrs.frozen
class _Kind:
    """A pair of commands. ``arguments``: those of the dump where a Function gives none (Stash)."""

    driver: Driver
    about: str
    arguments: str = ""


_KINDS = {
    "mysql": _Kind(drivers.MYSQL, "MySQL or MariaDB", "--all-databases"),
    "postgres": _Kind(drivers.POSTGRES, "PostgreSQL"),
    "mongodb": _Kind(drivers.MONGODB, "MongoDB"),
    "redis": _Kind(drivers.REDIS, "Redis"),
}


def register(app: typer.Typer) -> None:
    """Add all of them."""
    for name, kind in _KINDS.items():
        backup, restore = (
            f"Stream a dump of {kind.about} into restic.",
            (f"Stream a dump of {kind.about} from restic into the database."),
        )
        app.command(f"backup-{name}", help=backup, context_settings=flags.LENIENT)(_backup(kind))
        app.command(f"restore-{name}", help=restore, context_settings=flags.LENIENT)(_restore(kind))


def _backup(kind: _Kind) -> Callable[..., None]:
    def command(
        context: typer.Context,
        backupsession: flags.BackupSession,
        target_kind: flags.TargetKind,
        target_name: flags.TargetName,
        output_dir: flags.OutputDir,
        appbinding: flags.AppBinding = "",
        arguments: flags.DatabaseArguments = kind.arguments,
        backup_cmd: flags.BackupCommand = "",
        wait_timeout: flags.WaitTimeout = 300,
        hostname: flags.Hostname = "",
        secret_dir: flags.SecretDir = "/etc/repository/secret",
        scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of tmp-dir
        enable_cache: flags.EnableCache = "true",
        namespace: flags.Namespace = "",
        kubeconfig: flags.Kubeconfig = "",
        report: flags.Report = False,
    ) -> None:
        flags.refuse_unknown(context.args)
        own = tools(secret_dir, scratch_dir, enable_cache)
        place = own.surroundings.namespace(namespace)
        target = Target(target_kind, target_name)
        step = job.Step(place, backupsession, target, output_dir, hostname, report)
        source = _source(own, place, appbinding or target_name, wait_timeout, arguments)
        chosen = attrs.evolve(source, tool=backup_cmd)
        prepare = functools.partial(database.dump, kind.driver, chosen)
        finish(kubeconfig, lambda port: job.back_up(port, own, step, prepare))

    return command


def _restore(kind: _Kind) -> Callable[..., None]:
    def command(
        context: typer.Context,
        invoker_kind: flags.InvokerKind,
        invoker_name: flags.InvokerName,
        target_kind: flags.TargetKind,
        target_name: flags.TargetName,
        output_dir: flags.OutputDir,
        appbinding: flags.AppBinding = "",
        arguments: flags.DatabaseArguments = "",
        source_hostname: flags.SourceHostname = "",
        snapshot: flags.Snapshots = "",
        wait_timeout: flags.WaitTimeout = 300,
        hostname: flags.Hostname = "",
        secret_dir: flags.SecretDir = "/etc/repository/secret",
        scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of tmp-dir
        enable_cache: flags.EnableCache = "true",
        namespace: flags.Namespace = "",
        kubeconfig: flags.Kubeconfig = "",
        report: flags.Report = False,
    ) -> None:
        flags.refuse_unknown(context.args)
        own = tools(secret_dir, scratch_dir, enable_cache)
        place = own.surroundings.namespace(namespace)
        target = Target(target_kind, target_name)
        resource = restore_job.resource_of(invoker_kind)
        step = job.Step(place, invoker_name, target, output_dir, hostname, report, resource)
        source = _source(own, place, appbinding or target_name, wait_timeout, arguments)
        change = restoring.changes(source_host=source_hostname, snapshots=snapshot)

        def prepare(port: Port, order: Order | None) -> restoring.Prepared:
            chosen = order and attrs.evolve(order, rule=change(order.rule))
            return database.load(kind.driver, source, port, chosen)

        finish(kubeconfig, lambda port: restore_job.run(port, own, step, prepare))

    return command


def _source(
    own: Tools, namespace: str, app_binding: str, wait_seconds: int, arguments: str
) -> database.Source:
    return database.Source(
        namespace,
        app_binding,
        own.surroundings,
        wait_seconds,
        arguments,
        folder=own.surroundings.path(own.scratch_dir),
    )
