"""Putting pages together to a huge one: MADV_COLLAPSE, and what khugepaged looks for. Kernels only.

The pages are taken away from under their guest one by one, each as a scanner does it (host.share): into a frame of the
new huge page, which they have at the end. If one of them cannot be had, those before it stay pages, in new frames.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import kind_of
from vmdedup.host.folio import is_together
from vmdedup.host.frames import NO_FRAME, alloc_frame, frame_count, get_frame, put_frame, room
from vmdedup.host.huge import MAPPING, break_up, has_table, is_one_mapping, new_folio, split_at
from vmdedup.host.layout import (
    ACCESSED,
    CTL_RULES,
    CTL_THP,
    CTL_THP_COLLAPSE_ALLOC,
    DIRTY,
    FRAME_MASK,
    FRAME_SHIFT,
    HUGE,
    MAPPED,
    MM_LIVE,
    NOHUGE,
    PIN,
    PRESENT,
    SOFT,
    TABLE,
    VMA_BITS,
    WHOLE,
    WRITABLE,
    ZERO,
)
from vmdedup.host.thp import COLLAPSE_READONLY, HUGE_PAGES, LESS_IS_NOTHING, THP_ALWAYS, THP_MADVISE
from vmdedup.jit.atomic import cas, fetch_add, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import clear_page, copy_page

TRIES = 100  # to take a page that its guest goes on storing to
KEPT = ACCESSED | DIRTY | SOFT


@kernel
def advise_huge(h: Any, mm: int, lo: int, hi: int, bits: int) -> None:
    """madvise about huge pages of lo to hi. bits: HUGE or NOHUGE. Source: mm/khugepaged.c:hugepage_madvise."""
    first = h.mms[mm]["first"]
    for entry in range(first + lo, first + hi + 1):
        while True:
            old = load(h.pte, entry)
            if not old & MAPPED or cas(h.pte, entry, old, (old & ~(HUGE | NOHUGE)) | bits):
                break
    split_at(h, mm, lo)
    split_at(h, mm, hi + 1)


@kernel
def collapse_range(h: Any, mm: int, lo: int, hi: int) -> bool:
    """MADV_COLLAPSE, mapping by mapping. False: one refuses; those behind it are not tried.

    Source: mm/khugepaged.c:madvise_collapse.
    """
    start = lo
    while start <= hi:
        first, end = _mapping_at(h, mm, start)
        if not _collapse_in(h, mm, first, end, start, min(hi + 1, end)):
            return False
        start = end
    return True


@kernel
def _mapping_at(h: Any, mm: int, page: int) -> tuple[int, int]:
    """The mapping that a page lies in: its first page, and the first behind it."""
    base = h.mms[mm]["first"]
    bits = load(h.pte, base + page) & MAPPING
    first = page
    while first > 0 and load(h.pte, base + first - 1) & MAPPING == bits:
        first -= 1
    end = page + 1
    while end < h.mms[mm]["pages"] and load(h.pte, base + end) & MAPPING == bits:
        end += 1
    return first, end


@kernel
def _collapse_in(h: Any, mm: int, first: int, end: int, start: int, stop: int) -> bool:
    """Of the mapping first to end, what lies in whole two megabytes between start and stop."""
    base = h.mms[mm]["first"]
    if not has_stored(h, mm) or load(h.pte, base + first) & NOHUGE:
        return False
    if (end - HUGE_PAGES) // HUGE_PAGES * HUGE_PAGES < first:
        return False
    chunk = (start + HUGE_PAGES - 1) // HUGE_PAGES
    done = chunk <= stop // HUGE_PAGES or h.ctl[CTL_RULES] & LESS_IS_NOTHING != 0
    while chunk < stop // HUGE_PAGES:
        done &= _collapse(h, mm, base + chunk * HUGE_PAGES)
        chunk += 1
    return done


@kernel
def has_stored(h: Any, mm: int) -> bool:
    """Whether an address space, or the one that it was forked from, ever stored anything, or may have (anon_vma)."""
    return h.mms[mm]["faults"] != 0 or h.mms[mm]["heir"] != 0


@kernel
def _collapse(h: Any, mm: int, top: int) -> bool:
    old = load(h.pte, top)
    if old & WHOLE:
        return True
    return has_table(h, mm, top) and _is_stored_to(h, top) and put_together(h, mm, top)


@kernel
def _is_stored_to(h: Any, top: int) -> bool:
    """Whether one of the pages may be stored to, if that is asked for."""
    bits = WRITABLE if h.ctl[CTL_RULES] & COLLAPSE_READONLY else 0
    for entry in range(top, top + HUGE_PAGES):
        bits |= load(h.pte, entry)
    return bits & WRITABLE != 0


@kernel
def put_together(h: Any, mm: int, top: int) -> bool:
    """Give two megabytes a huge page with what they hold. False: no memory, or a page cannot be had now."""
    if room(h) < HUGE_PAGES:
        return False
    folio = new_folio(h)
    for entry in range(top, top + HUGE_PAGES):
        fresh = alloc_frame(h, h.mms[mm]["node"])
        if fresh != NO_FRAME:
            h.folios[fresh] = folio
        if fresh == NO_FRAME or not _move(h, mm, entry, fresh):
            if fresh != NO_FRAME:
                h.folios[fresh] = 0
                put_frame(h, fresh)
            break_up(h, top, folio)
            return False
    if not is_together(h, top, folio):  # a scanner has split it on the way
        break_up(h, top, folio)
        return False
    fetch_add(h.ctl, CTL_THP_COLLAPSE_ALLOC, 1)
    return True


@kernel
def _move(h: Any, mm: int, entry: int, fresh: int) -> bool:
    """Let a page have another frame, with the same content, as one of a huge page.

    Its frame is held meanwhile: a store copies it then, so that the entry cannot look as before with other content,
    whatever a scanner does to it besides.
    """
    for _ in range(TRIES):
        old = load(h.pte, entry)
        if old & PIN or kind_of(old) != 0:
            return False
        pfn = (old >> FRAME_SHIFT) & FRAME_MASK if old & PRESENT else 0
        if pfn != 0 and not get_frame(h, pfn):
            continue
        moved = _move_held(h, mm, entry, old, pfn, fresh)
        put_frame(h, pfn)
        if moved:
            return True
    return False


@kernel
def _move_held(h: Any, mm: int, entry: int, old: int, pfn: int, fresh: int) -> bool:
    """One attempt. pfn: the page's frame, held; 0: none, or the zero page."""
    protected = old & ~WRITABLE
    if not cas(h.pte, entry, old, protected):
        return False
    bits = (old & VMA_BITS & ~TABLE) | PRESENT | WRITABLE | WHOLE
    if pfn != 0:
        copy_page(h.words, fresh, h.words, pfn)
        bits |= old & KEPT
    else:
        clear_page(h.words, fresh)
        bits |= SOFT
    if not cas(h.pte, entry, protected, bits | (fresh << FRAME_SHIFT)):
        return False
    if old & ZERO:
        fetch_add(h.mms["zero_pages"], mm, -1)
    put_frame(h, pfn)
    return True


@kernel
def look_for_huge(h: Any, mm: int, page: int, limits: Any) -> bool:
    """Put two megabytes together if khugepaged would. limits: int64[2], max_ptes_none and max_ptes_shared.

    Source: mm/khugepaged.c:hpage_collapse_scan_pmd.
    """
    top = h.mms[mm]["first"] + page
    if not _is_wanted(h, load(h.pte, top)) or load(h.pte, top) & WHOLE or not is_one_mapping(h, mm, top):
        return False
    if not has_table(h, mm, top) or not _is_stored_to(h, top):
        return False
    empty = 0
    shared = 0
    for entry in range(top, top + HUGE_PAGES):
        old = load(h.pte, entry)
        pfn = (old >> FRAME_SHIFT) & FRAME_MASK
        if kind_of(old) != 0:
            return False
        if not old & PRESENT or pfn == 0:
            empty += 1
        elif frame_count(h, pfn) > 1:
            shared += 1
    if empty > limits[0] or shared > limits[1]:
        return False
    return put_together(h, mm, top)


@kernel
def _is_wanted(h: Any, old: int) -> bool:
    """Whether a mapping may have huge pages."""
    if not old & MAPPED or old & NOHUGE or h.ctl[CTL_THP] < THP_MADVISE:
        return False
    return old & HUGE != 0 or h.ctl[CTL_THP] == THP_ALWAYS


@kernel
def scan_for_huge(h: Any, cursor: Any, pages: int, limits: Any) -> int:
    """One wake of khugepaged: look at so many pages, from where the last one ended.

    cursor: int64[2], address space and page, moved on. Returns how many huge pages were made.
    """
    made = 0
    left = pages
    mm = cursor[0]
    page = cursor[1]
    passed = 0
    while left > 0 and passed <= len(h.mms):
        if mm >= len(h.mms):
            mm = 1
        if load(h.mms["state"], mm) != MM_LIVE or page + HUGE_PAGES > h.mms[mm]["pages"]:
            mm += 1
            page = 0
            passed += 1
            continue
        if look_for_huge(h, mm, page, limits):
            made += 1
        left -= HUGE_PAGES
        page += HUGE_PAGES
    cursor[0] = mm
    cursor[1] = page
    return made
