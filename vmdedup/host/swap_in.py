"""Bringing swapped pages back, at their owner's access. Kernels only.

    in the cache     a KSM frame that has its node still, or one of the page's own kin: mapped again as it is
                     any other: copied, and counted as ksm_swpin_copy, as nobody can tell that they are equal
    not in it        read into a fresh frame, which enters the cache if other entries name the record, too

Source: mm/memory.c:do_swap_page, mm/ksm.c:ksm_might_need_to_copy, behaviour only.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import count_rebuilt, let_go, named_by, pin_absent
from vmdedup.host.frames import NO_FRAME, put_frame, stable_node_of
from vmdedup.host.layout import (
    ACCESSED,
    CTL_KSM_SWPIN_COPY,
    CTL_PSWPIN,
    CTL_RULES,
    CTL_SWAP,
    CTL_ZSWPIN,
    FRAME_SHIFT,
    NO_NODE,
    ON_DISK,
    ONE_WORD,
    PACKED,
    PIN,
    PRESENT,
    SOFT,
    SWAPPED,
    VMA_BITS,
    ZSWAP,
)
from vmdedup.host.pool import draw_frame
from vmdedup.host.swap_slot import enter_cache, hold_cached
from vmdedup.host.thp import ZEROS_UNWRITTEN
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import copy_page

IS_IN, LACKS_FRAME, LACKS_CONTENT = 0, 1, 2


@kernel
def swap_in(h: Any, mm: int, page: int, unpacked: Any, is_unpacked: bool) -> int:
    """Make a swapped page of one's own present. Nothing where it is not swapped.

    Returns IS_IN; LACKS_FRAME: the host's memory is exhausted; or LACKS_CONTENT: the page stays pinned, and the caller
    comes again with what its record has in the pool, unpacked: int64[1, words of a page].
    """
    entry = h.mms[mm]["first"] + page
    if pin_absent(h, entry) != SWAPPED:
        _unpin(h, entry)
        return IS_IN
    record = named_by(load(h.pte, entry))
    while True:
        pfn = hold_cached(h, record)
        if pfn != 0:
            mine = _from_cache(h, mm, page, record, pfn)
        elif h.swaps[record]["place"] == PACKED and not is_unpacked:
            return LACKS_CONTENT
        else:
            mine = _read_in(h, mm, page, record, unpacked)
        if mine == NO_FRAME:
            _unpin(h, entry)
            return LACKS_FRAME
        if mine != 0:
            _map(h, mm, entry, record, mine)
            return IS_IN


@kernel
def _unpin(h: Any, entry: int) -> None:
    while True:
        old = load(h.pte, entry)
        if cas(h.pte, entry, old, old & ~PIN):
            return


@kernel
def _map(h: Any, mm: int, entry: int, record: int, pfn: int) -> None:
    """Let a pinned entry map a frame that is counted for it, and end the pin."""
    bits = (load(h.pte, entry) & VMA_BITS) | PRESENT | ACCESSED | SOFT | (pfn << FRAME_SHIFT)
    store(h.pte, entry, bits | PIN)
    let_go(h, record)
    count_rebuilt(h, mm, SWAPPED)
    store(h.pte, entry, bits)


@kernel
def _from_cache(h: Any, mm: int, page: int, record: int, pfn: int) -> int:
    """The cached frame, which is held, or a copy of it. NO_FRAME: there is no memory for one."""
    node = stable_node_of(h, pfn)
    s = h.swaps[record]
    if node != NO_NODE and (node != 0 or (s["kin"] == h.mms[mm]["kin"] and s["page"] == page)):
        return pfn
    fresh: int = draw_frame(h, h.mms[mm]["node"])
    if fresh != NO_FRAME:
        copy_page(h.words, fresh, h.words, pfn)
        fetch_add(h.ctl, CTL_KSM_SWPIN_COPY, 1)
    put_frame(h, pfn)
    return fresh


@kernel
def _read_in(h: Any, mm: int, page: int, record: int, unpacked: Any) -> int:
    """A fresh frame with the content. NO_FRAME: there is none; 0: another process has read it in meanwhile."""
    fresh: int = draw_frame(h, h.mms[mm]["node"])
    if fresh == NO_FRAME:
        return fresh
    s = h.swaps[record]
    if s["place"] == PACKED:
        copy_page(h.words, fresh, unpacked, 0)
    else:
        write_plain(h, record, h.words, fresh)
    if load(h.swaps["count"], record) > 1 and not enter_cache(h, record, fresh, h.mms[mm]["kin"], page):
        put_frame(h, fresh)
        return 0
    if s["place"] != ONE_WORD or s["fill"] != 0 or not h.ctl[CTL_RULES] & ZEROS_UNWRITTEN:
        fetch_add(h.ctl, CTL_ZSWPIN if h.ctl[CTL_SWAP] == ZSWAP and s["place"] != ON_DISK else CTL_PSWPIN, 1)
    return fresh


@kernel
def write_plain(h: Any, record: int, pages: Any, row: int) -> None:
    """Write to a row of pages, int64[:, words of a page], what a record has that is not packed."""
    s = h.swaps[record]
    if s["place"] == ON_DISK:
        copy_page(pages, row, h.swap, record)
    else:
        for word in range(pages.shape[1]):
            pages[row, word] = s["fill"]
