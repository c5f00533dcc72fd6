"""A real MariaDB: its dump is taken by the Job's code, and a table comes back whole."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.agent import database, drivers, dumps
from reconciler.agent.restic import Command, Restic
from reconciler.agent.runner import Stop
from reconciler.agent.selection import Order
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import Tools, open_workshop
from reconciler.api.resources import APP_BINDINGS, JsonObject, Resource
from reconciler.api.restore import Rule
from reconciler.engine.clock import SystemClock
from reconciler.errors import InvalidObject, NotFound, TerminalError

CANARY = "canary-of-the-database"


@attrs.frozen
class MariaDb:
    """A running server."""

    root: Path
    port: int

    def sql(self, text: str) -> str:
        login = ("-h", "127.0.0.1", f"--port={self.port}", "-u", "root", "-N", "-B")
        return subprocess.run(
            ["mariadb", *login], input=text, env={**os.environ, "MYSQL_PWD": CANARY},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("mariadb-server is not installed")
    root = tmp_path_factory.mktemp("db")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    user = f"--user={getpass.getuser()}"
    data = f"--datadir={root / 'data'}"
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", user, data,
         "--auth-root-authentication-method=normal",
         "--skip-test-db"],
        check=True, capture_output=True,
    )  # fmt: skip
    (root / "init.sql").write_text(f"ALTER USER root@localhost IDENTIFIED BY '{CANARY}';\n")
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", user, data, f"--socket={root / 's'}", f"--port={port}",
         "--bind-address=127.0.0.1", f"--pid-file={root / 'pid'}",
         f"--init-file={root / 'init.sql'}", "--innodb-buffer-pool-size=16M",
         "--innodb-log-file-size=4M"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ping = ["mariadb-admin", "--no-defaults", "-h", "127.0.0.1", f"--port={port}", "--wait=60"]
    subprocess.run([*ping, "ping"], check=False, capture_output=True)
    yield MariaDb(root, port)
    process.terminate()
    process.wait()


class Objects:
    """A port that reads an AppBinding and its Secret."""

    def __init__(self, mariadb_port: int, **changes: Any) -> None:
        service = {"scheme": "mysql", "name": "db.of.the.test", "port": mariadb_port}
        self.app: JsonObject = {
            "metadata": {"namespace": "demo", "name": "db"},
            "spec": {"clientConfig": {"service": service}, "secret": {"name": "login"}, **changes},
        }
        self.secret = {"username": "root", "password": CANARY}

    def get(self, resource: Resource, _namespace: str, name: str) -> JsonObject:
        if resource == APP_BINDINGS and name == "db":
            return self.app
        if name == "login":
            items = self.secret.items()
            return {"data": {k: base64.b64encode(v.encode()).decode() for k, v in items}}
        raise NotFound(name)


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    for name in ("secret", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "RESTIC_PASSWORD").write_text("pw-of-the-repository")
    here = Surroundings({**os.environ}, {"db.of.the.test": "127.0.0.1"})
    own = (str(tmp_path / "secret"), str(tmp_path / "scratch"))
    return Tools(here, SystemClock(seed=1), Stop(), *own, enable_cache=False)


def workshop(tools: Tools, tmp_path: Path, secrets: tuple[str, ...]):
    backend = {"storageSecretName": "s", "local": {"mountPath": str(tmp_path / "repository")}}
    repository = {"metadata": {"namespace": "demo", "name": "r"}, "spec": {"backend": backend}}
    shop = open_workshop(tools, repository, more_secrets=secrets)
    assert shop.runner.run(shop.restic.init()).ok
    return shop


def source(tools: Tools, **more: Any) -> database.Source:
    return database.Source("demo", "db", tools.surroundings, **{"wait_seconds": 30, **more})


def taken(tools: Tools, objects: Objects, arguments: str = "") -> Any:
    return database.dump(drivers.MYSQL, source(tools, arguments=arguments), objects, None)


def given_back(tools: Tools, objects: Objects, order: Order, arguments: str = "") -> Any:
    own = source(tools, arguments=arguments)
    return database.load(drivers.MYSQL, own, objects, order)


def test_a_table_is_dumped_and_comes_back_whole(mariadb, tools, tmp_path) -> None:
    rows = ",".join(f"({n}, 'post {n}')" for n in range(500))
    mariadb.sql("CREATE DATABASE blog; CREATE TABLE blog.posts (id INT, title VARCHAR(99));")
    mariadb.sql(f"INSERT INTO blog.posts VALUES {rows};")
    work, secrets = taken(tools, Objects(mariadb.port), "--databases blog")
    shop = workshop(tools, tmp_path, secrets)
    report = work(shop, "app-db", None)
    assert (report.stats.phase, report.stats.error) == ("Succeeded", "")
    assert report.stats.snapshots[0].path == "/dumpfile.sql"
    before = mariadb.sql("SELECT * FROM blog.posts ORDER BY id")
    mariadb.sql("DROP DATABASE blog;")
    load, _ = given_back(tools, Objects(mariadb.port), Order("app-db", Rule(snapshots=("latest",))))
    assert load(shop, "app-db", None).stats.error == ""
    assert mariadb.sql("SELECT * FROM blog.posts ORDER BY id") == before
    assert len(before.splitlines()) == 500


def test_a_dump_of_another_host_goes_where_the_rule_says(mariadb, tools, tmp_path) -> None:
    mariadb.sql("CREATE DATABASE one; CREATE TABLE one.t (id INT); INSERT INTO one.t VALUES (7);")
    work, secrets = taken(tools, Objects(mariadb.port), "--databases one")
    shop = workshop(tools, tmp_path, secrets)
    assert work(shop, "app-db", None).stats.error == ""
    mariadb.sql("DROP DATABASE one;")
    own, other = Order("other", Rule()), Order("other", Rule(source_host="app-db"))
    load, _ = given_back(tools, Objects(mariadb.port), own)
    assert "no snapshot of host other with /dumpfile.sql" in load(shop, "other", None).stats.error
    load, _ = given_back(tools, Objects(mariadb.port), other)
    assert load(shop, "other", None).stats.error == ""
    assert mariadb.sql("SELECT * FROM one.t") == "7\n"


def test_a_client_that_fails_fails_the_host_and_says_why(mariadb, tools, tmp_path, caplog) -> None:
    caplog.set_level("DEBUG")
    shop = workshop(tools, tmp_path, (CANARY,))
    bad = Command(("printf", "%s", "SELECT 1; SELECT * FROM no.where; " + "-- filler\n" * 9999))
    assert shop.runner.pipe(
        bad, shop.restic.backup_stdin("dumpfile.sql", host="app-db")
    ).consumer.ok
    load, _ = given_back(tools, Objects(mariadb.port), Order("app-db", Rule()))
    report = load(shop, "app-db", None)
    assert report.stats.phase == "Failed"
    assert report.stats.error.startswith("mariadb failed: ERROR 1146 (42S02) at line 1:")
    assert CANARY not in report.stats.error + caplog.text


def test_a_repository_that_fails_leaves_the_client_without_an_end_of_its_input(
    mariadb, tools, tmp_path, monkeypatch
) -> None:
    """Half a dump must not look like a whole one to the database."""
    mariadb.sql("CREATE DATABASE half2;")
    shop = workshop(tools, tmp_path, (CANARY,))
    whole = Command(("echo", "CREATE TABLE half2.t (id INT)"))
    storing = shop.restic.backup_stdin("dumpfile.sql", host="app-db")
    assert shop.runner.pipe(whole, storing).consumer.ok
    dying = Command(("sh", "-c", "echo 'CREATE TABLE half2.t (id'; exec restic dump no such"))
    monkeypatch.setattr(Restic, "dump", lambda *_: dying)
    load, _ = given_back(tools, Objects(mariadb.port), Order("app-db", Rule()))
    assert "reading snapshot" in load(shop, "app-db", None).stats.error
    assert mariadb.sql("SHOW TABLES IN half2") == ""


def test_a_wrong_login_fails_the_host_without_a_snapshot_and_without_the_password(
    mariadb, tools, tmp_path, caplog
) -> None:
    caplog.set_level("DEBUG")
    objects = Objects(mariadb.port)
    objects.secret["password"] = "wrong-canary"
    work, secrets = taken(tools, objects, "--all-databases")
    shop = workshop(tools, tmp_path, secrets)
    report = work(shop, "app-db", None)
    assert report.stats.phase == "Failed"
    assert "Access denied" in report.stats.error
    assert "canary" not in report.stats.error + caplog.text + repr(report)
    assert shop.runner.run(shop.restic.snapshots()).stdout.strip() in ("[]", "null")


def test_a_table_that_is_missing_half_way_leaves_no_snapshot(mariadb, tools, tmp_path) -> None:
    mariadb.sql("CREATE DATABASE half; CREATE TABLE half.there (id INT);")
    work, secrets = taken(tools, Objects(mariadb.port), "half there lost")
    shop = workshop(tools, tmp_path, secrets)
    report = work(shop, "app-db", None)
    assert report.stats.phase == "Failed"
    assert "lost" in report.stats.error
    assert shop.runner.run(shop.restic.snapshots()).stdout.strip() in ("[]", "null")


def test_the_dump_tool_gets_the_password_by_environment_alone() -> None:
    login = dumps.Login("db", 3306, "root", CANARY)
    for dump in (drivers.mysql(login, ("--all-databases",)), drivers.postgres(login, ())):
        assert CANARY not in " ".join((*dump.arguments, *dump.ready_arguments)) + repr(dump)
    assert drivers.mysql(login, ()).env == {"MYSQL_PWD": CANARY}
    assert drivers.postgres(login, ()).env == {"PGPASSWORD": CANARY}


def test_the_tools_have_stashs_arguments() -> None:
    login = dumps.Login("db", 3307, "root", CANARY)
    mysql = drivers.mysql(login, ("--all-databases",))
    assert mysql.tools == ("mariadb-dump", "mysqldump")
    assert mysql.arguments == ("-u", "root", "-h", "db", "--port=3307", "--all-databases")
    postgres = drivers.postgres(login, ("-n", "public"), tool="pg_dump")
    assert postgres.tools == ("pg_dump",)
    assert postgres.arguments == ("-U", "root", "-h", "db", "--port=3307", "-n", "public")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clientConfig": {"url": "x"}}, "AppBinding demo/db: spec.clientConfig.service"),
        ({"secret": None}, "AppBinding demo/db: spec.secret.name: is missing"),
        ({"secret": {"name": "none"}}, "spec.secret.name: the Secret none does not exist"),
        (
            {"secretTransforms": [{"renameKey": {"from": "password", "to": "word"}}]},
            "spec.secret.name: the Secret has no key password; add it",
        ),
    ],
)
def test_a_fault_of_the_appbinding_is_named_by_its_path(tools, changes, said) -> None:
    with pytest.raises(InvalidObject) as caught:
        taken(tools, Objects(1, **changes))
    assert said in str(caught.value)
    assert CANARY not in str(caught.value)


def test_keys_of_the_secret_are_renamed_and_added(tools) -> None:
    objects = Objects(1, secretTransforms=[
        {"renameKey": {"from": "user", "to": "username"}},
        {"addKey": {"key": "password", "stringValue": "other"}},
    ])  # fmt: skip
    objects.secret = {"user": "root"}
    _, secrets = taken(tools, objects)
    assert secrets == ("other",)


def test_a_missing_appbinding_is_named(tools) -> None:
    with pytest.raises(NotFound, match="AppBinding demo/none does not exist; create it"):
        database.dump(
            drivers.MYSQL, database.Source("demo", "none", tools.surroundings), Objects(1), None
        )


@pytest.mark.parametrize(("arguments", "tool"), [("'open", "pg_dump"), ("", "pg_basebackup")])
def test_bad_settings_of_a_dump_are_refused(tools, arguments, tool) -> None:
    objects = Objects(1)
    objects.secret = {"POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p"}
    own = source(tools, arguments=arguments, tool=tool)
    with pytest.raises(TerminalError, match=r"--pg-args|--backup-cmd"):
        database.dump(drivers.POSTGRES, own, objects, None)
