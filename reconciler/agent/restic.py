"""Every call of restic, as data: argv and the variables added to the environment.

Built here, run by ``runner``: so each call can be compared in a test, and what is run is what was
compared. The order of arguments is Stash's. Nothing here does I/O. Passwords are in ``env`` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

_WRAPPERS = ("ionice", "nice")


@attrs.frozen
class Command:
    """A program to start. ``env`` is added to the container's environment, and never printed."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def tool(self) -> str:
        """The program, without the nice and ionice that it is wrapped in."""
        return self.programs[-1]

    @property
    def programs(self) -> tuple[str, ...]:
        """Every program that is started, the wrappers first."""
        wrappers = []
        rest = list(self.argv)
        while len(rest) > 1 and rest[0] in _WRAPPERS:  # a hook may be nothing but ``nice``
            wrappers.append(rest.pop(0))
            while len(rest) > 2 and rest[0] in ("-c", "-n"):
                del rest[:2]
        return (*wrappers, rest[0])


@attrs.frozen
class Access:
    """How restic reaches one repository.

    ``location`` is RESTIC_REPOSITORY (it may hold a password: rest servers), ``env`` the
    credentials, ``options`` restic's extended options, ``display`` the location without secrets,
    ``secret`` the namespace/name of the Secret that all this is from, for messages.
    """

    location: str = attrs.field(repr=False)
    display: str
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    options: tuple[str, ...] = ()
    ca_certificate: str = ""
    insecure_tls: bool = False
    local_directory: str = ""
    secret: str = ""


@attrs.frozen
class Restic:
    """Builds the calls for one repository.

    ``scratch_dir`` holds the cache and temporary files; ``prefix`` is nice and ionice.
    """

    access: Access
    scratch_dir: str
    enable_cache: bool = True
    prefix: tuple[str, ...] = ()

    @property
    def cache_dir(self) -> str:
        return f"{self.scratch_dir.rstrip('/')}/restic-cache"

    @property
    def temporary_dir(self) -> str:
        return f"{self.scratch_dir.rstrip('/')}/restic-tmp"

    def probe(self) -> Command:
        """Is there a repository, and does the password fit? Without a lock, so it never waits.

        Stash lists all snapshots for that; the configuration is one small object.
        """
        return self._call("cat", "config", "--no-lock")

    def init(self) -> Command:
        return self._call("init")

    def backup(self, path: str, *, host: str, excludes: Sequence[str] = ()) -> Command:
        """One path, so one snapshot. Exit code 3: the snapshot is incomplete."""
        patterns = [part for pattern in excludes for part in ("--exclude", pattern)]
        return self._call(
            *("backup", path, "--quiet", "--json", "--host", host, *patterns),
            cleanup_cache=True,
        )

    def backup_stdin(self, filename: str, *, host: str) -> Command:
        """What is piped in, as the file ``/filename`` of a snapshot."""
        return self._call(
            *("backup", "--stdin", "--quiet", "--json"),
            *("--stdin-filename", filename, "--host", host),
            cleanup_cache=True,
        )

    def restore(
        self,
        snapshot: str,
        target: str,
        *,
        includes: Sequence[str] = (),
        excludes: Sequence[str] = (),
        sparse: bool = False,
    ) -> Command:
        """A snapshot by its id, so that what was looked at is what is restored.

        ``target`` is ``/`` for the paths that were backed up. ``sparse`` exists from 0.15 on.
        """
        patterns = [part for pattern in includes for part in ("--include", pattern)]
        patterns += [part for pattern in excludes for part in ("--exclude", pattern)]
        holes = ("--sparse",) if sparse else ()
        return self._call("restore", snapshot, "--target", target, *patterns, *holes)

    def dump(self, snapshot: str, filename: str) -> Command:
        """One file of a snapshot, to stdout."""
        return self._call("dump", "--quiet", snapshot, filename)

    def ls(self, snapshot: str, path: str) -> Command:
        """Everything at and below a path, one JSON object a line."""
        return self._call("ls", "--json", "--quiet", "--no-lock", "--recursive", snapshot, path)

    def version(self) -> Command:
        return Command(("restic", "version"))

    def forget(self, keep: Sequence[str], hosts: Sequence[str], *, path: str = "") -> Command:
        """Apply a policy to the snapshots of these hosts and of no others.

        With ``path``, only to those that have this path: several ``--host`` mean any of them,
        several ``--path`` would mean all of them, so there is one. The group is (host, paths),
        which is restic's default; it is said aloud because the policy's meaning depends on it.
        Stash passes no host, so one invoker's policy removes another's snapshots (spec 13-8).
        """
        if not hosts:
            raise ValueError("forget without a host would apply to the whole repository")
        chosen = [part for host in hosts for part in ("--host", host)]
        chosen += ["--path", path] if path else []
        return self._call(
            *("forget", "--quiet", "--json", *chosen, "--group-by", "host,paths", *keep)
        )

    def forget_snapshots(self, *ids: str) -> Command:
        """Remove these snapshots, whatever the policy; their data stays until the next prune."""
        if not ids:
            raise ValueError("which snapshots?")
        return self._call("forget", "--quiet", *ids)

    def prune(self) -> Command:
        """Remove the data that no snapshot refers to."""
        return self._call("prune", "--quiet")

    def check(self) -> Command:
        return self._call("check")

    def stats(self) -> Command:
        """The restore size of all snapshots."""
        return self._call("stats", "--quiet", "--json")

    def snapshots(self, *, hosts: Sequence[str] = ()) -> Command:
        chosen = [part for host in hosts for part in ("--host", host)]
        return self._call("snapshots", "--json", "--quiet", "--no-lock", *chosen)

    def unlock(self) -> Command:
        """Stale locks only: older than 30 minutes, or of a process of this machine that is gone.

        ``unlock_all`` takes the locks of running backups too.
        """
        return self._call("unlock")

    def unlock_all(self) -> Command:
        """Every lock. Only after each owner is proven gone (``locks.remove_dead``)."""
        return self._call("unlock", "--remove-all")

    def list_locks(self) -> Command:
        return self._call("list", "locks", "--no-lock", "--quiet")

    def show_lock(self, lock: str) -> Command:
        return self._call("cat", "lock", lock, "--no-lock")

    def _call(self, *arguments: str, cleanup_cache: bool = False) -> Command:
        argv = (*self.prefix, "restic", *arguments, *self._common(cleanup_cache=cleanup_cache))
        return Command(argv, self._environment())

    def _common(self, *, cleanup_cache: bool) -> tuple[str, ...]:
        cache = ("--cache-dir", self.cache_dir) if self.enable_cache else ("--no-cache",)
        cleanup = ("--cleanup-cache",) if cleanup_cache and self.enable_cache else ()
        certificate = self.access.ca_certificate
        trust = ("--cacert", certificate) if certificate else ()
        insecure = ("--insecure-tls",) if self.access.insecure_tls else ()
        options = tuple(part for option in self.access.options for part in ("--option", option))
        return (*cache, *cleanup, *trust, *insecure, *options)

    def _environment(self) -> dict[str, str]:
        return {
            **self.access.env,
            "RESTIC_REPOSITORY": self.access.location,
            "TMPDIR": self.temporary_dir,
        }


def priority_prefix(environ: Mapping[str, str]) -> tuple[str, ...]:
    """``ionice … nice …`` from the variables that the operator sets from runtimeSettings.

    Raises ValueError for a value that is not a number; Stash's order of nesting.
    """
    nice = _number(environ, "NICE_ADJUSTMENT")
    io_class = _number(environ, "IONICE_CLASS")
    io_data = _number(environ, "IONICE_CLASS_DATA")
    level = ("-n", io_data) if io_data else ()
    ionice = ("ionice", "-c", io_class, *level) if io_class else ()
    return (*ionice, *(("nice", "-n", nice) if nice else ()))


def _number(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if value and not value.removeprefix("-").isdecimal():
        raise ValueError(f"{name} must be a whole number, found {value!r}")
    return value
