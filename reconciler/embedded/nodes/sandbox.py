"""What a container sees of this machine: bubblewrap where it works, else rewritten paths.

Called by ``process``. With bubblewrap the container has its mounts at their real mount paths, its
own ``/tmp``, ``/var``, ``/run`` and process table, and the machine's programs read-only; the file
system of the host is not changed, for the sandbox's root is a tmpfs. Without it (macOS, no user
namespaces) arguments and environment values that begin with a mount path are rewritten to the
folder, and ``TANDEM_ROOT_MAP`` tells the agent of all of them.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

import reconciler

ROOT_MAP = "TANDEM_ROOT_MAP"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt")
_EMPTY = ("/tmp", "/var", "/run", "/root", "/home")  # noqa: S108 -- paths inside the sandbox


@attrs.frozen
class Mount:
    """A folder or file of this machine at a path of the container."""

    path: str
    source: Path
    read_only: bool = False


@attrs.frozen
class Launch:
    """What is to be run: argv as a list, environment, and where."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str | None = None


@functools.cache
def bubblewrap() -> str | None:
    """The path of a bubblewrap that can make sandboxes here, tried once; None: it cannot."""
    program = shutil.which("bwrap")
    if program is None or sys.platform != "linux":
        return None
    trial = [program, *_basis(), *_bind_system(()), "true"]
    done = subprocess.run(trial, capture_output=True, check=False)  # noqa: S603 -- fixed argv
    return program if done.returncode == 0 else None


def isolated(launch: Launch, mounts: Sequence[Mount], hosts: Path, hostname: str) -> Launch:
    """The launch inside bubblewrap. The environment is inherited: it never stands in argv."""
    program = bubblewrap()
    if program is None:
        raise RuntimeError("bubblewrap does not work here; ask bubblewrap() first")
    own = [*mounts]
    if Path("/etc/hosts").exists():
        own.append(Mount("/etc/hosts", hosts, read_only=True))
    argv = [program, *_basis(), "--unshare-uts", "--hostname", hostname]
    own.sort(key=lambda mount: mount.path.count("/"))
    # a mount that would hide one of the machine's folders (/tmp, when Tandem itself is installed
    # below it) comes before them
    below = [
        mount for mount in own if any(_is_below(path, Path(mount.path)) for path in _visible())
    ]
    argv += [part for mount in below for part in _bind(mount)]
    argv += _bind_system([mount.path for mount in own])
    argv += [part for mount in own if mount not in below for part in _bind(mount)]
    argv += ["--chdir", launch.directory or "/", "--", *launch.argv]
    return Launch(argv, launch.environment)


def finds(program: str, environment: Mapping[str, str], mounts: Sequence[Mount]) -> bool:
    """Whether a program is there in the container: bubblewrap tells it like a failed command."""
    if "/" in program:
        return not os.path.isabs(program) or _outside(program, mounts).exists()
    folders = environment.get("PATH", "").split(os.pathsep)
    return any(_outside(f"{folder}/{program}", mounts).exists() for folder in folders if folder)


def _outside(path: str, mounts: Sequence[Mount]) -> Path:
    """Where a path of the container is on this machine."""
    above = [mount for mount in mounts if Path(path).is_relative_to(mount.path)]
    if not above:
        return Path(path)
    nearest = max(above, key=lambda mount: len(mount.path))
    return nearest.source / Path(path).relative_to(nearest.path)


def _bind(mount: Mount) -> list[str]:
    return ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.path]


def rewritten(
    launch: Launch,
    mounts: Sequence[Mount],
    addresses: Mapping[str, str],
    *,
    kept: frozenset[str] = frozenset(),
) -> Launch:
    """The launch with mount paths replaced by folders; ``addresses`` are the Services'.

    A word that is a Service's qualified name (``db.shop``, ``db.shop.svc``) becomes its address.

    ``kept`` are words of the node's own (a kubeconfig, an interpreter), which mean this machine
    even where a mount path covers them.
    """
    table = {mount.path: str(mount.source) for mount in mounts}

    def local(text: str) -> str:
        if text in kept:
            return text
        if "." in text and text in addresses:  # a short name may as well be any other word
            return addresses[text]
        for path in sorted(table, key=len, reverse=True):
            if text == path or text.startswith(path.rstrip("/") + "/"):
                return table[path].rstrip("/") + text[len(path.rstrip("/")) :]
        return text

    environment = {name: local(value) for name, value in launch.environment.items()}
    environment[ROOT_MAP] = json.dumps({**table, **addresses})
    argv = [local(part) for part in launch.argv]
    directory = local(launch.directory) if launch.directory else None
    if directory is not None and not Path(directory).is_dir():
        directory = None
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv:  # the process must not outlive this one, however this one ends
        argv = [setpriv, "--pdeathsig", "KILL", "--", *argv]
    return Launch(argv, environment, directory)


def _basis() -> list[str]:
    return [
        "--die-with-parent",
        "--unshare-pid",
        "--unshare-ipc",
        *(part for path in _EMPTY for part in ("--tmpfs", path)),
        "--dir",
        "/var/tmp",  # noqa: S108 -- a path inside the sandbox
        "--dev",
        "/dev",
        "--proc",
        "/proc",
    ]


def _bind_system(mount_paths: Iterable[str]) -> list[str]:
    paths = list(mount_paths)
    argv: list[str] = []
    for path in _visible():
        argv += _layer(Path(path), paths)
    return argv + resolver(Path("/etc/resolv.conf"))


def resolver(configuration: Path) -> list[str]:
    """Show the file behind a linked ``resolv.conf``: systemd-resolved keeps it in ``/run``."""
    target = configuration.resolve()
    if not configuration.is_symlink() or not target.is_file():
        return []
    if any(target.is_relative_to(path) for path in _SYSTEM):
        return []
    return ["--ro-bind", str(target), str(target)]


def _visible() -> list[str]:
    """The machine's folders that programs need, none of them inside another."""
    wanted = [
        *_SYSTEM,
        sys.prefix,
        sys.base_prefix,
        *map(str, Path(reconciler.__file__).parents[1:2]),
    ]
    wanted += [part for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    found: list[str] = []
    for path in dict.fromkeys(wanted):
        inside = any(Path(path).is_relative_to(other) for other in found)
        if os.path.isabs(path) and Path(path).exists() and not inside:
            found.append(path)
    return found


def _layer(path: Path, mount_paths: Sequence[str]) -> list[str]:
    """Show ``path`` read-only.

    A folder in which a mount point has still to be made cannot be bound as a whole: nothing can be
    created in a read-only bind (and in a writable one it would appear on the host). Its entries are
    bound one by one into a folder of the sandbox.
    """
    if path.is_symlink():
        return ["--symlink", os.readlink(path), str(path)]
    below = [mount for mount in mount_paths if _is_below(mount, path)]
    if not path.is_dir() or all(Path(mount).exists() for mount in below):
        return ["--ro-bind", str(path), str(path)] if os.access(path, os.R_OK) else []
    argv = ["--dir", str(path)]
    for entry in sorted(path.iterdir()):
        if str(entry) not in mount_paths:
            argv += _layer(entry, mount_paths)
    return argv


def _is_below(mount: str, path: Path) -> bool:
    return Path(mount) != path and Path(mount).is_relative_to(path)
