"""``tandem agent``: the commands that run in sidecars and Jobs.

The image's entrypoint; container args are Stash's. ``reconciler.cli`` mounts :data:`app` and adds
nothing. This module parses flags and calls one function a command; it decides nothing.
"""

from __future__ import annotations

import os

import attrs
import typer

from reconciler.agent import (
    database_commands,
    flags,
    hook_job,
    init_container,
    job,
    listing,
    maintenance,
    restore_job,
    restoring,
    snapshot_restore,
    snapshots,
    trigger,
    wiping,
)
from reconciler.agent.init_container import InitContainer
from reconciler.agent.process import finish, surroundings, tools
from reconciler.agent.session import Duty, Sidecar
from reconciler.agent.turn import Target
from reconciler.engine.clock import SystemClock

app = typer.Typer(
    name="agent",
    help="The data side: what runs in sidecars and Jobs. People seldom call it by hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would show passwords
)


@app.command("run-backup", context_settings=flags.LENIENT)
def run_backup(
    context: typer.Context,
    invoker_name: flags.InvokerName,
    invoker_kind: flags.InvokerKind,
    target_name: flags.TargetName,
    target_kind: flags.TargetKind,
    secret_dir: flags.SecretDir = "/etc/stash/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "true",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Watch the sessions of one invoker and back up this pod's host (the sidecar)."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    target = Target(target_kind, target_name)
    duty = Duty(own.surroundings.namespace(), invoker_kind, invoker_name, target)
    finish(kubeconfig, lambda port: Sidecar(port, own, duty).run())


@app.command("backup-pvc", context_settings=flags.LENIENT)
def backup_pvc(
    context: typer.Context,
    backupsession: flags.BackupSession,
    target_kind: flags.TargetKind,
    target_name: flags.TargetName,
    output_dir: flags.OutputDir,
    backup_paths: flags.BackupPaths = "/stash-data",
    exclude: flags.Exclude = "",
    hostname: flags.Hostname = "",
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "true",
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
    report: flags.Report = False,
) -> None:
    """Back up paths of a volume (Function pvc-backup) and write output.json."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    target = Target(target_kind, target_name)
    step = job.Step(place, backupsession, target, output_dir, hostname, report)
    prepare = job.files(target, backup_paths, exclude)
    finish(kubeconfig, lambda port: job.back_up(port, own, step, prepare))


@app.command("update-status", context_settings=flags.LENIENT)
def update_status(
    context: typer.Context,
    namespace: flags.Namespace,
    output_dir: flags.OutputDir,
    target_kind: flags.TargetKind,
    target_name: flags.TargetName,
    backupsession: flags.BackupSession = "",
    invoker_kind: flags.InvokerKind = "",
    invoker_name: flags.InvokerName = "",
    secret_dir: flags.SecretDir = "",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "true",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Report what output.json says to the BackupSession; to a restore where there is none."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    step = job.Step(namespace, backupsession, Target(target_kind, target_name), output_dir)
    if not backupsession:
        resource = restore_job.resource_of(invoker_kind)
        step = attrs.evolve(step, session=invoker_name, resource=resource)
    finish(kubeconfig, lambda port: job.publish(port, own, step))


@app.command("restore", context_settings=flags.LENIENT)
def restore(
    context: typer.Context,
    invoker_name: flags.InvokerName,
    invoker_kind: flags.InvokerKind,
    target_name: flags.TargetName,
    target_kind: flags.TargetKind,
    secret_dir: flags.SecretDir = "/etc/stash/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "true",
    restore_model: flags.RestoreModel = "init-container",
    hostname: flags.Hostname = "",
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Restore this pod's host before its application starts, or as a Job of one step."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    target = Target(target_kind, target_name)
    resource = restore_job.resource_of(invoker_kind)
    if restore_model == "job":
        step = job.Step(place, invoker_name, target, "", hostname, report=True, resource=resource)
        finish(kubeconfig, lambda port: restore_job.run(port, own, step, restoring.files()))
        return
    if restore_model != "init-container":
        raise typer.BadParameter("--restore-model must be init-container or job")
    duty = init_container.Duty(place, resource, invoker_name, target)
    finish(kubeconfig, lambda port: InitContainer(port, own, duty).run())


@app.command("restore-pvc", context_settings=flags.LENIENT)
def restore_pvc(
    context: typer.Context,
    invoker_kind: flags.InvokerKind,
    invoker_name: flags.InvokerName,
    target_kind: flags.TargetKind,
    target_name: flags.TargetName,
    output_dir: flags.OutputDir,
    restore_paths: flags.RestorePaths = "",
    source_hostname: flags.SourceHostname = "",
    snapshots: flags.Snapshots = "",
    include: flags.Include = "",
    exclude: flags.Exclude = "",
    hostname: flags.Hostname = "",
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "true",
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
    report: flags.Report = False,
) -> None:
    """Restore the files of a volume (Function pvc-restore) and write output.json."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    target = Target(target_kind, target_name)
    resource = restore_job.resource_of(invoker_kind)
    step = job.Step(place, invoker_name, target, output_dir, hostname, report, resource)
    change = restoring.changes(
        source_host=source_hostname,
        snapshots=snapshots,
        paths=restore_paths,
        include=include,
        exclude=exclude,
    )
    finish(kubeconfig, lambda port: restore_job.run(port, own, step, restoring.files(change)))


database_commands.register(app)


@app.command("create-vs", context_settings=flags.LENIENT)
def create_vs(
    context: typer.Context,
    backupsession: flags.BackupSession,
    target_kind: flags.TargetKind,
    target_name: flags.TargetName,
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Make a VolumeSnapshot of every claim of a target (driver VolumeSnapshotter)."""
    flags.refuse_unknown(context.args)
    own = tools("", "", "false")
    place = own.surroundings.namespace(namespace)
    step = job.Step(place, backupsession, Target(target_kind, target_name), "")
    finish(kubeconfig, lambda port: snapshots.create_vs(port, own, step))


@app.command("restore-vs", context_settings=flags.LENIENT)
def restore_vs(
    context: typer.Context,
    invoker_name: flags.InvokerName,
    invoker_kind: flags.InvokerKind,
    target_kind: flags.TargetKind,
    target_name: flags.TargetName,
    hostname: flags.Hostname = "",
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Make a claim of a VolumeSnapshot (a restore with driver VolumeSnapshotter)."""
    flags.refuse_unknown(context.args)
    own = tools("", "", "false")
    place = own.surroundings.namespace(namespace)
    resource = restore_job.resource_of(invoker_kind)
    target = Target(target_kind, target_name)
    step = job.Step(place, invoker_name, target, "", hostname, resource=resource)
    finish(kubeconfig, lambda port: snapshot_restore.restore_vs(port, own, step))


@app.command("create-backupsession", context_settings=flags.LENIENT)
def create_backupsession(
    context: typer.Context,
    invoker_name: flags.InvokerName,
    invoker_kind: flags.InvokerKind,
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Create the BackupSession of this schedule slot (what the CronJob runs)."""
    flags.refuse_unknown(context.args)
    order = trigger.Order(
        surroundings().namespace(namespace),
        invoker_kind,
        invoker_name,
        os.environ.get("JOB_NAME", ""),
    )
    finish(kubeconfig, lambda port: trigger.create_backupsession(port, order, SystemClock()))


@app.command("run-hook", context_settings=flags.LENIENT)
def run_hook(
    context: typer.Context,
    hook_type: flags.HookType,
    backupsession: flags.BackupSession = "",
    invoker_kind: flags.InvokerKind = "",
    invoker_name: flags.InvokerName = "",
    target_kind: flags.TargetKind = "",
    target_name: flags.TargetName = "",
    hostname: flags.Hostname = "",
    pod: flags.Executor = "",
    namespace: flags.Namespace = "",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Run one hook: of a whole session, or of a restore where there is no session; or, with a
    target, a member's that is still owed.
    """
    flags.refuse_unknown(context.args)
    own = tools("/etc/repository/secret", "/tmp", "false")  # noqa: S108 -- the volume tmp-dir
    place = own.surroundings.namespace(namespace)
    target = Target(target_kind, target_name) if target_kind else None
    order = hook_job.Order(place, backupsession, hook_type, target, hostname, pod)
    if not backupsession:
        resource = restore_job.resource_of(invoker_kind)
        order = attrs.evolve(order, session=invoker_name, resource=resource)
    finish(kubeconfig, lambda port: hook_job.run(port, own, order))


@app.command("init-repository", context_settings=flags.LENIENT)
def init_repository(
    context: typer.Context,
    repository: flags.Repository,
    namespace: flags.Namespace = "",
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "false",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Find the restic repository, or create it, and say so in the Repository's status."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    finish(kubeconfig, lambda port: maintenance.init_repository(port, own, place, repository))


@app.command("maintain", context_settings=flags.LENIENT)
def maintain(
    context: typer.Context,
    repository: flags.Repository,
    backupsession: flags.BackupSession,
    namespace: flags.Namespace = "",
    host: flags.Host = None,
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "false",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Apply the retention policy, verify and measure the repository after a session."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    finish(
        kubeconfig,
        lambda port: maintenance.maintain(
            port, own, place, repository, backupsession, hosts=host or ()
        ),
    )


@app.command("snapshots", context_settings=flags.LENIENT)
def list_snapshots(
    context: typer.Context,
    repository: flags.Repository,
    namespace: flags.Namespace = "",
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "false",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Print the repository's snapshots, a line of JSON each."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    finish(kubeconfig, lambda port: listing.show(port, own, place, repository))


@app.command("wipe-repository", context_settings=flags.LENIENT)
def wipe_repository(
    context: typer.Context,
    repository: flags.Repository,
    namespace: flags.Namespace = "",
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "false",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Remove the restic repository of a Repository that has spec.wipeOut from its backend."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    finish(kubeconfig, lambda port: wiping.wipe_repository(port, own, place, repository))


@app.command("unlock", context_settings=flags.LENIENT)
def unlock(
    context: typer.Context,
    repository: flags.Repository,
    namespace: flags.Namespace = "",
    secret_dir: flags.SecretDir = "/etc/repository/secret",
    scratch_dir: flags.ScratchDir = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
    enable_cache: flags.EnableCache = "false",
    kubeconfig: flags.Kubeconfig = "",
) -> None:
    """Remove the locks of dead processes; name the owner of every other lock (exit code 1)."""
    flags.refuse_unknown(context.args)
    own = tools(secret_dir, scratch_dir, enable_cache)
    place = own.surroundings.namespace(namespace)
    finish(kubeconfig, lambda port: maintenance.unlock(port, own, place, repository))


if __name__ == "__main__":
    app()
