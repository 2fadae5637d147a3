"""What a guest does with its memory: fault in, store, load, discard, fork. Kernels only.

Every function here is called by the one process that owns the address space. An entry is changed by
compare-and-swap; the owner pins it first when it needs more than one step, and nobody else changes a pinned
entry. So a scanner can take a page away from under a guest only between two operations, and a guest can never
store into a frame that has become somebody else's.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import drop_kept, kind_of
from vmdedup.host.folio import folio_of
from vmdedup.host.frames import NO_FRAME, alloc_frame, put_frame
from vmdedup.host.huge import huge_fault, may_bring_huge, may_store_in_place
from vmdedup.host.layout import (
    ACCESSED,
    CTL_RULES,
    DIRTY,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    MAPPED,
    MERGEABLE,
    NODE_SHIFT,
    PIN,
    PRESENT,
    SOFT,
    SWAPPED,
    VMA_BITS,
    WRITABLE,
    ZERO,
)
from vmdedup.host.thp import UNSHARED_READONLY
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import clear_page, copy_page

FAULT_SEGV = -2
FAULT_OOM = NO_FRAME
FAULT_ABSENT = -3  # the content is kept in another form; see host.rebuild
WRITTEN = PRESENT | WRITABLE | ACCESSED | DIRTY | SOFT


@kernel
def pin(h: Any, entry: int, bits: int) -> int:
    """Pin an entry and set bits in it. Returns the entry as it was before."""
    while True:
        old = load(h.pte, entry)
        if cas(h.pte, entry, old, old | PIN | bits):
            return old


@kernel
def unpin(h: Any, entry: int) -> None:
    """End a pin; the entry may be changed by scanners again."""
    while True:
        old = load(h.pte, entry)
        if cas(h.pte, entry, old, old & ~PIN):
            return


@kernel
def pin_for_write(h: Any, mm: int, entry: int, whole: bool) -> int:
    """Pin an entry whose page the owner may store into; the caller stores and unpins.

    whole: every byte will be stored, so that the old content need not be kept; a guarded page is copied all the same,
    and a swapped one is brought in, as its guest's fault cannot tell. Returns the frame, or FAULT_SEGV, FAULT_OOM or
    FAULT_ABSENT with nothing pinned.
    Source: mm/memory.c:handle_mm_fault.
    """
    old = load(h.pte, entry)
    if old & WRITABLE and cas(h.pte, entry, old, old | PIN | ACCESSED | DIRTY | SOFT):
        pfn = (old >> FRAME_SHIFT) & FRAME_MASK
        h.news[pfn] = 1
        return pfn
    if may_bring_huge(h, old):
        huge_fault(h, mm, entry, True)
    old = pin(h, entry, 0)
    if not old & MAPPED:
        unpin(h, entry)
        return FAULT_SEGV
    if kind_of(old) in (GUARDED, SWAPPED) or (kind_of(old) != 0 and not whole):
        unpin(h, entry)
        return FAULT_ABSENT
    pfn = (old >> FRAME_SHIFT) & FRAME_MASK
    if old & PRESENT and pfn != 0:
        if old & WRITABLE:
            is_own = True
        elif folio_of(h, pfn) != 0:
            is_own = may_store_in_place(h, mm, entry, pfn)
            old = load(h.pte, entry)
        else:
            is_own = load(h.frames, pfn) == 1
        if is_own:
            store(h.pte, entry, old | PIN | WRITTEN)
            h.news[pfn] = 1
            return pfn
    fresh = alloc_frame(h, h.mms[mm]["node"])
    if fresh == NO_FRAME:
        unpin(h, entry)
        return FAULT_OOM
    if not whole:
        if old & PRESENT and pfn != 0:
            copy_page(h.words, fresh, h.words, pfn)
        else:
            clear_page(h.words, fresh)
    store(h.pte, entry, (old & VMA_BITS) | PIN | WRITTEN | (fresh << FRAME_SHIFT))
    drop_kept(h, entry, old)
    _leave_frame(h, mm, old)
    return fresh


@kernel
def _leave_frame(h: Any, mm: int, old: int) -> None:
    """Account for the frame that a write fault replaced, and drop it."""
    pfn = (old >> FRAME_SHIFT) & FRAME_MASK
    if old & ZERO:
        fetch_add(h.mms["zero_pages"], mm, -1)
        fetch_add(h.mms["zero_cow"], mm, 1)
    if not old & PRESENT or pfn == 0:
        fetch_add(h.mms["faults"], mm, 1)
        return
    if load(h.frames, pfn) >> NODE_SHIFT != 0:
        fetch_add(h.mms["cow_ksm"], mm, 1)
    else:
        fetch_add(h.mms["cow_fork"], mm, 1)
    put_frame(h, pfn)


@kernel
def pin_for_read(h: Any, mm: int, entry: int) -> int:
    """Pin an entry for reading; an untouched page becomes the zero page.

    Returns the frame, or FAULT_SEGV or FAULT_ABSENT with nothing pinned.
    """
    if may_bring_huge(h, load(h.pte, entry)):
        huge_fault(h, mm, entry, False)
    old = pin(h, entry, ACCESSED)
    if not old & MAPPED or kind_of(old) != 0:
        while True:
            now = load(h.pte, entry)
            if cas(h.pte, entry, now, now & ~(PIN | ACCESSED)):
                return FAULT_ABSENT if old & MAPPED else FAULT_SEGV
    if not old & PRESENT:
        store(h.pte, entry, (old & VMA_BITS) | PRESENT | ACCESSED | PIN)
        return 0
    return (old >> FRAME_SHIFT) & FRAME_MASK


@kernel
def drop_page(h: Any, mm: int, entry: int, kept_bits: int) -> None:
    """Make a page not present; kept_bits of the entry stay. Source: mm/memory.c:zap_pte_range."""
    while True:
        old = load(h.pte, entry)
        if cas(h.pte, entry, old, old & kept_bits):
            break
    if old & ZERO:
        fetch_add(h.mms["zero_pages"], mm, -1)
    if old & PRESENT:
        put_frame(h, (old >> FRAME_SHIFT) & FRAME_MASK)
    drop_kept(h, entry, old)


@kernel
def unshare_page(h: Any, mm: int, entry: int) -> int:
    """Give a page that KSM merged (or replaced by the zero page) a private copy. Returns 0, or FAULT_OOM.

    Source: mm/ksm.c:break_ksm.
    """
    old = load(h.pte, entry)
    pfn = (old >> FRAME_SHIFT) & FRAME_MASK
    if not old & PRESENT:
        return 0
    if not old & ZERO and (pfn == 0 or load(h.frames, pfn) >> NODE_SHIFT == 0):
        return 0
    if old & PIN:
        return 1
    fresh = alloc_frame(h, h.mms[mm]["node"])
    if fresh == NO_FRAME:
        return FAULT_OOM
    copy_page(h.words, fresh, h.words, pfn)
    new = (old & VMA_BITS) | WRITTEN | (fresh << FRAME_SHIFT)
    if h.ctl[CTL_RULES] & UNSHARED_READONLY:
        new &= ~WRITABLE
    if not cas(h.pte, entry, old, new):
        put_frame(h, fresh)
        return 1
    if old & ZERO:
        fetch_add(h.mms["zero_pages"], mm, -1)
    else:
        fetch_add(h.mms["cow_ksm"], mm, 1)
    put_frame(h, pfn)
    return 0


@kernel
def unshare(h: Any, mm: int, entry: int) -> int:
    """unshare_page, again while its owner has the entry pinned. Returns 0, FAULT_OOM, or 1 if the pin never ended.

    The bound is there because a guest can be killed while it pins.
    """
    for _ in range(10_000_000):
        result = unshare_page(h, mm, entry)
        if result != 1:
            return result
    return 1


@kernel
def fork_entry(h: Any, mm: int, entry: int, child: int, child_entry: int) -> None:
    """Let the child's entry map what the parent's maps, copy-on-write, or name the swap record that the parent's does.

    Other absent pages have been rebuilt before. Source: mm/memory.c:copy_present_pte, copy_nonpresent_pte.
    """
    while True:
        old = load(h.pte, entry)
        if cas(h.pte, entry, old, (old & ~WRITABLE) | PIN):
            break
    old &= ~WRITABLE
    pfn = (old >> FRAME_SHIFT) & FRAME_MASK
    if old & PRESENT and pfn != 0:
        fetch_add(h.frames, pfn, 1)
    if kind_of(old) == SWAPPED:
        fetch_add(h.swaps["count"], pfn, 1)
    if old & ZERO:
        fetch_add(h.mms["zero_pages"], child, 1)
    store(h.pte, child_entry, old | SOFT if old & PRESENT else old)
    unpin(h, entry)


@kernel
def set_mergeable(h: Any, entry: int, on: bool) -> None:
    """Set or clear the mergeable flag of a mapped page."""
    while True:
        old = load(h.pte, entry)
        if not old & MAPPED:
            return
        new = old | MERGEABLE if on else old & ~MERGEABLE
        if cas(h.pte, entry, old, new):
            return
