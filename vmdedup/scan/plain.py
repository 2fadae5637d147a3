"""Raw dumps, read without NumPy. What is, or may be, of another format is left to the readers of `dump`."""

from __future__ import annotations

import errno
import os
from _thread import _local  # what `threading` calls local, without the rest of it
from typing import TYPE_CHECKING

from vmdedup.dump.formats import recognise
from vmdedup.errors import DumpError
from vmdedup.scan.fingerprint import ZERO_PAGE
from vmdedup.scan.source import Piece, Source
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vmdedup.dump.formats import Format

PIECE_PAGES = 32  # 128 KiB: stays in a core's cache between being read and being hashed
HOLE_PAGES = 2048


def open_plain(name: str, descriptor: int) -> PlainFile | None:
    """An open regular file as a raw dump, if it is one for certain; it then closes the descriptor.

    name: as the user wrote it. DumpError: it cannot be read.
    """
    size = os.fstat(descriptor).st_size
    if not size or size % PAGE_SIZE or recognised(name, descriptor, size) is not None:
        return None
    return PlainFile(name, descriptor, size)


def recognised(name: str, descriptor: int, size: int) -> Format | None:
    """What a file is, by the table of formats. DumpError: it cannot be read."""
    try:
        return recognise(lambda offset, length: os.pread(descriptor, length, offset), size)
    except OSError as error:
        raise DumpError(f"{name}: cannot be read: {error.strerror}") from None


class PlainFile(Source):
    """A raw dump: byte n of the file is byte n of the memory. Holes of a sparse file are zeros."""

    format = "raw"
    is_light = True

    def __init__(self, name: str, descriptor: int, size: int) -> None:
        self.name, self._descriptor, self._size = name, descriptor, size
        self.present = size // PAGE_SIZE
        self._buffers = _local()
        self.regions = [("memory", 0, self.present)]
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def pieces(self) -> Iterator[Piece]:
        """Data in pieces of PIECE_PAGES at most, holes in pieces of HOLE_PAGES."""
        return self.range(0, self.present)

    def range(self, first: int, after: int) -> Iterator[Piece]:
        """The pieces of these pages."""
        for start, end, is_data in self._extents(first, after):
            make, most = (self._data, PIECE_PAGES) if is_data else (_hole, HOLE_PAGES)
            for at in range(start, end, most):
                yield make(at, min(at + most, end))

    def _extents(self, at: int, last: int) -> Iterator[tuple[int, int, bool]]:
        """Runs among pages `at` to last - 1, as first page, page after, whether they are data; holes of whole pages."""
        while at < last:
            try:
                start = os.lseek(self._descriptor, at * PAGE_SIZE, os.SEEK_DATA)
                end = os.lseek(self._descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                # ENXIO: only hole from here on. Anything else: this file system does not tell.
                yield at, last, error.errno != errno.ENXIO
                return
            first, after = min(start // PAGE_SIZE, last), min(-(-end // PAGE_SIZE), last)
            if first > at:
                yield at, first, False
            if after > first:
                yield first, after, True
            at = max(after, first)

    def _data(self, first: int, after: int) -> Piece:
        return Piece(0, range(first, after), lambda: (self._read(first, after), 1))

    def pick(self, wanted: Iterable[int]) -> Iterator[tuple[int, Piece, int]]:
        """Page n is page n."""
        for page in wanted:
            yield page, self._data(page, page + 1), 0

    def _read(self, first: int, after: int) -> memoryview:
        """The bytes of these pages, until this thread reads more. DumpError: they are no longer there."""
        length = (after - first) * PAGE_SIZE
        if not hasattr(self._buffers, "view"):
            self._buffers.view = memoryview(bytearray(PIECE_PAGES * PAGE_SIZE))
        content: memoryview = self._buffers.view[:length]
        try:
            got = os.preadv(self._descriptor, [content], first * PAGE_SIZE)
        except OSError as error:
            raise DumpError(f"{self.name}: cannot be read at page {first}: {error.strerror}") from None
        if got != length:
            raise DumpError(f"{self.name}: became shorter while it was read; dump again and leave the file alone")
        return content

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _hole(first: int, after: int) -> Piece:
    return Piece(0, range(first, after), lambda: (ZERO_PAGE, after - first))
