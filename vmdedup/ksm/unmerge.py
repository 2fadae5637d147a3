"""run=2: everything merged becomes private again, and ksmd forgets all it knew. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.fault import FAULT_OOM, unshare
from vmdedup.host.layout import MERGEABLE
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.mm_list import HEAD, drop_slot, is_alive
from vmdedup.ksm.rmap import free_item
from vmdedup.ksm.stable import remove_all_stable_nodes


@kernel
def unmerge_and_remove_all_rmap_items(h: Any, k: Any) -> bool:
    """Unshare every merged page, in list order, free every item. False if the host's memory ran out on the way.

    Source: mm/ksm.c:unmerge_and_remove_all_rmap_items.
    """
    st = k.st[0]
    st["cursor"] = HEAD
    st["address"] = 0
    mm = k.slots[HEAD]["next"]
    while mm != HEAD:
        following = k.slots[mm]["next"]
        if not _unmerge_mm(h, k, mm):
            return False
        if not is_alive(h, mm):
            drop_slot(h, k, mm)
        mm = following
    for nid in range(len(k.unstable)):
        k.unstable[nid] = 0
    remove_all_stable_nodes(h, k)
    st["seqnr"] = 0
    return True


@kernel
def _unmerge_mm(h: Any, k: Any, mm: int) -> bool:
    first = h.mms[mm]["first"]
    end = first + h.mms[mm]["pages"]
    for entry in range(first, end):
        if load(h.pte, entry) & MERGEABLE and unshare(h, mm, entry) == FAULT_OOM:
            return False
    for entry in range(first, end):
        free_item(h, k, entry)
    return True
