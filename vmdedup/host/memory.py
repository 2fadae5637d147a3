"""Host memory as Python code sees it: a Host, and a Memory for each guest's address space.

Kernels that few processes need are loaded when they are first run: of recovery, hints, pages in other forms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.host import access, census
from vmdedup.host.absent import kind_of
from vmdedup.host.frames import frames_in_use
from vmdedup.host.layout import (
    AREAS,
    BLOCK,
    COUNT_MASK,
    CTL_FRAMES,
    CTL_FRESH,
    CTL_HEADS,
    CTL_HINTS,
    CTL_NEXT_ENTRY,
    CTL_NODES,
    CTL_PER_NODE,
    CTL_POOL,
    CTL_WORDS,
    HINT_RING,
    MAPPED,
    MAX_NODES,
    MM_DEAD,
    MM_FREE,
    MM_LIVE,
    NODE_SHIFT,
    POOL,
    HostArrays,
    area_dtype,
    mm_dtype,
    offsets,
    slot_dtype,
)
from vmdedup.host.mm import NO_ENTRIES, claim_mm, mm_state, set_mm_state
from vmdedup.host.segment import Segment
from vmdedup.late import load

MAX_MMS = 65535
DIGEST_PAGES = 1024
SPARE = 16
_FRAMES, _SWAP, _AREAS, _POOL = 7, 8, 9, 10  # parts of the segment, see host.layout


class Host:
    """A physical machine's memory: a pool of frames and the page tables of all guests, in shared memory.

    Picklable into child processes that multiprocessing starts; every process sees the same memory.
    """

    def __init__(self, segment: Segment, pages: int, frames: int, mms: int, page_size: int, swap: bool) -> None:
        self.segment = segment
        self.page_size = page_size
        self._shape = (pages, frames, mms, page_size, swap)
        self._starts = offsets(mms, pages, frames, page_size, swap)[0]
        self.arrays = self._map()

    @classmethod
    def create(
        cls,
        pages: int,
        frames: int | None = None,
        mms: int = 64,
        page_size: int = 4096,
        nodes: int = 1,
        swap: bool = False,
    ) -> Host:
        """A new host.

        pages: page table entries for all guests together. frames: host memory in pages (default: enough for
        all that the guests have). mms: address spaces at a time. page_size: bytes, 4096, or 8 for fingerprint
        pages. nodes: NUMA nodes. swap: whether there is a swap area, as large as all guests, outside host memory.
        """
        if not 1 <= mms < MAX_MMS or not 1 <= nodes <= MAX_NODES or page_size % 8 or pages < 1:
            raise HostError(f"a host of {pages} pages of {page_size} bytes, {mms} guests and {nodes} nodes cannot be")
        entries = pages + BLOCK * (mms + 2)
        # Whoever copies a page needs one frame more than there will be in the end.
        total = (frames if frames is not None else pages + mms + SPARE) + 1
        per_node = -(-total // nodes)
        segment = Segment(offsets(mms + 1, entries, total, page_size, swap)[1])
        host = cls(segment, entries, total, mms + 1, page_size, swap)
        ctl = host.arrays.ctl
        ctl[CTL_FRAMES], ctl[CTL_PER_NODE], ctl[CTL_NODES] = total, per_node, nodes
        ctl[CTL_NEXT_ENTRY] = BLOCK
        for node in range(nodes):
            ctl[CTL_FRESH + node] = max(1, node * per_node)
        return host

    def _map(self) -> HostArrays:
        pages, frames, mms, page_size, swap = self._shape
        buffer, starts = self.segment.buffer, self._starts

        def part(index: int, dtype: Any, count: int) -> NDArray[Any]:
            return np.frombuffer(buffer, dtype, count, starts[index])

        def rows(index: int, count: int) -> NDArray[Any]:
            return part(index, np.int64, count * page_size // 8).reshape(count, page_size // 8)

        words = rows(_FRAMES, frames)
        return HostArrays(
            ctl=part(0, np.int64, CTL_WORDS),
            mms=part(1, mm_dtype, mms),
            owners=part(2, np.int32, pages // BLOCK + 1),
            pte=part(3, np.int64, pages),
            slots=part(4, slot_dtype, pages),
            hints=part(5, np.int64, mms * HINT_RING).reshape(mms, HINT_RING),
            frames=part(6, np.int64, frames),
            words=words,
            bytes=words.view(np.uint8),
            swap=rows(_SWAP, pages if swap else 0),
            areas=part(_AREAS, area_dtype, mms * AREAS).reshape(mms, AREAS),
            pool=part(_POOL, np.int64, POOL),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Host, (self.segment, *self._shape)

    def add(self, pages: int, name: str = "", node: int = 0, mapped: bool = True, domain: int = 0) -> Memory:
        """A new address space of that many pages, all of it one mergeable mapping, nothing touched.

        domain: whom it trusts; policies that know of domains share within one only.
        """
        mm = claim_mm(self.arrays, pages, node, mapped)
        if mm < 0:
            what = "page table entries" if mm == NO_ENTRIES else "address spaces"
            raise HostError(f"no {what} left for guest {name!r} of {pages} pages; make the host larger")
        self.arrays.mms[mm]["name"] = name.encode(errors="replace")[:48]
        self.arrays.mms[mm]["domain"] = domain
        self.arrays.areas[mm] = 0
        return Memory(self, mm)

    def memory(self, mm: int) -> Memory:
        """The face of an address space that exists."""
        return Memory(self, mm)

    def live(self) -> Iterator[Memory]:
        """Every living address space, by number."""
        for mm in np.flatnonzero(self.arrays.mms["state"] == MM_LIVE):
            yield Memory(self, int(mm))

    def frames_in_use(self) -> int:
        """Frames that hold somebody's bytes now."""
        return int(frames_in_use(self.arrays))

    @property
    def capacity(self) -> int:
        """Frames that guests' pages can have; the zero page's own is not among them."""
        return int(self.arrays.ctl[CTL_FRAMES]) - 1

    def frames_at_most(self) -> int:
        """The most frames that were in use at any moment so far; to the frame, with one node and no pool.

        A frame that nobody has had is taken only while no free one is left. With several nodes, or a pool, free
        memory lies in several places: then it is what is in use now, unless the host has been full.
        """
        ctl = self.arrays.ctl
        nodes, per_node = int(ctl[CTL_NODES]), int(ctl[CTL_PER_NODE])
        fresh = sum(int(ctl[CTL_FRESH + node]) - max(1, node * per_node) for node in range(nodes))
        return fresh if nodes == 1 and not ctl[CTL_POOL] else self.frames_in_use()

    def check(self) -> None:
        """Verify every invariant while nobody runs; raises InvariantError. See host.check."""
        load("vmdedup.host.check:check_host")(self.arrays)

    def bury(self, mm: int) -> None:
        """Empty the address space of a guest that was killed. recover() must follow."""
        if mm_state(self.arrays, mm) != MM_FREE:
            load("vmdedup.host.recover:drop_mm")(self.arrays, mm)
            set_mm_state(self.arrays, mm, MM_LIVE, MM_DEAD)

    def recover(self) -> None:
        """Count everything afresh from the page tables after a process died; nobody else may run meanwhile."""
        counts = np.zeros(len(self.arrays.frames), np.int64)
        load("vmdedup.host.recover:recount")(self.arrays, counts)
        load("vmdedup.host.recover:rebuild")(self.arrays, counts)

    def release(self, mm: int) -> None:
        """Let the record of a dead address space be used again; only when no scanner holds records of its pages."""
        set_mm_state(self.arrays, mm, MM_DEAD, MM_FREE)

    def trim(self) -> int:
        """Give memory of free and pooled frames back to the system, while nobody runs. Returns the bytes returned."""
        pooled = self.arrays.pool[self.arrays.pool != 0]
        free = np.sort(np.concatenate((np.fromiter(self._free_frames(), np.int64), pooled)))
        if not len(free) or self.page_size != 4096:
            return 0
        breaks = np.flatnonzero(np.diff(free) != 1)
        firsts = free[np.concatenate(([0], breaks + 1))]
        lasts = free[np.concatenate((breaks, [len(free) - 1]))]
        for lo, hi in zip(firsts.tolist(), lasts.tolist(), strict=True):
            self.segment.punch(self._starts[_FRAMES] + lo * self.page_size, (hi + 1 - lo) * self.page_size)
        return len(free) * self.page_size

    def _free_frames(self) -> Iterator[int]:
        for node in range(int(self.arrays.ctl[CTL_NODES])):
            pfn = int(self.arrays.ctl[CTL_HEADS + node]) & COUNT_MASK
            while pfn:
                yield pfn
                pfn = int(self.arrays.frames[pfn]) >> NODE_SHIFT

    def allocated(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pages with content of their own, and zero pages placed by KSM, by address space: two int64[mms]."""
        pages, zero = np.zeros(len(self.arrays.mms), np.int64), np.zeros(len(self.arrays.mms), np.int64)
        census.allocated_pages(self.arrays, pages, zero)
        return pages, zero

    def sharing(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Who shares with whom (int64[mms, mms]) and pages saved as zero, within, between (int64[mms, 3]).

        See host.census.share_matrix; zero pages placed by KSM are not in it.
        """
        pairs = np.zeros(census.count_mappings(self.arrays), np.int64)
        pairs = np.sort(pairs[: census.list_mappings(self.arrays, pairs)])
        mms = len(self.arrays.mms)
        matrix, split = np.zeros((mms, mms), np.int64), np.zeros((mms, 3), np.int64)
        census.share_matrix(self.arrays, pairs, matrix, split)
        return matrix, split

    def distinct(self) -> int:
        """Different contents of pages, by XXH64 of each: what exact sharing could come down to."""
        return len(np.unique(self.contents()))

    def contents(self) -> NDArray[np.int64]:
        """XXH64 of each frame that is mapped and of each page that is kept in another form, int64[n]."""
        mapped = np.zeros(len(self.arrays.frames), np.uint8)
        hashes = np.zeros(len(mapped) + len(self.arrays.pte), np.int64)
        return hashes[: census.hash_contents(self.arrays, mapped, hashes)]

    def kinds(self) -> NDArray[np.int64]:
        """Pages kept in another form, int64[mms, 8]: of each address space by kind (host.layout)."""
        kinds = np.zeros((len(self.arrays.mms), 8), np.int64)
        census.count_kinds(self.arrays, kinds)
        return kinds

    def close(self) -> None:
        """Let go of the memory; it is gone when every process has let go."""
        self.segment.close()


class Memory:
    """One guest's memory. Everything but reading figures is for the one process that owns it."""

    def __init__(self, host: Host, mm: int) -> None:
        self.host = host
        self.mm = mm
        self._h = host.arrays
        self.page_size = host.page_size

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
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < self.pages:
            raise HostError(f"{self.name!r} has pages 0 to {self.pages - 1}, not {numbers.min()} to {numbers.max()}")
        return numbers

    def _all(self, pages: NDArray[np.int64], run: Callable[[int], int]) -> None:
        """Do something with all pages. run: does it from the k-th page on, and says how many it did.

        It stops at a page that is kept in another form; that one is rebuilt, and it goes on.
        """
        done = run(0) if len(pages) else 0
        while done < len(pages):
            self._make_accessible(int(pages[done]))
            done += run(done)

    def _make_accessible(self, page: int) -> None:
        """Rebuild a page that is kept in another form, or say why it cannot be had."""
        entry = int(self.entries[page])
        if not entry & MAPPED:
            raise HostError(f"page {page} of {self.name!r} is not mapped")
        if not kind_of(entry) or not load("vmdedup.host.rebuild:rebuild_page")(self._h, self.mm, page):
            raise self._exhausted()

    def _exhausted(self) -> HostError:
        used = self.host.frames_in_use()
        return HostError(
            f"host memory is exhausted ({used} frames in use); give the host more memory, or run fewer guests"
        )

    def write_pages(self, pages: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store whole pages. pages: (n,), data: (n, page_size) of any dtype with that many bytes a row."""
        numbers = self._numbers(pages)
        rows = np.ascontiguousarray(data).view(np.uint8).reshape(len(numbers), self.page_size).view(np.int64)
        self._all(numbers, lambda k: access.store_pages(self._h, self.mm, numbers[k:], rows[k:]))

    def write_bytes(self, pages: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store a run of bytes into each of n pages: places (n,) is the first byte, data (n, length)."""
        numbers, places = self._numbers(pages), np.ascontiguousarray(places, np.int64)
        runs = np.ascontiguousarray(data, np.uint8)
        if len(places) and not (int(places.min()) >= 0 and int(places.max()) + runs.shape[1] <= self.page_size):
            raise HostError(f"a store of {runs.shape[1]} bytes does not fit into a page of {self.page_size}")
        self._all(numbers, lambda k: access.store_bytes(self._h, self.mm, numbers[k:], places[k:], runs[k:]))

    def write(self, page: int, data: bytes, offset: int = 0) -> None:
        """Store bytes into one page."""
        run = np.frombuffer(data, np.uint8).reshape(1, -1)
        self.write_bytes(np.array([page]), np.array([offset]), run)

    def read_pages(self, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Load whole pages: (n, page_size)."""
        numbers = self._numbers(pages)
        rows = np.empty((len(numbers), self.page_size // 8), np.int64)
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
        for page in np.flatnonzero(load("vmdedup.host.rebuild:kind_of_all")(self.entries)).tolist():
            self._make_accessible(page)
        record = self._h.mms[self.mm]
        child = self.host.add(self.pages, name, int(record["node"]), mapped=False, domain=int(record["domain"]))
        access.fork_mm(self._h, self.mm, child.mm)
        return child

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
