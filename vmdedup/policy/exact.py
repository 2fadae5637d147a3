"""Finding every equal page with a hash table of all contents. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import MM_LIVE
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.policy.digests import UNKNOWN, hash_anew, is_known
from vmdedup.policy.sharing import SHARED, frame_of, is_shared, make_shared, share_page

# What `found` counts: pages shared now, pages replaced by the zero page, hashes alike, pages not read again,
# pages whose own frame became a shared one, places without a page.
NEW, ZEROS, COLLISIONS, SPARED, TAKEN, ABSENT, FOUND = range(7)


@kernel
def share_everything(h: Any, table: Any, digests: Any, found: Any) -> int:
    """Share all equal pages of all address spaces. Returns pages looked at.

    table: int64[power of two, 2]: hash, and an entry whose page has it; [:, 1] zeroed. digests: see policy.digests.
    found: int64[FOUND], added to.
    """
    looked = 0
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                pfn = frame_of(h, entry)
                if pfn == 0:
                    found[ABSENT] += 1
                else:
                    looked += 1
                    _share_one(h, table, digests, found, entry, pfn)
    return looked


@kernel
def _share_one(h: Any, table: Any, digests: Any, found: Any, entry: int, pfn: int) -> None:
    if is_known(h, digests, entry):
        found[SPARED] += 1
        digest = digests[entry]
    else:
        digests[entry] = UNKNOWN
        if same_page(h.words, pfn, h.words, 0):
            if share_page(h, entry, 0) == SHARED:
                found[ZEROS] += 1
            return
        digest = hash_anew(h, digests, entry, pfn)
    mask = len(table) - 1
    place = digest & mask
    while table[place, 1] != 0:
        if table[place, 0] == digest and _join(h, digests, found, entry, pfn, table[place, 1]):
            return
        place = (place + 1) & mask
    table[place, 0] = digest
    table[place, 1] = entry


@kernel
def _join(h: Any, digests: Any, found: Any, entry: int, pfn: int, other: int) -> bool:
    """Share a page with another that has the same hash. False: its content differs, look further."""
    other_pfn = frame_of(h, other)
    if other_pfn == pfn:
        return True
    if other_pfn == 0 or not same_page(h.words, pfn, h.words, other_pfn):
        found[COLLISIONS] += 1
        return False
    digests[entry] = digests[other] = UNKNOWN
    if is_shared(h, pfn) and not is_shared(h, other_pfn):
        # The page that came later has the shared frame already: the earlier one joins it.
        if share_page(h, other, pfn) == SHARED:
            found[NEW] += 1
        return True
    if not is_shared(h, other_pfn):
        if not make_shared(h, other, other_pfn):
            return True
        found[TAKEN] += 1
    if share_page(h, entry, other_pfn) == SHARED:
        found[NEW] += 1
    return True
