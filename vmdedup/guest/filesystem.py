"""What the files of one guest hold: the disk's bytes, until the guest writes others.

A written page is remembered by the key of its content, not by the content, so that it can be evicted and
read again.
Writing back takes no time and is never behind: there is no dirty page to lose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.content import PAGE, Pages, heap_pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import Numbers
from vmdedup.guest.mixes import FILE_MIX
from vmdedup.guest.seeds import Words


class Filesystem:
    """File pages: those of the disk, by their numbers, then scratch pages for new files, used in a ring."""

    def __init__(self, disk: Disk, scratch: int) -> None:
        self.disk = disk
        self._first_scratch = disk.index.pages
        self._scratch = scratch
        self._created = 0
        self.pages = disk.index.pages + scratch
        self._keys: NDArray[np.uint64] = np.zeros(self.pages, dtype=np.uint64)

    def read(self, pages: Numbers) -> Pages:
        """The content of file pages: (n, 4096) bytes."""
        written = self._keys[pages] != 0
        if not written.any():
            return self.disk.read(pages)
        out = np.empty((len(pages), PAGE), dtype=np.uint8)
        out[written] = heap_pages(self._keys[pages[written]], FILE_MIX)
        out[~written] = self.disk.read(pages[~written])
        return out

    def write(self, pages: Numbers, content_keys: Words) -> None:
        """From now on these pages hold the content of the keys."""
        self._keys[pages] = content_keys | np.uint64(1)

    def create(self, count: int) -> Numbers:
        """count pages of a new file; when all have been used, those of the oldest file."""
        numbers = (self._created + np.arange(min(count, self._scratch))) % self._scratch
        self._created += len(numbers)
        return numbers.astype(np.int64) + self._first_scratch
