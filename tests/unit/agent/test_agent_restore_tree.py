"""A restored tree is the tree that was backed up, entry by entry, by the real restic.

Trees are generated: files, folders, links, pipes and holes, with modes, owners, times and
attributes, and names that restic's patterns could misread.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciler.agent import backup, restore
from reconciler.agent.selection import Order
from reconciler.api.restore import Rule

NAMES = ["a", "b", "*", "[x]", "back\\slash", "ä ö", "-n", "?", ".hidden"]
KINDS = ["file", "file", "folder", "folder", "link", "hard link", "pipe", "holes", "empty"]
ROOT = os.geteuid() == 0

entries = st.lists(
    st.fixed_dictionaries({
        "under": st.integers(0, 20),
        "name": st.sampled_from(NAMES),
        "kind": st.sampled_from(KINDS),
        "mode": st.sampled_from([0o644, 0o600, 0o755, 0o400, 0o4755, 0o2775, 0o1777]),
        "owner": st.sampled_from([0, 65534]),
        "time": st.integers(0, 2**31) | st.just(1_000_000_000),
        "content": st.binary(max_size=40),
    }),
    max_size=12,
)  # fmt: skip


def grow(root: Path, wanted: list[dict[str, Any]]) -> None:
    """Make the tree. An entry whose name is taken is left out."""
    root.mkdir(parents=True)
    folders, files = [root], []
    made: list[tuple[Path, dict[str, Any]]] = []
    for each in wanted:
        path = folders[each["under"] % len(folders)] / each["name"]
        if os.path.lexists(path):
            continue
        kind = each["kind"]
        if kind == "folder":
            path.mkdir()
            folders.append(path)
        elif kind == "link":
            path.symlink_to(["/nowhere", "a", "../b", "."][each["under"] % 4])
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "hard link" and files:
            os.link(files[each["under"] % len(files)], path)
            continue
        else:
            path.write_bytes(b"" if kind == "empty" else each["content"])
            if kind == "holes":
                os.truncate(path, 3_000_000)
            files.append(path)
        made.append((path, each))
    for path, each in reversed(made):
        if ROOT:
            os.lchown(path, each["owner"], each["owner"])
        if not path.is_symlink():
            path.chmod(each["mode"] | (0o700 if path.is_dir() else 0))
            if path.is_file() or path.is_dir():
                os.setxattr(path, "user.origin", each["content"] or b"x")
        os.utime(path, ns=(each["time"] * 10**9, each["time"] * 10**9 + 7), follow_symlinks=False)


def read(root: Path) -> dict[str, tuple[Any, ...]]:
    """Every entry: what it is, what it holds, and which others are the same file."""
    paths = [root, *sorted(root.rglob("*"))]
    same: dict[int, str] = {}
    return {str(path.relative_to(root)): _entry(path, root, same) for path in paths}


def _entry(path: Path, root: Path, same: dict[int, str]) -> tuple[Any, ...]:
    seen = path.lstat()
    kind = stat.S_IFMT(seen.st_mode)
    held: Any = None
    if kind == stat.S_IFREG:
        held = (path.read_bytes(), same.setdefault(seen.st_ino, str(path.relative_to(root))))
    elif kind == stat.S_IFLNK:
        held = os.readlink(path)
    attributes = {}
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    mode = stat.S_IMODE(seen.st_mode)
    return (kind, held, mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, attributes)


def spoil(root: Path) -> None:
    """What an accident may do: content lost, kinds changed, links to elsewhere, files read-only."""
    for path in sorted(root.rglob("*"), reverse=True):
        number = len(str(path)) % 4
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            if number == 1:
                path.unlink()
                path.write_text("a file now")
        elif path.is_dir():
            if number == 1 and not any(path.iterdir()):
                path.rmdir()
                path.symlink_to("/etc")
        elif number == 0:
            path.write_bytes(b"damaged, and longer than it was before the accident")
        elif number == 1:
            path.unlink()
        elif number == 2:
            path.unlink()
            path.symlink_to(root / "victim")
        else:
            path.chmod(0)


@settings(
    max_examples=6,  # each is seconds of restic
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(wanted=entries)
def test_a_tree_comes_back_as_it_was(place, wanted) -> None:
    folder = place.root / os.urandom(4).hex() / "data [1]"
    grow(folder, wanted)
    before = read(folder)
    report = backup.paths(place.shop, "host-0", [str(folder)])
    assert report.stats.phase == "Succeeded", report
    order = Order("host-0", Rule(paths=(str(folder),)))
    shutil.rmtree(folder)
    assert restore.files(place.shop, order, "host-0").stats.error == ""
    assert read(folder) == before
    # over what is there already: the same again, and what an accident has made of it
    assert restore.files(place.shop, order, "host-0").stats.error == ""
    assert read(folder) == before
    spoil(folder)
    (folder / "victim").write_text("not in the snapshot")
    assert restore.files(place.shop, order, "host-0").stats.error == ""
    after = read(folder)
    assert after.pop("victim")[1][0] == b"not in the snapshot"
    assert after == before


def test_holes_are_asked_for_where_restic_can_make_them(place, scripts, make) -> None:
    folder = place.root / "data"
    grow(folder, [])
    backup.paths(place.shop, "host-0", [str(folder)])
    real = shutil.which("restic")
    fake = scripts(
        "restic",
        f'if [ "$1" = version ]; then echo restic 0.17.3 compiled; exit 0; fi\n'
        f'if [ "$1" = restore ]; then echo "$@" >{place.root}/said; exit 0; fi\nexec {real} "$@"',
    )
    newer = make.place(place.root / "newer", PATH=f"{fake}:{os.environ['PATH']}")
    shop = type(place.shop)(place.shop.restic, newer.shop.runner, place.clock)
    order = Order("host-0", Rule(paths=(str(folder),)))
    assert restore.files(shop, order, "host-0").stats.error == ""
    assert "--sparse" in (place.root / "said").read_text()


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_a_user_who_is_not_root_can_restore_twice(place, make) -> None:
    """Read-only files and folders of the first restore must not stop the second."""
    folder = place.root / "data"
    grow(folder, [])
    (folder / "deep").mkdir()
    (folder / "deep" / "page").write_text("kept")
    (folder / "deep" / "page").chmod(0o400)
    (folder / "deep").chmod(0o500)
    for path in (place.root, *place.root.rglob("*")):
        os.lchown(path, 65534, 65534)
    for parent in place.root.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)
    order = Order("h", Rule(paths=(str(folder),)))

    def work() -> str:
        error = backup.paths(place.shop, "h", [str(folder)]).stats.error
        return error or "".join(restore.files(place.shop, order, "h").stats.error for _ in range(2))

    assert as_nobody(work) == ""


def as_nobody(work: Callable[[], str]) -> str:
    """What ``work`` says in a process of another user, who may not read our Python's files."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


@pytest.mark.parametrize(
    ("rule", "restored"),
    [({"include": ("*.cfg",)}, {"on.cfg", "two.cfg"}), ({"exclude": ("*.cfg",)}, {"on", "two"})],
)
def test_patterns_leave_alone_what_they_leave_out(place, rule, restored) -> None:
    """Links and files of two names, which are put aside for restic, are put back."""
    folder = place.root / "data"
    folder.mkdir()
    for name in ("on.cfg", "on"):
        (folder / name).symlink_to("old")
    (folder / "two").write_text("old")
    os.link(folder / "two", folder / "two.cfg")
    assert backup.paths(place.shop, "h", [str(folder)]).stats.error == ""
    for path in folder.iterdir():
        path.unlink()
    for name in ("on.cfg", "on"):
        (folder / name).symlink_to("new")
    (folder / "two").write_text("new")
    os.link(folder / "two", folder / "two.cfg")
    os.utime(folder, ns=(1, 1))
    order = Order("h", Rule(paths=(str(folder),), **rule))
    assert restore.files(place.shop, order, "h").stats.error == ""
    found = {p.name: os.readlink(p) if p.is_symlink() else p.read_text() for p in folder.iterdir()}
    assert found == {name: "old" if name in restored else "new" for name in found}
    assert len(found) == 4


def test_what_a_dead_restore_had_put_aside_is_found_again(place) -> None:
    folder = place.root / "data"
    folder.mkdir()
    (folder / "on").symlink_to("old")
    (folder / "off").symlink_to("old")
    assert backup.paths(place.shop, "h", [str(folder)]).stats.error == ""
    for name in ("on", "off"):
        (folder / name).rename(folder / f".tandem-aside-{name}")
    order = Order("h", Rule(paths=(str(folder),), include=("on",)))
    assert restore.files(place.shop, order, "h").stats.error == ""
    assert sorted(path.name for path in folder.iterdir()) == ["off", "on"]
