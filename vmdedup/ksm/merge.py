"""Merging two pages into one frame while their owners may be storing to them. Kernels only.

How a page is taken away from under its guest is in host.share; here is the order in which ksmd does it.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.fault import unshare
from vmdedup.host.frames import get_frame, put_frame, set_stable_node
from vmdedup.host.huge import split_folio
from vmdedup.host.layout import MERGEABLE, NO_NODE, SOFT
from vmdedup.host.mm import mm_of_entry
from vmdedup.host.share import FAILED, forget_page, replace_page, write_protect
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.ksm.layout import HASHED
from vmdedup.ksm.rmap import remove_from_tree
from vmdedup.ksm.stable_node import start_anew

BECOMES_KSM = -1  # instead of a KSM frame: turn the page's own frame into one


@kernel
def _try_to_merge_one_page(h: Any, k: Any, entry: int, pfn: int, kpfn: int, held: int) -> bool:
    """Merge a page into frame kpfn, or make its frame a KSM frame. Source: mm/ksm.c:try_to_merge_one_page.

    held: another frame that is held meanwhile, which keeps a huge page from being split; 0: none.
    """
    if pfn == kpfn:
        return True
    if not split_folio(h, entry, pfn, held):
        return False
    was_stored = load(h.pte, entry) & SOFT
    protected = write_protect(h, entry, pfn)
    if protected == FAILED:
        return False
    if was_stored:
        k.items[entry]["flags"] &= ~HASHED & 255
    if kpfn == 0:
        k.st[0]["zero_merged"] += 1
    else:
        k.st[0]["merged"] += 1
    if kpfn == BECOMES_KSM:
        set_stable_node(h, pfn, NO_NODE)
        return True
    if same_page(h.words, pfn, h.words, kpfn):
        if kpfn == 0 and not k.st[0]["zero_pages_known"]:
            return forget_page(h, entry, protected, pfn)
        return replace_page(h, entry, protected, pfn, kpfn)
    # What was computed from this page no longer holds: have it looked at again.
    cas(h.pte, entry, protected, protected | SOFT)
    return False


@kernel
def merge_into(h: Any, k: Any, entry: int, pfn: int, kpfn: int, held: int) -> bool:
    """Merge a page and take its item out of its tree. held: as above. Source: mm/ksm.c:try_to_merge_with_ksm_page."""
    if not load(h.pte, entry) & MERGEABLE:
        return False
    if not _try_to_merge_one_page(h, k, entry, pfn, kpfn, held):
        return False
    remove_from_tree(h, k, entry)
    return True


@kernel
def merge_two(h: Any, k: Any, entry: int, pfn: int, tree_entry: int, tree_pfn: int) -> bool:
    """Merge a tree page into the frame of the page that was scanned now. Source: mm/ksm.c:try_to_merge_two_pages."""
    if not merge_into(h, k, entry, pfn, BECOMES_KSM, tree_pfn):
        return False
    if merge_into(h, k, tree_entry, tree_pfn, pfn, 0):
        return True
    unshare(h, mm_of_entry(h, entry), entry)
    if k.st[0]["items_start_anew"]:
        start_anew(k, entry)
    return False


@kernel
def merge_with_zero_page(h: Any, k: Any, entry: int, pfn: int) -> bool:
    """Replace an empty page by the zero page. Source: mm/ksm.c:try_to_merge_with_zero_page."""
    if not load(h.pte, entry) & MERGEABLE:
        return True
    if not get_frame(h, pfn):
        return True
    merged = _try_to_merge_one_page(h, k, entry, pfn, 0, 0)
    put_frame(h, pfn)
    return merged
