"""Verification of a whole host: every invariant of frames, page tables and free lists.

To be called while nobody runs. What it holds against each other is counted independently: the entries are walked once,
the frame words once, the free lists once.
"""

from __future__ import annotations

import numpy as np

from vmdedup.errors import InvariantError
from vmdedup.host.layout import (
    COMPRESSED,
    COUNT_MASK,
    CTL_FREE,
    CTL_FRESH,
    CTL_HEADS,
    CTL_NODES,
    CTL_PER_NODE,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    KIND_MASK,
    KIND_SHIFT,
    MAPPED,
    MM_LIVE,
    NODE_SHIFT,
    PATCHED,
    PIN,
    PRESENT,
    SOFT,
    TABLE,
    WHOLE,
    WRITABLE,
    ZERO,
    HostArrays,
)
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.late import load


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(f"host memory is inconsistent: {message}")


def check_host(h: HostArrays) -> None:
    """Raise InvariantError, naming the first thing that is wrong, unless all of this holds:

    - each frame's count equals the entries that map or guard it, the slots that use it, its places in the pool, and
      the swap device's;
    - the free list holds every frame without mapping, once, and no other;
    - a writable entry's frame is mapped once and is not a KSM frame; a guarded one's is marked as one;
    - no entry is pinned; entries of dead address spaces are empty;
    - ksm_zero_pages equals the entries marked so, and those map the zero page; the zero page is all zeros;
    - what host.swap_check says of the swap device;
    - two megabytes are mapped as a whole, or not, by all their entries, which map one huge page or the huge zero page.
    """
    mapped = np.zeros(len(h.frames), np.int64)
    writable = np.zeros(len(h.frames), np.bool_)
    for mm in range(len(h.mms)):
        _check_entries(h, mm, mapped, writable)
    _require(bool(((h.pool >= 0) & (h.pool < len(h.frames))).all()), "the pool has a frame that does not exist")
    np.add.at(mapped, h.pool[h.pool != 0], 1)
    if len(h.swaps):
        load("vmdedup.host.swap_check:check_swap")(h, mapped, _require)
    _check_counts(h, mapped, writable)
    _check_free_lists(h, mapped)
    _require(not h.words[0].any(), "the zero page is not zero")


def _check_entries(h: HostArrays, mm: int, mapped: np.ndarray, writable: np.ndarray) -> None:
    record = h.mms[mm]
    first, pages = int(record["first"]), int(record["pages"])
    entries = h.pte[first : first + pages]
    name = f"address space {mm} ({record['name'].decode()})"
    if record["state"] != MM_LIVE:
        _require(pages == 0 or not entries.any(), f"{name} is dead but maps pages")
        return
    present = (entries & PRESENT) != 0
    pfns = (entries >> FRAME_SHIFT) & FRAME_MASK
    _require(not (entries & PIN).any(), f"{name}: a pin has outlived its writer")
    _require(bool(((entries & MAPPED) != 0)[present].all()), f"{name}: a present page is not mapped")
    _require(bool((pfns[present] < len(h.frames)).all()), f"{name}: an entry maps a frame that does not exist")
    marked = (entries & ZERO) != 0
    _require(bool((present & (pfns == 0))[marked].all()), f"{name}: a placed zero page maps another frame")
    _require(int(marked.sum()) == int(record["zero_pages"]), f"{name}: ksm_zero_pages is wrong")
    may_write = (entries & WRITABLE) != 0
    _require(bool((present & (pfns != 0))[may_write].all()), f"{name}: the zero page is writable")
    _require(bool(((entries & (SOFT | PRESENT)) != SOFT).all()), f"{name}: an absent page is marked as written")
    _check_huge(h, entries, present, pfns, name)
    np.add.at(mapped, pfns[present], 1)
    writable[pfns[may_write]] = True
    kinds = np.where(present, 0, (entries & KIND_MASK) >> KIND_SHIFT)
    _count_slots(h.slots[first : first + pages], kinds, mapped)
    guarded = pfns[kinds == GUARDED]
    _require(bool(((guarded > 0) & (guarded < len(mapped))).all()), f"{name}: it guards a frame that does not exist")
    _require(bool((h.frames[guarded] >> NODE_SHIFT != 0).all()), f"{name}: a guarded frame is not marked as shared")
    np.add.at(mapped, guarded, 1)


def _check_huge(h: HostArrays, entries: np.ndarray, present: np.ndarray, pfns: np.ndarray, name: str) -> None:
    whole = (entries & WHOLE) != 0
    ends = len(entries) // HUGE_PAGES * HUGE_PAGES
    _require(not whole[ends:].any(), f"{name}: the rest of its pages is mapped as a whole")
    for top in np.flatnonzero(whole[:ends].reshape(-1, HUGE_PAGES).any(axis=1)) * HUGE_PAGES:
        here = slice(top, top + HUGE_PAGES)
        _require(bool((whole & present)[here].all()), f"{name}: part of two megabytes is mapped as a whole ({top})")
        folios = set(h.folios[pfns[here]].tolist())
        one = len(folios) == 1 and (folios == {0}) == (not pfns[here].any())
        _require(one, f"{name}: two megabytes are mapped as a whole, but are no huge page ({top})")
    mapped = pfns[present & (pfns != 0)]
    merged = mapped[h.frames[mapped] >> NODE_SHIFT != 0]
    _require(not h.folios[merged].any(), f"{name}: a KSM frame is part of a huge page")
    tables = np.flatnonzero(entries & TABLE)
    _require(not (tables % HUGE_PAGES).any(), f"{name}: a page in the midst has a page table")


def _count_slots(slots: np.ndarray, kinds: np.ndarray, mapped: np.ndarray) -> None:
    kept, patched = slots[(kinds == PATCHED) | (kinds == COMPRESSED)], slots[kinds == PATCHED]
    for frames in (kept["frame"], patched["reference"]):
        _require(bool(((frames > 0) & (frames < len(mapped))).all()), "a slot names a frame that does not exist")
        np.add.at(mapped, frames, 1)


def _check_counts(h: HostArrays, mapped: np.ndarray, writable: np.ndarray) -> None:
    counts = h.frames & COUNT_MASK
    wrong = np.flatnonzero(counts[1:] != mapped[1:]) + 1
    if len(wrong):
        pfn = int(wrong[0])
        n = len(wrong)
        _require(False, f"frame {pfn} counts {counts[pfn]}, {mapped[pfn]} entries and slots use it ({n} such frames)")
    _require(bool((mapped[writable] == 1).all()), "a frame is writable and shared")
    _require(not (h.frames[writable] >> NODE_SHIFT).any(), "a KSM frame is writable")


def _check_free_lists(h: HostArrays, mapped: np.ndarray) -> None:
    for node in range(int(h.ctl[CTL_NODES])):
        first = max(1, node * int(h.ctl[CTL_PER_NODE]))
        fresh = int(h.ctl[CTL_FRESH + node])
        listed = np.zeros(len(h.frames), np.bool_)
        pfn = int(h.ctl[CTL_HEADS + node]) & COUNT_MASK
        while pfn:
            _require(first <= pfn < fresh, f"the free list of node {node} leads to frame {pfn}")
            _require(not listed[pfn], f"frame {pfn} is on the free list twice")
            listed[pfn] = True
            pfn = int(h.frames[pfn]) >> NODE_SHIFT
        idle = np.flatnonzero(mapped[first:fresh] == 0) + first
        _require(int(listed.sum()) == int(h.ctl[CTL_FREE + node]), f"the free list of node {node} has another length")
        _require(bool((mapped[listed] == 0).all()), "a free frame is mapped")
        _require(bool(listed[idle].all()), "a frame that nobody maps is on no free list")
        _require(not mapped[fresh : (node + 1) * int(h.ctl[CTL_PER_NODE])].any(), "a frame beyond the pool is mapped")
