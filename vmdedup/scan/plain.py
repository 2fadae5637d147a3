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
    from collections.abc import Callable, Iterable, Iterator

PIECE_PAGES = 32  # 128 KiB: stays in a core's cache between being read and being hashed
# The first four bytes of every other format that is known, and of packed files.
OTHERS = frozenset(
    (
        b"\x7fELF",  # ELF
        b"KDUM",  # kdump-compressed
        b"DISK",  # diskdump
        b"make",  # flattened by makedumpfile
        b"QEVM",  # QEMU's migration stream
        b"Libv",  # virsh save
        b"EMiL",  # LiME
        b"AVML",
        b"\x19CVT",  # CRIU
        b"%@\x08V",
        b"PAR1",  # Parquet: fingerprints
        b"\x28\xb5\x2f\xfd",  # zstd
        b"\x04\x22\x4d\x18",  # lz4
        b"\xfd7zX",  # xz
        b"BZh9",
        b"QFI\xfb",  # qcow2
        b"PAGE",  # Windows crash dump
        b"\xd0\xbe\xd2\xbe",  # VMware suspend states
        b"\xd2\xbe\xd2\xbe",
        b"\xd1\xba\xd1\xba",
        b"VMDD",  # recordings of our own
    )
)


def open_plain(path: str) -> PlainFile | None:
    """A raw dump, if the file is one for certain and can be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size and status.st_size % PAGE_SIZE == 0:
        head = os.pread(descriptor, 4, 0)
        if head not in OTHERS and head[:2] != b"\x1f\x8b":  # gzip
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
        """Data in pieces of PIECE_PAGES at most, each hole in one."""
        return self.range(0, self.present)

    def range(self, first: int, after: int) -> Iterator[Piece]:
        """The pieces of these pages."""
        for start, end, is_data in self._extents(first, after):
            if not is_data:
                yield Piece(0, range(start, end), _zeros(end - start))
                continue
            for at in range(start, end, PIECE_PAGES):
                yield self._data(at, min(at + PIECE_PAGES, end))

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


def _zeros(pages: int) -> Callable[[], tuple[bytes, int]]:
    """What loads a hole."""
    return lambda: (ZERO_PAGE, pages)
