"""rmap_items: what ksmd knows of each page it has visited. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.mm import mm_of_entry
from vmdedup.jit import rbtree
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.layout import EXISTS, NID_MASK, NID_SHIFT, NOT_TREE, STABLE, UNSTABLE
from vmdedup.ksm.stable_node import is_stale, remove_node, start_anew, unlink_item


@kernel
def get_item(k: Any, mm: int, entry: int) -> None:
    """Make sure that the page has an rmap_item. Source: mm/ksm.c:get_next_rmap_item."""
    item = k.items[entry]
    if item["flags"] & EXISTS:
        return
    item["flags"] = EXISTS
    start_anew(k, entry)
    k.st[0]["rmap_items"] += 1
    k.slots[mm]["rmap_items"] += 1


@kernel
def remove_from_tree(h: Any, k: Any, entry: int) -> None:
    """Take an item out of whichever tree it is in. Source: mm/ksm.c:remove_rmap_item_from_tree.

    A stable item whose node turns out to be stale takes the whole node with it.
    """
    item = k.items[entry]
    flags = item["flags"]
    if flags & STABLE:
        if is_stale(h, k, item["parent"]):
            remove_node(h, k, item["parent"])
        else:
            unlink_item(h, k, entry)
    elif flags & UNSTABLE:
        if (k.st[0]["seqnr"] - item["seq"]) & 255 == 0:
            rbtree.erase(k.items, k.unstable, (flags & NID_MASK) >> NID_SHIFT, entry)
        k.st[0]["pages_unshared"] -= 1
        item["flags"] &= NOT_TREE


@kernel
def free_item(h: Any, k: Any, entry: int) -> None:
    """Forget a page that is gone, if it has an item. Source: mm/ksm.c:free_rmap_item."""
    if not k.items[entry]["flags"] & EXISTS:
        return
    remove_from_tree(h, k, entry)
    k.items[entry]["flags"] = 0
    k.st[0]["rmap_items"] -= 1
    k.slots[mm_of_entry(h, entry)]["rmap_items"] -= 1
