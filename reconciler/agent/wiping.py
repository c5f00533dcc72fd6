"""``wipe-repository``: remove a restic repository from its backend, for ``spec.wipeOut``.

Run by a Job of the Repository controller, when the Repository is being deleted and nobody uses it.
What goes is what restic makes: its five folders and its configuration. Whatever else is in the
bucket or on the volume stays (Stash removes everything below the prefix). Nothing is removed before
restic has opened the repository with the password of the Secret, so a wrong prefix cannot destroy
another one. Restic itself cannot remove a repository; rclone can, for every object store.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from reconciler.agent import backends, failures
from reconciler.agent.failures import Cause, Failure, ToolFailed
from reconciler.agent.findings import Finding, write
from reconciler.agent.restic import Command
from reconciler.agent.workshop import Tools, Workshop, open_workshop
from reconciler.api import conditions as c
from reconciler.api.resources import REPOSITORIES, JsonObject
from reconciler.cluster.port import Port
from reconciler.errors import NotFound, TandemError, TerminalError

_log = logging.getLogger(__name__)

ORDER: Final = (("snapshots", "index", "data", "locks"), ("config",), ("keys",))
"""One after another: as long as the configuration is there, a next try can still tell whose it is.
Once it is gone, nothing that could be restored is left."""
_REMOTE: Final = "wipe"
_STOPPED: Final = "it was ended because its pod is being stopped"


def wipe_repository(port: Port, tools: Tools, namespace: str, name: str) -> int:
    """Remove the repository; 0 when it is gone. Raises nothing that is the backend's fault."""
    try:
        repository = port.get(REPOSITORIES, namespace, name)
    except NotFound:
        return 0
    try:
        if not (repository.get("spec") or {}).get("wipeOut"):
            raise TerminalError("spec.wipeOut is not set: the data is kept")
        _wipe(open_workshop(tools, repository, port=port), repository, tools)
    except TandemError as error:
        message = f"The data of the repository could not be removed: {error}"
        _log.error("%s", message)
        finding = Finding(c.REPOSITORY_WIPED, c.FAILED_TO_WIPE_REPOSITORY, message, holds=False)
        write(port, tools, REPOSITORIES, repository, findings=[finding])
        return 1
    _log.info("the repository is removed")
    return 0


def _wipe(shop: Workshop, repository: JsonObject, tools: Tools) -> None:
    found = shop.runner.run(shop.restic.probe())
    if found.ended_by:
        raise TerminalError(_STOPPED)
    if not found.ok:
        why = failures.of_restic(found.exit_code, found.stderr, found.stdout)
        if why.cause is Cause.NO_REPOSITORY:
            return  # an earlier try has done it, or there never was one
        message = f"looking for the repository failed: {why.message}"
        raise ToolFailed(Failure(why.cause, message, shop.restic.access.secret))
    for names in ORDER:
        if shop.restic.access.local_directory:
            _remove_files(Path(shop.restic.access.local_directory), names)
        else:
            _remove_objects(shop, repository, tools, names)


def _remove_files(folder: Path, names: Sequence[str]) -> None:
    try:
        for name in names:
            place = folder / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
    except OSError as error:
        raise TerminalError(
            f"{error.strerror}: {error.filename}; the Job runs as another user than the backups "
            "did: remove the folder by hand, or set spec.wipeOut to false"
        ) from error


# -- object stores --------------------------------------------------------------------------------


def _remove_objects(
    shop: Workshop, repository: JsonObject, tools: Tools, names: Sequence[str]
) -> None:
    outcome = shop.runner.run(command(shop, repository, tools, names))
    if outcome.ended_by:
        raise TerminalError(_STOPPED)
    if not outcome.ok:
        raise TerminalError(f"rclone: {failures.one_line(outcome.stderr, outcome.exit_code)}")


def command(shop: Workshop, repository: JsonObject, tools: Tools, names: Sequence[str]) -> Command:
    """rclone's call that deletes the objects of these names; its remote is in the environment."""
    backend = repository["spec"]["backend"]
    provider = next(key for key in _REMOTES if key in backend)
    spec, access = backend[provider] or {}, shop.restic.access
    place = backends.clean(
        spec.get("bucket") or spec.get("container") or "", spec.get("prefix") or ""
    )
    chosen = [part for name in names for part in ("--include", _pattern(name))]
    trust = ["--ca-cert", access.ca_certificate] if access.ca_certificate else []
    insecure = ["--no-check-certificate"] if access.insecure_tls else []
    remote = dict(_REMOTES[provider](spec, access.env, tools))
    # A CA for Amazon's library, which restic does not use: rclone refuses to start with it.
    ignored = {"AWS_CA_BUNDLE": ""}
    env = {f"RCLONE_CONFIG_{_REMOTE.upper()}_{key}": value for key, value in remote.items()}
    argv = ("rclone", "delete", f"{_REMOTE}:{place}", *chosen, *trust, *insecure)
    return Command((*argv, "--config", "/dev/null"), {**access.env, **env, **ignored})


def _pattern(name: str) -> str:
    return f"/{name}" if name == "config" else f"/{name}/**"


_Pairs = Iterator[tuple[str, str]]


def _s3(spec: Mapping[str, Any], env: Mapping[str, str], tools: Tools) -> _Pairs:
    del env
    endpoint = spec.get("endpoint") or backends.DEFAULT_S3_ENDPOINT
    yield "TYPE", "s3"
    yield "ENV_AUTH", "true"
    yield "PROVIDER", "AWS" if "amazonaws.com" in endpoint else "Other"
    yield "ENDPOINT", tools.surroundings.url(endpoint)
    if spec.get("region"):
        yield "REGION", str(spec["region"])


def _gcs(spec: Mapping[str, Any], env: Mapping[str, str], tools: Tools) -> _Pairs:
    del spec, tools
    yield "TYPE", "google cloud storage"
    if "GOOGLE_APPLICATION_CREDENTIALS" in env:
        yield "SERVICE_ACCOUNT_FILE", env["GOOGLE_APPLICATION_CREDENTIALS"]


def _azure(spec: Mapping[str, Any], env: Mapping[str, str], tools: Tools) -> _Pairs:
    del spec, tools
    yield "TYPE", "azureblob"
    yield "ACCOUNT", env.get("AZURE_ACCOUNT_NAME", "")
    yield "KEY", env.get("AZURE_ACCOUNT_KEY", "")


def _swift(spec: Mapping[str, Any], env: Mapping[str, str], tools: Tools) -> _Pairs:
    del spec, env, tools
    yield "TYPE", "swift"
    yield "ENV_AUTH", "true"


def _b2(spec: Mapping[str, Any], env: Mapping[str, str], tools: Tools) -> _Pairs:
    """Without HARD_DELETE the objects would only be hidden."""
    del spec, tools
    yield "TYPE", "b2"
    yield "ACCOUNT", env.get("B2_ACCOUNT_ID", "")
    yield "KEY", env.get("B2_ACCOUNT_KEY", "")
    yield "HARD_DELETE", "true"


_REMOTES: Final = {"s3": _s3, "gcs": _gcs, "azure": _azure, "swift": _swift, "b2": _b2}
