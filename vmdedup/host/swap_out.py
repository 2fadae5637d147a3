"""Taking frames away from under their guests, to the swap device, with all entries that map them. Kernels only.

    begin_out    a record for each frame, the frame in its cache; the entry that was named names the record
    unmap_rest   so does every other entry that maps one of them
    store_plain  content to the disk, or noted as one word; else it is packed by host.swap, and then
    end_out      the frame leaves the cache, and is free if nobody maps it

An entry is changed in one step, and names content that is in the cache before it is stored: so a guest may come at any
time, and finds its page. Who cannot be asked now, as the owner has it pinned, keeps the frame, and sharing ends.
Source: mm/vmscan.c, mm/rmap.c, mm/page_io.c, behaviour only.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import NO_RECORD, form_swapped, frame_behind, kind_of, leave_cache, let_go, named_by
from vmdedup.host.frames import get_frame, put_frame
from vmdedup.host.huge import split_folio
from vmdedup.host.layout import (
    CTL_PSWPOUT,
    CTL_RULES,
    CTL_SWAP,
    CTL_SWAP_FRESH,
    CTL_ZSWPOUT,
    DISK,
    FRAME_SHIFT,
    KIND_SHIFT,
    MM_LIVE,
    NOWHERE,
    ON_DISK,
    ONE_WORD,
    PIN,
    PRESENT,
    SOFT,
    SWAPPED,
    VMA_BITS,
    WHOLE,
    ZSWAP,
)
from vmdedup.host.mm import mm_of_entry
from vmdedup.host.swap_pool import pack_into
from vmdedup.host.swap_slot import (
    count_mapped,
    enter_cache,
    hold_record,
    record_of,
    take_record,
)
from vmdedup.host.thp import ZEROS_UNWRITTEN
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import copy_page, hash_page, same_page

# States of a page on its way out. DONE: no write need be waited for, as it was stored before, or is one of zeros.
NOT_TAKEN, TAKEN, TO_PACK, DONE = 0, 1, 2, 3


@kernel
def begin_out(h: Any, entries: Any, records: Any, frames: Any, wanted: Any, own: bool, unfound: Any) -> int:
    """Take the frame of each entry, and the entry itself. Returns how many frames others map, too.

    entries: int64[n]. records, frames: int64[n], filled; record 0: not taken. wanted: int32[frames], zeroed: the record
    of each frame that others map. own: leave frames alone that more than one entry maps. unfound: uint8[entries], those
    that are not to be changed, or nothing.
    """
    rest = 0
    for k in range(len(entries)):
        pfn = _held_frame(h, entries[k], wanted, own)
        record = _record_for(h, entries[k], pfn) if pfn != 0 else NO_RECORD
        records[k] = record
        frames[k] = pfn
        if record != NO_RECORD:
            if not is_unfound(unfound, entries[k]):
                unmap(h, entries[k], pfn, record)
            if count_mapped(h, pfn) > 1:
                wanted[pfn] = record
                rest += 1
        elif pfn != 0:
            put_frame(h, pfn)
    return rest


@kernel
def _held_frame(h: Any, entry: int, wanted: Any, own: bool) -> int:
    """Hold the frame that an entry maps, if it can go; 0: it cannot."""
    old = load(h.pte, entry)
    pfn = frame_behind(old)
    if old & (PIN | PRESENT) != PRESENT or pfn == 0 or wanted[pfn] != 0 or (own and count_mapped(h, pfn) != 1):
        return 0
    if not split_folio(h, entry, pfn, 0) or not get_frame(h, pfn):
        return 0
    old = load(h.pte, entry)
    if old & PRESENT and frame_behind(old) == pfn:
        return pfn
    put_frame(h, pfn)
    return 0


@kernel
def _record_for(h: Any, entry: int, pfn: int) -> int:
    """The record of a frame that is held: that in whose cache it is, or a new one. NO_RECORD: there is none."""
    record = record_of(h, pfn)
    if record != NO_RECORD and hold_record(h, record):
        if load(h.swaps["frame"], record) == pfn:
            return record
        let_go(h, record)
    record = take_record(h)
    if record != NO_RECORD:
        mm = mm_of_entry(h, entry)
        enter_cache(h, record, pfn, h.mms[mm]["kin"], entry - h.mms[mm]["first"])
    return record


@kernel
def unmap(h: Any, entry: int, pfn: int, record: int) -> None:
    """Let an entry name a record instead of the frame that it maps, unless it has another by now, or is pinned."""
    while True:
        old = load(h.pte, entry)
        if old & (PIN | PRESENT | WHOLE) != PRESENT or frame_behind(old) != pfn:
            return
        fetch_add(h.swaps["count"], record, 1)
        if cas(h.pte, entry, old, (old & VMA_BITS) | (form_swapped(record) << KIND_SHIFT)):
            put_frame(h, pfn)
            return
        let_go(h, record)


@kernel
def is_unfound(unfound: Any, entry: int) -> bool:
    """Whether an entry is one of those that nobody finds."""
    return len(unfound) != 0 and unfound[entry] != 0


@kernel
def unmap_rest(h: Any, wanted: Any, unfound: Any) -> None:
    """Let every entry that maps a frame of `wanted`, and is found, name its record."""
    for mm in range(1, len(h.mms)):
        if load(h.mms["state"], mm) == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                pfn = frame_behind(load(h.pte, entry))
                if pfn != 0 and wanted[pfn] != 0 and not is_unfound(unfound, entry):
                    unmap(h, entry, pfn, int(wanted[pfn]))


@kernel
def store_plain(h: Any, records: Any, frames: Any, states: Any) -> None:
    """Store what needs no packing. states: int8[n], filled: NOT_TAKEN (nobody came along), TAKEN, TO_PACK or DONE."""
    for k in range(len(records)):
        states[k] = NOT_TAKEN
        if records[k] != NO_RECORD and load(h.swaps["count"], records[k]) > 1:
            if h.swaps[records[k]]["place"] != NOWHERE:
                states[k] = DONE
            elif not store_unpacked(h, records[k], frames[k]):
                states[k] = TO_PACK
            else:
                states[k] = TAKEN if h.swaps[records[k]]["place"] == ON_DISK else DONE


@kernel
def store_unpacked(h: Any, record: int, pfn: int) -> bool:
    """Store a frame's content. False: it has to be packed."""
    s = h.swaps[record]
    s["hash"] = hash_page(h.words, pfn)
    s["fill"] = h.words[pfn, 0]
    device = h.ctl[CTL_SWAP]
    if h.ctl[CTL_RULES] & ZEROS_UNWRITTEN and same_page(h.words, pfn, h.words, 0):
        store(h.swaps["place"], record, ONE_WORD)
        return True
    if device == DISK:
        write_disk(h, record, pfn)
    elif _is_one_word(h, pfn):
        store(h.swaps["place"], record, ONE_WORD)
        fetch_add(h.ctl, CTL_ZSWPOUT if device == ZSWAP else CTL_PSWPOUT, 1)
    else:
        return False
    return True


@kernel
def _is_one_word(h: Any, pfn: int) -> bool:
    others = 0
    for word in range(1, h.words.shape[1]):
        others |= h.words[pfn, word] ^ h.words[pfn, 0]
    return others == 0


@kernel
def write_disk(h: Any, record: int, pfn: int) -> None:
    """Store a frame's content on the disk."""
    copy_page(h.swap, record, h.words, pfn)
    store(h.swaps["place"], record, ON_DISK)
    fetch_add(h.ctl, CTL_PSWPOUT, 1)


@kernel
def store_packed(h: Any, record: int, data: Any, length: int) -> bool:
    """Keep a page, compressed or not, in host memory. data: uint8[length]. False: no frame is left."""
    if not pack_into(h, record, data, length):
        return False
    fetch_add(h.ctl, CTL_ZSWPOUT if h.ctl[CTL_SWAP] == ZSWAP else CTL_PSWPOUT, 1)
    return True


@kernel
def end_out(h: Any, record: int, pfn: int, stays: bool) -> None:
    """Let go of a frame and its record. stays: in the cache, as it does while somebody maps it."""
    if not stays and count_mapped(h, pfn) == 1:
        leave_cache(h, record)
    let_go(h, record)
    put_frame(h, pfn)


@kernel
def end_all(h: Any, records: Any, frames: Any, states: Any, stays: bool) -> int:
    """end_out of all but those that are to be packed; DONE ones do not stay. Returns how many went."""
    gone = 0
    for k in range(len(records)):
        if records[k] != NO_RECORD and states[k] != TO_PACK:
            end_out(h, records[k], frames[k], stays and states[k] != DONE)
            gone += states[k] != NOT_TAKEN
    return gone


@kernel
def map_back(h: Any, back: Any) -> None:
    """Let entries whose page could not be stored map its frame again. back: int32[records], the frame of each, held."""
    for mm in range(1, len(h.mms)):
        if load(h.mms["state"], mm) == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                old = load(h.pte, entry)
                if kind_of(old) == SWAPPED and back[named_by(old)] != 0:
                    bring_cached(h, entry, old, int(back[named_by(old)]))


@kernel
def bring_cached(h: Any, entry: int, old: int, pfn: int) -> None:
    """Let an entry map the frame in its record's cache, unless its owner is faster."""
    fetch_add(h.frames, pfn, 1)
    if old & PIN or not cas(h.pte, entry, old, (old & VMA_BITS) | PRESENT | SOFT | (pfn << FRAME_SHIFT)):
        put_frame(h, pfn)
        return
    let_go(h, named_by(old))


@kernel
def empty_cache(h: Any) -> int:
    """Take what is stored, and mapped by nobody, out of the cache. Returns how many frames left it."""
    left = 0
    for record in range(1, load(h.ctl, CTL_SWAP_FRESH)):
        pfn = load(h.swaps["frame"], record)
        if pfn != 0 and count_mapped(h, pfn) == 0 and hold_record(h, record):
            if h.swaps[record]["place"] != NOWHERE:
                leave_cache(h, record)
                left += 1
            let_go(h, record)
    return left
