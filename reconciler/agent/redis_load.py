"""Loads an RDB from stdin into a living Redis: a program, run by ``restore`` at the end of a pipe.

Redis reads an RDB only when it starts. So a server of our own is started on it, with a socket and
no port, and every key is taken from it by DUMP and put into the real one by RESTORE … REPLACE.
Nothing is written before the whole dump is here. Keys that the dump does not have stay. The
password comes by REDISCLI_AUTH, as for redis-cli.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import redis

from reconciler.engine.clock import SystemClock

_BATCH = 200
_LONGEST_START = 3600.0
_SOCKET = "redis.sock"
_RDB, _LOG = "dump.rdb", "redis.log"
_PAUSE = 0.05


class Refused(Exception):  # noqa: N818 -- reads as a state of the world
    """The dump cannot be loaded; the message says why."""


@attrs.frozen
class Real:
    """The server to load into."""

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=False)
    tls: bool = False
    insecure: bool = False
    cacert: str = ""

    def connect(self, database: int) -> redis.Redis:
        trust: dict[str, Any] = {}
        if self.tls:
            wanted = "none" if self.insecure else "required"
            trust = {"ssl": True, "ssl_cert_reqs": wanted, "ssl_check_hostname": False}
            trust |= {"ssl_ca_certs": self.cacert} if self.cacert else {}
        return redis.Redis(
            host=self.host,
            port=self.port,
            db=database,
            username=self.user or None,
            password=self.password or None,
            **trust,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every key is there; else one line on stderr."""
    told = _parser().parse_args(arguments)
    real = Real(
        told.h, told.p, told.user, os.environ.get("REDISCLI_AUTH", ""),
        told.tls, told.insecure, told.cacert,
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="redis-", dir=told.folder))
    os.chdir(folder)  # the path of a socket has at most a hundred characters
    try:
        sys.stderr.write(f"{load(sys.stdin.buffer, real)} keys restored\n")
    except (Refused, redis.RedisError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def load(source: BinaryIO, real: Real) -> int:
    """By files in the current folder. Returns how many keys were restored.

    Raises Refused, RedisError, OSError.
    """
    with real.connect(0) as target:
        target.ping()  # a wrong login is told before the dump is read
    with Path(_RDB).open("wb") as file:
        shutil.copyfileobj(source, file)
    server = _start()
    try:
        own = _wait(server)
        with real.connect(0) as target:
            _functions(own, target)
        return sum(_database(number, real) for number in _databases(own))
    finally:
        server.kill()
        server.wait()


def _start() -> subprocess.Popen[bytes]:
    options = {
        "port": "0",
        "unixsocket": _SOCKET,
        "unixsocketperm": "700",
        "dbfilename": _RDB,
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "databases": "16384",
    }
    words = [part for key, value in options.items() for part in (f"--{key}", value)]
    with Path(_LOG).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 -- argv is ours
            ["redis-server", *words],  # noqa: S607 -- found like every tool of the agent
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _wait(server: subprocess.Popen[bytes]) -> redis.Redis:
    """Until our server has read the dump; it ends by itself if that cannot be done."""
    own, clock = _own(0), SystemClock()
    end = clock.monotonic() + _LONGEST_START
    while clock.monotonic() < end:
        if server.poll() is not None:
            said = Path(_LOG).read_text(errors="replace")
            raise Refused(f"redis-server does not read the dump: {' '.join(said.split()[-40:])}")
        try:
            if own.ping():
                return own
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            clock.sleep(_PAUSE)
    raise Refused("redis-server has not read the dump within an hour")


def _own(database: int) -> redis.Redis:
    return redis.Redis(unix_socket_path=_SOCKET, db=database)


def _databases(own: redis.Redis) -> list[int]:
    found: Any = own.info("keyspace")
    return sorted(int(name.removeprefix("db")) for name in found)


def _database(number: int, real: Real) -> int:
    count = 0
    with _own(number) as own, real.connect(number) as target:
        for keys in _batches(own):
            count += _copy(own, target, keys)
    return count


def _batches(own: redis.Redis) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for key in own.scan_iter(count=_BATCH):
        batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _copy(own: redis.Redis, target: redis.Redis, keys: Sequence[bytes]) -> int:
    reading = own.pipeline(transaction=False)
    for key in keys:
        reading.pttl(key)
        reading.dump(key)
    answers = reading.execute()
    writing = target.pipeline(transaction=False)
    for key, left, value in zip(keys, answers[::2], answers[1::2], strict=True):
        if value is not None:  # None: it has expired meanwhile
            writing.restore(key, max(0, left), value, replace=True)
    return len(writing.execute())


def _functions(own: redis.Redis, target: redis.Redis) -> None:
    """The server-side functions that Redis has since version 7."""
    try:
        known = own.function_list()
    except redis.ResponseError:
        return
    if known:
        payload: Any = own.function_dump()
        target.function_restore(payload, "REPLACE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", required=True)
    parser.add_argument("-p", type=int, required=True)
    parser.add_argument("--user", default="")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--insecure", action="store_true")
    parser.add_argument("--cacert", default="")
    parser.add_argument("--folder", required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
