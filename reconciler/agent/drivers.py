"""The databases: with which program each is dumped and restored, and with which arguments.

Called by ``database``. Pure: every call is data and can be compared in a test. Programs and
arguments are those of Stash's addons where those work without a shell and without a secret in argv.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence

import attrs

from reconciler.agent.dumps import Dump, Keys, Login

RDB, ARCHIVE = "dump.rdb", "dump"
"""The names of the dumps of Redis and MongoDB; those of SQL have the name that Stash gives them."""


@attrs.frozen
class Driver:
    """One kind of database. ``flag`` is that of its arguments, for messages."""

    keys: Keys
    port: int
    flag: str
    needs_login: bool
    backup: Callable[[Login, Sequence[str]], Dump]
    restore: Callable[[Login, Sequence[str]], Dump]


def mysql(login: Login, arguments: Sequence[str]) -> Dump:
    """MySQL and MariaDB: mariadb-dump, or mysqldump where only that is installed."""
    return _mysql(login, ("mariadb-dump", "mysqldump"), arguments)


def mysql_restore(login: Login, arguments: Sequence[str]) -> Dump:
    """The client stops at the first error; MariaDB's would show the statement, so users' data."""
    quiet = "--loose-skip-print-query-on-error"
    return _mysql(login, ("mariadb", "mysql"), (quiet, *arguments))


def _mysql(login: Login, tools: tuple[str, ...], arguments: Sequence[str]) -> Dump:
    trust = (f"--ssl-ca={login.ca_file}",) if login.ca_file else ()
    place = ("-u", login.user, "-h", login.host, f"--port={login.port}", *trust)
    return Dump(
        tools=tools,
        arguments=(*place, *arguments),
        ready_tools=("mariadb-admin", "mysqladmin"),
        ready_arguments=("ping", *place, "--connect-timeout=5"),
        env={"MYSQL_PWD": login.password},
        files=login.tls_files,
    )


def postgres(login: Login, arguments: Sequence[str], *, tool: str = "pg_dumpall") -> Dump:
    """PostgreSQL. Raises ValueError for another tool than pg_dumpall and pg_dump."""
    if tool not in ("pg_dumpall", "pg_dump"):
        raise ValueError(f"--backup-cmd must be pg_dumpall or pg_dump, found {tool!r}")
    return _postgres(login, tool, arguments, {})


def postgres_restore(login: Login, arguments: Sequence[str]) -> Dump:
    """psql ends well although statements failed, so its errors are read.

    It cannot stop at the first one: every dump of a whole server makes roles that are there
    already.
    """
    found = _postgres(
        login,
        "psql",
        ("--no-psqlrc", "--quiet", "--output=/dev/null", "--set=VERBOSITY=verbose", *arguments),
        {"PGDATABASE": "postgres"},
    )
    return attrs.evolve(found, complaint=postgres_complaint)


def _postgres(login: Login, tool: str, arguments: Sequence[str], more: Mapping[str, str]) -> Dump:
    env = {"PGPASSWORD": login.password, **more}
    if login.skip_verification:
        env["PGSSLMODE"] = "require"
    elif login.ca_file:
        env |= {"PGSSLMODE": "verify-ca", "PGSSLROOTCERT": login.ca_file}
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
        env=env,
        files={} if login.skip_verification else login.tls_files,
    )


_STATED = re.compile(r"^(?:\S+: )?(?P<severity>\S+):\s+(?:(?P<state>[0-9A-Z]{5}): )?(?P<text>.*)$")
_LEFT_OUT = re.compile(r"^\(\d+ lines left out\)$")
_FINE_CLASSES = ("00", "01", "02")
_DATABASE_EXISTS = "42P04"
_ROLES = "user.c:"
"""The file of the server that makes and drops roles, as in the line LOCATION."""


def postgres_complaint(stderr: str) -> str:
    """The errors that mean that something was not restored.

    By their SQLSTATE and their place in the server, for the words are in the server's language.
    Roles and databases that are there already, or roles that cannot be dropped, are no harm.
    """
    found: list[str] = []
    stated = ""
    for line in stderr.splitlines():
        if line.startswith("LOCATION:"):
            if _ROLES in line and stated:
                found.pop()
            stated = ""
        elif _LEFT_OUT.match(line):
            found.append(f"more than can be looked at {line}")
        elif _is_error(line):
            stated = line
            found.append(line)
    if not found:
        return ""
    return f"{len(found)} errors, the first: {found[0]}" if len(found) > 1 else found[0]


def _is_error(line: str) -> bool:
    match = _STATED.match(line)
    if match is None:
        return False
    if match["state"] is None:  # the user has chosen another VERBOSITY
        return match["severity"] in ("ERROR", "FATAL", "PANIC")
    return match["state"][:2] not in _FINE_CLASSES and match["state"] != _DATABASE_EXISTS


# -- MongoDB --------------------------------------------------------------------------------------

_PARTS = ("--db", "-d", "--collection", "-c")
_NAMESPACES = (*_PARTS, "--nsInclude", "--nsExclude", "--nsFrom", "--nsTo")


def mongodb(login: Login, arguments: Sequence[str]) -> Dump:
    """mongodump, of a replica set with the oplog: so the dump is of one moment."""
    oplog = ("--oplog",) if login.members and not _chosen(arguments, _PARTS) else ()
    return _mongodb(login, "mongodump", (*oplog, *arguments))


def mongodb_restore(login: Login, arguments: Sequence[str]) -> Dump:
    """mongorestore. What is in the database already stays, unless args say ``--drop``."""
    oplog = ("--oplogReplay",) if login.members and not _chosen(arguments, _NAMESPACES) else ()
    return _mongodb(login, "mongorestore", (*oplog, *arguments))


def _mongodb(login: Login, tool: str, arguments: Sequence[str]) -> Dump:
    """The password is in a file that only the tool reads: it takes none from the environment."""
    place = (f"--host={login.members}",) if login.members else _host_and_port(login)
    config = f"{login.folder}/mongodb.yaml"
    whose: tuple[str, ...] = ()
    files = dict(login.tls_files)
    if login.password:
        whose = (f"--username={login.user}", "--authenticationDatabase=admin", f"--config={config}")
        files[config] = f"password: {json.dumps(login.password, ensure_ascii=False)}\n"
    trust: tuple[str, ...] = ()
    if login.skip_verification:
        trust = ("--ssl", "--sslAllowInvalidCertificates")
    elif login.ca_file:
        trust = ("--ssl", f"--sslCAFile={login.ca_file}")
    return Dump(
        tools=(tool,),
        arguments=(*place, *whose, *trust, "--archive", *arguments),
        address=(login.host, login.port),
        filename=ARCHIVE,
        files=files,
    )


def _host_and_port(login: Login) -> tuple[str, ...]:
    return (f"--host={login.host}", f"--port={login.port}")


def _chosen(arguments: Sequence[str], flags: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in flags for word in arguments)


# -- Redis ----------------------------------------------------------------------------------------


def redis(login: Login, arguments: Sequence[str]) -> Dump:
    """The server's own snapshot of one moment, which it sends as to a replica."""
    return _redis(login, ("redis-cli",), (*arguments, "--rdb", "-"))


def redis_restore(login: Login, arguments: Sequence[str]) -> Dump:
    """No tool of Redis loads an RDB into a living server: see ``redis_load``, which does."""
    load = ("-m", "reconciler.agent.redis_load", "--folder", login.folder)
    return _redis(login, (sys.executable,), arguments, load)


def _redis(
    login: Login, tools: tuple[str, ...], last: Sequence[str], first: Sequence[str] = ()
) -> Dump:
    whose = ("--user", login.user) if login.user else ()
    trust: tuple[str, ...] = ()
    if login.skip_verification:
        trust = ("--tls", "--insecure")
    elif login.ca_file:
        trust = ("--tls", "--cacert", login.ca_file)
    return Dump(
        tools=tools,
        arguments=(*first, "-h", login.host, "-p", str(login.port), *whose, *trust, *last),
        env={"REDISCLI_AUTH": login.password} if login.password else {},
        address=(login.host, login.port),
        filename=RDB,
        files=login.tls_files,
    )


MYSQL = Driver(
    keys=Keys.both("username", "password"),
    port=3306,
    flag="--mysql-args",
    needs_login=True,
    backup=mysql,
    restore=mysql_restore,
)
POSTGRES = Driver(
    keys=Keys.both("POSTGRES_USER", "POSTGRES_PASSWORD"),
    port=5432,
    flag="--pg-args",
    needs_login=True,
    backup=postgres,
    restore=postgres_restore,
)
MONGODB = Driver(
    keys=Keys.both("username", "password"),
    port=27017,
    flag="--mongodb-args",
    needs_login=False,
    backup=mongodb,
    restore=mongodb_restore,
)
REDIS = Driver(
    keys=Keys("username", "password", required=("password",)),
    port=6379,
    flag="--redis-args",
    needs_login=False,
    backup=redis,
    restore=redis_restore,
)
