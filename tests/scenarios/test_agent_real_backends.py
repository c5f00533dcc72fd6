"""The agent against backends that really listen: a restic REST server and S3, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.agent import backup, locks
from reconciler.agent.maintenance import init_repository
from reconciler.agent.runner import Stop
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.wiping import wipe_repository
from reconciler.agent.workshop import Tools, open_workshop
from reconciler.engine.clock import SystemClock

PASSWORD = "correct-horse-battery"


class OneRepository:
    """A port that knows one Repository and keeps its status."""

    def __init__(self, backend: dict[str, Any]) -> None:
        self.obj: dict[str, Any] = {
            "metadata": {"namespace": "demo", "name": "repo", "uid": "u"},
            "spec": {"backend": {"storageSecretName": "backend", **backend}},
        }

    def get(self, *_: str) -> dict[str, Any]:
        return self.obj

    def update_status(self, _resource, _namespace, _name, change) -> dict[str, Any]:
        self.obj = {**self.obj, "status": change(self.obj)}
        return self.obj

    @property
    def message(self) -> str:
        return str(self.obj["status"]["conditions"][0]["message"])


def tools(root: Path, **secret: str) -> Tools:
    for name in ("secret", "scratch", "data"):
        (root / name).mkdir(exist_ok=True)
    for key, value in {"RESTIC_PASSWORD": PASSWORD, **secret}.items():
        (root / "secret" / key).write_text(value)
    here = Surroundings.of(os.environ)
    own = (str(root / "secret"), str(root / "scratch"))
    return Tools(here, SystemClock(seed=1), Stop(), *own, enable_cache=False)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def rest_server(tmp_path: Path) -> Iterator[str]:
    """``rclone serve restic`` with a user and a password."""
    if shutil.which("rclone") is None:
        pytest.skip("rclone is not installed")
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "served").mkdir()
    process = subprocess.Popen(
        ["rclone", "serve", "restic", str(tmp_path / "served"), "--addr", address,
         "--user", "tandem", "--pass", "p@ss/word:1", "--config", str(tmp_path / "rclone.conf")],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:  # it says when it listens
        if "Serving restic REST API" in line:
            break
    yield f"http://{address}/shop/"
    process.terminate()
    process.wait()
    process.stderr.close()


@pytest.fixture
def s3_server() -> Iterator[str]:
    """moto's S3, in a thread."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", free_port())
    server.start()
    yield f"http://{server._ip_address}:{server._port}"
    server.stop()


def round_trip(root: Path, own: Tools, port: OneRepository) -> None:
    """Create, back up, look, restore, and find it unlocked: with the same access each time."""
    assert init_repository(port, own, "demo", "repo") == 0
    assert port.message == "Repository has been created in the backend."
    assert init_repository(port, own, "demo", "repo") == 0
    (root / "data" / "page").write_text("hello " * 1000)
    shop = open_workshop(own, port.obj)
    report = backup.paths(shop, "web", [str(root / "data")])
    assert (report.stats.phase, report.stats.error) == ("Succeeded", "")
    dumped = shop.restic._call("dump", "latest", str(root / "data" / "page"))
    assert shop.runner.run(dumped).stdout == "hello " * 1000
    assert locks.held(shop.restic, shop.runner) == ()


def test_a_rest_server_with_a_login_is_used(rest_server: str, tmp_path: Path) -> None:
    own = tools(tmp_path, REST_SERVER_USERNAME="tandem", REST_SERVER_PASSWORD="p@ss/word:1")
    round_trip(tmp_path, own, OneRepository({"rest": {"url": rest_server}}))


def test_a_wrong_login_at_a_rest_server_creates_nothing_and_is_not_printed(
    rest_server: str, tmp_path: Path
) -> None:
    own = tools(tmp_path, REST_SERVER_USERNAME="tandem", REST_SERVER_PASSWORD="canary-word")
    port = OneRepository({"rest": {"url": rest_server}})
    assert init_repository(port, own, "demo", "repo") == 1
    assert "401" in port.message
    assert "correct the credentials in the Secret" in port.message
    assert "canary" not in port.message
    assert list((tmp_path / "served").iterdir()) == []


def test_s3_is_used(s3_server: str, tmp_path: Path) -> None:
    own = tools(tmp_path, AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="key-of-the-test")
    spec = {"endpoint": s3_server, "bucket": "backups", "prefix": "/demo//shop", "region": "eu-1"}
    round_trip(tmp_path, own, OneRepository({"s3": spec}))


def test_a_repository_in_s3_is_wiped_and_its_neighbours_stay(
    s3_server: str, tmp_path: Path
) -> None:
    if shutil.which("rclone") is None:
        pytest.skip("rclone is not installed")
    own = tools(tmp_path, AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="key-of-the-test")
    spec = {"endpoint": s3_server, "bucket": "backups", "region": "eu-1"}
    ports = [OneRepository({"s3": {**spec, "prefix": p}}) for p in ("shop", "shop/inner", "other")]
    for port in ports:
        round_trip(tmp_path, own, port)
    doomed = ports[0]
    doomed.obj = {**doomed.obj, "spec": {**doomed.obj["spec"], "wipeOut": True}}
    assert wipe_repository(doomed, own, "demo", "repo") == 0
    assert init_repository(doomed, own, "demo", "repo") == 0
    assert doomed.message == "Repository has been created in the backend."
    for port in ports[1:]:
        assert init_repository(port, own, "demo", "repo") == 0
        assert port.message == "Repository exist in the backend."


def test_a_server_that_is_away_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    port = OneRepository({"rest": {"url": f"http://127.0.0.1:{free_port()}/x"}})
    own = tools(tmp_path)
    assert init_repository(port, own, "demo", "repo") == 1
    assert "connection refused" in port.message
