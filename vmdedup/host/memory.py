"""Host memory as Python code sees it: a Host, whose guests each have a Memory (host.space).

Kernels that few processes need are loaded when they are first run: what guests do, checks, recovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.host import census
from vmdedup.host.frames import frames_in_use
from vmdedup.host.layout import (
    AREAS,
    BLOCK,
    CELLS,
    COUNT_MASK,
    CTL_FRAMES,
    CTL_FRESH,
    CTL_HEADS,
    CTL_NEXT_ENTRY,
    CTL_NODES,
    CTL_PER_NODE,
    CTL_POOL,
    CTL_SWAP_FRESH,
    CTL_WORDS,
    HINT_RING,
    MAPPED,
    MAX_NODES,
    MERGEABLE,
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
    swap_dtype,
)
from vmdedup.host.mm import NO_ENTRIES, claim_mm, mm_state, set_mm_state
from vmdedup.host.segment import Segment
from vmdedup.jit.page import hash_page
from vmdedup.late import load

if TYPE_CHECKING:
    from vmdedup.host.space import Memory
    from vmdedup.host.swap_device import SwapDevice

MAX_MMS = 65535
SPARE = 16
_FRAMES, _DISK, _AREAS, _POOL, _FOLIOS, _SWAPS, _KEPT, _NEWS = range(7, 15)  # parts of the segment, see host.layout


class Host:
    """A physical machine's memory: a pool of frames and the page tables of all guests, in shared memory.

    Picklable into child processes that multiprocessing starts; every process sees the same memory.
    """

    def __init__(
        self,
        segment: Segment,
        pages: int,
        frames: int,
        mms: int,
        page_size: int,
        swaps: int,
        disk: bool,
        stands_for: int,
    ) -> None:
        self.segment = segment
        self.page_size = page_size
        self.stands_for = stands_for  # bytes of the page that a page of this host is, or stands for
        self._shape = (pages, frames, mms, page_size, swaps, disk, stands_for)
        self._starts = offsets(mms, pages, frames, page_size, swaps, disk)[0]
        self.arrays = self._map()

    @classmethod
    def create(
        cls,
        pages: int,
        frames: int | None = None,
        mms: int = 64,
        page_size: int = 4096,
        nodes: int = 1,
        swap: SwapDevice | bool = False,
        stands_for: int | None = None,
    ) -> Host:
        """A new host.

        pages: page table entries for all guests together. frames: host memory in pages (default: enough for
        all that the guests have). mms: address spaces at a time. page_size: bytes, 4096, or 8 for fingerprint
        pages. nodes: NUMA nodes. swap: what it swaps to; True: a disk as large as all guests. stands_for: bytes of the
        pages for whose contents pages stand by their fingerprints (host.fingerprints); absent: they are what they are.
        """
        stands_for = stands_for or page_size
        if not 1 <= mms < MAX_MMS or not 1 <= nodes <= MAX_NODES or page_size % 8 or pages < 1:
            raise HostError(f"a host of {pages} pages of {page_size} bytes, {mms} guests and {nodes} nodes cannot be")
        entries = pages + BLOCK * (mms + 2)
        # Whoever copies a page needs one frame more than there will be in the end.
        total = (frames if frames is not None else pages + mms + SPARE) + 1
        per_node = -(-total // nodes)
        device = load("vmdedup.host.swap_device:SwapDevice")() if swap is True else swap or None
        if device and device.has_pool and page_size % CELLS:
            raise HostError(f"pages of {page_size} bytes cannot be kept compressed; let the host swap to a disk")
        swaps, disk = (device.records(entries, stands_for), device.has_disk) if device else (0, False)
        segment = Segment(offsets(mms + 1, entries, total, page_size, swaps, disk)[1])
        host = cls(segment, entries, total, mms + 1, page_size, swaps, disk, stands_for)
        ctl = host.arrays.ctl
        ctl[CTL_FRAMES], ctl[CTL_PER_NODE], ctl[CTL_NODES] = total, per_node, nodes
        ctl[CTL_NEXT_ENTRY] = BLOCK
        for node in range(nodes):
            ctl[CTL_FRESH + node] = max(1, node * per_node)
        ctl[CTL_SWAP_FRESH] = 1
        if device and not device.off:
            load("vmdedup.host.swap:swap_on")(host, device.kind, device.pool)
        return host

    def _map(self) -> HostArrays:
        pages, frames, mms, page_size, swaps, disk, _ = self._shape
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
            swap=rows(_DISK, swaps if disk else 0),
            areas=part(_AREAS, area_dtype, mms * AREAS).reshape(mms, AREAS),
            pool=part(_POOL, np.int64, POOL),
            folios=part(_FOLIOS, np.int32, frames),
            swaps=part(_SWAPS, swap_dtype, swaps),
            kept=part(_KEPT, np.int64, frames),
            news=part(_NEWS, np.uint8, frames),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Host, (self.segment, *self._shape)

    def add(self, pages: int, name: str = "", node: int = 0, bits: int = MAPPED | MERGEABLE, domain: int = 0) -> Memory:
        """claim(), and its memory."""
        return self.memory(self.claim(pages, name, node, bits, domain))

    def claim(self, pages: int, name: str = "", node: int = 0, bits: int = MAPPED | MERGEABLE, domain: int = 0) -> int:
        """A new address space of that many pages, nothing touched. Returns its number.

        bits: of host.layout.VMA_BITS, for all of it: one mergeable mapping if nothing is said. domain: whom it trusts;
        policies that know of domains share within one only.
        """
        mm = claim_mm(self.arrays, pages, node, bits)
        if mm < 0:
            what = "page table entries" if mm == NO_ENTRIES else "address spaces"
            raise HostError(f"no {what} left for guest {name!r} of {pages} pages; make the host larger")
        self.arrays.mms[mm]["name"] = name.encode(errors="replace")[:48]
        self.arrays.mms[mm]["domain"] = domain
        self.arrays.areas[mm] = 0
        return int(mm)

    def memory(self, mm: int) -> Memory:
        """The face of an address space that exists."""
        if self.has_fingerprints:
            from vmdedup.host.fingerprints import FingerprintMemory

            return FingerprintMemory(self, mm)
        from vmdedup.host.space import Memory

        return Memory(self, mm)

    @property
    def has_fingerprints(self) -> bool:
        """Whether its pages stand for contents."""
        return self.stands_for != self.page_size

    def live(self) -> Iterator[Memory]:
        """Every living address space, by number."""
        for mm in np.flatnonzero(self.arrays.mms["state"] == MM_LIVE):
            yield self.memory(int(mm))

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
        if len(self.arrays.swaps):
            load("vmdedup.host.swap_recover:recount_swap")(self.arrays, counts)
        load("vmdedup.host.recover:rebuild")(self.arrays, counts)
        load("vmdedup.host.recover:mend_huge")(self.arrays, counts)

    def release(self, mm: int) -> None:
        """Let the record of a dead address space be used again; only when no scanner holds records of its pages."""
        set_mm_state(self.arrays, mm, MM_DEAD, MM_FREE)

    def trim(self) -> int:
        """Give memory of free and pooled frames back to the system, while nobody runs. Returns the bytes returned."""
        if self.page_size != 4096:
            return 0
        pooled = self.arrays.pool[self.arrays.pool != 0]
        free = np.sort(np.concatenate((np.fromiter(self._free_frames(), np.int64), pooled)))
        if not len(free):
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

    def contents(self, known: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """XXH64 of each frame that is mapped and of each page that is kept in another form, int64[n].

        known: int64[frames], what hashes were when this was last called, by one who alone calls it so, while nobody
        runs; only frames whose bytes may have changed are hashed again. At first all of arrays.news is to be set.
        """
        mapped = np.zeros(len(self.arrays.frames), np.uint8)
        hashes = np.zeros(len(mapped) + len(self.arrays.pte), np.int64)
        if known is None:
            return hashes[: census.hash_contents(self.arrays, mapped, hashes)]
        return hashes[: census.hash_news(self.arrays, mapped, known, hashes)]

    @property
    def zero_hash(self) -> int:
        """XXH64 of a page of zeros."""
        return int(hash_page(self.arrays.words, 0))

    def kinds(self) -> NDArray[np.int64]:
        """Pages kept in another form, int64[mms, 8]: of each address space by kind (host.layout)."""
        kinds = np.zeros((len(self.arrays.mms), 8), np.int64)
        census.count_kinds(self.arrays, kinds)
        return kinds

    def close(self) -> None:
        """Let go of the memory; it is gone when every process has let go."""
        self.segment.close()
