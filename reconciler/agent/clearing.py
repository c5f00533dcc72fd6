"""Makes the way free for a restore into a folder that is not empty.

Called by ``restore``. restic before 0.17 fails on a link or a pipe that is there already, writes
through a link where it restores a file or a folder, and loses files that are several names of one:
so a restore could not be run twice, and could write outside its volume. Here what the snapshot has
another kind of node for is taken away first, and what restic has lost is found. What the snapshot
does not have stays as it is, as in Stash.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import attrs

from reconciler.agent.parsing import Node

_FILE, _FOLDER = "file", "dir"
_ASIDE = ".tandem-aside-"


@attrs.define
class Clearing:
    """One pass over the nodes of a snapshot before restic's call, and one after it.

    ``whole``: every node at ``path`` will be restored. Else the user's patterns decide which, as
    restic reads them, so what is in the way is put aside and put back where nothing was restored. A
    pass that was cut short is mended by the next one, for the names are the same.
    """

    path: str
    whole: bool
    lost: list[str] = attrs.field(factory=list)
    """Files that were there and are gone: restic says nothing of them."""
    _aside: list[str] = attrs.field(factory=list)
    _shared: set[tuple[int, int]] = attrs.field(factory=set)  # files that had several names
    _there: set[int] = attrs.field(factory=set)  # hashes, for there may be millions of files

    def needed(self) -> bool:
        """Whether there is anything at all where it will be restored."""
        folder = Path(self.path)
        try:
            return not stat.S_ISDIR(folder.lstat().st_mode) or any(folder.iterdir())
        except OSError:
            return False

    def free(self, node: Node) -> None:
        """What cannot be taken away stays, and restic's error names it."""
        if node.path != self.path and not node.path.startswith(f"{self.path.rstrip('/')}/"):
            return  # the folders above are not restored
        with contextlib.suppress(OSError, ValueError):  # a name that no file can have
            if not self.whole:
                _put_back(node.path)  # of an earlier pass
            seen = os.lstat(node.path)
            if self._fits(node, seen):
                self._there.add(hash(node.path))
                self._make_writable(node, seen)
            elif self.whole:
                _remove(node.path, seen)
            elif not stat.S_ISDIR(seen.st_mode):
                os.rename(node.path, _aside(node.path))
                self._aside.append(node.path)

    def look(self, node: Node) -> None:
        """Afterwards: whether the node is lost."""
        if hash(node.path) in self._there and not os.path.lexists(node.path):
            self.lost.append(node.path)

    def put_back(self) -> None:
        """What was put aside and has no successor."""
        for path in self._aside:
            with contextlib.suppress(OSError):
                _put_back(path)

    def _fits(self, node: Node, seen: os.stat_result) -> bool:
        """Whether restic can restore the node over what is there."""
        if node.type == _FILE:
            return stat.S_ISREG(seen.st_mode) and not self._is_shared(seen)
        if node.type != _FOLDER:
            return False
        linked = stat.S_ISLNK(seen.st_mode) and Path(node.path).is_dir()
        # An image may have its data folder elsewhere, and name it by a link.
        return stat.S_ISDIR(seen.st_mode) or (linked and node.path == self.path)

    def _is_shared(self, seen: os.stat_result) -> bool:
        """Also the last name, when the others have been taken away."""
        which = (seen.st_dev, seen.st_ino)
        if seen.st_nlink > 1:
            self._shared.add(which)
        return which in self._shared

    def _make_writable(self, node: Node, seen: os.stat_result) -> None:
        """An earlier restore may have left it read-only, which stops all users but root."""
        if self.whole and not os.access(node.path, os.W_OK):
            Path(node.path).chmod(stat.S_IMODE(seen.st_mode) | stat.S_IRWXU)


def _remove(path: str, seen: os.stat_result) -> None:
    if stat.S_ISDIR(seen.st_mode):
        Path(path).rmdir()  # only if it is empty: what is in it is in no snapshot
    else:
        Path(path).unlink()


def _aside(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{_ASIDE}{name}"


def _put_back(path: str) -> None:
    """If there is something aside. Times of the folder stay those that restic gave it."""
    aside, folder = Path(_aside(path)), Path(path).parent
    if not os.path.lexists(aside):
        return
    before = folder.stat()
    if os.path.lexists(path):
        aside.unlink()
    else:
        aside.rename(path)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
