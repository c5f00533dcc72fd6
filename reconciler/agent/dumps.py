"""Dumps of databases: which tool, with which arguments, logged in how.

Called by ``job`` (from an AppBinding and its Secret) and by ``backup`` (which pipes the dump into
restic). Pure, but for the wait until the database answers. Passwords go through the environment
(MYSQL_PWD, PGPASSWORD), never through argv.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from reconciler.agent import failures
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.restic import Command
from reconciler.agent.runner import INSTALL, Runner
from reconciler.agent.surroundings import Surroundings
from reconciler.api.app_binding import AppBinding
from reconciler.engine.clock import Clock
from reconciler.errors import Fault, InvalidObject, ToolMissing

FILENAME = "dumpfile.sql"
_PAUSE = 1.0


@attrs.frozen
class Dump:
    """A dump to take. ``tools`` and ``ready_tools`` are alternatives, the preferred one first."""

    tools: tuple[str, ...]
    arguments: tuple[str, ...]
    ready_tools: tuple[str, ...]
    ready_arguments: tuple[str, ...]
    env: Mapping[str, str] = attrs.field(repr=False)
    wait_seconds: float = 300
    filename: str = FILENAME

    def command(self, runner: Runner) -> Command:
        """With the first tool that is installed. Raises ToolMissing."""
        return Command((_installed(runner, self.tools), *self.arguments), self.env)

    def ready_command(self, runner: Runner) -> Command:
        """Exit code 0 when the database answers. Raises ToolMissing."""
        return Command((_installed(runner, self.ready_tools), *self.ready_arguments), self.env)

    def wait_ready(self, runner: Runner, clock: Clock) -> None:
        """Until the database answers. Raises ToolFailed after ``wait_seconds``, or on a stop."""
        command = self.ready_command(runner)
        end = clock.monotonic() + self.wait_seconds
        while not (outcome := runner.run(command, timeout=self.wait_seconds or None)).ok:
            if runner.stop:
                raise ToolFailed(Failure(Cause.STOPPED, "ended while waiting for the database"))
            if clock.monotonic() >= end:
                said = failures.one_line(outcome.stderr or outcome.stdout, outcome.exit_code)
                text = f"the database does not answer after {self.wait_seconds:g} s: {said}"
                raise ToolFailed(Failure(Cause.UNREACHABLE_DATABASE, text))
            clock.sleep(_PAUSE)


@attrs.frozen
class Login:
    """Where the database is, and as whom to log in."""

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=False)


def mysql(login: Login, arguments: Sequence[str], *, wait_seconds: float = 300) -> Dump:
    """MySQL and MariaDB: mariadb-dump, or mysqldump where only that is installed."""
    place = ("-u", login.user, "-h", login.host, f"--port={login.port}")
    return Dump(
        tools=("mariadb-dump", "mysqldump"),
        arguments=(*place, *arguments),
        ready_tools=("mariadb-admin", "mysqladmin"),
        ready_arguments=("ping", *place, "--connect-timeout=5"),
        env={"MYSQL_PWD": login.password},
        wait_seconds=wait_seconds,
    )


def postgres(
    login: Login, arguments: Sequence[str], *, tool: str = "pg_dumpall", wait_seconds: float = 300
) -> Dump:
    """PostgreSQL. Raises ValueError for another tool than pg_dumpall and pg_dump."""
    if tool not in ("pg_dumpall", "pg_dump"):
        raise ValueError(f"--backup-cmd must be pg_dumpall or pg_dump, found {tool!r}")
    return Dump(
        tools=(tool,),
        arguments=("-U", login.user, "-h", login.host, f"--port={login.port}", *arguments),
        ready_tools=("pg_isready",),
        ready_arguments=(
            f"--host={login.host}",
            f"--port={login.port}",
            f"--username={login.user}",
            "--timeout=5",
        ),
        env={"PGPASSWORD": login.password},
        wait_seconds=wait_seconds,
    )


MYSQL_KEYS = ("username", "password")
POSTGRES_KEYS = ("POSTGRES_USER", "POSTGRES_PASSWORD")


def login(
    app: AppBinding,
    secret: Mapping[str, str],
    surroundings: Surroundings,
    *,
    keys: tuple[str, str],
    default_port: int,
) -> Login:
    """From the AppBinding and its Secret (transformed). Raises InvalidObject naming the field."""
    service = app.spec.client_config.service
    if service is None:
        raise _invalid(app, "spec.clientConfig.service", "is missing", "name the Service")
    changed = transformed(app, secret)
    missing = [key for key in keys if key not in changed]
    if missing:
        problem = f"the Secret has no key {' and no key '.join(missing)}"
        remedy = "add it, or rename a key with spec.secretTransforms"
        raise _invalid(app, "spec.secret.name", problem, remedy)
    host, port = surroundings.address(service.name, service.port or default_port)
    return Login(host, port, changed[keys[0]].strip(), changed[keys[1]])


def transformed(app: AppBinding, secret: Mapping[str, str]) -> dict[str, str]:
    """The Secret's keys after ``spec.secretTransforms``, in order."""
    keys = dict(secret)
    for index, change in enumerate(app.spec.secret_transforms):
        if change.add_keys_from:
            path = f"spec.secretTransforms[{index}].addKeysFrom"
            raise _invalid(app, path, "is not supported", "put all keys into one Secret")
        if change.rename_key and change.rename_key.from_ in keys:
            keys[change.rename_key.to] = keys.pop(change.rename_key.from_)
        if change.add_key:
            keys[change.add_key.key] = change.add_key.string_value or change.add_key.value
        if change.remove_key:
            keys.pop(change.remove_key.key, None)
    return keys


def _installed(runner: Runner, tools: Sequence[str]) -> str:
    for tool in tools:
        if runner.has(tool):
            return tool
    names = f"neither {' nor '.join(tools)}" if len(tools) > 1 else f"the program {tools[0]}"
    missing = f"{names} is installed" if len(tools) > 1 else f"{names} is not installed"
    hint = INSTALL.get(tools[0], "")
    remedy = f"install it: {hint}" if hint else "use one that has it"
    raise ToolMissing(f"{missing} in this image; {remedy}")


def _invalid(app: AppBinding, path: str, problem: str, remedy: str) -> InvalidObject:
    subject = f"AppBinding {app.metadata.namespace}/{app.metadata.name}"
    return InvalidObject(subject, [Fault(path, problem, remedy)])
