"""Rmap items: found or made for the scanned page, taken out of the trees, freed.

Source: mm/ksm.c:get_next_rmap_item, remove_rmap_item_from_tree, remove_trailing_rmap_items (v6.18).
"""

from __future__ import annotations

from oracle import stable
from oracle.objects import Ksm, Mm, RmapItem


def get(ksm: Ksm, mm: Mm, page: int) -> RmapItem:
    """Return the item of a page of the cursor's address space; items passed on the way are freed."""
    items = mm.items
    while ksm.list_pos < len(items) and items[ksm.list_pos].page < page:
        remove(ksm, items[ksm.list_pos])
        del items[ksm.list_pos]
    if ksm.list_pos == len(items) or items[ksm.list_pos].page != page:
        items.insert(ksm.list_pos, RmapItem(mm, page))
    ksm.list_pos += 1
    return items[ksm.list_pos - 1]


def remove(ksm: Ksm, item: RmapItem) -> None:
    """Take an item out of the tree that it is in, if any."""
    if item.node is not None:
        stable.drop(ksm, item)
    elif item.seq is not None:
        age = (ksm.seqnr - item.seq) % 256
        assert age in (0, 1), "an item was not visited for a whole scan"
        if age == 0:  # the tree of an earlier scan has been forgotten as a whole
            ksm.unstable[item.nid].erase(item)
        item.seq = None


def free_from(ksm: Ksm, mm: Mm, position: int) -> None:
    """Remove and free the items from an index on."""
    for item in mm.items[position:]:
        remove(ksm, item)
    del mm.items[position:]
