"""Records of the swap device: who refers to each, what is in its cache, where its content is. Kernels only.

    swap out   take_record ─► enter_cache ─► entries name it, one by one ─► content stored ─► leave_cache
    swap in    hold_cached, or the content read into a fresh frame, which enters the cache while others wait for it
    both       let_go

A record is counted by the entries that name it, and by whoever works on it. Whoever drops the last count frees it,
together with its content and its place in the cache. In between its content is in the cache, or stored, or both, and is
the same in both: a frame in the cache is counted twice at least while it is mapped, so nobody stores to it.
Source: mm/swapfile.c, mm/swap_state.c, behaviour only.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import NO_RECORD
from vmdedup.host.frames import get_frame, put_frame
from vmdedup.host.layout import (
    CACHED_SHIFT,
    COUNT_MASK,
    CTL_SWAP,
    CTL_SWAP_FREE,
    CTL_SWAP_FRESH,
    CTL_SWAP_HEAD,
    NOWHERE,
    SWAP_OFF,
    TAG_MASK,
    TAG_STEP,
)
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel


@kernel
def _take_free(h: Any) -> int:
    while True:
        head = load(h.ctl, CTL_SWAP_HEAD)
        record = head & COUNT_MASK
        if record == NO_RECORD:
            return NO_RECORD
        following = load(h.swaps["link"], record)
        if cas(h.ctl, CTL_SWAP_HEAD, head, (((head & TAG_MASK) + TAG_STEP) & TAG_MASK) | following):
            fetch_add(h.ctl, CTL_SWAP_FREE, -1)
            return record


@kernel
def _take_fresh(h: Any) -> int:
    while True:
        record = load(h.ctl, CTL_SWAP_FRESH)
        if record >= len(h.swaps):
            return NO_RECORD
        if cas(h.ctl, CTL_SWAP_FRESH, record, record + 1):
            return record


@kernel
def take_record(h: Any) -> int:
    """A record of nothing yet, counted once, for the caller; NO_RECORD: the device is full, or there is none."""
    if load(h.ctl, CTL_SWAP) == SWAP_OFF:
        return NO_RECORD
    record = _take_free(h)
    if record == NO_RECORD:
        record = _take_fresh(h)
    if record != NO_RECORD:
        h.swaps[record]["place"] = NOWHERE
        store(h.swaps["frame"], record, 0)
        store(h.swaps["count"], record, 1)
    return record


@kernel
def hold_record(h: Any, record: int) -> bool:
    """Count a record once more, unless it is free."""
    while True:
        count = load(h.swaps["count"], record)
        if count == 0:
            return False
        if cas(h.swaps["count"], record, count, count + 1):
            return True


# The cache


@kernel
def enter_cache(h: Any, record: int, pfn: int, kin: int, page: int) -> bool:
    """Put a frame that the caller holds into a record's cache, which counts it. False: another one is there.

    kin, page: whose it is, unless it is a KSM frame.
    """
    h.swaps[record]["kin"] = kin
    h.swaps[record]["page"] = page
    fetch_add(h.frames, pfn, 1)
    store(h.kept, pfn, record << CACHED_SHIFT)
    if cas(h.swaps["frame"], record, 0, pfn):
        return True
    store(h.kept, pfn, 0)
    put_frame(h, pfn)
    return False


@kernel
def hold_cached(h: Any, record: int) -> int:
    """Hold the frame in a record's cache. 0: there is none."""
    while True:
        pfn: int = load(h.swaps["frame"], record)
        if pfn == 0 or (get_frame(h, pfn) and _is_still(h, record, pfn)):
            return pfn


@kernel
def _is_still(h: Any, record: int, pfn: int) -> bool:
    """Whether a frame just held is in a record's cache; it is let go if not."""
    if load(h.swaps["frame"], record) == pfn:
        return True
    put_frame(h, pfn)
    return False


@kernel
def record_of(h: Any, pfn: int) -> int:
    """The record in whose cache a frame is; NO_RECORD: none."""
    record: int = load(h.kept, pfn) >> CACHED_SHIFT
    return record if record != NO_RECORD and load(h.swaps["frame"], record) == pfn else NO_RECORD


@kernel
def count_mapped(h: Any, pfn: int) -> int:
    """Counts of a frame but for the cache's."""
    return (load(h.frames, pfn) & COUNT_MASK) - (1 if record_of(h, pfn) != NO_RECORD else 0)
