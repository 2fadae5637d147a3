"""The list of a disk's files, made once and shared by all guests.

A segment of shared memory, handed down by descriptor, holds the list as arrays: a guest that opens a disk
of a hundred thousand files reads the pages of the list that it uses and copies none.

    sizes int64[files] │ keys uint64[files] │ first_pages int64[files + 1] │ path_ends int64[files] │
    kinds uint8[files] │ paths

Every page of every file has one number, its *disk page*: those of file f run from first_pages[f] up to, but
not including, first_pages[f + 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.kinds import FileKind, kind_of
from vmdedup.guest.seeds import Words
from vmdedup.host.segment import Segment
from vmdedup.units import PAGE_SIZE

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class FileIndex:
    """files: how many. paths_size: bytes of all paths together. Picklable into child processes."""

    files: int
    paths_size: int
    segment: Segment

    @classmethod
    def build(cls, entries: Iterable[tuple[str, int]]) -> FileIndex:
        """From (path, size in bytes), in the order in which the files lie on the disk. Sizes are not zero."""
        listed = list(entries)
        blobs = [path.encode("utf-8", "surrogateescape") for path, _ in listed]
        ends = np.cumsum([len(blob) for blob in blobs], dtype=np.int64)
        total = int(ends[-1]) if blobs else 0
        index = cls(len(listed), total, Segment(max(1, 33 * len(listed) + 8 + total)))
        index.sizes[:] = [size for _, size in listed]
        index.first_pages[1:] = np.cumsum((index.sizes + PAGE_SIZE - 1) // PAGE_SIZE)
        index.path_ends[:] = ends
        index.keys[:] = [path_key(blob) for blob in blobs]
        index.kinds[:] = [kind_of(path) for path, _ in listed]
        index.paths[:] = np.frombuffer(b"".join(blobs), dtype=np.uint8)
        return index

    @property
    def sizes(self) -> Numbers:
        """Bytes of each file."""
        return self._column(0, self.files, np.int64)

    @property
    def keys(self) -> Words:
        """A hash of each file's path: what names the file in seeds, on whatever machine."""
        return self._column(8 * self.files, self.files, np.uint64)

    @property
    def first_pages(self) -> Numbers:
        """The first disk page of each file, and one number more: the count of disk pages."""
        return self._column(16 * self.files, self.files + 1, np.int64)

    @property
    def path_ends(self) -> Numbers:
        """Where in paths each path ends."""
        return self._column(24 * self.files + 8, self.files, np.int64)

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """The FileKind of each file."""
        return self._column(32 * self.files + 8, self.files, np.uint8)

    @property
    def paths(self) -> NDArray[np.uint8]:
        """All paths, one after another."""
        return self._column(33 * self.files + 8, self.paths_size, np.uint8)

    def _column(self, offset: int, count: int, dtype: type) -> NDArray[Any]:
        return np.frombuffer(self.segment.buffer, dtype=dtype, count=count, offset=offset)

    @property
    def pages(self) -> int:
        """Disk pages in all."""
        return int(self.first_pages[-1])

    def path(self, file: int) -> str:
        """The path of one file, relative to the disk's root."""
        start = int(self.path_ends[file - 1]) if file else 0
        blob = self.paths[start : int(self.path_ends[file])].tobytes()
        return blob.decode("utf-8", "surrogateescape")

    def pages_of(self, file: int, limit: int | None = None) -> Numbers:
        """The disk pages of one file, in order; at most limit of them."""
        first, end = (int(page) for page in self.first_pages[file : file + 2])
        return np.arange(first, end if limit is None else min(end, first + limit), dtype=np.int64)

    def file_of(self, pages: Numbers) -> Numbers:
        """The file that each disk page belongs to."""
        return np.searchsorted(self.first_pages, pages, side="right").astype(np.int64) - 1

    def of_kind(self, *kinds: FileKind) -> Numbers:
        """The files of these kinds, ordered by a hash of their paths; all files if there are none.

        The last makes every workload run on every disk, also on an image whose files are not known.
        """
        chosen = np.flatnonzero(np.isin(self.kinds, [int(kind) for kind in kinds]))
        if not len(chosen):
            chosen = np.arange(self.files)
        return chosen[np.argsort(self.keys[chosen], kind="stable")].astype(np.int64)

    def identity(self) -> int:
        """A 64-bit number that two disks have in common only if they list the same files and sizes."""
        digest = hashlib.blake2b(self.sizes.tobytes(), digest_size=8)
        digest.update(self.keys.tobytes())
        return int.from_bytes(digest.digest(), "little")


def path_key(path: bytes) -> int:
    """The hash that names a path in seeds."""
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "little")
