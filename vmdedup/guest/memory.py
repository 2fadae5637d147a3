"""What a guest asks of its physical memory, whoever gives it: the emulated host, or the kernel under us.

Pages are counted from 0; arrays of page numbers are int64 (n,), contents uint8 (n, page_size).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Memory(Protocol):
    """The memory of one guest, for the one process that the guest lives in."""

    @property
    def pages(self) -> int:
        """Its size in pages."""

    @property
    def page_size(self) -> int:
        """Bytes of a page."""

    @property
    def has_fingerprints(self) -> bool:
        """Whether pages stand for their contents, which are read, and may be given, as fingerprints: 8 bytes a page."""

    relief: Callable[[int], None] | None
    """Called where the host has no memory left for so many pages; comes back once it may have some. None: an error."""

    def write_pages(self, pages: NDArray[np.int64], data: NDArray[Any]) -> None:
        """Store whole pages."""

    def write_bytes(self, pages: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store a run of bytes into each of n pages: places (n,) is the first byte, data (n, length)."""

    def write(self, page: int, data: bytes, offset: int = 0) -> None:
        """Store bytes into one page."""

    def read_pages(self, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Load whole pages."""

    def read(self, page: int) -> bytes:
        """Load one page."""

    def touch(self, pages: NDArray[np.int64]) -> None:
        """Load one byte of each page."""

    def hint(self, pages: NDArray[np.int64]) -> None:
        """Pages that have just been read from, or are being written to, a disk; for scanners that want to know."""

    def declare(self, area: int, first: int, pages: int, kind: int, owner: int, state: int) -> None:
        """Say what a run of pages is (host.layout.area_dtype); for scanners that want to know."""

    def discard(self, pages: NDArray[np.int64]) -> None:
        """The pages read as zeros from now on."""

    def digest(self) -> str:
        """SHA-256 of all that is mapped, in order, in hex."""

    def exit(self) -> None:
        """Give everything back."""


class MemoryProvider(Protocol):
    """Where a guest's process gets its memory. Picklable into that process."""

    def memory(self, mm: int) -> Memory:
        """The memory of address space mm."""
