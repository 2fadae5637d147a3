"""A raw disk image as a disk: blocks read by page, in ranges of 256 KiB that stand for files.

What the image holds is not looked into, so a range is a file of no known kind.
"""

from __future__ import annotations

import os

from vmdedup.errors import UsageError
from vmdedup.guest.content import Pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import FileIndex
from vmdedup.guest.seeds import split_seed

RANGE = 256 << 10


class RawDisk(Disk):
    """The image file at path, block by block."""

    def __init__(self, path: str, index: FileIndex, identity: int) -> None:
        self.path = path
        self.index = index
        self.identity = identity
        self._descriptor = -1

    @classmethod
    def open(cls, path: str) -> RawDisk:
        """The image of the path. Raises UsageError if it is empty or cannot be read."""
        descriptor = open_image(path)
        size = os.fstat(descriptor).st_size
        sample = os.pread(descriptor, 1 << 20, 0)
        os.close(descriptor)
        if not size:
            raise UsageError(f"disk image {path!r} is empty; name an image with content")
        ranges = ((f"blocks/{at // RANGE:09d}", min(RANGE, size - at)) for at in range(0, size, RANGE))
        return cls(path, FileIndex.build(ranges), split_seed(size, sample.hex()))

    def fill(self, file: int, offset: int, out: Pages) -> None:
        """Bytes of one range."""
        if self._descriptor < 0:
            self._descriptor = open_image(self.path)
        wanted = max(0, min(len(out), int(self.index.sizes[file]) - offset))
        os.preadv(self._descriptor, [out[:wanted].data], file * RANGE + offset)

    def close(self) -> None:
        """Close the image file, if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __reduce__(self) -> tuple[type[RawDisk], tuple[str, FileIndex, int]]:
        return RawDisk, (self.path, self.index, self.identity)


def open_image(path: str) -> int:
    """A read-only descriptor of an image file. Raises UsageError with the system's reason."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        why = error.strerror
        raise UsageError(f"disk image {path!r} cannot be read ({why}); check path and permissions") from None
