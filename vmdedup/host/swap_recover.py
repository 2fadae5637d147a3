"""Making a host's swap device consistent again after one of its processes was killed at any instruction. Kernels only.

Entries say who refers to which record, and records where their content is. What nobody names is free; cells of the pool
are counted from the records, and so are the frames in caches.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import kind_of, named_by
from vmdedup.host.layout import (
    CACHED_SHIFT,
    CTL_SWAP_FRAMES,
    CTL_SWAP_FREE,
    CTL_SWAP_FRESH,
    CTL_SWAP_HEAD,
    MM_LIVE,
    PACKED,
    SWAPPED,
)
from vmdedup.jit.kernel import kernel


@kernel
def recount_swap(h: Any, counts: Any) -> None:
    """Count entries of each record, and in counts, int64[frames], the frames that the swap device has."""
    fresh = h.ctl[CTL_SWAP_FRESH]
    for record in range(fresh):
        h.swaps[record]["count"] = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                if kind_of(h.pte[entry]) == SWAPPED:
                    h.swaps[named_by(h.pte[entry])]["count"] += 1
    for pfn in range(len(h.kept)):
        h.kept[pfn] = 0
    _free_unnamed(h, fresh)
    for record in range(1, fresh):
        s = h.swaps[record]
        if s["frame"] != 0:
            counts[s["frame"]] += 1
            h.kept[s["frame"]] = record << CACHED_SHIFT
    _count_cells(h, counts, fresh)


@kernel
def _free_unnamed(h: Any, fresh: int) -> None:
    """Make the free list of all records that no entry names."""
    head = 0
    free = 0
    for record in range(fresh - 1, 0, -1):
        if h.swaps[record]["count"] == 0:
            h.swaps[record]["frame"] = 0
            h.swaps[record]["link"] = head
            head = record
            free += 1
    h.ctl[CTL_SWAP_HEAD] = head
    h.ctl[CTL_SWAP_FREE] = free


@kernel
def _count_cells(h: Any, counts: Any, fresh: int) -> None:
    for record in range(1, fresh):
        s = h.swaps[record]
        if s["count"] != 0 and s["place"] == PACKED:
            h.kept[s["at0"]] |= s["cells0"]
            if s["cells1"] != 0:
                h.kept[s["at1"]] |= s["cells1"]
    frames = 0
    for pfn in range(len(h.kept)):
        if h.kept[pfn] != 0 and h.kept[pfn] >> CACHED_SHIFT == 0:
            counts[pfn] += 1
            frames += 1
    h.ctl[CTL_SWAP_FRAMES] = frames
