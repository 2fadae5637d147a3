"""A guest's disk: files with real content, read only.

    DiskSpec ──open_disk──► Disk ──VariantDisk──► what one guest reads
             (once, parent)  (shared list of files)  (another release, if so said)

A disk gives bytes of a file; pages and runs of pages are made here, once for all kinds of disks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vmdedup.guest.index import FileIndex, Numbers
from vmdedup.guest.seeds import Words
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.content import Pages
    from vmdedup.guest.linux.image import KernelImage

Progress = Callable[[int], None]  # told the number of files found so far


class Disk(ABC):
    """index: the list of files. identity: 64 bits that stand for the disk's content in seeds.

    kernel: what boots from it; booted: disk pages that are cached then. None: not known.

    Picklable into a child process that multiprocessing starts, where reading opens what it needs afresh.
    """

    index: FileIndex
    identity: int
    kernel: KernelImage | None = None
    booted: Numbers | None = None

    @abstractmethod
    def fill(self, file: int, offset: int, out: Pages) -> None:
        """The file's bytes from offset on into out, a zeroed flat array; past the file's end it stays so."""

    @abstractmethod
    def close(self) -> None:
        """Close the files that reading has opened; reading opens them again."""

    def content_keys(self, files: Numbers) -> Words:
        """What stands for each file's content in seeds: alike on all disks where the file is the same."""
        return self.index.keys[files] ^ np.uint64(self.identity)

    def read(self, pages: Numbers) -> Pages:
        """The content of disk pages, in any order. pages: (n,). Returns (n, 4096) bytes."""
        out = np.zeros((len(pages), PAGE_SIZE), dtype=np.uint8)
        files = self.index.file_of(pages)
        breaks = (np.diff(pages) != 1) | (np.diff(files) != 0)
        starts = np.concatenate(([0], np.flatnonzero(breaks) + 1, [len(pages)]))
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            if end > start:
                file = int(files[start])
                offset = (int(pages[start]) - int(self.index.first_pages[file])) * PAGE_SIZE
                self.fill(file, offset, out[start:end].reshape(-1))
        return out
