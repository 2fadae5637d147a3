"""A guest's memory as a private anonymous mapping of the process that it lives in, which the kernel may merge.

The same face as host.memory.Memory.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.live.workers.worker import MAP_NORESERVE, MERGEABLE, PAGE, check, huge_mapping, libc, new_mapping

_MAP_FIXED, _PROT_NONE, _DONTNEED = 0x10, 0, 4
_DIGEST_PAGES = 1024


class RealMemory:
    """One guest's memory, in this process and nowhere else.

    base: the mapping's address, where ksmd finds it. mergeable: whether ksmd shall scan it; it is on
    ksmd's list from then on, behind all that were there before. huge: whether it may have huge pages.
    """

    page_size = PAGE
    has_fingerprints = False
    relief: Callable[[int], None] | None = None  # of no use: the kernel sees to memory

    def __init__(self, pages: int, name: str = "", mergeable: bool = True, huge: bool = False) -> None:
        """A new mapping, nothing touched. HostError: the system gives none."""
        self.pages = pages
        self.name = name
        try:
            advices = (MERGEABLE,) if mergeable else ()
            self.base = huge_mapping(pages * PAGE, advices) if huge else new_mapping(pages * PAGE, advices)
        except OSError as error:
            raise HostError(
                f"no memory for guest {name!r} of {pages} pages ({error.strerror}); run fewer or smaller guests"
            ) from None
        view = memoryview((ctypes.c_ubyte * (pages * PAGE)).from_address(self.base)).cast("B")
        self._bytes: NDArray[np.uint8] = np.frombuffer(view, np.uint8).reshape(pages, PAGE)
        self._mapped = np.ones(pages, np.bool_)

    def write_pages(self, pages: NDArray[np.int64], data: NDArray[Any]) -> None:
        """Store whole pages. pages: (n,), data: (n, page_size) of any dtype with that many bytes a row."""
        numbers = self._numbers(pages)
        done = self._mapped_ahead(numbers)
        rows = np.ascontiguousarray(data).view(np.uint8).reshape(len(numbers), PAGE)
        self._bytes[numbers[:done]] = rows[:done]
        self._finished(done, numbers)

    def write_bytes(self, pages: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store a run of bytes into each of n pages: places (n,) is the first byte, data (n, length)."""
        numbers, firsts = self._numbers(pages), np.ascontiguousarray(places, np.int64)
        runs = np.ascontiguousarray(data, np.uint8)
        if len(firsts) and not (int(firsts.min()) >= 0 and int(firsts.max()) + runs.shape[1] <= PAGE):
            raise HostError(f"a store of {runs.shape[1]} bytes does not fit into a page of {PAGE}")
        done = self._mapped_ahead(numbers)
        within = firsts[:done, np.newaxis] + np.arange(runs.shape[1])
        self._bytes[numbers[:done, np.newaxis], within] = runs[:done]
        self._finished(done, numbers)

    def write(self, page: int, data: bytes, offset: int = 0) -> None:
        """Store bytes into one page."""
        self.write_bytes(np.array([page]), np.array([offset]), np.frombuffer(data, np.uint8).reshape(1, -1))

    def read_pages(self, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Load whole pages: (n, page_size)."""
        numbers = self._numbers(pages)
        done = self._mapped_ahead(numbers)
        content: NDArray[np.uint8] = self._bytes[numbers[:done]]
        self._finished(done, numbers)
        return content

    def read(self, page: int) -> bytes:
        """Load one page."""
        return self.read_pages(np.array([page])).tobytes()

    def touch(self, pages: NDArray[np.int64]) -> None:
        """Load one byte of each page."""
        numbers = self._numbers(pages)
        done = self._mapped_ahead(numbers)
        self._bytes[numbers[:done], 0].sum()
        self._finished(done, numbers)

    def hint(self, pages: NDArray[np.int64]) -> None:
        """Nothing: the kernel's ksmd takes no hints."""

    def declare(self, area: int, first: int, pages: int, kind: int, owner: int, state: int) -> None:
        """Nothing: the kernel's ksmd sees one mapping."""

    def discard(self, pages: NDArray[np.int64]) -> None:
        """MADV_DONTNEED: the pages read as zeros from now on."""
        numbers = self._numbers(pages)
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
            if len(run):
                check(libc.madvise(self.base + int(run[0]) * PAGE, len(run) * PAGE, _DONTNEED))

    def unmap(self, lo: int, hi: int) -> None:
        """munmap of pages lo to hi, both included; nothing else is ever mapped at their addresses."""
        self._numbers([lo, hi])
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE | _MAP_FIXED
        place = libc.mmap(self.base + lo * PAGE, (hi + 1 - lo) * PAGE, _PROT_NONE, flags, -1, 0)
        check(place != self.base + lo * PAGE)
        self._mapped[lo : hi + 1] = False

    def exit(self) -> None:
        """Give everything back."""
        self._mapped[:] = False
        self._bytes = np.empty((0, PAGE), np.uint8)
        check(libc.munmap(self.base, self.pages * PAGE))

    def digest(self) -> str:
        """SHA-256 over the pages still mapped, in order, each page being read."""
        digest = hashlib.sha256()
        mapped = np.flatnonzero(self._mapped)
        for start in range(0, len(mapped), _DIGEST_PAGES):
            digest.update(self.read_pages(mapped[start : start + _DIGEST_PAGES]).tobytes())
        return digest.hexdigest()

    def _numbers(self, pages: Any) -> NDArray[np.int64]:
        numbers = np.ascontiguousarray(pages, np.int64)
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < self.pages:
            raise HostError(f"{self.name!r} has pages 0 to {self.pages - 1}, not {numbers.min()} to {numbers.max()}")
        return numbers

    def _mapped_ahead(self, numbers: NDArray[np.int64]) -> int:
        """How many of the pages come before the first that is not mapped."""
        missing = np.flatnonzero(~self._mapped[numbers])
        return int(missing[0]) if len(missing) else len(numbers)

    def _finished(self, done: int, numbers: NDArray[np.int64]) -> None:
        if done < len(numbers):
            raise HostError(f"page {int(numbers[done])} of {self.name!r} is not mapped")
