"""Sharing whole pages by a hash table that holds a part of all hashes at a time. Kernels only.

A pass has one interval of hashes: a page whose hash lies in it is looked for, and entered if it is the first. The
table is emptied after each pass. Source: Gupta et al., Difference Engine, OSDI 2008, section 4.1.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import NO_NODE, NODE_SHIFT
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import hash_page, same_page
from vmdedup.policy.difference_engine.records import (
    COMPARED,
    FULL,
    HASHED,
    INTERVALS,
    LOOKUPS,
    PASS,
    SHARED_NOW,
    STALE,
    TAKEN,
    ZERO_HASH,
    ZERO_PAGE,
    ZEROS,
)
from vmdedup.policy.sharing import SHARED, frame_of, is_shared, make_shared, share_page

MOST_STEPS = 64  # in the table, before a page is left out
TOP_31 = 0x7FFFFFFF
ALONE = (NO_NODE << NODE_SHIFT) | 1  # the word of a shared frame that has one user left


@kernel
def interval_of(digest: int, intervals: int) -> int:
    """Which of the intervals of all hashes a hash lies in."""
    return (((digest >> 33) & TOP_31) * intervals) >> 31


@kernel
def free_of_mark(h: Any, pfn: int) -> bool:
    """Make a shared frame that has one user left an ordinary one. False: it has more, or is none."""
    done: bool = load(h.frames, pfn) == ALONE and cas(h.frames, pfn, ALONE, 1)
    return done


@kernel
def share_equal(h: Any, r: Any, entry: int, pfn: int) -> None:
    """Share a page with one seen earlier in this pass, or enter it."""
    if r.hash[entry] == 0:
        r.hash[entry] = hash_page(h.words, pfn)
    digest = r.hash[entry]
    r.found[HASHED] += 1
    if r.settings[ZERO_PAGE] and digest == r.settings[ZERO_HASH]:
        if share_page(h, entry, 0) == SHARED:
            r.found[ZEROS] += 1
        return
    if interval_of(digest, r.settings[INTERVALS]) != r.settings[PASS]:
        return
    r.found[LOOKUPS] += 1
    mask = len(r.table) - 1
    place = digest & mask
    for _ in range(MOST_STEPS):
        if r.table[place, 1] == 0:
            r.table[place, 0] = digest
            r.table[place, 1] = entry
            return
        if r.table[place, 0] == digest:
            _join(h, r, place, entry, pfn)
            return
        place = (place + 1) & mask
    r.found[FULL] += 1


@kernel
def _join(h: Any, r: Any, place: int, entry: int, pfn: int) -> None:
    """Share a page with the one in the table that had its hash."""
    other = r.table[place, 1]
    other_pfn = frame_of(h, other)
    if other_pfn == pfn:
        return
    if other_pfn != 0:
        r.found[COMPARED] += 1
    if other_pfn == 0 or not same_page(h.words, pfn, h.words, other_pfn):
        # Writes are not trapped: what stands in the table may have changed, or gone.
        r.found[STALE] += 1
        r.table[place, 1] = entry
        return
    r.hash[other] = r.hash[entry]
    if is_shared(h, pfn) and not is_shared(h, other_pfn):
        r.table[place, 1] = entry
        if share_page(h, other, pfn) == SHARED:
            r.found[SHARED_NOW] += 1
        return
    if not is_shared(h, other_pfn):
        if not make_shared(h, other, other_pfn):
            return
        r.found[TAKEN] += 1
    if share_page(h, entry, other_pfn) == SHARED:
        r.found[SHARED_NOW] += 1
