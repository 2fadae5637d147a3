"""The unstable tree with pages in it that are write-protected: a store shows, and they are taken out. Kernels only.

In the paper a write fault takes a page out of the tree. Here nobody is told of faults, but whoever stores makes the
entry writable again; a search that meets such a page takes it out and begins anew. What it does not meet cannot mislead
it, so it ends where it would have ended if the page had been taken out at the fault.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import node_of
from vmdedup.host.layout import DIRTY, FRAME_MASK, FRAME_SHIFT, MERGEABLE, PIN, PRESENT, SOFT, WRITABLE
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.rbtree import NIL
from vmdedup.ksm.rmap import remove_from_tree
from vmdedup.ksm.stable import nid_of
from vmdedup.ksm.unstable import candidate_frame, compare_with_tree_page, count_walk, insert
from vmdedup.policy.xlh.layout import CHANGED, NOTED, PROTECTED, READ_ONLY, VARIANT

LOOKED_AT = PRESENT | MERGEABLE | WRITABLE | SOFT
UNTOUCHED = PRESENT | MERGEABLE


@kernel
def tree_search_insert(h: Any, k: Any, x: Any, entry: int, pfn: int, hinted: bool) -> int:
    """The tree page (its entry) with equal content, or 0: then the page has been inserted, or could not be.

    As ksm.unstable.unstable_tree_search_insert, but for what is write-protected.
    """
    nid = nid_of(h, k, pfn)
    key = k.items[entry]["key"]
    parent = NIL
    sign = 0
    levels = 0
    here = k.unstable[nid]
    while here != NIL:
        levels += 1
        pte = load(h.pte, here)
        if has_been_stored_to(x, here, pte):
            take_out(h, k, x, here)
            parent = NIL
            here = k.unstable[nid]
            continue
        other = candidate_frame(pte)
        if other == 0 or other == pfn:
            count_walk(k, levels, 0)
            return 0
        sign = compare_with_tree_page(h, k, pfn, key, here, pte, other)
        if sign == 0:
            count_walk(k, levels, 0)
            across = k.st[0]["merge_across_nodes"]
            return here if across or node_of(h, other) == nid else 0
        parent = here
        here = k.items[here]["left"] if sign < 0 else k.items[here]["right"]
    count_walk(k, levels, 0)
    insert(k, nid, entry, parent, sign < 0)
    _protect(h, x, entry, pfn, hinted)
    return 0


@kernel
def has_been_stored_to(x: Any, entry: int, pte: int) -> bool:
    """Whether a page that was inserted write-protected has changed since, or is gone."""
    return pte & LOOKED_AT != UNTOUCHED and x.st[NOTED] != 0 and x.read_only[entry] != 0


@kernel
def take_out(h: Any, k: Any, x: Any, entry: int) -> None:
    """Take a page that has changed out of the tree."""
    remove_from_tree(h, k, entry)
    x.read_only[entry] = 0
    x.st[CHANGED] += 1


@kernel
def _protect(h: Any, x: Any, entry: int, pfn: int, hinted: bool) -> None:
    """Write-protect a hinted page; note of any page whether it is write-protected now, as one hinted before may be.

    Its frame stays its own: the next store makes the entry writable again, and copies nothing.
    """
    x.read_only[entry] = 0
    if x.st[VARIANT] != READ_ONLY:
        return
    pte = load(h.pte, entry)
    if pte & (PIN | SOFT) or not pte & PRESENT or (pte >> FRAME_SHIFT) & FRAME_MASK != pfn:
        return  # used by its owner since it was hashed
    if hinted and pte & WRITABLE:
        if not cas(h.pte, entry, pte, pte & ~(WRITABLE | DIRTY)):
            return
        pte &= ~WRITABLE
        x.st[PROTECTED] += 1
    if not pte & WRITABLE:
        x.read_only[entry] = 1
        x.st[NOTED] += 1
