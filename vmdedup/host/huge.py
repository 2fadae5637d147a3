"""Huge pages: two megabytes of a guest in one page, a folio, until it is split. Kernels only.

    owner     store where nothing is ─► place_huge        512 frames of zeros, mapped WHOLE
              discard, unmap, advice of a part ─► split_pmd    mapped one by one; the folio is one all the same
    scanner   wants one of its pages ─► split_folio       512 pages of their own, wherever they are mapped

A folio's frames may lie anywhere; that they are one is told by their number in folios. Whoever maps any of them does so
at the same page of its address space, since only a fork shares them. No lock is needed: to be WHOLE, and to have a
folio, are marks that decide how a fault goes on, and who reads or stores looks at its own entry only.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import frame_behind, kind_of
from vmdedup.host.folio import count_mapped, folio_of, is_together, mapped_elsewhere, may_be_shared, next_born
from vmdedup.host.frames import NO_FRAME, alloc_frame, frame_count, get_frame, put_frame, room
from vmdedup.host.layout import (
    ACCESSED,
    CTL_FOLIOS,
    CTL_RULES,
    CTL_SPLIT_ZEROS,
    CTL_THP,
    CTL_THP_FAULT_ALLOC,
    CTL_THP_FAULT_FALLBACK,
    CTL_THP_SPLIT_PAGE,
    CTL_THP_SPLIT_PAGE_FAILED,
    CTL_THP_SPLIT_PMD,
    DIRTY,
    FRAME_MASK,
    FRAME_SHIFT,
    HUGE,
    MAPPED,
    MERGEABLE,
    MM_LIVE,
    NOHUGE,
    PIN,
    PRESENT,
    SOFT,
    TABLE,
    VMA_BITS,
    WHOLE,
    WRITABLE,
)
from vmdedup.host.mm import mm_of_entry
from vmdedup.host.thp import (
    HUGE_OVER_ZERO,
    HUGE_PAGES,
    OWN_FOLIO,
    SPLIT_FREES_ZEROS,
    SPLIT_STOPS,
    TABLES_GO,
    THP_ALWAYS,
    THP_MADVISE,
)
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import clear_page, same_page

WRITTEN = PRESENT | WRITABLE | ACCESSED | DIRTY | SOFT
MAPPING = MAPPED | MERGEABLE | HUGE | NOHUGE  # what tells one mapping from the next
FRAME_BITS = FRAME_MASK << FRAME_SHIFT


@kernel
def top_of(h: Any, mm: int, entry: int) -> int:
    """The first entry of the two megabytes that an entry lies in."""
    top: int = entry - (entry - h.mms[mm]["first"]) % HUGE_PAGES
    return top


# How a huge page comes to be


@kernel
def may_bring_huge(h: Any, old: int) -> bool:
    """Whether a fault there may bring a huge page: nothing is there and it is allowed, or the huge zero page is."""
    if old & WHOLE:
        return (old >> FRAME_SHIFT) & FRAME_MASK == 0
    if old & (PRESENT | NOHUGE) or kind_of(old) != 0:
        return False
    return h.ctl[CTL_THP] == THP_ALWAYS or (h.ctl[CTL_THP] == THP_MADVISE and old & HUGE != 0)


@kernel
def huge_fault(h: Any, mm: int, entry: int, stores: bool) -> bool:
    """Put a huge page there, or for a load the huge zero page, if that can be. For the owner, after may_bring_huge."""
    top = top_of(h, mm, entry)
    if load(h.pte, entry) & WHOLE:
        if not stores:
            return False
        if not h.ctl[CTL_RULES] & HUGE_OVER_ZERO:
            split_pmd(h, top)
            return False
    elif has_table(h, mm, top) or not is_one_mapping(h, mm, top):
        return False
    if stores:
        return _place_huge(h, mm, top)
    for each in range(top, top + HUGE_PAGES):
        store(h.pte, each, (load(h.pte, each) & VMA_BITS) | PRESENT | WHOLE)
    fetch_add(h.mms["faults"], mm, 1)
    return True


@kernel
def has_table(h: Any, mm: int, top: int) -> bool:
    """Whether two megabytes, or what there is of them, are mapped page by page, be it that nothing is left there."""
    if load(h.pte, top) & TABLE:
        return True
    for entry in range(top, min(top + HUGE_PAGES, h.mms[mm]["first"] + h.mms[mm]["pages"])):
        old = load(h.pte, entry)
        if not old & WHOLE and (old & PRESENT or kind_of(old) != 0):
            return True
    return False


@kernel
def is_one_mapping(h: Any, mm: int, top: int) -> bool:
    """Whether all of two megabytes lies in one mapping."""
    if top + HUGE_PAGES > h.mms[mm]["first"] + h.mms[mm]["pages"]:
        return False
    bits = load(h.pte, top) & MAPPING
    for entry in range(top + 1, top + HUGE_PAGES):
        if load(h.pte, entry) & MAPPING != bits:
            return False
    return bits & MAPPED != 0


@kernel
def _place_huge(h: Any, mm: int, top: int) -> bool:
    """Map a huge page of zeros. Where memory ends on the way, what is there by then are pages of zeros."""
    if room(h) < HUGE_PAGES:
        fetch_add(h.ctl, CTL_THP_FAULT_FALLBACK, 1)
        return False
    folio = new_folio(h)
    for k in range(HUGE_PAGES):
        pfn = alloc_frame(h, h.mms[mm]["node"])
        if pfn == NO_FRAME:
            break_up(h, top, folio)
            fetch_add(h.ctl, CTL_THP_FAULT_FALLBACK, 1)
            return False
        clear_page(h.words, pfn)
        h.folios[pfn] = folio
        old = load(h.pte, top + k)
        is_empty = (old >> FRAME_SHIFT) & FRAME_MASK == 0 and kind_of(old) == 0
        whole = (old & VMA_BITS & ~TABLE) | WRITTEN | WHOLE | (pfn << FRAME_SHIFT)
        if not is_empty or not cas(h.pte, top + k, old, whole):  # khugepaged was faster
            h.folios[pfn] = 0
            put_frame(h, pfn)
            break_up(h, top, folio)
            return False
    if not is_together(h, top, folio):  # a scanner has split on the way what was there of it
        break_up(h, top, folio)
    fetch_add(h.ctl, CTL_THP_FAULT_ALLOC, 1)
    fetch_add(h.mms["faults"], mm, 1)
    return True


@kernel
def new_folio(h: Any) -> int:
    """A number for a huge page."""
    return fetch_add(h.ctl, CTL_FOLIOS, 1) + 1


@kernel
def break_up(h: Any, top: int, folio: int) -> None:
    """Let what has been mapped of a huge page be pages, those too that a scanner has split off meanwhile."""
    for entry in range(top, top + HUGE_PAGES):
        pfn = frame_behind(load(h.pte, entry))
        if folio_of(h, pfn) == folio:
            h.folios[pfn] = 0
        _map_alone(h, entry)


# How it is stored to


@kernel
def may_store_in_place(h: Any, mm: int, entry: int, pfn: int) -> bool:
    """Whether a store to a page of a huge one, which is not writable, needs no copy. For the owner, who has it pinned.

    What is mapped as a whole either becomes writable as a whole, or is split for it.
    """
    top = top_of(h, mm, entry)
    folio = folio_of(h, pfn)
    if load(h.pte, entry) & WHOLE:
        if _is_mapped_once(h, top):
            for each in range(top, top + HUGE_PAGES):
                _make_writable(h, each)
            return True
        split_pmd(h, top)
    if frame_count(h, pfn) != 1 or mapped_elsewhere(h, mm, top - h.mms[mm]["first"], folio):
        return False
    return h.ctl[CTL_RULES] & OWN_FOLIO != 0 or count_mapped(h, top, folio) == 1


@kernel
def _is_mapped_once(h: Any, top: int) -> bool:
    for entry in range(top, top + HUGE_PAGES):
        if load(h.frames, (load(h.pte, entry) >> FRAME_SHIFT) & FRAME_MASK) != 1:
            return False
    return True


@kernel
def _make_writable(h: Any, entry: int) -> None:
    """For the owner: only while nobody can hold the frame, to merge it, and believe that it is not stored to."""
    while True:
        old = load(h.pte, entry)
        if not old & WHOLE or old & PIN:
            return
        if cas(h.pte, entry, old, old | PIN):
            break
    is_own = load(h.frames, (old >> FRAME_SHIFT) & FRAME_MASK) == 1
    while True:
        now = load(h.pte, entry)
        if cas(h.pte, entry, now, (now | WRITABLE if is_own and now & WHOLE else now) & ~PIN):
            return


# How it ends


@kernel
def _map_alone(h: Any, entry: int) -> bool:
    """Take the mark of being mapped with others. Whether it was there."""
    while True:
        old = load(h.pte, entry)
        if not old & WHOLE:
            return False
        if cas(h.pte, entry, old, old & ~WHOLE):
            return True


@kernel
def split_pmd(h: Any, top: int) -> None:
    """Have two megabytes mapped page by page from now on. Nothing where they are already."""
    if not _map_alone(h, top):
        return
    for entry in range(top + 1, top + HUGE_PAGES):
        _map_alone(h, entry)
    fetch_add(h.ctl, CTL_THP_SPLIT_PMD, 1)


@kernel
def split_at(h: Any, mm: int, page: int) -> None:
    """Split what a mapping now ends within: before that page. Source: mm/huge_memory.c:vma_adjust_trans_huge."""
    if page % HUGE_PAGES == 0 or page >= h.mms[mm]["pages"]:
        return
    entry = h.mms[mm]["first"] + page
    if (load(h.pte, entry) ^ load(h.pte, entry - 1)) & MAPPING:
        split_pmd(h, top_of(h, mm, entry))


@kernel
def leave_huge(h: Any, mm: int, entry: int, whole: bool) -> None:
    """Before a page is discarded, or (whole) two megabytes from that page on: what becomes of their mapping."""
    top = top_of(h, mm, entry)
    if load(h.pte, top) & WHOLE:
        if not whole:
            split_pmd(h, top)
            _keep_table(h, top, True)
        return
    _keep_table(h, top, has_table(h, mm, top) and not (whole and h.ctl[CTL_RULES] & TABLES_GO))


@kernel
def _keep_table(h: Any, top: int, keep: bool) -> None:
    """Note whether two megabytes have a page table, whatever is in it."""
    while True:
        old = load(h.pte, top)
        new = old | TABLE if keep else old & ~TABLE
        if old == new or cas(h.pte, top, old, new):
            return


@kernel
def split_folio(h: Any, entry: int, pfn: int, held: int) -> bool:
    """Make pages of the huge page that a frame is part of, wherever it is mapped. True: it is none (any more).

    held: a frame that the caller holds besides; if it is of the same huge page, that cannot be split. 0: none.
    Source: mm/huge_memory.c:split_huge_page.
    """
    folio = folio_of(h, pfn)
    if folio == 0:
        return True
    mm = mm_of_entry(h, entry)
    page = top_of(h, mm, entry) - h.mms[mm]["first"]
    if folio_of(h, held) == folio or not _unmap_whole(h, mm, page, folio):
        fetch_add(h.ctl, CTL_THP_SPLIT_PAGE_FAILED, 1)
        return False
    fetch_add(h.ctl, CTL_THP_SPLIT_PAGE, 1)
    if h.ctl[CTL_RULES] & SPLIT_FREES_ZEROS:
        _on_all(h, mm, page, folio, True)
    _on_all(h, mm, page, folio, False)
    h.folios[pfn] = 0
    return True


@kernel
def _on_all(h: Any, mm: int, page: int, folio: int, zeros: bool) -> None:
    """For everybody who maps it: give back pages of zeros, or (zeros=False) let all be pages of their own."""
    if not may_be_shared(h):
        _part(h, mm, page, folio, zeros)
        return
    for other in range(1, len(h.mms)):
        if load(h.mms["state"], other) == MM_LIVE and h.mms[other]["pages"] >= page + HUGE_PAGES:
            _part(h, other, page, folio, zeros)


@kernel
def _unmap_whole(h: Any, mm: int, page: int, folio: int) -> bool:
    """Have a huge page mapped page by page everywhere. False: the walk ended at the first who mapped it whole."""
    if not may_be_shared(h):
        split_pmd(h, h.mms[mm]["first"] + page)
        return True
    born = 0
    while True:
        following = next_born(h, born, page, folio)
        if following == 0:
            return True
        born = h.mms[following]["born"]
        top = h.mms[following]["first"] + page
        if load(h.pte, top) & WHOLE:
            split_pmd(h, top)
            if h.ctl[CTL_RULES] & SPLIT_STOPS:
                return next_born(h, born, page, folio) == 0


@kernel
def _part(h: Any, mm: int, page: int, folio: int, zeros: bool) -> None:
    top = h.mms[mm]["first"] + page
    for entry in range(top, top + HUGE_PAGES):
        old = load(h.pte, entry)
        pfn = (old >> FRAME_SHIFT) & FRAME_MASK
        if old & PRESENT and folio_of(h, pfn) == folio:
            if not zeros:
                h.folios[pfn] = 0
            elif same_page(h.words, pfn, h.words, 0):
                _free_zeros(h, entry, pfn)


@kernel
def _free_zeros(h: Any, entry: int, pfn: int) -> None:
    """Map the zero page instead of a page of zeros, unless its owner, or khugepaged, is faster. The frame is held."""
    if not get_frame(h, pfn):
        return
    old = load(h.pte, entry)
    protected = old & ~(WRITABLE | DIRTY | SOFT)
    is_there = not old & PIN and old & PRESENT and (old >> FRAME_SHIFT) & FRAME_MASK == pfn
    if is_there and cas(h.pte, entry, old, protected):
        if not same_page(h.words, pfn, h.words, 0):
            cas(h.pte, entry, protected, protected | SOFT)
        elif cas(h.pte, entry, protected, protected & ~FRAME_BITS):
            fetch_add(h.ctl, CTL_SPLIT_ZEROS, 1)
            put_frame(h, pfn)
    put_frame(h, pfn)
