"""A visit to each page of a portion of memory: its state, sharing, what is to be tried below a page. Kernels only.

The order is share, patch, compress. A page that was not shared in a full cycle of passes is looked up in the similarity
table: with candidates, and idle (C3, C4), it is to be patched; without, it becomes a candidate itself. Long idle (C4),
it is compressed one pass later, so that every page has had its chance to be patched against it.
Source: Gupta et al., Difference Engine, OSDI 2008, sections 4.2 to 4.5.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import frame_count
from vmdedup.jit.kernel import kernel
from vmdedup.policy.difference_engine.clock import CHANGED, state_now
from vmdedup.policy.difference_engine.equal import free_of_mark, share_equal
from vmdedup.policy.difference_engine.records import (
    ABSENT,
    ACTION,
    ALL_C4,
    C1,
    C3,
    C4,
    COMPRESS,
    COMPRESS_FIRST,
    COMPRESSION,
    ENTRY,
    INTERVALS,
    PATCH,
    PATCHING,
    ROWS,
    SHARING,
)
from vmdedup.policy.difference_engine.similar import find_candidates, offer
from vmdedup.policy.sharing import frame_of, is_shared

MOST = 250


@kernel
def visit_runs(h: Any, r: Any, runs: Any, start: int) -> int:
    """Visit portions of memory from number `start` on, up to the first that puts rows into todo: found[ROWS] of them.

    runs: int64[n, 2], first entry and how many. Returns the number of the next portion.
    """
    for k in range(start, len(runs)):
        r.found[ROWS] = visit_pages(h, r, runs[k, 0], runs[k, 1])
        if r.found[ROWS] > 0:
            return k + 1
    return len(runs)


@kernel
def visit_pages(h: Any, r: Any, first: int, count: int) -> int:
    """Visit pages from entry `first` on. Returns how many rows of todo were written."""
    rows = 0
    for entry in range(first, first + count):
        r.found[ABSENT] += frame_of(h, entry) == 0
        seen = state_now(h, entry)
        state = seen & ~CHANGED
        if seen & CHANGED:
            r.hash[entry] = 0
            r.signatures[entry, 0] = -1
        if state != 0 and r.settings[ALL_C4]:
            state = C4
        r.state[entry] = state
        if state <= C1:
            r.tried[entry] = 0
            r.wait[entry] = 0
        elif _is_unshared(h, r, entry) and _choose(h, r, entry, state, rows):
            rows += 1
    return rows


@kernel
def _is_unshared(h: Any, r: Any, entry: int) -> bool:
    """Try to share a page. Whether it was not shared in a full cycle, and its frame is its own."""
    pfn = frame_of(h, entry)
    if pfn != 0 and r.settings[SHARING]:
        share_equal(h, r, entry, pfn)
        pfn = frame_of(h, entry)
    if pfn == 0:
        return False
    if frame_count(h, pfn) > 1:
        # It stays in memory in any case: a page that others are compared with first.
        if r.settings[PATCHING]:
            offer(h, r, entry, pfn)
        r.tried[entry] = 0
        return False
    if is_shared(h, pfn) and not free_of_mark(h, pfn):
        return False
    if r.tried[entry] < MOST:
        r.tried[entry] += 1
    if r.wait[entry] > 0:
        r.wait[entry] -= 1
    tried_all: bool = r.tried[entry] >= r.settings[INTERVALS]
    return tried_all


@kernel
def _choose(h: Any, r: Any, entry: int, state: int, row: int) -> bool:
    """Write into todo[row] what is to be tried with a page. False: nothing is."""
    similar = 0
    pfn = frame_of(h, entry)
    if pfn == 0:
        return False
    if r.settings[PATCHING]:
        similar = find_candidates(h, r, entry, pfn, row)
        if similar == 0:
            offer(h, r, entry, pfn)
    action = PATCH if similar > 0 and state >= C3 else 0
    if state == C4 and r.settings[COMPRESSION]:
        waited = r.tried[entry] > r.settings[INTERVALS] or not r.settings[PATCHING]
        if waited or similar > 0 or r.settings[COMPRESS_FIRST]:
            action |= COMPRESS
    r.todo[row, ENTRY] = entry
    r.todo[row, ACTION] = action | (similar << 8)
    return action != 0 and r.wait[entry] == 0
