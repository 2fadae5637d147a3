"""Swap: pages out, with all that map them, and in again.

Source: mm/vmscan.c, mm/memory.c:do_swap_page, mm/ksm.c:ksm_might_need_to_copy, behaviour only.
"""

from __future__ import annotations

from collections.abc import Iterable

from oracle import huge, nodes
from oracle.objects import PAGE_SIZE, ZEROS, Frame, Ksm, Mm, Slot


def page_out(ksm: Ksm, mms: Iterable[Mm], mm: Mm, page: int) -> None:
    """madvise(MADV_PAGEOUT): a frame that nobody else maps goes; it is in the cache of a disk for a while."""
    frame = mm.ptes.get(page)
    if frame is not None and frame is not mm.zero and frame.mapcount == 1:
        slot = _take(ksm, mms, mm, page)
        if slot is not None and ksm.swap != "disk":
            _leave_cache(slot)


def reclaim(ksm: Ksm, mms: list[Mm], members: list[Mm], size: int, timing: str) -> None:
    """Take frames of these processes, and empty the cache. timing: "gone"; "cached", or "left": not all of that."""
    if timing == "left":
        return
    taken: set[Frame] = set()
    for mm in members:
        for page, frame in sorted(mm.ptes.items()):
            if ksm.swap and frame is not mm.zero and frame not in taken and len(taken) < size // PAGE_SIZE:
                taken.add(frame)
                _take(ksm, mms, mm, page)
    if timing == "gone":
        empty_cache(mms)


def _take(ksm: Ksm, mms: Iterable[Mm], mm: Mm, page: int) -> Slot | None:
    """Let all who map a page's frame, and are found, have a slot instead.

    A huge page is split, even if there is no swap.
    """
    frame = mm.ptes[page]
    if frame.folio is not None and not huge.split(ksm, frame.folio):
        return None
    frame = mm.ptes[page]
    if frame is mm.zero or not ksm.swap:
        return None
    slot, fresh = frame.slot, frame.slot is None
    if slot is None:
        slot = frame.slot = Slot(frame.data, frame, (mm.kin, page))
    for other in mms:
        for each in [each for each, mapped in other.ptes.items() if mapped is frame]:
            if not frame.ksm or (frame.node is not None and nodes.is_found(frame, other, each)):
                other.unmap(each)
                other.swapped[each] = slot
                slot.entries += 1
    if slot.entries == 0:
        slot.leave_cache()
    elif fresh and _is_written(ksm, slot):
        ksm.vmstat["pswpout"] += 1
    else:
        _leave_cache(slot)  # no write need be waited for
    return slot


def _is_written(ksm: Ksm, slot: Slot) -> bool:
    """Whether a page is written, and read: later kernels only note that one is all zeros."""
    return slot.data != ZEROS or ksm.version < (6, 12)


def empty_cache(mms: Iterable[Mm]) -> None:
    """Nothing that is out is in memory any more."""
    for mm in mms:
        for slot in mm.swapped.values():
            _leave_cache(slot)


def _leave_cache(slot: Slot) -> None:
    """Not be in memory any more, unless it is mapped."""
    if slot.cached is not None and slot.cached.mapcount == 0:
        slot.leave_cache()


def bring_in(ksm: Ksm, mm: Mm, page: int) -> None:
    """Let a swapped page be in memory again."""
    slot = mm.swapped[page]
    frame = slot.cached
    if frame is None:
        frame = Frame(slot.data, mm.home)
        ksm.vmstat["pswpin"] += _is_written(ksm, slot)
        if slot.entries > 1:
            frame.slot, slot.cached, slot.owner = slot, frame, (mm.kin, page)
    elif (frame.ksm and frame.node is None) or (not frame.ksm and slot.owner != (mm.kin, page)):
        frame = Frame(slot.data, mm.home)
        ksm.vmstat["ksm_swpin_copy"] += 1
    mm.map(page, frame)


def off(ksm: Ksm, mms: Iterable[Mm]) -> None:
    """swapoff: all comes back."""
    for mm in mms:
        for page in sorted(mm.swapped):
            bring_in(ksm, mm, page)
    ksm.swap = ""
