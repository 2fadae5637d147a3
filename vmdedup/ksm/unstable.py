"""The unstable tree: pages that did not change lately, ordered by what they held when they were inserted. Kernels only.

Nobody keeps them from changing, so the order is only a hope, and a search is literal: it compares with what each page
holds now, and goes wherever that leads. Nothing is taken out when a full scan ends: the root is forgotten, and each
item finds out at its next visit, by its sequence number, that its tree is no more.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import node_of
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, MERGEABLE, PIN, PRESENT, SOFT
from vmdedup.jit import rbtree
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import compare_from
from vmdedup.jit.rbtree import NIL
from vmdedup.ksm.layout import NID_SHIFT, NOT_TREE, UNSTABLE
from vmdedup.ksm.order import KEY_BITS, KEY_VALID, common_bytes, compare_keyed
from vmdedup.ksm.stable import nid_of

CANDIDATE = PRESENT | MERGEABLE


@kernel
def candidate_frame(pte: int) -> int:
    """The frame of a page that KSM may merge, or 0. Source: mm/ksm.c:get_mergeable_page."""
    if pte & CANDIDATE != CANDIDATE:
        return 0
    return (pte >> FRAME_SHIFT) & FRAME_MASK


@kernel
def compare_with_tree_page(h: Any, k: Any, pfn: int, key: int, entry: int, pte: int, other: int) -> int:
    """memcmp with what a tree page holds now: by keys if it has not been stored to since its key was made."""
    other_key = k.items[entry]["key"]
    if key & KEY_VALID and other_key & KEY_VALID and not pte & (SOFT | PIN):
        return compare_keyed(h, k, pfn, key & KEY_BITS, other, other_key & KEY_BITS)
    return compare_from(h.words, pfn, h.words, other, 0)


@kernel
def count_walk(k: Any, levels: int, compared: int) -> None:
    """Note what a walk down the tree took."""
    k.st[0]["unstable_levels"] += levels
    k.st[0]["compared_bytes"] += compared


@kernel
def unstable_tree_search_insert(h: Any, k: Any, entry: int, pfn: int) -> int:
    """The tree page (its entry) with equal content, or 0: then the page has been inserted, or could not be.

    Source: mm/ksm.c:unstable_tree_search_insert.
    """
    nid = nid_of(h, k, pfn)
    key = k.items[entry]["key"]
    parent = NIL
    sign = 0
    levels = 0
    compared = 0
    x = k.unstable[nid]
    while x != NIL:
        levels += 1
        pte = load(h.pte, x)
        other = candidate_frame(pte)
        if other == 0 or other == pfn:
            count_walk(k, levels, compared)
            return 0
        sign = compare_with_tree_page(h, k, pfn, key, x, pte, other)
        if sign == 0:
            count_walk(k, levels, compared + h.bytes.shape[1])
            across = k.st[0]["merge_across_nodes"]
            return x if across or node_of(h, other) == nid else 0
        compared += common_bytes(h, key & KEY_BITS, k.items[x]["key"] & KEY_BITS)
        parent = x
        x = k.items[x]["left"] if sign < 0 else k.items[x]["right"]
    count_walk(k, levels, compared)
    insert(k, nid, entry, parent, sign < 0)
    return 0


@kernel
def insert(k: Any, nid: int, entry: int, parent: int, is_left: bool) -> None:
    """Put a page into the unstable tree below a parent; NIL: it is the first."""
    mark_unstable(k, nid, entry, k.st[0]["seqnr"])
    rbtree.insert(k.items, k.unstable, nid, entry, parent, is_left)


@kernel
def mark_unstable(k: Any, nid: int, entry: int, seq: int) -> None:
    """Note that a page waits for its like since full scan seq; it is in the tree as long as that scan lasts."""
    item = k.items[entry]
    item["flags"] = (item["flags"] & NOT_TREE) | UNSTABLE | (nid << NID_SHIFT)
    item["seq"] = seq & 255
    k.st[0]["pages_unshared"] += 1
