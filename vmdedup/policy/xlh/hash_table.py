"""A hash table in the unstable tree's place: a page that changes in it misleads nobody. Kernels only.

A slot has a chain of pages, by the checksum that each had when it was inserted. ksmd's records say whether a page waits
(UNSTABLE); it waits since before this full scan, so that ksmd does not look for it in the tree. Pages that no longer
wait stay in their chain until a search meets them. The table is not emptied when a full scan ends, as the tree is:
pages are taken out when they are looked at again.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import node_of
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.ksm.layout import UNSTABLE
from vmdedup.ksm.rmap import remove_from_tree
from vmdedup.ksm.stable import nid_of
from vmdedup.ksm.unstable import candidate_frame, mark_unstable
from vmdedup.policy.xlh.layout import CHANGED


@kernel
def table_search_insert(h: Any, k: Any, x: Any, entry: int, pfn: int) -> int:
    """A waiting page (its entry) with equal content, or 0: then the page has been inserted."""
    checksum = k.items[entry]["oldchecksum"]
    slot = checksum & (len(x.heads) - 1)
    other: int = x.heads[slot]
    while other != 0:
        following = x.following[other]
        if not k.items[other]["flags"] & UNSTABLE:
            unlink(x, other)
        elif other != entry and k.items[other]["oldchecksum"] == checksum and _is_partner(h, k, x, pfn, other):
            return other
        other = following
    if x.slots[entry] != 0:
        unlink(x, entry)
    _link(x, entry, slot)
    mark_unstable(k, nid_of(h, k, pfn), entry, k.st[0]["seqnr"] - 1)
    return 0


@kernel
def _is_partner(h: Any, k: Any, x: Any, pfn: int, other: int) -> bool:
    """Whether a page with the same checksum can be merged; takes it out if it has changed since it was inserted."""
    other_pfn = candidate_frame(load(h.pte, other))
    if other_pfn == pfn:
        return False
    if other_pfn == 0 or not same_page(h.words, pfn, h.words, other_pfn):
        remove_from_tree(h, k, other)
        unlink(x, other)
        x.st[CHANGED] += 1
        return False
    return k.st[0]["merge_across_nodes"] != 0 or node_of(h, other_pfn) == node_of(h, pfn)


@kernel
def _link(x: Any, entry: int, slot: int) -> None:
    head = x.heads[slot]
    x.following[entry] = head
    x.before[entry] = 0
    if head != 0:
        x.before[head] = entry
    x.heads[slot] = entry
    x.slots[entry] = slot + 1


@kernel
def unlink(x: Any, entry: int) -> None:
    """Take a page out of its chain."""
    following = x.following[entry]
    before = x.before[entry]
    if following != 0:
        x.before[following] = before
    if before != 0:
        x.following[before] = following
    else:
        x.heads[x.slots[entry] - 1] = following
    x.slots[entry] = 0
