"""What a database Job dumps or loads, as its AppBinding and Secret say.

Called by ``database_commands``; ``job`` calls the result.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Callable, Sequence

import attrs

from reconciler.agent import backup, dumps, restore
from reconciler.agent.drivers import MONGODB, Driver
from reconciler.agent.dumps import Dump, Login
from reconciler.agent.job import Work
from reconciler.agent.report import HostReport
from reconciler.agent.selection import Order
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import Workshop
from reconciler.api.app_binding import AppBinding
from reconciler.api.decoding import decode
from reconciler.api.invoker import Invoker
from reconciler.api.resources import APP_BINDINGS, SECRETS
from reconciler.cluster.port import Port
from reconciler.errors import Fault, InvalidObject, NotFound, TerminalError


@attrs.frozen
class Source:
    """Which database, and how it is called. ``wait_seconds``: how long it may take to answer.

    ``arguments`` are the user's, ``tool`` chooses among a driver's, ``folder`` is for its files.
    """

    namespace: str
    app_binding: str
    surroundings: Surroundings
    wait_seconds: float = 300
    arguments: str = ""
    tool: str = ""
    folder: str = "/tmp"  # noqa: S108 -- the mount path of the volume tmp-dir


def dump(
    driver: Driver, source: Source, port: Port, invoker: Invoker
) -> tuple[Work, tuple[str, ...]]:
    """The backup of a database. Raises NotFound, InvalidObject, TerminalError."""
    del invoker
    what, secrets = _prepared(driver, driver.backup, source, port)

    def work(shop: Workshop, host: str, timeout: float | None) -> HostReport:
        return backup.dump(shop, host, what, timeout=timeout)

    return work, secrets


def load(
    driver: Driver, source: Source, port: Port, order: Order | None
) -> tuple[Work, tuple[str, ...]]:
    """The restore of a database. Raises NotFound, InvalidObject, TerminalError."""
    what, secrets = _prepared(driver, driver.restore, source, port)

    def work(shop: Workshop, host: str, timeout: float | None) -> HostReport:
        return restore.load(shop, order, host, what, timeout=timeout)

    return work, secrets


def _prepared(
    driver: Driver,
    make: Callable[..., Dump],
    source: Source,
    port: Port,
) -> tuple[Dump, tuple[str, ...]]:
    words = _words(driver.flag, source.arguments)
    found = _login(driver, source, port)
    tool = {"tool": source.tool} if source.tool else {}
    try:
        what = make(found, words, **tool)
    except ValueError as error:
        raise TerminalError(str(error)) from error
    secrets = (found.password,) if found.password else ()
    return attrs.evolve(what, wait_seconds=source.wait_seconds), secrets


def _words(flag: str, text: str) -> Sequence[str]:
    """Split like a shell does: Stash splits on blanks, which no value with a blank survives."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise TerminalError(f"{flag}: {error}") from error


def _login(driver: Driver, source: Source, port: Port) -> Login:
    app = _app_binding(port, source)
    secret: dict[str, str] | None = None
    if driver.needs_login or app.spec.secret is not None:
        secret = _secret(port, source.namespace, app)
    found = dumps.login(
        app,
        secret,
        source.surroundings,
        keys=driver.keys,
        default_port=driver.port,
        folder=source.surroundings.path(source.folder),
    )
    return attrs.evolve(found, members=_members(app)) if driver is MONGODB else found


def _members(app: AppBinding) -> str:
    """The members of a MongoDB replica set, as KubeDB writes them: ``rs0/host:port,host:port``."""
    parameters = app.spec.parameters or {}
    sets = parameters.get("replicaSets") or {}
    if parameters.get("configServer") or len(sets) > 1:
        fault = Fault(
            "spec.parameters",
            "describes a sharded cluster",
            "back up each shard by an AppBinding of its own, with one entry in replicaSets",
        )
        subject = f"AppBinding {app.metadata.namespace}/{app.metadata.name}"
        raise InvalidObject(subject, [fault])
    return next((str(members) for members in sets.values()), "")


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
