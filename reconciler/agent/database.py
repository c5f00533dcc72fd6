"""What a database Job dumps: reads the AppBinding and its Secret, and makes the dump of them.

Called by ``main`` for ``backup-mysql`` and ``backup-postgres``; ``job`` calls the result.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import backup, dumps
from reconciler.agent.dumps import Dump, Login
from reconciler.agent.job import Work
from reconciler.agent.report import HostReport
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import Workshop
from reconciler.api.app_binding import AppBinding
from reconciler.api.decoding import decode
from reconciler.api.invoker import Invoker
from reconciler.api.resources import APP_BINDINGS, SECRETS
from reconciler.cluster.port import Port
from reconciler.errors import Fault, InvalidObject, NotFound, TerminalError

MYSQL_PORT, POSTGRES_PORT = 3306, 5432


@attrs.frozen
class Source:
    """Which database. ``wait_seconds``: how long it may take to answer."""

    namespace: str
    app_binding: str
    surroundings: Surroundings
    wait_seconds: float = 300


def mysql(
    source: Source, arguments: str, port: Port, invoker: Invoker
) -> tuple[Work, tuple[str, ...]]:
    """For MySQL and MariaDB. Raises NotFound, InvalidObject, TerminalError."""
    del invoker
    words = _words("--mysql-args", arguments)
    found = _login(source, port, dumps.MYSQL_KEYS, MYSQL_PORT)
    return _work(lambda: dumps.mysql(found, words, wait_seconds=source.wait_seconds), found)


def postgres(
    source: Source, arguments: str, tool: str, port: Port, invoker: Invoker
) -> tuple[Work, tuple[str, ...]]:
    """For PostgreSQL. Raises NotFound, InvalidObject, TerminalError."""
    del invoker
    words = _words("--pg-args", arguments)
    found = _login(source, port, dumps.POSTGRES_KEYS, POSTGRES_PORT)
    wait = source.wait_seconds
    return _work(lambda: dumps.postgres(found, words, tool=tool, wait_seconds=wait), found)


def _work(make: Callable[[], Dump], login: Login) -> tuple[Work, tuple[str, ...]]:
    try:
        what = make()
    except ValueError as error:
        raise TerminalError(str(error)) from error

    def work(shop: Workshop, host: str, timeout: float | None) -> HostReport:
        return backup.dump(shop, host, what, timeout=timeout)

    return work, (login.password,)


def _words(flag: str, text: str) -> Sequence[str]:
    """Split like a shell does: Stash splits on blanks, which no value with a blank survives."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise TerminalError(f"{flag}: {error}") from error


def _login(source: Source, port: Port, keys: tuple[str, str], default_port: int) -> Login:
    app = _app_binding(port, source)
    secret = _secret(port, source.namespace, app)
    return dumps.login(app, secret, source.surroundings, keys=keys, default_port=default_port)


def _app_binding(port: Port, source: Source) -> AppBinding:
    try:
        obj = port.get(APP_BINDINGS, source.namespace, source.app_binding)
    except NotFound as error:
        name = f"{source.namespace}/{source.app_binding}"
        raise NotFound(f"AppBinding {name} does not exist; create it") from error
    return decode(AppBinding, obj, unknown="ignore")


def _secret(port: Port, namespace: str, app: AppBinding) -> dict[str, str]:
    subject = f"AppBinding {namespace}/{app.metadata.name}"
    if app.spec.secret is None:
        fault = Fault("spec.secret.name", "is missing", "name the Secret with the login")
        raise InvalidObject(subject, [fault])
    name = app.spec.secret.name
    try:
        data = port.get(SECRETS, namespace, name).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    except NotFound as error:
        fault = Fault("spec.secret.name", f"the Secret {name} does not exist", "create it")
        raise InvalidObject(subject, [fault]) from error
    except (binascii.Error, UnicodeDecodeError) as error:
        fault = Fault("spec.secret.name", f"the Secret {name} is not text", "mend it")
        raise InvalidObject(subject, [fault]) from error
