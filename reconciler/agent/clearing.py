"""Makes the way free for a restore into a folder that is not empty.

Called by ``restore``. restic before 0.17 fails on a link or a pipe that is there already, and
writes through a link where it restores a file or a folder: so a restore could not be run twice, and
could write outside its volume. Here whatever the snapshot has another kind of node for is taken
away first. What the snapshot does not have stays as it is, as in Stash.
"""

from __future__ import annotations

import contextlib
import os
import stat

import attrs

from reconciler.agent.parsing import Node

_FILE, _FOLDER = "file", "dir"


@attrs.frozen
class _Link:
    path: str
    target: str
    owner: int
    group: int
    times: tuple[int, int]


@attrs.define
class Clearing:
    """One pass over the nodes of a snapshot.

    ``whole``: every node will be restored. Else the user's patterns decide which, and only links
    are taken away, to be put back where restic did not restore them.
    """

    path: str
    whole: bool
    _links: list[_Link] = attrs.field(factory=list)

    def needed(self) -> bool:
        """Whether there is anything at all where it will be restored."""
        try:
            return not stat.S_ISDIR(os.lstat(self.path).st_mode) or bool(os.listdir(self.path))
        except OSError:
            return False

    def free(self, node: Node) -> None:
        """What cannot be taken away stays, and restic's error names it."""
        if node.path != self.path and not node.path.startswith(f"{self.path.rstrip('/')}/"):
            return  # the folders above are not restored
        with contextlib.suppress(OSError):
            mode = os.lstat(node.path).st_mode
            if stat.S_ISLNK(mode):
                self._take_link(node)
            elif self.whole:
                _take(node, mode)

    def put_back(self) -> None:
        """The links that restic has not restored."""
        for link in self._links:
            with contextlib.suppress(OSError):  # FileExistsError: restored
                os.symlink(link.target, link.path)
                os.lchown(link.path, link.owner, link.group)
                os.utime(link.path, ns=link.times, follow_symlinks=False)

    def _take_link(self, node: Node) -> None:
        if node.path == self.path and node.type == _FOLDER and os.path.isdir(node.path):
            return  # an image may have its data folder elsewhere, and name it by a link
        seen = os.lstat(node.path)
        target = os.readlink(node.path)
        os.unlink(node.path)
        times = (seen.st_atime_ns, seen.st_mtime_ns)
        self._links.append(_Link(node.path, target, seen.st_uid, seen.st_gid, times))


def _take(node: Node, mode: int) -> None:
    same = {_FILE: stat.S_ISREG, _FOLDER: stat.S_ISDIR}.get(node.type, _never)
    if same(mode):
        if not os.access(node.path, os.W_OK):  # an earlier restore may have left it read-only
            os.chmod(node.path, stat.S_IMODE(mode) | stat.S_IRWXU)
    elif stat.S_ISDIR(mode):
        os.rmdir(node.path)  # only if it is empty: what is in it is in no snapshot
    else:
        os.unlink(node.path)


def _never(_mode: int) -> bool:
    return False
