"""Raw dumps, read without NumPy. What is, or may be, of another format is left to the readers of `dump`."""

from __future__ import annotations

import errno
import os
import stat
from _thread import _local  # what `threading` calls local, without the rest of it

from vmdedup.errors import DumpError
from vmdedup.scan.fingerprint import PAGE_SIZE, ZERO_PAGE
from vmdedup.scan.source import Piece, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE_PAGES = 32  # 128 KiB: stays in a core's cache between being read and being hashed
HOLE_PAGES = 2048
# How files of every other format begin, and packed ones.
OTHERS = (
    b"\x7fELF",
    b"KDUMP",  # kdump-compressed
    b"DISKDUMP",
    b"makedumpfile",  # flattened
    b"QEVM",  # QEMU's migration stream
    b"LibvirtQemud",  # virsh save
    b"EMiL",  # LiME
    b"AVML",
    b"\x19CVT",  # CRIU
    b"%@\x08V",
    b"\x00\x00d\x86\x84\x19\x10\x07",  # states of Firecracker
    b"\x00\x00\xaa\xaa\x84\x19\x10\x07",
    b"QFI\xfb",  # qcow2
    b"PAGEDU",  # Windows crash dump
    b"\xd0\xbe\xd2\xbe",  # VMware suspend states
    b"\xd2\xbe\xd2\xbe",
    b"\xd1\xba\xd1\xba",
    b"VMDDREC",  # recordings of our own
    b"PAR1",  # Parquet: fingerprints
    b"\x1f\x8b",  # gzip
    b"\x28\xb5\x2f\xfd",  # zstd
    b"\x04\x22\x4d\x18",  # lz4
    b"\xfd7zX",  # xz
    b"BZh",
)
HEAD = 16  # bytes that tell


def open_plain(path: str) -> PlainFile | None:
    """A raw dump, if the file is one for certain and can be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    status = os.fstat(descriptor)
    whole = stat.S_ISREG(status.st_mode) and status.st_size > 0 and status.st_size % PAGE_SIZE == 0
    if whole and not os.pread(descriptor, HEAD, 0).startswith(OTHERS):
        return PlainFile(path, descriptor, status.st_size)
    os.close(descriptor)
    return None


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
