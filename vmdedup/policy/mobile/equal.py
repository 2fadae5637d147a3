"""Equal pages by a hash table of sets of places, one table for each group of pages. Kernels only.

A group is a word that is mixed into the hashes of its pages. A place names an entry whose page had the hash; whether it
still has is found by comparing.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.policy.mobile.records import (
    COMPARED,
    ENTRY,
    LOOKUPS,
    ROUND,
    SHARED_NOW,
    STAMP,
    TAG,
    TAKEN,
    WAYS,
    ZERO_HASH,
    ZEROS,
)
from vmdedup.policy.sharing import SHARED, frame_of, is_shared, make_shared, share_page


@kernel
def place_of(r: Any, tag: int) -> int:
    """Where the table has a tag; else the place in its set that was used longest ago, which is then its."""
    r.found[LOOKUPS] += 1
    first = (tag & (len(r.table) // WAYS - 1)) * WAYS
    oldest = first
    for place in range(first, first + WAYS):
        if r.table[place, ENTRY] != 0 and r.table[place, TAG] == tag:
            return place
        if r.table[place, STAMP] < r.table[oldest, STAMP]:
            oldest = place
    r.table[oldest, TAG] = tag
    r.table[oldest, ENTRY] = 0
    return oldest


@kernel
def enter(r: Any, place: int, entry: int) -> None:
    """Let a place name an entry."""
    r.table[place, ENTRY] = entry
    r.table[place, STAMP] = r.settings[ROUND]


@kernel
def keep_shared(h: Any, r: Any, entry: int, group: int) -> None:
    """See to it that the table names a page that maps a shared frame, so that others find it."""
    place = place_of(r, r.hash[entry] ^ group)
    other = r.table[place, ENTRY]
    pfn = frame_of(h, other) if other != 0 else 0
    if pfn == 0 or not is_shared(h, pfn):
        enter(r, place, entry)
    else:
        r.table[place, STAMP] = r.settings[ROUND]


@kernel
def share_equal(h: Any, r: Any, entry: int, pfn: int, group: int) -> bool:
    """Share a page, whose hash is known, with one of its group that has the same content, or enter it."""
    if r.hash[entry] == r.settings[ZERO_HASH]:
        done: bool = share_page(h, entry, 0) == SHARED
        r.found[ZEROS] += done
        return done
    place = place_of(r, r.hash[entry] ^ group)
    other = r.table[place, ENTRY]
    other_pfn = frame_of(h, other) if other != 0 and other != entry else 0
    if other_pfn == 0 or other_pfn == pfn:
        enter(r, place, entry)
        return False
    r.found[COMPARED] += 1
    if not same_page(h.words, pfn, h.words, other_pfn):
        enter(r, place, entry)
        return False
    r.hash[other] = r.hash[entry]
    if not is_shared(h, other_pfn):
        if not make_shared(h, other, other_pfn):
            return False
        r.found[TAKEN] += 1
    joined: bool = share_page(h, entry, other_pfn) == SHARED
    r.found[SHARED_NOW] += joined
    if not joined:
        r.hash[entry] = 0  # its SOFT was cleared, and it was used meanwhile: what it holds is not known
    r.table[place, STAMP] = r.settings[ROUND]
    return joined
