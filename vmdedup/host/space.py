"""A guest's memory as Python code sees it: one address space of a host.

Kernels of what few guests do, hints and pages in other forms, are loaded when they are first run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.host import access
from vmdedup.host.absent import kind_of
from vmdedup.host.layout import CTL_HINTS, MAPPED, MM_DEAD, MM_LIVE, SWAPPED
from vmdedup.host.mm import set_mm_state
from vmdedup.late import load

if TYPE_CHECKING:
    from vmdedup.host.memory import Host

DIGEST_PAGES = 1024


class Memory:
    """One guest's memory. Everything but reading figures is for the one process that owns it.

    page_size: bytes of a page. has_fingerprints: whether pages stand for their contents, see host.fingerprints.
    """

    has_fingerprints: ClassVar[bool] = False

    def __init__(self, host: Host, mm: int) -> None:
        self.host = host
        self.mm = mm
        self._h = host.arrays
        self.page_size = host.stands_for
        self._row = host.page_size  # bytes that there are of a page
        self.relief: Callable[[int], None] | None = None  # waits until the host has memory for so many pages

    @property
    def pages(self) -> int:
        """Its size in pages."""
        return int(self._h.mms[self.mm]["pages"])

    @property
    def name(self) -> str:
        """The name it was given."""
        return str(self._h.mms[self.mm]["name"].decode(errors="ignore"))

    @property
    def entries(self) -> NDArray[np.int64]:
        """Its page table, int64[pages]; see host.layout for the bits."""
        first = int(self._h.mms[self.mm]["first"])
        view: NDArray[np.int64] = self._h.pte[first : first + self.pages]
        return view

    def counter(self, field: str) -> int:
        """One of the counters of host.layout.mm_dtype."""
        return int(self._h.mms[self.mm][field])

    def _numbers(self, pages: Any) -> NDArray[np.int64]:
        numbers = np.ascontiguousarray(pages, np.int64)
        if not access.are_below(numbers, self.pages):
            raise HostError(f"{self.name!r} has pages 0 to {self.pages - 1}, not {numbers.min()} to {numbers.max()}")
        return numbers

    def _all(self, pages: NDArray[np.int64], run: Callable[[int], int]) -> None:
        """Do something with all pages. run: does it from the k-th page on, and says how many it did.

        It stops at a page that is kept in another form; that one is rebuilt, and it goes on.
        """
        done = run(0) if len(pages) else 0
        while done < len(pages):
            self._make_accessible(int(pages[done]), len(pages) - done)
            done += run(done)

    def _make_accessible(self, page: int, wanted: int = 1) -> None:
        """Rebuild a page that is kept in another form, or say why it cannot be had.

        wanted: pages that are to be accessed, this one and others. Where the host has no memory left and there is
        relief, that is waited for, and the caller comes again.
        """
        entry = int(self.entries[page])
        if not entry & MAPPED:
            raise HostError(f"page {page} of {self.name!r} is not mapped")
        if kind_of(entry) and load("vmdedup.host.rebuild:rebuild_page")(self._h, self.mm, page):
            return
        if self.relief is None:
            raise self._exhausted()
        self.relief(wanted)

    def _exhausted(self) -> HostError:
        used = self.host.frames_in_use()
        return HostError(
            f"host memory is exhausted ({used} frames in use); give the host more memory, or run fewer guests"
        )

    def write_pages(self, pages: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store whole pages. pages: (n,), data: (n, page_size) of any dtype with that many bytes a row."""
        numbers = self._numbers(pages)
        rows = np.ascontiguousarray(data).view(np.uint8).reshape(len(numbers), self._row).view(np.int64)
        self._all(numbers, lambda k: access.store_pages(self._h, self.mm, numbers[k:], rows[k:]))

    def write_bytes(self, pages: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store a run of bytes into each of n pages: places (n,) is the first byte, data (n, length)."""
        numbers, places = self._numbers(pages), np.ascontiguousarray(places, np.int64)
        runs = np.ascontiguousarray(data, np.uint8)
        if not access.are_below(places, self.page_size + 1 - runs.shape[1]):
            raise HostError(f"a store of {runs.shape[1]} bytes does not fit into a page of {self.page_size}")
        self._all(numbers, lambda k: access.store_bytes(self._h, self.mm, numbers[k:], places[k:], runs[k:]))

    def write(self, page: int, data: bytes, offset: int = 0) -> None:
        """Store bytes into one page."""
        run = np.frombuffer(data, np.uint8).reshape(1, -1)
        self.write_bytes(np.array([page]), np.array([offset]), run)

    def read_pages(self, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Load whole pages: (n, page_size)."""
        numbers = self._numbers(pages)
        rows = np.empty((len(numbers), self._row // 8), np.int64)
        self._all(numbers, lambda k: access.load_pages(self._h, self.mm, numbers[k:], rows[k:]))
        return rows.view(np.uint8)

    def read(self, page: int) -> bytes:
        """Load one page."""
        return self.read_pages(np.array([page])).tobytes()

    def touch(self, pages: NDArray[np.int64]) -> None:
        """Load one byte of each page."""
        numbers = self._numbers(pages)
        self._all(numbers, lambda k: access.touch_pages(self._h, self.mm, numbers[k:]))

    def hint(self, pages: NDArray[np.int64]) -> None:
        """Say that these pages have just been read from, or are being written to, a disk. See host.hints."""
        if self._h.ctl[CTL_HINTS]:  # asked here too, so that it costs next to nothing when nobody does
            load("vmdedup.host.hints:leave_hints")(self._h, self.mm, self._numbers(pages))

    def declare(self, area: int, first: int, pages: int, kind: int, owner: int, state: int) -> None:
        """Say what a run of pages is, as area number `area`, in place of what was said of that number before."""
        record = self._h.areas[self.mm, area]
        if (record["owner"], record["state"]) != (owner, state):
            record["turns"] += 1
        record["first"], record["pages"], record["kind"] = first, pages, kind
        record["owner"], record["state"] = owner, state

    def discard(self, pages: NDArray[np.int64]) -> None:
        """MADV_DONTNEED: the pages read as zeros from now on."""
        access.discard_pages(self._h, self.mm, self._numbers(pages))

    def unmap(self, lo: int, hi: int) -> None:
        """munmap of pages lo to hi, both included."""
        self._numbers([lo, hi])
        access.unmap_range(self._h, self.mm, lo, hi)

    def mergeable(self, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE) of lo to hi. Whoever runs ksmd also tells it to enter the address space."""
        self._numbers([lo, hi])
        access.advise_range(self._h, self.mm, lo, hi, True)

    def unmergeable(self, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE) of lo to hi: merged pages get private copies at once."""
        self._numbers([lo, hi])
        if access.advise_range(self._h, self.mm, lo, hi, False) != hi + 1 - lo:
            raise self._exhausted()

    def fork(self, name: str = "") -> Memory:
        """A child address space that shares every page copy-on-write."""
        kinds = load("vmdedup.host.rebuild:kind_of_all")(self.entries)
        for page in np.flatnonzero((kinds != 0) & (kinds != SWAPPED)).tolist():
            self._make_accessible(page)
        record = self._h.mms[self.mm]
        child = self.host.add(self.pages, name, int(record["node"]), bits=0, domain=int(record["domain"]))
        access.fork_mm(self._h, self.mm, child.mm)
        return child

    def advise_huge(self, lo: int, hi: int, bits: int) -> None:
        """madvise about huge pages of lo to hi. bits: HUGE (MADV_HUGEPAGE) or NOHUGE (MADV_NOHUGEPAGE)."""
        self._numbers([lo, hi])
        load("vmdedup.host.collapse:advise_huge")(self._h, self.mm, lo, hi, bits)

    def collapse(self, lo: int, hi: int) -> bool:
        """madvise(MADV_COLLAPSE) of lo to hi. False: a mapping refuses."""
        self._numbers([lo, hi])
        return bool(load("vmdedup.host.collapse:collapse_range")(self._h, self.mm, lo, hi))

    def exit(self) -> None:
        """Give everything back. The record stays MM_DEAD until Host.release."""
        access.unmap_range(self._h, self.mm, 0, self.pages - 1)
        set_mm_state(self._h, self.mm, MM_LIVE, MM_DEAD)

    def digest(self) -> str:
        """SHA-256 over the pages still mapped, in order, each page being read."""
        digest = hashlib.sha256()
        mapped = np.flatnonzero(self.entries & MAPPED)
        for start in range(0, len(mapped), DIGEST_PAGES):
            digest.update(self.read_pages(mapped[start : start + DIGEST_PAGES]).tobytes())
        return digest.hexdigest()
