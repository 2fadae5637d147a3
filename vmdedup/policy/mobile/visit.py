"""Visits to pages: which are settled, which are shared, which are left. Kernels only.

Three ways to know that a page is settled: its hash is as it was at the last visit (as KSM does it), it was not stored
to since the last visit (SOFT), or it was not used at all for some time (ACCESSED).
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import frame_count
from vmdedup.host.layout import ACCESSED, DIRTY, PIN, PRESENT, SOFT
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import hash_page
from vmdedup.policy.mobile.equal import keep_shared, share_equal
from vmdedup.policy.mobile.records import ABSENT, CHANCES, HASHED, REST, SKIPPED, SPARED, VISITED, WRITTEN
from vmdedup.policy.sharing import frame_of, is_shared

USED = ACCESSED | DIRTY | SOFT
LOOK, SHARE, UNUSED, ANY = 0, 1, 2, 3  # modes of visit_by_stores


@kernel
def take_used(h: Any, entry: int) -> int:
    """Bits that say how a page was used since this was last asked; clears them. A page in use is all of it."""
    while True:
        old = load(h.pte, entry)
        if old & PIN:
            return USED
        if not old & PRESENT or not old & USED or cas(h.pte, entry, old, old & ~USED):
            used: int = old & USED
            return used


@kernel
def visit_by_hash(h: Any, r: Any, first: int, count: int, group: int) -> int:
    """Share pages whose hash is as at the last visit. Returns how many settled and found no equal: in todo."""
    rows = 0
    for entry in range(first, first + count):
        r.found[VISITED] += 1
        pfn = frame_of(h, entry)
        if pfn == 0:
            r.found[ABSENT] += 1
            r.hash[entry] = 0
            r.misses[entry] = 0
        elif is_shared(h, pfn):
            r.misses[entry] = 0
            _know(h, r, entry, pfn)
            keep_shared(h, r, entry, group)
        elif _has_chance(r, entry):
            before = r.hash[entry]
            if take_used(h, entry) & SOFT or before == 0:
                r.hash[entry] = hash_page(h.words, pfn)
            else:
                r.found[SPARED] += 1  # nobody stored to it, so it would come to the same
            r.found[HASHED] += 1
            r.misses[entry] += 1
            if r.hash[entry] == before:
                if share_equal(h, r, entry, pfn, group):
                    r.misses[entry] = 0
                else:
                    r.todo[rows] = entry
                    rows += 1
    return rows


@kernel
def _know(h: Any, r: Any, entry: int, pfn: int) -> None:
    """Hash a page's frame unless that is known; for frames that do not change."""
    if r.hash[entry] == 0:
        r.hash[entry] = hash_page(h.words, pfn)
        r.found[HASHED] += 1


@kernel
def _has_chance(r: Any, entry: int) -> bool:
    """Whether a page is looked at: one that failed CHANCES times rests for REST visits."""
    if r.settings[CHANCES] == 0:
        r.misses[entry] = 0
        return True
    if r.misses[entry] < r.settings[CHANCES]:
        return True
    r.found[SKIPPED] += 1
    r.misses[entry] += 1
    if r.misses[entry] >= r.settings[CHANCES] + r.settings[REST]:
        r.misses[entry] = 0
    return False


@kernel
def visit_by_stores(h: Any, r: Any, first: int, count: int, group: int, mode: int) -> int:
    """Share pages that are equal, each hashed once after it was stored to. Returns how many pages are in todo.

    mode: LOOK only notes stores; SHARE shares, even what was just stored to; UNUSED shares what was not stored to since
    the last visit, and puts pages that were not read either, and have no equal, into todo; ANY all that have no equal.
    """
    rows = 0
    for entry in range(first, first + count):
        r.found[VISITED] += 1
        pfn = frame_of(h, entry)
        if pfn == 0:
            r.found[ABSENT] += 1
            r.hash[entry] = 0
            r.misses[entry] = 0
        elif is_shared(h, pfn):
            _know(h, r, entry, pfn)
            keep_shared(h, r, entry, group)
        else:
            used = take_used(h, entry)
            if used & SOFT:
                r.found[WRITTEN] += 1
                r.hash[entry] = 0
                r.misses[entry] = 0
            settled = mode in (SHARE, ANY) or (mode == UNUSED and not used & SOFT)
            if settled and not _share_settled(h, r, entry, pfn, group):
                fit = mode == ANY or (mode == UNUSED and not used & ACCESSED)
                if fit and r.misses[entry] == 0 and frame_count(h, pfn) == 1:
                    r.todo[rows] = entry
                    rows += 1
    return rows


@kernel
def _share_settled(h: Any, r: Any, entry: int, pfn: int, group: int) -> bool:
    """Whether a page that was not stored to is shared now. One that was tried waits in the table for others."""
    if r.hash[entry] != 0:
        return False
    _know(h, r, entry, pfn)
    joined: bool = share_equal(h, r, entry, pfn, group)
    return joined


@kernel
def visit_by_use(h: Any, r: Any, first: int, count: int, now: int, idle: int) -> int:
    """Find pages that were not used for `idle` milliseconds before `now`. Returns how many: they are in todo."""
    rows = 0
    for entry in range(first, first + count):
        r.found[VISITED] += 1
        pfn = frame_of(h, entry)
        r.found[ABSENT] += pfn == 0
        if pfn == 0 or take_used(h, entry) or r.hash[entry] == 0:
            # The time since when it has been idle stands where other policies have a hash.
            r.hash[entry] = now + 1
            r.misses[entry] = 0
        elif now + 1 - r.hash[entry] >= idle and r.misses[entry] == 0 and frame_count(h, pfn) == 1:
            r.todo[rows] = entry
            rows += 1
    return rows
