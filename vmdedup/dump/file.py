"""A dump's file: exact reads at any offset, from any thread, every one of them checked against the file's size.

Files are read by pread and not mapped: a file that shrinks while it is read then is an error and no SIGBUS, and
memory in use stays that of the blocks at work.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import DumpError
from vmdedup.inputs import open_input
from vmdedup.units import PAGE_SIZE

MOST_PAGES = 1 << 32  # of one dump; 16 TiB. More is a damaged header or a file that is all hole.


class Source(Protocol):
    """What readers need of a file: its name, its size in bytes, exact reads."""

    name: str
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. DumpError: they are not in the file."""

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> None:
        """Fill a contiguous buffer. DumpError: its bytes are not in the file."""

    def close(self) -> None:
        """Let go of the file."""


class DumpFile:
    """A regular file, opened for reading. name: as errors call it."""

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.name = str(path) if name is None else name
        self.descriptor = open_input(path, self.name)
        self.size = os.fstat(self.descriptor).st_size

    @classmethod
    def of_descriptor(cls, descriptor: int, name: str) -> DumpFile:
        """A file that is open already, and is closed with this object."""
        made = cls.__new__(cls)
        made.name, made.descriptor, made.size = name, descriptor, os.fstat(descriptor).st_size
        return made

    def read(self, offset: int, length: int) -> bytes:
        """Exactly length bytes from an offset. DumpError: the file ends before."""
        check_range(self, offset, length)
        buffer = np.empty(length, np.uint8)
        self.read_into(offset, buffer)
        return buffer.tobytes()

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> None:
        """Fill a contiguous uint8 buffer from an offset. DumpError: the file ends before, or cannot be read."""
        check_range(self, offset, buffer.nbytes)
        view = buffer.reshape(-1).data
        done = 0
        while done < len(view):
            try:
                got = os.preadv(self.descriptor, [view[done:]], offset + done)
            except OSError as error:
                raise DumpError(f"{self.name}: cannot be read at byte {offset + done}: {error.strerror}") from error
            if got == 0:
                raise DumpError(f"{self.name}: became shorter while it was read; dump again and leave the file alone")
            done += got

    def data(self) -> Iterator[tuple[int, int]]:
        """The parts of the file that are no holes, as (first byte, byte after). All of it where holes are unknown."""
        at = 0
        while at < self.size:
            try:
                start = os.lseek(self.descriptor, at, os.SEEK_DATA)
                at = os.lseek(self.descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    yield at, self.size
                return
            yield start, min(at, self.size)

    def close(self) -> None:
        """Close the file; twice does no harm."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def check_range(source: Source, offset: int, length: int) -> None:
    """DumpError unless a range lies within a file."""
    if offset < 0 or length < 0 or offset + length > source.size:
        raise DumpError(
            f"{source.name}: bytes {offset} to {offset + length} were to be read, but it has {source.size}: "
            "the dump is truncated or damaged; dump again"
        )


def check_pages(name: str, pages: int) -> int:
    """A number of pages, if a dump can have so many. DumpError: it cannot."""
    if not 0 <= pages <= MOST_PAGES:
        size = pages * PAGE_SIZE >> 40
        raise DumpError(f"{name}: would hold {size} TiB of memory; its header is damaged, or it is no dump")
    return pages


def table(source: Source, offset: int, count: int, row: np.dtype[np.void], what: str) -> NDArray[np.void]:
    """A table of count rows at an offset, checked against the file's size before memory is taken for it."""
    length = count * row.itemsize
    if count < 0 or offset < 0 or offset + length > source.size:
        raise DumpError(f"{source.name}: {what} ({count}) do not fit in the file: truncated or damaged; dump again")
    return np.frombuffer(source.read(offset, length), row)
