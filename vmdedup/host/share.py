"""Taking a page away from under its guest: what every scanner does when it merges. Kernels only.

The scanner holds a reference on every frame it works on, so that none is freed, and none is written in place: a guest
that faults on a frame with more than one reference copies it. Then it takes the entry's right to write, by
compare-and-swap, which fails if the owner has the entry pinned or has stored meanwhile; compares the pages again; and
changes the entry. A guest that stores in between changes the entry (SOFT at least), and the last swap fails.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import put_frame, stable_node_of
from vmdedup.host.huge import split_folio
from vmdedup.host.layout import (
    DIRTY,
    FRAME_MASK,
    FRAME_SHIFT,
    PIN,
    PRESENT,
    SOFT,
    WRITABLE,
    ZERO,
)
from vmdedup.host.mm import mm_of_entry
from vmdedup.jit.atomic import cas, fetch_add, load
from vmdedup.jit.kernel import kernel

FAILED = 0
FRAME_BITS = FRAME_MASK << FRAME_SHIFT


@kernel
def write_protect(h: Any, entry: int, pfn: int) -> int:
    """Take the right to store from a page. Returns the entry as it is now, or FAILED.

    A huge page is split first. Source: mm/ksm.c:write_protect_page. A pinned entry stands for the extra reference that
    the kernel looks for; a frame that is a KSM frame already cannot be protected again.
    """
    if not split_folio(h, entry, pfn, 0):
        return FAILED
    old = load(h.pte, entry)
    if old & PIN or not old & PRESENT or (old >> FRAME_SHIFT) & FRAME_MASK != pfn:
        return FAILED
    if stable_node_of(h, pfn) != 0:
        return FAILED
    new = old & ~(WRITABLE | DIRTY | SOFT)
    return new if cas(h.pte, entry, old, new) else FAILED


@kernel
def replace_page(h: Any, entry: int, protected: int, pfn: int, kpfn: int) -> bool:
    """Let a protected page map another frame; 0 is the zero page. Source: mm/ksm.c:replace_page."""
    mark = ZERO if kpfn == 0 else 0
    if kpfn != 0:
        fetch_add(h.frames, kpfn, 1)
    if not cas(h.pte, entry, protected, (protected & ~FRAME_BITS) | (kpfn << FRAME_SHIFT) | mark):
        put_frame(h, kpfn)
        return False
    if kpfn == 0:
        fetch_add(h.mms["zero_pages"], mm_of_entry(h, entry), 1)
    put_frame(h, pfn)
    return True


@kernel
def forget_page(h: Any, entry: int, protected: int, pfn: int) -> bool:
    """Let a protected page of zeros map the zero page as one that was only read does: nobody will know who did it."""
    if not cas(h.pte, entry, protected, protected & ~FRAME_BITS):
        return False
    put_frame(h, pfn)
    return True
