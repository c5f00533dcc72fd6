"""Backups with the real restic, and everything that can go wrong with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import attrs
import pytest

from reconciler.agent import backup, locks
from reconciler.agent.dumps import Dump
from reconciler.agent.restic import Command
from reconciler.agent.runner import Runner

EIGHT_MB = 8_000_000


def snapshots(place) -> list[dict]:
    return json.loads(place.restic("snapshots", "--json", "--no-cache")) or []


def with_path(place, path: str, **environ: str):
    """The same place with another PATH."""
    runner = Runner({**os.environ, "PATH": path, **environ}, place.clock)
    return attrs.evolve(place, shop=attrs.evolve(place.shop, runner=runner))


def dump_of(tool: str = "mysqldump") -> Dump:
    return Dump((tool,), ("--all",), ("true",), (), {"MYSQL_PWD": "db-word"}, 5)


def test_each_path_is_a_snapshot_of_the_host(place, tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name * 5000)
    report = backup.paths(place.shop, "web", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert report.stats.phase == "Succeeded"
    assert [item.path for item in report.stats.snapshots] == [str(tmp_path / x) for x in "ab"]
    assert report.stats.snapshots[0].total_size == "4.883 KiB"
    found = snapshots(place)
    assert [item["hostname"] for item in found] == ["web", "web"]
    assert {item["short_id"] for item in found} == {s.name for s in report.stats.snapshots}


def test_excluded_files_are_not_in_the_snapshot(place, tmp_path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("keep.txt", "drop.tmp"):
        (tmp_path / "d" / name).touch()
    backup.paths(place.shop, "h", [str(tmp_path / "d")], excludes=["*.tmp"])
    listing = place.restic("ls", "latest", "--no-cache")
    assert "keep.txt" in listing
    assert "drop.tmp" not in listing


def test_a_path_of_the_api_is_read_where_the_node_has_it(place, tmp_path) -> None:
    (tmp_path / "real").mkdir()
    shop = attrs.evolve(place.shop, translate=lambda path: path.replace("/data", str(tmp_path)))
    report = backup.paths(shop, "h", ["/data/real"])
    assert report.stats.phase == "Succeeded"
    assert report.stats.snapshots[0].path == "/data/real"


def test_a_missing_path_fails_the_host_and_says_where_to_look(place, tmp_path) -> None:
    report = backup.paths(place.shop, "h", [str(tmp_path / "none")])
    assert report.stats.phase == "Failed"
    assert "none" in report.stats.error
    assert report.stats.error.endswith("check the target's paths")
    assert snapshots(place) == []


def test_a_failure_keeps_the_snapshots_made_before_in_the_report(place, tmp_path) -> None:
    (tmp_path / "a").mkdir()
    report = backup.paths(place.shop, "h", [str(tmp_path / "a"), str(tmp_path / "none")])
    assert report.stats.phase == "Failed"
    assert len(report.stats.snapshots) == 1


def test_no_path_at_all_is_a_failure_and_not_a_success_without_data(place) -> None:
    report = backup.paths(place.shop, "h", [])
    assert (report.stats.phase, "no paths" in report.stats.error) == ("Failed", True)


def test_a_wrong_password_is_called_one_and_the_secret_is_named(place, tmp_path) -> None:
    shop = place.with_password("wrong").shop
    access = attrs.evolve(shop.restic.access, secret="shop/keys")
    shop = attrs.evolve(shop, restic=attrs.evolve(shop.restic, access=access))
    report = backup.paths(shop, "h", [str(tmp_path)])
    assert report.stats.phase == "Failed"
    assert "wrong password" in report.stats.error
    assert "correct Secret shop/keys, key RESTIC_PASSWORD" in report.stats.error


def test_a_missing_restic_is_named(place, tmp_path) -> None:
    report = backup.paths(with_path(place, str(tmp_path)).shop, "h", [str(tmp_path)])
    assert "the program restic is not installed" in report.stats.error


def test_unreadable_files_make_the_backup_incomplete_and_are_named(place, tmp_path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("open", "closed"):
        (tmp_path / "d" / name).write_text(name)
    (tmp_path / "d" / "closed").chmod(0)
    shop = place.shop
    if os.geteuid() == 0:  # root reads everything, unless it gives the capability away
        caps = ("-dac_override", "-dac_read_search")
        prefix = ("setpriv", f"--bounding-set={','.join(caps)}", f"--inh-caps={','.join(caps)}")
        if shutil.which("setpriv") is None:
            pytest.skip("root without setpriv reads every file")
        shop = attrs.evolve(shop, restic=attrs.evolve(shop.restic, prefix=prefix))
    report = backup.paths(shop, "h", [str(tmp_path / "d")])
    assert report.stats.phase == "Failed"
    assert str(tmp_path / "d" / "closed") in report.incomplete
    assert "incomplete" in report.stats.error
    assert len(report.stats.snapshots) == 1
    assert "open" in place.restic("ls", "latest", "--no-cache")


def test_a_deadline_ends_the_backup_and_leaves_no_lock(place, tmp_path) -> None:
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    endless = Dump(("cat",), (str(fifo),), ("true",), (), {}, 5)
    keep_open = os.open(fifo, os.O_RDWR)
    report = backup.dump(place.shop, "h", endless, timeout=3)
    os.close(keep_open)
    assert "deadline" in report.stats.error
    assert snapshots(place) == []
    assert locks.held(place.shop.restic, place.shop.runner) == ()


def test_a_stop_ends_the_backup_and_the_report_says_so(place) -> None:
    threading.Timer(1.0, place.shop.runner.stop.set).start()
    report = backup.dump(place.shop, "h", Dump(("sleep",), ("100",), ("true",), (), {}, 5))
    assert "its pod is being stopped" in report.stats.error


def test_a_dump_is_stored_as_one_file_byte_by_byte(place, scripts) -> None:
    folder = scripts("mysqldump", f"head -c {EIGHT_MB} /dev/zero | tr '\\0' x")
    here = with_path(place, f"{folder}:{os.environ['PATH']}")
    report = backup.dump(here.shop, "db", dump_of())
    assert (report.stats.phase, report.stats.error) == ("Succeeded", "")
    assert report.stats.snapshots[0].path == "/dumpfile.sql"
    assert place.restic("dump", "latest", "/dumpfile.sql", "--no-cache") == "x" * EIGHT_MB


def test_a_dump_that_fails_half_way_leaves_no_snapshot(place, scripts) -> None:
    folder = scripts("mysqldump", "head -c 5000000 /dev/zero; echo 'table lost' >&2; exit 1")
    here = with_path(place, f"{folder}:{os.environ['PATH']}")
    report = backup.dump(here.shop, "db", dump_of())
    assert report.stats.phase == "Failed"
    assert report.stats.error == "mysqldump failed: table lost"
    assert report.stats.snapshots == ()
    assert snapshots(place) == []


def test_a_half_dump_that_was_stored_nevertheless_is_forgotten(place, monkeypatch, scripts) -> None:
    folder = scripts("mysqldump", "echo half; exit 1")
    here = with_path(place, f"{folder}:{os.environ['PATH']}")
    real = Runner.pipe

    def too_late(self, producer, consumer, *, timeout=None):
        whole = Command(("sh", "-c", f"{producer.argv[0]} || true"), producer.env)
        both = real(self, whole, consumer, timeout=timeout)
        assert both.consumer.ok
        failed = attrs.evolve(both.producer, exit_code=1, stderr="lost")
        return attrs.evolve(both, producer=failed, cut_short=True)

    monkeypatch.setattr(Runner, "pipe", too_late)
    report = backup.dump(here.shop, "db", dump_of())
    assert report.stats.error == "mysqldump failed: lost"
    assert snapshots(place) == []


def test_a_big_dump_does_not_hang_when_restic_refuses_early(place, scripts) -> None:
    folder = scripts("mysqldump", "head -c 50000000 /dev/zero; sleep 100")
    here = with_path(place.with_password("wrong"), f"{folder}:{os.environ['PATH']}")
    report = backup.dump(here.shop, "db", dump_of())
    assert "storing the dump failed" in report.stats.error
    assert "wrong password" in report.stats.error


def test_a_missing_dump_tool_is_named(place) -> None:
    what = attrs.evolve(dump_of(), tools=("mariadb-dump-of-mars", "mysqldump-of-mars"))
    report = backup.dump(place.shop, "db", what)
    assert report.stats.error == (
        "neither mariadb-dump-of-mars nor mysqldump-of-mars is installed in this image; "
        "use one that has it"
    )


def test_how_to_install_a_missing_dump_tool_is_told(place) -> None:
    here = with_path(place, "/nowhere")
    what = attrs.evolve(dump_of(), ready_tools=("pg_isready",))
    report = backup.dump(here.shop, "db", what)
    assert report.stats.error == (
        "the program pg_isready is not installed in this image; "
        "install it: the package postgresql-client"
    )


def test_a_database_that_does_not_answer_is_given_up_after_the_wait(place, scripts) -> None:
    folder = scripts("mysqladmin", "echo 'cannot connect' >&2; exit 1")
    here = with_path(place, f"{folder}:{os.environ['PATH']}")
    what = attrs.evolve(dump_of("true"), ready_tools=("mysqladmin",), wait_seconds=0.1)
    report = backup.dump(here.shop, "db", what)
    assert "the database does not answer after 0.1 s: cannot connect" in report.stats.error


def locked_by_a_dead_process(place, tmp_path, *, exclusive: bool = True) -> None:
    """Kill a restic while it holds a lock; it is proven that the lock stays."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if exclusive:
        (tmp_path / "big").mkdir()
    command = place.shop.restic.backup_stdin("f", host="h")
    keep_open = os.open(fifo, os.O_RDWR)
    with open(fifo, "rb") as stdin:
        process = subprocess.Popen(
            command.argv, env={**os.environ, **command.env}, stdin=stdin,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_lock(place, process)
        process.kill()
        process.wait()
    os.close(keep_open)
    assert len(lock_files(place)) == 1


def lock_files(place) -> list[Path]:
    return list((place.repository / "locks").iterdir())


def wait_for_lock(place, process) -> None:
    for _ in range(200):
        if lock_files(place):
            return
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    pytest.fail("restic took no lock")


def test_the_lock_of_a_dead_process_is_removed(place, tmp_path) -> None:
    locked_by_a_dead_process(place, tmp_path)
    (lock,) = locks.held(place.shop.restic, place.shop.runner)
    assert lock.host == os.uname().nodename
    assert locks.remove_stale(place.shop.restic, place.shop.runner).ok
    assert lock_files(place) == []


def test_an_exclusive_lock_of_somebody_else_is_not_broken_and_its_owner_is_named(
    place, tmp_path, scripts
) -> None:
    """A restic that says it is locked; the lock is real and of another host, so not stale."""
    locked_by_a_dead_process(place, tmp_path)
    foreign = {"time": in_future(place), "exclusive": True, "hostname": "web-7", "pid": 12}
    real = shutil.which("restic")
    folder = scripts(
        "restic",
        f"""case "$*" in
        "cat lock"*) echo '{json.dumps(foreign)}';;
        unlock*) ;;
        backup*) echo 'unable to create lock in backend: repository is already locked' >&2; exit 1;;
        *) exec {real} "$@";;
        esac""",
    )
    here = with_path(place, f"{folder}:{os.environ['PATH']}")
    report = backup.paths(here.shop, "h", [str(tmp_path)])
    assert "exclusive lock of process 12 on web-7" in report.stats.error
    assert len(lock_files(place)) == 1


def in_future(place) -> str:
    return place.clock.now().isoformat()


def test_a_full_disk_is_called_full(empty_place, tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        check=False, capture_output=True,
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip("a small disk can be mounted by root only")
    try:
        access = attrs.evolve(empty_place.shop.restic.access, location=str(disk / "r"))
        restic = attrs.evolve(empty_place.shop.restic, access=access)
        shop = attrs.evolve(empty_place.shop, restic=restic)
        assert shop.runner.run(restic.init()).ok
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "big").write_bytes(os.urandom(EIGHT_MB))
        report = backup.paths(shop, "h", [str(tmp_path / "d")])
        assert "no space left on device" in report.stats.error
        assert "free space in the backend" in report.stats.error
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_defect_of_ours_becomes_a_report_without_its_text(place, monkeypatch, tmp_path) -> None:
    def broken(*_args, **_more):
        raise RuntimeError("with the password correct-horse-battery")

    monkeypatch.setattr(Runner, "run", broken)
    report = backup.paths(place.shop, "h", [str(tmp_path)])
    assert report.stats.error == "a defect in the agent: RuntimeError"
