"""A dump of a database, taken or given back: which program, and what is around it.

Made by ``drivers``, from the login that is read here out of an AppBinding and its Secret; run by
``backup`` (which pipes a dump into restic) and ``restore`` (which pipes it into the database's
client). Passwords go through the environment or a file of mode 0600, never through argv.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from reconciler.agent import failures
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.restic import Command
from reconciler.agent.runner import INSTALL, Runner
from reconciler.agent.surroundings import Surroundings
from reconciler.api.app_binding import AppBinding
from reconciler.engine.clock import Clock
from reconciler.errors import Fault, InvalidObject, TerminalError, ToolMissing

FILENAME = "dumpfile.sql"
_PAUSE = 1.0
_CONNECTING = 5.0


def _no_complaint(_stderr: str) -> str:
    return ""


@attrs.frozen
class Dump:
    """A dump to take, or the client that takes one in.

    ``tools`` and ``ready_tools`` are alternatives, the preferred one first. Without ``ready_tools``
    the database is ready when its port is open. ``files``: what the tool reads besides, path to
    content.
    """

    tools: tuple[str, ...]
    arguments: tuple[str, ...]
    ready_tools: tuple[str, ...] = ()
    ready_arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    wait_seconds: float = 300
    filename: str = FILENAME
    address: tuple[str, int] = ("", 0)
    files: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    complaint: Callable[[str], str] = _no_complaint
    """What a client says was wrong although its exit code is 0: stderr to text, or ""."""

    def command(self, runner: Runner) -> Command:
        """With the first tool that is installed. Raises ToolMissing."""
        return Command((_installed(runner, self.tools), *self.arguments), self.env)

    def ready_command(self, runner: Runner) -> Command:
        """Exit code 0 when the database answers. Raises ToolMissing."""
        return Command((_installed(runner, self.ready_tools), *self.ready_arguments), self.env)

    def wait_ready(self, runner: Runner, clock: Clock) -> None:
        """Until the database answers. Raises ToolFailed after ``wait_seconds``, or on a stop."""
        end = clock.monotonic() + self.wait_seconds
        while said := self._silence(runner):
            if runner.stop:
                raise ToolFailed(Failure(Cause.STOPPED, "ended while waiting for the database"))
            if clock.monotonic() >= end:
                text = f"the database does not answer after {self.wait_seconds:g} s: {said}"
                raise ToolFailed(Failure(Cause.UNREACHABLE_DATABASE, text))
            clock.sleep(_PAUSE)

    @contextlib.contextmanager
    def placed(self) -> Iterator[None]:
        """With its files there, and for the time of its work alone. Raises TerminalError."""
        try:
            try:
                for path, content in self.files.items():
                    _place(Path(path), content)
            except OSError as error:
                raise TerminalError(f"the scratch directory cannot be used: {error}") from error
            yield
        finally:
            for path in self.files:
                Path(path).unlink(missing_ok=True)

    def _silence(self, runner: Runner) -> str:
        """Why the database does not answer, or ""."""
        if not self.ready_tools:
            return _refusal(self.address)
        outcome = runner.run(self.ready_command(runner), timeout=self.wait_seconds or None)
        if outcome.ok:
            return ""
        return failures.one_line(outcome.stderr or outcome.stdout, outcome.exit_code)


@attrs.frozen
class Login:
    """Where the database is, and as whom to log in.

    ``ca_certificate`` (PEM) and ``skip_verification`` are the AppBinding's TLS settings, ``folder``
    is for files that a tool has to read, ``members`` are those of a replica set, as a host of its
    own form.
    """

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=False)
    ca_certificate: str = ""
    skip_verification: bool = False
    folder: str = "/tmp"  # noqa: S108 -- the mount path of the volume tmp-dir
    members: str = ""

    @property
    def ca_file(self) -> str:
        """Where the certificate is while a tool runs; "" without one."""
        return f"{self.folder}/database-ca.crt" if self.ca_certificate else ""

    @property
    def tls_files(self) -> dict[str, str]:
        return {self.ca_file: self.ca_certificate} if self.ca_file else {}


@attrs.frozen
class Keys:
    """The keys of the Secret that hold the login, and those of them that must be there."""

    user: str
    password: str
    required: tuple[str, ...]

    @classmethod
    def both(cls, user: str, password: str) -> Keys:
        return cls(user, password, (user, password))


def login(
    app: AppBinding,
    secret: Mapping[str, str] | None,
    surroundings: Surroundings,
    *,
    keys: Keys,
    default_port: int,
    folder: str = "/tmp",  # noqa: S108 -- the mount path of the volume tmp-dir
) -> Login:
    """From the AppBinding and its Secret (transformed); None for a database without a login.

    Raises InvalidObject naming the field.
    """
    service = app.spec.client_config.service
    if service is None:
        raise _invalid(app, "spec.clientConfig.service", "is missing", "name the Service")
    changed = {} if secret is None else transformed(app, secret)
    missing = [key for key in keys.required if key not in changed and secret is not None]
    if missing:
        problem = f"the Secret has no key {' and no key '.join(missing)}"
        remedy = "add it, or rename a key with spec.secretTransforms"
        raise _invalid(app, "spec.secret.name", problem, remedy)
    host, port = surroundings.address(service.name, service.port or default_port)
    config = app.spec.client_config
    return Login(
        host,
        port,
        changed.get(keys.user, "").strip(),
        changed.get(keys.password, ""),
        _certificate(app),
        config.insecure_skip_tls_verify,
        folder,
    )


def _certificate(app: AppBinding) -> str:
    bundle = app.spec.client_config.ca_bundle
    try:
        return base64.b64decode(bundle, validate=True).decode()
    except ValueError as error:
        problem = "is not base64 of a PEM text"
        raise _invalid(app, "spec.clientConfig.caBundle", problem, "encode it") from error


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


def _place(path: Path, content: str) -> None:
    """Readable by nobody else, from the first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)


def _refusal(address: tuple[str, int]) -> str:
    try:
        with socket.create_connection(address, timeout=_CONNECTING):
            return ""
    except OSError as error:
        return f"{address[0]}:{address[1]}: {error.strerror or error}"
