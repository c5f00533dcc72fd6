"""What a backup is made with: restic's calls for one Repository, and the runner that starts them.

Opened by every command that touches a repository, with the Repository as it is now and the Secret
as it is mounted now, so that what is mended counts from the next backup on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from reconciler.agent import backends
from reconciler.agent.owners import Owners
from reconciler.agent.parsing import Lock
from reconciler.agent.redaction import Redactor, secret_values
from reconciler.agent.restic import Restic, priority_prefix
from reconciler.agent.runner import Runner, Stop
from reconciler.agent.surroundings import Surroundings
from reconciler.api.resources import JsonObject
from reconciler.cluster.port import Port
from reconciler.engine.clock import Clock
from reconciler.errors import TerminalError


@attrs.frozen
class Workshop:
    """``translate`` turns a path that the API names into one of this process; ``is_gone`` says
    whether the owner of a lock is proven gone.
    """

    restic: Restic
    runner: Runner
    clock: Clock
    translate: Callable[[str], str] = lambda path: path
    is_gone: Callable[[Lock], bool] = lambda lock: False  # noqa: ARG005 -- nothing is known


@attrs.frozen
class Tools:
    """What the process was started with: where the Secret and the scratch directory are."""

    surroundings: Surroundings
    clock: Clock
    stop: Stop
    secret_dir: str
    scratch_dir: str
    enable_cache: bool = True


def open_workshop(
    tools: Tools,
    repository: JsonObject,
    *,
    port: Port | None = None,
    more_secrets: Iterable[str] = (),
) -> Workshop:
    """``port`` tells the owners of locks; without it none is ever taken for dead.

    Raises InvalidObject (Repository or Secret), TerminalError (scratch directory, nice).
    """
    here = tools.surroundings
    secret_dir, scratch_dir = here.path(tools.secret_dir), here.path(tools.scratch_dir)
    secret = backends.read_secret(secret_dir)
    access = backends.access(repository, secret, secret_dir, here)
    restic = Restic(access, scratch_dir, tools.enable_cache, _prefix(tools))
    _make_directories(restic)
    redact = Redactor.of((*secret_values(secret), *more_secrets))
    runner = Runner(here.environ, tools.clock, redact=redact, stop=tools.stop, cwd=scratch_dir)
    namespace = repository["metadata"].get("namespace", "")
    is_gone = Owners(port, namespace).is_gone if port else _unknown
    return Workshop(restic, runner, tools.clock, here.path, is_gone)


def _unknown(_lock: Lock) -> bool:
    return False


def _prefix(tools: Tools) -> tuple[str, ...]:
    try:
        return priority_prefix(tools.surroundings.environ)
    except ValueError as error:
        raise TerminalError(f"runtimeSettings.container: {error}") from error


def _make_directories(restic: Restic) -> None:
    wanted = [restic.temporary_dir, *([restic.cache_dir] if restic.enable_cache else [])]
    try:
        for directory in wanted:
            Path(directory).mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise TerminalError(f"the scratch directory cannot be used: {error}") from error
