"""A directory tree as a disk: by default this machine's own /usr."""

from __future__ import annotations

import logging
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmdedup.errors import UsageError
from vmdedup.guest.disk import Disk, Progress
from vmdedup.guest.index import FileIndex

if TYPE_CHECKING:
    from vmdedup.guest.content import Pages

_OPEN_FILES = 8
_PROGRESS_EVERY = 1000
_log = logging.getLogger(__name__)


class TreeDisk(Disk):
    """The regular files below root: hard links once; symbolic links, empty and unreadable ones not at all."""

    def __init__(self, root: str, index: FileIndex) -> None:
        self.root = root
        self.index = index
        self.identity = index.identity()
        self._open: OrderedDict[int, int] = OrderedDict()

    @classmethod
    def scan(cls, root: str, progress: Progress | None = None) -> TreeDisk:
        """Walk the tree. progress: called now and then with the files found so far. Raises UsageError."""
        index = FileIndex.build(_files(os.path.realpath(root), progress))
        if not index.files:
            raise UsageError(f"disk {root!r} is empty: it holds no readable file; name another directory")
        return cls(os.path.realpath(root), index)

    def fill(self, file: int, offset: int, out: Pages) -> None:
        """A file that is gone or shorter than when it was listed reads as zeros, with a warning."""
        wanted = min(len(out), int(self.index.sizes[file]) - offset)
        if wanted <= 0:
            return
        try:
            got = os.preadv(self._descriptor(file), [out[:wanted].data], offset)
        except OSError as error:
            _log.warning("disk file %s: %s; it reads as zeros", self.index.path(file), error.strerror)
            return
        if got < wanted:
            _log.warning("disk file %s has shrunk; what is missing reads as zeros", self.index.path(file))

    def _descriptor(self, file: int) -> int:
        if file in self._open:
            self._open.move_to_end(file)
            return self._open[file]
        if len(self._open) >= _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        path = os.path.join(self.root, self.index.path(file))
        self._open[file] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return self._open[file]

    def close(self) -> None:
        """Close the files that are open."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __getstate__(self) -> tuple[str, FileIndex, int]:
        return self.root, self.index, self.identity

    def __setstate__(self, state: tuple[str, FileIndex, int]) -> None:
        self.root, self.index, self.identity = state
        self._open = OrderedDict()


def _files(root: str, progress: Progress | None) -> Iterator[tuple[str, int]]:
    """(path below root, size) of every file that counts, sorted within its directory."""
    linked: set[tuple[int, int]] = set()
    above = len(root.rstrip("/")) + 1
    found = 0
    for entry in _entries(root):
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if not _counts(entry.path, status, linked):
            continue
        yield entry.path[above:], status.st_size
        found += 1
        if progress is not None and found % _PROGRESS_EVERY == 0:
            progress(found)


def _counts(path: str, status: os.stat_result, linked: set[tuple[int, int]]) -> bool:
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return False
    if status.st_nlink > 1:
        inode = (status.st_dev, status.st_ino)
        if inode in linked:
            return False
        linked.add(inode)
    return os.access(path, os.R_OK, effective_ids=True)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)
        else:
            yield entry
