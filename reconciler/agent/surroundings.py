"""Where this process runs: its namespace, its pod, and the node's translation of paths and hosts.

The only module that knows of ``TANDEM_ROOT_MAP``. On a process node that cannot give a container
its own mounts, a path that an API object names (``/stash-data``) is a folder somewhere else and a
Service is an address on loopback; everywhere else the translation is the identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import attrs

from reconciler.errors import TerminalError

ROOT_MAP = "TANDEM_ROOT_MAP"
ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@attrs.frozen
class Pod:
    """The runner that claims a host. A restarted container is the same runner."""

    name: str
    uid: str


@attrs.frozen
class Surroundings:
    """The environment, read once at start."""

    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    translation: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Surroundings:
        """Raises ValueError when TANDEM_ROOT_MAP is not JSON."""
        translation = json.loads(environ.get(ROOT_MAP) or "{}")
        return cls(dict(environ), {str(key): str(value) for key, value in translation.items()})

    def namespace(self, given: str = "", account_file: Path = ACCOUNT_NAMESPACE) -> str:
        """Stash's rule: KUBE_NAMESPACE, MY_POD_NAMESPACE, the service account's, ``default``."""
        named = given or self.environ.get("KUBE_NAMESPACE") or self.environ.get("MY_POD_NAMESPACE")
        if named:
            return named
        if account_file.is_file():
            return account_file.read_text().strip() or "default"
        return "default"

    def pod(self) -> Pod:
        """Our own pod, from POD_NAME and POD_UID. Raises TerminalError naming the missing one."""
        name, uid = (self.environ.get(variable, "") for variable in ("POD_NAME", "POD_UID"))
        if not name or not uid:
            missing = "POD_UID" if name else "POD_NAME"
            raise TerminalError(f"the environment variable {missing} is missing")
        return Pod(name, uid)

    def path(self, path: str) -> str:
        """A path of an API object as this process sees it: the longest mount path wins."""
        if any(_within(path, folder) for folder in self._folders().values()):
            return path  # the node has translated it already
        for mount in sorted(self._folders(), key=len, reverse=True):
            if _within(path, mount):
                return self._folders()[mount].rstrip("/") + path[len(mount.rstrip("/")) :]
        return path

    def address(self, host: str, port: int) -> tuple[str, int]:
        """A Service as this process reaches it; the map may say ``address:port``."""
        target = self.translation.get(host, "")
        if not target or target.startswith("/"):
            return host, port
        name, colon, number = target.rpartition(":")
        return (name, int(number)) if colon and number.isdecimal() else (target, port)

    def url(self, url: str) -> str:
        """A URL whose host is a Service, as this process reaches it."""
        parts = urlsplit(url)
        if not parts.hostname or parts.hostname not in self.translation:
            return url
        host, port = self.address(parts.hostname, parts.port or 0)
        netloc = f"{host}:{port}" if port else host
        account = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{account}@{netloc}" if account else netloc))

    def _folders(self) -> dict[str, str]:
        return {key: value for key, value in self.translation.items() if key.startswith("/")}


def _within(path: str, folder: str) -> bool:
    bare = folder.rstrip("/")
    return path == bare or path.startswith(bare + "/")
