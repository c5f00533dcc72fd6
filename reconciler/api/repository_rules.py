"""The rules for Repository. For ``validation`` only. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from reconciler.api.repository import Backend, LocalBackend, Repository, RestBackend
from reconciler.api.rules import name_faults, not_negative
from reconciler.errors import Fault

_PLACES: Final = {
    "s3": ("endpoint", "bucket"),
    "gcs": ("bucket",),
    "azure": ("container",),
    "swift": ("container",),
    "b2": ("bucket",),
}
"""What a provider cannot do without; in JSON by the same names."""

_NOT_WIPED: Final = {
    "rest": "a REST server has no such request",
}


def repository_faults(repository: Repository) -> Iterator[Fault]:
    """Every fault of a Repository by itself."""
    backend = repository.spec.backend
    yield from name_faults(repository.metadata)
    if not backend.storage_secret_name:
        yield Fault(
            "spec.backend.storageSecretName",
            "is missing",
            "name a Secret with RESTIC_PASSWORD and the provider's credentials",
        )
    yield from _providers(backend)
    why_not = _NOT_WIPED.get(backend.provider or "")
    if repository.spec.wipe_out and why_not:
        yield Fault(
            "spec.wipeOut",
            f"is not possible with {backend.provider}: {why_not}",
            "write false, and delete the data by hand",
            value=True,
        )


def _providers(backend: Backend) -> Iterator[Fault]:
    if not backend.providers:
        yield Fault(
            "spec.backend",
            "has no provider",
            "add one of local, s3, gcs, azure, swift, b2, rest",
        )
    if len(backend.providers) > 1:
        yield Fault(
            "spec.backend",
            "has several providers",
            f"keep one; {backend.provider} would be used",
            ", ".join(backend.providers),
        )
    for provider in backend.providers:
        yield from _provider(f"spec.backend.{provider}", provider, backend)


def _provider(path: str, provider: str, backend: Backend) -> Iterator[Fault]:
    chosen = getattr(backend, provider)
    for key in _PLACES.get(provider, ()):
        if not getattr(chosen, key):
            yield Fault(f"{path}.{key}", "is missing", f"write the {key}")
    yield from not_negative(f"{path}.maxConnections", getattr(chosen, "max_connections", None))
    if isinstance(chosen, LocalBackend):
        yield from _local(path, chosen)
    if isinstance(chosen, RestBackend):
        yield from _rest(f"{path}.url", chosen.url)


def _local(path: str, local: LocalBackend) -> Iterator[Fault]:
    if len(local.volume_source) != 1:
        yield Fault(
            path,
            "must name one volume" if not local.volume_source else "names several volumes",
            "write one, for example persistentVolumeClaim: {claimName: backups}",
            ", ".join(local.volume_source) or None,
        )
    mount = PurePosixPath(local.mount_path)
    at = f"{path}.mountPath"
    if not local.mount_path:
        yield Fault(at, "is missing", "write for example /safe/data")
    elif not mount.is_absolute():
        yield Fault(at, "is not an absolute path", "begin it with /", local.mount_path)
    elif mount.parts[1:2] == ("stash",):
        yield Fault(
            at, "is below /stash, where the program is", "mount it elsewhere", local.mount_path
        )


def _rest(at: str, url: str) -> Iterator[Fault]:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        shown = url if "@" not in url else None  # it may hold a password
        remedy = "write for example https://backup:8000"
        yield Fault(at, "is not a URL of a REST server", remedy, shown or None)
    elif "@" in parts.netloc:
        yield Fault(
            at,
            "holds credentials, which everybody can read there",
            "put them into the Secret of storageSecretName",
        )
