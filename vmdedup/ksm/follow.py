"""KSM frames that move or go out: are their mappings found, and what do their nodes say. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import frame_behind
from vmdedup.host.frames import stable_node_of
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, MM_LIVE, NO_NODE, NODE_SHIFT, PRESENT
from vmdedup.host.move import give_up_move, target
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.layout import STABLE


@kernel
def keep_unfound(h: Any, k: Any, to: Any) -> int:
    """Let KSM frames stay of which some mapping is not found by way of their node's items. Returns how many.

    to: int32[frames], see host.move. Source: mm/ksm.c:rmap_walk_ksm.
    """
    kept = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for page in range(h.mms[mm]["pages"]):
                pte = load(h.pte, first + page)
                pfn = (pte >> FRAME_SHIFT) & FRAME_MASK
                if pte & PRESENT and to[pfn] != 0:
                    node = stable_node_of(h, pfn)
                    if node != 0 and not _is_found(h, k, mm, page, node):
                        give_up_move(h, to, pfn)
                        kept += 1
    return kept


@kernel
def _is_found(h: Any, k: Any, mm: int, page: int, node: int) -> bool:
    """Whether an item of the node leads to a page: its own, or that of one from whom its address space was forked."""
    while mm != 0:
        if page < h.mms[mm]["pages"]:
            item = k.items[h.mms[mm]["first"] + page]
            if item["flags"] & STABLE and item["parent"] == node:
                return True
        mm = k.slots[mm]["parent"]
    return False


@kernel
def mark_unfound(h: Any, k: Any, unfound: Any) -> None:
    """Mark entries that are not found by way of the items of the KSM frame that they map.

    unfound: uint8[entries], zeroed.
    """
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for page in range(h.mms[mm]["pages"]):
                node = stable_node_of(h, frame_behind(load(h.pte, first + page)))
                if node != 0 and (node == NO_NODE or not _is_found(h, k, mm, page, node)):
                    unfound[first + page] = 1


@kernel
def follow_frames(h: Any, k: Any, to: Any) -> None:
    """Let stable nodes name the frames that theirs have become."""
    for pfn in range(len(to)):
        if to[pfn] != 0:
            node = load(h.frames, target(to, pfn)) >> NODE_SHIFT
            if node != 0 and node != NO_NODE:
                k.nodes[node]["kpfn"] = target(to, pfn)
