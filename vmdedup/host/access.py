"""Operations of a guest on many pages at once. Kernels only.

`first` is the address space's first page table entry; pages are counted from there. Every function gives how
many pages it finished; less than asked means that the next one could not be had (whether it is absent, or not mapped,
or memory is exhausted is then found by looking).
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.fault import (
    drop_page,
    fork_entry,
    pin_for_read,
    pin_for_write,
    set_mergeable,
    unpin,
    unshare,
)
from vmdedup.host.huge import leave_huge, split_at, split_pmd, top_of
from vmdedup.host.layout import CTL_FORKS, CTL_THP, MERGEABLE, VMA_BITS
from vmdedup.host.thp import HUGE_PAGES, THP_OFF
from vmdedup.jit.atomic import fetch_add, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import copy_page


@kernel
def are_below(numbers: Any, bound: int) -> bool:
    """Whether all numbers of an int64[n] are from 0 to below a bound."""
    outside = 0
    for k in range(len(numbers)):
        if numbers[k] < 0 or numbers[k] >= bound:
            outside += 1
    return outside == 0


@kernel
def store_pages(h: Any, mm: int, pages: Any, data: Any) -> int:
    """Store whole pages. pages: int64[n]; data: int64[n, words]. Returns how many were stored."""
    first = h.mms[mm]["first"]
    for k in range(len(pages)):
        entry = first + pages[k]
        pfn = pin_for_write(h, mm, entry, True)
        if pfn < 0:
            return k
        copy_page(h.words, pfn, data, k)
        unpin(h, entry)
    fetch_add(h.mms["stores"], mm, len(pages))
    return len(pages)


@kernel
def store_bytes(h: Any, mm: int, pages: Any, places: Any, data: Any) -> int:
    """Store a run of bytes into each page. places: int64[n], first byte; data: uint8[n, length]. Returns how many."""
    first = h.mms[mm]["first"]
    for k in range(len(pages)):
        entry = first + pages[k]
        pfn = pin_for_write(h, mm, entry, False)
        if pfn < 0:
            return k
        for b in range(data.shape[1]):
            h.bytes[pfn, places[k] + b] = data[k, b]
        unpin(h, entry)
    fetch_add(h.mms["stores"], mm, len(pages))
    return len(pages)


@kernel
def alter_pages(h: Any, mm: int, pages: Any, changes: Any) -> int:
    """Store into pages that stand for contents: each becomes another, by what it was and by what is stored.

    changes: int64[n], a hash of what is stored and where. Returns how many were altered.
    """
    first = h.mms[mm]["first"]
    for k in range(len(pages)):
        entry = first + pages[k]
        pfn = pin_for_write(h, mm, entry, False)
        if pfn < 0:
            return k
        was = h.words[pfn, 0]
        h.words[pfn, 0] = ((was << 1) | ((was >> 63) & 1)) ^ changes[k]
        unpin(h, entry)
    fetch_add(h.mms["stores"], mm, len(pages))
    return len(pages)


@kernel
def load_pages(h: Any, mm: int, pages: Any, data: Any) -> int:
    """Load whole pages into data, int64[n, words]. Returns how many were loaded."""
    first = h.mms[mm]["first"]
    for k in range(len(pages)):
        entry = first + pages[k]
        pfn = pin_for_read(h, mm, entry)
        if pfn < 0:
            return k
        copy_page(data, k, h.words, pfn)
        unpin(h, entry)
    return len(pages)


@kernel
def touch_pages(h: Any, mm: int, pages: Any) -> int:
    """Load one byte of each page. Returns how many were touched."""
    first = h.mms[mm]["first"]
    for k in range(len(pages)):
        if pin_for_read(h, mm, first + pages[k]) < 0:
            return k
        unpin(h, first + pages[k])
    return len(pages)


@kernel
def discard_pages(h: Any, mm: int, pages: Any) -> None:
    """MADV_DONTNEED: the pages read as zeros again."""
    first = h.mms[mm]["first"]
    if h.ctl[CTL_THP] == THP_OFF:
        for k in range(len(pages)):
            drop_page(h, mm, first + pages[k], VMA_BITS)
        return
    k = 0
    while k < len(pages):
        whole = _is_whole(pages, k)
        leave_huge(h, mm, first + pages[k], whole)
        for each in range(k, k + HUGE_PAGES if whole else k + 1):
            drop_page(h, mm, first + pages[each], VMA_BITS)
        k += HUGE_PAGES if whole else 1


@kernel
def _is_whole(pages: Any, k: int) -> bool:
    """Whether what follows in a list of pages, from the k-th on, are two megabytes that can be one huge page."""
    if pages[k] % HUGE_PAGES != 0 or k + HUGE_PAGES > len(pages):
        return False
    in_a_row = 1
    while in_a_row < HUGE_PAGES and pages[k + in_a_row] == pages[k] + in_a_row:
        in_a_row += 1
    return in_a_row == HUGE_PAGES


@kernel
def unmap_range(h: Any, mm: int, lo: int, hi: int) -> None:
    """munmap of the pages lo to hi, both included."""
    first = h.mms[mm]["first"]
    if lo % HUGE_PAGES != 0:
        split_pmd(h, top_of(h, mm, first + lo))
    if (hi + 1) % HUGE_PAGES != 0:
        split_pmd(h, top_of(h, mm, first + hi))
    for page in range(lo, hi + 1):
        drop_page(h, mm, first + page, 0)


@kernel
def advise_range(h: Any, mm: int, lo: int, hi: int, mergeable: bool) -> int:
    """madvise(MADV_MERGEABLE or MADV_UNMERGEABLE) of lo to hi. Returns pages done; less if memory ran out.

    Source: mm/ksm.c:ksm_madvise.
    """
    first = h.mms[mm]["first"]
    for page in range(lo, hi + 1):
        entry = first + page
        # What is not mergeable now is left alone, even if it maps a KSM frame, as a fork's sharer can.
        if not mergeable and load(h.pte, entry) & MERGEABLE and unshare(h, mm, entry) != 0:
            return page - lo
        set_mergeable(h, entry, mergeable)
    split_at(h, mm, lo)
    split_at(h, mm, hi + 1)
    return hi + 1 - lo


@kernel
def fork_mm(h: Any, mm: int, child: int) -> None:
    """Share every page of mm with child, copy-on-write. Source: kernel/fork.c:dup_mmap."""
    fetch_add(h.ctl, CTL_FORKS, 1)
    h.mms[child]["heir"] = 1 if h.mms[mm]["faults"] != 0 or h.mms[mm]["heir"] != 0 else 0
    if h.mms[child]["heir"]:
        h.mms[child]["kin"] = h.mms[mm]["kin"]
    for page in range(h.mms[mm]["pages"]):
        fork_entry(h, mm, h.mms[mm]["first"] + page, child, h.mms[child]["first"] + page)
