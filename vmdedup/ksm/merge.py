"""Merging two pages into one frame while their owners may be storing to them. Kernels only.

The scanner holds a reference on every frame it works on, so that none is freed, and none is written in place:
a guest that faults on a frame with more than one reference copies it. Then it takes the entry's right to
write, by compare-and-swap, which fails if the owner has the entry pinned or has stored meanwhile; compares
the pages again; and swaps the frame number. A guest that stores in between changes the entry (SOFT at least),
and the last swap fails.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.fault import unshare
from vmdedup.host.frames import get_frame, put_frame, set_stable_node, stable_node_of
from vmdedup.host.layout import (
    DIRTY,
    FRAME_MASK,
    FRAME_SHIFT,
    MERGEABLE,
    NO_NODE,
    PIN,
    PRESENT,
    SOFT,
    WRITABLE,
    ZERO,
)
from vmdedup.host.mm import mm_of_entry
from vmdedup.jit.atomic import cas, fetch_add, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.ksm.layout import HASHED
from vmdedup.ksm.rmap import remove_from_tree

FAILED = 0
BECOMES_KSM = -1  # instead of a KSM frame: turn the page's own frame into one
FRAME_BITS = FRAME_MASK << FRAME_SHIFT


@kernel
def write_protect(h: Any, entry: int, pfn: int) -> int:
    """Take the right to store from a page. Returns the entry as it is now, or FAILED.

    Source: mm/ksm.c:write_protect_page. A pinned entry stands for the extra reference that the kernel looks
    for; a frame that is a KSM frame already cannot be protected again.
    """
    old = load(h.pte, entry)
    if old & PIN or not old & PRESENT or (old >> FRAME_SHIFT) & FRAME_MASK != pfn:
        return FAILED
    if stable_node_of(h, pfn) != 0:
        return FAILED
    new = old & ~(WRITABLE | DIRTY | SOFT)
    return new if cas(h.pte, entry, old, new) else FAILED


@kernel
def _replace_page(h: Any, entry: int, protected: int, pfn: int, kpfn: int) -> bool:
    """Let a protected page map another frame. Source: mm/ksm.c:replace_page."""
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
def _try_to_merge_one_page(h: Any, k: Any, entry: int, pfn: int, kpfn: int) -> bool:
    """Merge a page into frame kpfn, or make its frame a KSM frame. Source: mm/ksm.c:try_to_merge_one_page."""
    if pfn == kpfn:
        return True
    was_stored = load(h.pte, entry) & SOFT
    protected = write_protect(h, entry, pfn)
    if protected == FAILED:
        return False
    if was_stored:
        k.items[entry]["flags"] &= ~HASHED & 255
    if kpfn == BECOMES_KSM:
        set_stable_node(h, pfn, NO_NODE)
        return True
    if same_page(h.words, pfn, h.words, kpfn):
        return _replace_page(h, entry, protected, pfn, kpfn)
    # What was computed from this page no longer holds: have it looked at again.
    cas(h.pte, entry, protected, protected | SOFT)
    return False


@kernel
def merge_into(h: Any, k: Any, entry: int, pfn: int, kpfn: int) -> bool:
    """Merge a page and take its item out of its tree. Source: mm/ksm.c:try_to_merge_with_ksm_page."""
    if not load(h.pte, entry) & MERGEABLE:
        return False
    if not _try_to_merge_one_page(h, k, entry, pfn, kpfn):
        return False
    remove_from_tree(h, k, entry)
    return True


@kernel
def merge_two(h: Any, k: Any, entry: int, pfn: int, tree_entry: int, tree_pfn: int) -> bool:
    """Merge a tree page into the frame of the page that was scanned now. Source: mm/ksm.c:try_to_merge_two_pages."""
    if not merge_into(h, k, entry, pfn, BECOMES_KSM):
        return False
    if merge_into(h, k, tree_entry, tree_pfn, pfn):
        return True
    unshare(h, mm_of_entry(h, entry), entry)
    return False


@kernel
def merge_with_zero_page(h: Any, k: Any, entry: int, pfn: int) -> bool:
    """Replace an empty page by the zero page. Source: mm/ksm.c:try_to_merge_with_zero_page."""
    if not load(h.pte, entry) & MERGEABLE:
        return True
    if not get_frame(h, pfn):
        return True
    merged = _try_to_merge_one_page(h, k, entry, pfn, 0)
    put_frame(h, pfn)
    return merged
