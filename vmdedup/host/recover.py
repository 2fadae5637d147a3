"""Making a host consistent again after one of its processes was killed at any instruction. Kernels only.

Page table entries are the truth; everything else can be counted from them. A dead process leaves at most: pins, a count
that is one too high, a frame that is on no list. So recovery drops what the dead address space maps and counts afresh;
host.swap_recover does so for the swap device.
Nobody else may run meanwhile: the caller has every guest and scanner stand between two operations.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import frame_behind, kind_of
from vmdedup.host.layout import (
    COMPRESSED,
    COUNT_MASK,
    CTL_FREE,
    CTL_FRESH,
    CTL_HEADS,
    CTL_NODES,
    CTL_PER_NODE,
    CTL_STALE,
    MM_FREE,
    MM_LIVE,
    NODE_SHIFT,
    PATCHED,
    PIN,
    PRESENT,
    WHOLE,
    ZERO,
)
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.jit.kernel import kernel


@kernel
def drop_mm(h: Any, mm: int) -> None:
    """Empty a dead address space's page table, without touching the counts."""
    first = h.mms[mm]["first"]
    for entry in range(first, first + h.mms[mm]["pages"]):
        h.pte[entry] = 0


@kernel
def recount(h: Any, counts: Any) -> None:
    """Count anew what maps every frame, keeps content in it, refers to it, or has set it aside.

    counts: int64[frames], zeroed.
    """
    for mm in range(len(h.mms)):
        zero_pages = 0
        if h.mms[mm]["state"] != MM_FREE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                e = h.pte[entry] & ~PIN
                h.pte[entry] = e
                if e & ZERO:
                    zero_pages += 1
                pfn = frame_behind(e)
                if pfn != 0:
                    counts[pfn] += 1
                kind = kind_of(e)
                if kind in (PATCHED, COMPRESSED):
                    counts[h.slots[entry]["frame"]] += 1
                if kind == PATCHED:
                    counts[h.slots[entry]["reference"]] += 1
        h.mms[mm]["zero_pages"] = zero_pages if h.mms[mm]["state"] == MM_LIVE else 0
    for place in range(len(h.pool)):
        if h.pool[place] != 0:
            counts[h.pool[place]] += 1


@kernel
def rebuild(h: Any, counts: Any) -> None:
    """Write the counts into the frame words and make the free lists of all that nobody maps."""
    for node in range(h.ctl[CTL_NODES]):
        first = max(1, node * h.ctl[CTL_PER_NODE])
        head = 0
        free = 0
        for pfn in range(h.ctl[CTL_FRESH + node] - 1, first - 1, -1):
            if counts[pfn] == 0:
                if h.frames[pfn] & COUNT_MASK and h.frames[pfn] >> NODE_SHIFT:
                    h.ctl[CTL_STALE] += 1
                h.frames[pfn] = head << NODE_SHIFT
                head = pfn
                free += 1
            else:
                node_bits = h.frames[pfn] & ~COUNT_MASK if h.frames[pfn] & COUNT_MASK else 0
                h.frames[pfn] = node_bits | counts[pfn]
        h.ctl[CTL_HEADS + node] = head
        h.ctl[CTL_FREE + node] = free


@kernel
def mend_huge(h: Any, counts: Any) -> None:
    """Have two megabytes mapped as a whole only where all of them are one huge page, or the huge zero page, still."""
    for pfn in range(len(h.folios)):
        if counts[pfn] == 0:
            h.folios[pfn] = 0
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for page in range(0, h.mms[mm]["pages"], HUGE_PAGES):
                end = min(page + HUGE_PAGES, h.mms[mm]["pages"])
                if not _is_whole(h, first + page, first + end):
                    for entry in range(first + page, first + end):
                        h.pte[entry] &= ~WHOLE


@kernel
def _is_whole(h: Any, top: int, end: int) -> bool:
    if end - top < HUGE_PAGES:
        return False
    whole = True
    pfn = frame_behind(h.pte[top])
    folio = h.folios[pfn]
    for entry in range(top, end):
        pte = h.pte[entry]
        same = h.folios[frame_behind(pte)] == folio and (frame_behind(pte) == 0) == (pfn == 0)
        if not (pte & WHOLE and pte & PRESENT and same):
            whole = False
    return whole and (folio != 0) == (pfn != 0)
