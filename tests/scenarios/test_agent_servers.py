"""Real PostgreSQL and Redis servers: dumped, lost, restored; the same queries, the same answers.

MongoDB has no server here: its calls are compared argument by argument.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import redis

from reconciler.agent import database, drivers
from reconciler.agent.drivers import Driver
from reconciler.agent.dumps import Login
from reconciler.agent.failures import ToolFailed
from reconciler.agent.runner import Stop
from reconciler.agent.selection import Order
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import Tools, Workshop, open_workshop
from reconciler.api.resources import APP_BINDINGS, JsonObject, Resource
from reconciler.api.restore import Rule
from reconciler.engine.clock import SystemClock
from reconciler.errors import InvalidObject, NotFound

CANARY = "canary-of-the-database"
LATEST = Order("app-db", Rule(snapshots=("latest",)))
IS_ROOT = os.geteuid() == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Objects:
    """A port that reads an AppBinding and its Secret."""

    def __init__(self, number: int, secret: dict[str, str] | None, **spec: Any) -> None:
        service = {"scheme": "tcp", "name": "db.of.the.test", "port": number}
        named = {} if secret is None else {"secret": {"name": "login"}}
        config = {"service": service, **spec.pop("clientConfig", {})}
        self.app: JsonObject = {
            "metadata": {"namespace": "demo", "name": "db"},
            "spec": {"clientConfig": config, **named, **spec},
        }
        self.secret = secret or {}

    def get(self, resource: Resource, _namespace: str, name: str) -> JsonObject:
        if resource == APP_BINDINGS and name == "db":
            return self.app
        if name == "login":
            items = self.secret.items()
            return {"data": {k: base64.b64encode(v.encode()).decode() for k, v in items}}
        raise NotFound(name)


@attrs.frozen
class Bench:
    """A restic repository, and a driver's work on it as a Job does it."""

    shop: Workshop
    tools: Tools

    def source(self, arguments: str = "", **more: Any) -> database.Source:
        own = {"folder": self.tools.scratch_dir, "wait_seconds": 30, **more}
        here = self.tools.surroundings
        return database.Source("demo", "db", here, arguments=arguments, **own)

    def back_up(self, driver: Driver, objects: Objects, arguments: str = "") -> str:
        """The error of the backup."""
        work, _ = database.dump(driver, self.source(arguments), objects, None)
        return work(self.shop, "app-db", None).stats.error

    def restore(self, driver: Driver, objects: Objects, arguments: str = "") -> str:
        """The error of the restore."""
        work, _ = database.load(driver, self.source(arguments), objects, LATEST)
        return work(self.shop, "app-db", None).stats.error


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for name in ("secret", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "RESTIC_PASSWORD").write_text("pw-of-the-repository")
    here = Surroundings({**os.environ}, {"db.of.the.test": "127.0.0.1"})
    own = (str(tmp_path / "secret"), str(tmp_path / "scratch"))
    tools = Tools(here, SystemClock(seed=1), Stop(), *own, enable_cache=False)
    backend = {"storageSecretName": "s", "local": {"mountPath": str(tmp_path / "repository")}}
    repository = {"metadata": {"namespace": "demo", "name": "r"}, "spec": {"backend": backend}}
    shop = open_workshop(tools, repository, more_secrets=(CANARY,))
    assert shop.runner.run(shop.restic.init()).ok
    return Bench(shop, tools)


# -- PostgreSQL -----------------------------------------------------------------------------------


@attrs.frozen
class Postgres:
    """A running server."""

    port: int

    @property
    def objects(self) -> Objects:
        return Objects(self.port, {"POSTGRES_USER": "keeper", "POSTGRES_PASSWORD": CANARY})

    def sql(self, text: str, name: str = "postgres") -> str:
        login = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "keeper", "-d", name)
        return subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *login],
            input=text, env={**os.environ, "PGPASSWORD": CANARY},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip


def postgres_programs() -> Path | None:
    """Debian keeps the server's programs off everybody's PATH."""
    beside = [Path(found).resolve().parent for found in filter(None, [shutil.which("postgres")])]
    known = [*beside, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return next((each for each in known if (each / "initdb").exists()), None)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    # the server refuses to be root, and whom it is instead may not look into pytest's folders
    who: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if IS_ROOT else {}
    with tempfile.TemporaryDirectory(prefix="tandem-pg-", dir="/tmp") as folder:
        root, number = Path(folder), free_port()
        if IS_ROOT:
            shutil.chown(root, "nobody", "nogroup")
        (root / "password").write_text(CANARY)
        (root / "password").chmod(0o644)
        subprocess.run(
            [programs / "initdb", "-D", root / "data", "-U", "keeper", "--auth=scram-sha-256",
             f"--pwfile={root / 'password'}", "--locale=C.UTF-8", "-N"],
            check=True, capture_output=True, cwd=root, **who,
        )  # fmt: skip
        server = subprocess.Popen(
            [programs / "postgres", "-D", root / "data", "-p", str(number), "-k", root,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root, **who,
        )  # fmt: skip
        where = ["--host=127.0.0.1", f"--port={number}", "--timeout=1"]
        for _ in range(60):
            if subprocess.run(["pg_isready", "-q", *where], check=False).returncode == 0:
                break
        yield Postgres(number)
        server.terminate()
        server.wait()


QUERIES = (
    "SELECT * FROM posts ORDER BY id",
    "SELECT count(*), sum(length(body)) FROM posts",
    "SELECT nextval('posts_id_seq') > 500",
    "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'posts'",
)


@pytest.fixture
def blog(postgres: Postgres) -> Iterator[Postgres]:
    postgres.sql("CREATE ROLE writer LOGIN PASSWORD 'w'; CREATE DATABASE blog OWNER writer;")
    postgres.sql(
        "CREATE TABLE posts (id serial PRIMARY KEY, body text NOT NULL, at timestamptz);"
        "INSERT INTO posts (body, at) SELECT repeat(E'line \\n', n), '2026-01-01'"
        " FROM generate_series(1, 500) n; ALTER TABLE posts OWNER TO writer;",
        "blog",
    )
    yield postgres
    postgres.sql("DROP DATABASE IF EXISTS blog WITH (FORCE); DROP ROLE IF EXISTS writer;")


def answers(postgres: Postgres) -> list[str]:
    return [postgres.sql(query, "blog") for query in QUERIES]


def test_a_whole_postgresql_server_comes_back_with_its_roles(bench, blog) -> None:
    before = answers(blog)
    assert bench.back_up(drivers.POSTGRES, blog.objects) == ""
    blog.sql("DROP DATABASE blog; DROP ROLE writer;")
    assert bench.restore(drivers.POSTGRES, blog.objects) == ""
    assert answers(blog) == before


def test_a_dump_with_clean_replaces_what_is_there(bench, blog) -> None:
    before = answers(blog)
    assert bench.back_up(drivers.POSTGRES, blog.objects, "--clean --if-exists") == ""
    blog.sql("DELETE FROM posts WHERE id > 9; INSERT INTO posts VALUES (9999, 'later');", "blog")
    assert bench.restore(drivers.POSTGRES, blog.objects) == ""
    assert answers(blog) == before


def test_one_postgresql_database_comes_back_by_pg_dump(bench, blog) -> None:
    before = answers(blog)
    source = bench.source("blog", tool="pg_dump")
    work, _ = database.dump(drivers.POSTGRES, source, blog.objects, None)
    assert work(bench.shop, "app-db", None).stats.error == ""
    blog.sql("DROP TABLE posts;", "blog")
    assert bench.restore(drivers.POSTGRES, blog.objects, "--dbname=blog") == ""
    assert answers(blog) == before


def test_a_table_that_is_there_already_is_no_success(bench, blog) -> None:
    """psql ends with 0 although no row was put back."""
    assert bench.back_up(drivers.POSTGRES, blog.objects) == ""
    blog.sql("DELETE FROM posts WHERE id > 9;", "blog")
    error = bench.restore(drivers.POSTGRES, blog.objects)
    assert error.startswith("psql reported ")
    assert 'relation "posts" already exists' in error
    assert CANARY not in error


def test_a_wrong_postgresql_password_is_told_and_not_shown(bench, blog) -> None:
    wrong = Objects(blog.port, {"POSTGRES_USER": "keeper", "POSTGRES_PASSWORD": "wrong-canary"})
    assert bench.back_up(drivers.POSTGRES, blog.objects) == ""
    for error in (bench.back_up(drivers.POSTGRES, wrong), bench.restore(drivers.POSTGRES, wrong)):
        assert "password authentication failed" in error
        assert "canary" not in error


STATED = 'ERROR:  42P07: relation "posts" already exists\nLOCATION:  heap_create, heap.c:1165'
ROLE = 'ERROR:  42710: role "a" already exists\nLOCATION:  CreateRole, user.c:337'
IN_GERMAN = "FEHLER:  42710: Rolle »a« existiert bereits\nLOCATION:  CreateRole, user.c:337"


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("", ""),
        (ROLE, ""),
        (IN_GERMAN, ""),
        ('ERROR:  42P04: database "a" already exists\nLOCATION:  createdb, dbcommands.c:1', ""),
        ("NOTICE:  00000: table does not exist, skipping\nLOCATION:  x, y.c:1", ""),
        ("WARNING:  01000: no privileges\nLOCATION:  x, user.c:1", ""),
        (STATED, 'ERROR:  42P07: relation "posts" already exists'),
        (f"{ROLE}\n{STATED}\n{ROLE}", 'ERROR:  42P07: relation "posts" already exists'),
        (f"{STATED}\nWARNING:  01000: x\nLOCATION:  x, user.c:1", "ERROR:  42P07: relation"),
        (f"{STATED}\n{STATED}", "2 errors, the first: ERROR:  42P07"),
        ("FEHLER:  42P07: Relation existiert bereits", "FEHLER:  42P07"),
        ("psql:<stdin>:3: ERROR:  22P02: invalid input", "psql:<stdin>:3: ERROR:  22P02"),
        ("ERROR:  relation exists", "ERROR:  relation exists"),  # the user's own VERBOSITY
        ("(12 lines left out)", "more than can be looked at (12 lines left out)"),
        ("CONTEXT:  COPY posts, line 1", ""),
    ],
)
def test_what_psql_says_is_judged_by_its_state(stderr, said) -> None:
    found = drivers.postgres_complaint(stderr)
    assert found.startswith(said)
    assert bool(found) is bool(said)


# -- Redis ----------------------------------------------------------------------------------------


@attrs.frozen
class Redis:
    """A running server."""

    port: int
    more: dict[str, Any] = attrs.field(factory=dict)

    @property
    def objects(self) -> Objects:
        return Objects(self.port, {"password": CANARY})

    def client(self, number: int = 0, **more: Any) -> redis.Redis:
        own = {"host": "127.0.0.1", "port": self.port, "password": CANARY, **self.more}
        return redis.Redis(db=number, **own, **more)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    yield from redis_server(tmp_path / "redis", [])


def redis_server(root: Path, words: list[str], **more: Any) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    root.mkdir()
    number = free_port()
    port = ["--port", "0", "--tls-port", str(number)] if words else ["--port", str(number)]
    process = subprocess.Popen(
        ["redis-server", *port, "--dir", str(root), "--bind", "127.0.0.1", "--save", "",
         "--requirepass", CANARY, *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    found = Redis(number, more)
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100)
    try:
        found.client(retry=retry).ping()
        yield found
    finally:
        process.terminate()
        process.wait()


def fill(client: redis.Redis) -> None:
    client.set("page:1", "hello")
    client.set("binary \x00\n", b"\x00\xff\r\n")
    client.set("short-lived", "x", ex=5000)
    client.rpush("list", *range(1000))
    client.hset("hash", mapping={str(n): "v" * n for n in range(200)})
    client.sadd("set", *range(300))
    client.zadd("sorted", {str(n): n / 3 for n in range(300)})
    client.xadd("stream", {"a": "1"})
    client.xgroup_create("stream", "readers", id="0")
    for n in range(500):
        client.set(f"many:{n}", n)


def state(client: redis.Redis) -> dict[bytes, Any]:
    """Every value as its type is read: the order within a hash or set is the server's affair."""
    read = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda key: (client.xrange(key), client.xinfo_groups(key)),
    }
    return {key: read[client.type(key)](key) for key in client.keys("*")}


def test_redis_comes_back_key_by_key(bench, server) -> None:
    first, second = server.client(), server.client(3)
    fill(first)
    second.set("other", "database")
    first.function_load("#!lua name=lib\nredis.register_function('one', function() return 1 end)")
    before = state(first)
    assert bench.back_up(drivers.REDIS, server.objects) == ""
    first.flushall()
    first.function_flush()
    first.set("later", "stays")
    first.set("page:1", "damaged")
    assert bench.restore(drivers.REDIS, server.objects) == ""
    assert first.get("later") == b"stays"
    first.delete("later")
    assert state(first) == before
    assert 0 < first.ttl("short-lived") <= 5000
    assert second.get("other") == b"database"
    assert first.fcall("one", 0) == 1
    assert os.listdir(bench.tools.scratch_dir) == ["restic-tmp"]  # nothing is left behind


def test_an_empty_redis_is_a_dump_too(bench, server) -> None:
    assert bench.back_up(drivers.REDIS, server.objects) == ""
    assert bench.restore(drivers.REDIS, server.objects) == ""
    assert server.client().dbsize() == 0


def test_a_wrong_redis_password_is_told_and_leaves_no_snapshot(bench, server) -> None:
    wrong = Objects(server.port, {"password": "wrong-canary"})
    error = bench.back_up(drivers.REDIS, wrong)
    assert "redis-cli failed" in error
    assert "canary" not in error
    listed = bench.shop.runner.run(bench.shop.restic.snapshots()).stdout.strip()
    assert listed in ("[]", "null")
    assert bench.back_up(drivers.REDIS, server.objects) == ""
    error = bench.restore(drivers.REDIS, wrong)
    assert "AuthenticationError" in error
    assert "canary" not in error


def test_a_dump_that_is_none_is_refused_before_anything_is_written(bench, server) -> None:
    server.client().set("page:1", "hello")
    storing = bench.shop.restic.backup_stdin("dump.rdb", host="app-db")
    rubbish = attrs.evolve(bench.shop.restic.probe(), argv=("printf", "%s", "REDIS0011 rubbish"))
    assert bench.shop.runner.pipe(rubbish, storing).consumer.ok
    assert "redis-server does not read the dump" in bench.restore(drivers.REDIS, server.objects)
    assert server.client().get("page:1") == b"hello"


def test_redis_by_tls_with_the_appbindings_certificate(bench, tmp_path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = ["-keyout", "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made,
         "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    files = [("cert", "ca.pem"), ("key", "key.pem"), ("ca-cert", "ca.pem")]
    words = [w for k, f in files for w in (f"--tls-{k}-file", str(tmp_path / f))]
    own = [*words, "--tls-auth-clients", "no"]
    more = {"ssl": True, "ssl_ca_certs": str(tmp_path / "ca.pem")}
    for server in redis_server(tmp_path / "redis", own, **more):
        server.client().set("page:1", "hello")
        bundle = base64.b64encode((tmp_path / "ca.pem").read_bytes()).decode()
        for config in ({"caBundle": bundle}, {"insecureSkipTLSVerify": True}):
            objects = Objects(server.port, {"password": CANARY}, clientConfig=config)
            assert bench.back_up(drivers.REDIS, objects) == ""
            server.client().flushall()
            assert bench.restore(drivers.REDIS, objects) == ""
            assert server.client().get("page:1") == b"hello"
        assert not list(Path(bench.tools.scratch_dir).glob("*.crt"))


# -- MongoDB --------------------------------------------------------------------------------------

LOGIN = Login("db", 27018, "root", CANARY, folder="/scratch")
BARE = ("--host=db", "--port=27018")
WHOSE = ("--username=root", "--authenticationDatabase=admin", "--config=/scratch/mongodb.yaml")


def test_mongodb_is_dumped_and_restored_as_an_archive() -> None:
    dump = drivers.mongodb(LOGIN, ("--gzip",))
    assert (dump.tools, dump.filename) == (("mongodump",), "dump")
    assert dump.arguments == (*BARE, *WHOSE, "--archive", "--gzip")
    load = drivers.mongodb_restore(LOGIN, ("--drop",))
    assert load.tools == ("mongorestore",)
    assert load.arguments == (*BARE, *WHOSE, "--archive", "--drop")
    assert CANARY not in repr(dump) + repr(load)
    assert dump.files == {"/scratch/mongodb.yaml": f'password: "{CANARY}"\n'}
    assert dump.env == {}


def test_the_password_of_mongodb_is_in_a_file_that_only_we_read(tmp_path) -> None:
    login = attrs.evolve(LOGIN, password='p"\\ä', folder=str(tmp_path))
    dump = drivers.mongodb(login, ())
    file = tmp_path / "mongodb.yaml"
    file.write_text("of an earlier Job")
    with dump.placed():
        assert file.read_text() == 'password: "p\\"\\\\ä"\n'
        assert file.stat().st_mode & 0o777 == 0o600
    assert not file.exists()


def test_mongodb_without_a_login_and_with_a_replica_set() -> None:
    nobody = attrs.evolve(LOGIN, user="", password="")
    assert drivers.mongodb(nobody, ()).arguments == (*BARE, "--archive")
    members = attrs.evolve(nobody, members="rs0/a:27017,b:27017")
    host = "--host=rs0/a:27017,b:27017"
    assert drivers.mongodb(members, ()).arguments == (host, "--archive", "--oplog")
    assert drivers.mongodb(members, ("--db=x",)).arguments == (host, "--archive", "--db=x")
    load = drivers.mongodb_restore(members, ())
    assert load.arguments == (host, "--archive", "--oplogReplay")
    load = drivers.mongodb_restore(members, ("--nsInclude", "x.*"))
    assert load.arguments == (host, "--archive", "--nsInclude", "x.*")


def test_the_appbindings_parameters_tell_the_members_of_a_replica_set(bench) -> None:
    objects = Objects(1, None, parameters={"replicaSets": {"host-0": "rs0/a:27017,b:27017"}})
    found = database._login(drivers.MONGODB, bench.source(), objects)
    assert found.members == "rs0/a:27017,b:27017"
    sharded = Objects(1, None, parameters={"configServer": "c", "replicaSets": {"a": "", "b": ""}})
    with pytest.raises(InvalidObject, match=r"spec\.parameters: describes a sharded cluster"):
        database._login(drivers.MONGODB, bench.source(), sharded)


# -- the certificate of each ----------------------------------------------------------------------


def test_each_tool_is_given_the_certificate_in_its_own_way() -> None:
    login = attrs.evolve(LOGIN, ca_certificate="PEM")
    file = "/scratch/database-ca.crt"
    assert f"--ssl-ca={file}" in drivers.mysql(login, ()).arguments
    assert f"--ssl-ca={file}" in drivers.mysql(login, ()).ready_arguments
    postgres = drivers.postgres(login, ())
    assert (postgres.env["PGSSLMODE"], postgres.env["PGSSLROOTCERT"]) == ("verify-ca", file)
    assert f"--sslCAFile={file}" in drivers.mongodb(login, ()).arguments
    for dump in (drivers.mysql(login, ()), postgres, drivers.mongodb(login, ())):
        assert dump.files[file] == "PEM"
    trusting = attrs.evolve(login, skip_verification=True)
    assert drivers.postgres(trusting, ()).env["PGSSLMODE"] == "require"
    assert "--sslAllowInvalidCertificates" in drivers.mongodb(trusting, ()).arguments


def test_a_certificate_that_is_none_is_named(bench) -> None:
    objects = Objects(1, {"password": "x"}, clientConfig={"caBundle": "?"})
    with pytest.raises(InvalidObject, match=r"spec\.clientConfig\.caBundle: is not base64"):
        bench.back_up(drivers.REDIS, objects)


def test_a_database_without_ready_tools_is_waited_for_at_its_port(bench) -> None:
    dump = attrs.evolve(drivers.redis(LOGIN, ()), address=("127.0.0.1", 1), wait_seconds=0)
    with pytest.raises(ToolFailed, match=r"does not answer after 0 s: 127\.0\.0\.1:1:"):
        dump.wait_ready(bench.shop.runner, bench.shop.clock)
