"""Making and ending address spaces. Kernels only.

An address space keeps its range of page table entries when it ends, and a later one of the same size or smaller may
have both. Address space 0 is never used, so that 0 can mean none.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import BLOCK, BLOCK_SHIFT, CTL_MMS, CTL_NEXT_ENTRY, MM_FREE, MM_LIVE
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel

NO_MM = -1
NO_ENTRIES = -2
CLAIMED = 3  # state of a record while it is being set up


@kernel
def _claim_used(h: Any, pages: int) -> int:
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["capacity"] >= pages and cas(h.mms["state"], mm, MM_FREE, CLAIMED):
            return mm
    return NO_MM


@kernel
def _claim_new(h: Any, pages: int) -> int:
    needed = (pages + BLOCK - 1) // BLOCK * BLOCK
    first = fetch_add(h.ctl, CTL_NEXT_ENTRY, needed)
    if first + needed > len(h.pte):
        fetch_add(h.ctl, CTL_NEXT_ENTRY, -needed)
        return NO_ENTRIES
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["capacity"] == 0 and cas(h.mms["state"], mm, MM_FREE, CLAIMED):
            h.mms[mm]["first"] = first
            h.mms[mm]["capacity"] = needed
            for block in range(first >> BLOCK_SHIFT, (first + needed) >> BLOCK_SHIFT):
                h.owners[block] = mm
            return mm
    return NO_MM


@kernel
def map_range(h: Any, mm: int, bits: int) -> None:
    """Give every page of a new address space its VMA bits."""
    first = h.mms[mm]["first"]
    for page in range(h.mms[mm]["pages"]):
        store(h.pte, first + page, bits)


@kernel
def claim_mm(h: Any, pages: int, node: int, bits: int) -> int:
    """A new live address space, nothing touched. bits: each page's mapping, of host.layout.VMA_BITS; 0: none.

    Returns its index, NO_MM if there are too many, or NO_ENTRIES if the page table is full.
    """
    mm = _claim_used(h, pages)
    if mm < 0:
        mm = _claim_new(h, pages)
    if mm < 0:
        return mm
    record = h.mms[mm]
    record["pages"] = pages
    record["heir"] = 0
    record["node"] = node
    record["zero_pages"] = 0
    record["cow_ksm"] = 0
    record["cow_fork"] = 0
    record["zero_cow"] = 0
    record["faults"] = 0
    record["stores"] = 0
    record["unpatched"] = 0
    record["uncompressed"] = 0
    record["swapped_in"] = 0
    record["hint_top"] = 0
    record["domain"] = 0
    map_range(h, mm, bits)
    record["born"] = fetch_add(h.ctl, CTL_MMS, 1) + 1
    record["kin"] = record["born"]
    cas(h.mms["state"], mm, CLAIMED, MM_LIVE)
    return mm


@kernel
def set_mm_state(h: Any, mm: int, old: int, new: int) -> bool:
    """Move an address space from one state to the next; False if it was in another."""
    return cas(h.mms["state"], mm, old, new)


@kernel
def mm_state(h: Any, mm: int) -> int:
    """MM_FREE, MM_LIVE or MM_DEAD."""
    return load(h.mms["state"], mm)


@kernel
def mm_of_entry(h: Any, entry: int) -> int:
    """The address space that an entry belongs to."""
    return h.owners[entry >> BLOCK_SHIFT]
