"""How much of what waits can be found: the degradation of the unstable tree. Kernels only.

A page of the tree is reachable if a search for what it holds now ends at it, or at one equal to it. A page that has
changed, or that has a changed one above it, may be anywhere but where the search goes.
Source: Miller et al., XLH, USENIX ATC 2013, Table 4.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import checksum, compare_from
from vmdedup.jit.rbtree import NIL
from vmdedup.ksm.layout import UNSTABLE
from vmdedup.ksm.mm_list import HEAD
from vmdedup.ksm.stable import nid_of
from vmdedup.ksm.unstable import candidate_frame
from vmdedup.policy.xlh.layout import HASH_TABLE, VARIANT
from vmdedup.policy.xlh.tree import has_been_stored_to, take_out

WAITING, REACHABLE = 0, 1


@kernel
def count_reachable(h: Any, k: Any, x: Any, found: Any) -> None:
    """Pages that wait, and those of them that a search would find. found: int64[2], filled.

    Between two full scans it is about the tree of the one that has ended, which is still there.
    """
    ended = 1 if k.st[0]["cursor"] == HEAD else 0
    k.st[0]["seqnr"] -= ended
    found[:] = 0
    if x.st[VARIANT] == HASH_TABLE:
        _count_in_table(h, k, x, found)
    else:
        _take_out_changed(h, k, x)
        _count_in_tree(h, k, found)
    k.st[0]["seqnr"] += ended


@kernel
def _is_in_tree(k: Any, entry: int) -> bool:
    item = k.items[entry]
    since: int = (k.st[0]["seqnr"] - item["seq"]) & 255
    return item["flags"] & UNSTABLE != 0 and since == 0


@kernel
def _take_out_changed(h: Any, k: Any, x: Any) -> None:
    """What write faults would have taken out by now."""
    for entry in range(len(k.items)):
        if _is_in_tree(k, entry) and has_been_stored_to(x, entry, load(h.pte, entry)):
            take_out(h, k, x, entry)


@kernel
def _count_in_tree(h: Any, k: Any, found: Any) -> None:
    for entry in range(len(k.items)):
        if _is_in_tree(k, entry):
            found[WAITING] += 1
            pfn = candidate_frame(load(h.pte, entry))
            found[REACHABLE] += 1 if pfn != 0 and _leads_to(h, k, pfn) else 0


@kernel
def _leads_to(h: Any, k: Any, pfn: int) -> bool:
    """Whether a literal search for a frame's content meets that content."""
    here = k.unstable[nid_of(h, k, pfn)]
    while here != NIL:
        other = candidate_frame(load(h.pte, here))
        if other == 0:
            return False
        sign = compare_from(h.words, pfn, h.words, other, 0)
        if sign == 0:
            return True
        here = k.items[here]["left"] if sign < 0 else k.items[here]["right"]
    return False


@kernel
def _count_in_table(h: Any, k: Any, x: Any, found: Any) -> None:
    for entry in range(len(k.items)):
        if k.items[entry]["flags"] & UNSTABLE and x.slots[entry] != 0:
            found[WAITING] += 1
            pfn = candidate_frame(load(h.pte, entry))
            found[REACHABLE] += 1 if pfn != 0 and checksum(h.words, pfn) == k.items[entry]["oldchecksum"] else 0
